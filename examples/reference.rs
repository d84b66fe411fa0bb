//! Writes what the documentation and the example contain about configuration keys and events, from the
//! tables in `src/config/raw` and `src/auth/audit`: `cargo run --example reference`.
#![expect(clippy::expect_used, clippy::panic, reason = "a file of the project is missing")]

#[path = "../tests/it/support/generated.rs"]
mod generated;

fn main() -> std::io::Result<()> {
    generated::files().into_iter().try_for_each(|(file, text)| std::fs::write(file, text))
}
