//! The parts of the documentation that are generated from the source. `cargo run --example reference`
//! writes them; a test compares them.

use std::fs;
use std::path::{Path, PathBuf};

use vestibule::auth::audit;
use vestibule::config::reference;

/// Returns each file with generated parts, and its content.
pub(crate) fn files() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let filled = |name: &str, tables: Vec<(String, String)>| {
        let file = root.join(name);
        let text = fs::read_to_string(&file).expect("the file is readable");
        let text = tables.iter().fold(text, |text, (mark, table)| fill(&text, mark, table));
        (file, text)
    };
    let keys = reference::documentation().into_iter();
    let keys = keys.map(|(path, rows)| (format!("<!-- keys: {path} -->"), rows)).collect();
    vec![
        filled("docs/configuration.md", keys),
        filled("docs/audit.md", vec![("<!-- events -->".to_owned(), audit::documentation())]),
        (root.join("config/vestibule.example.toml"), reference::example()),
    ]
}

/// Replaces the table below the line `mark`.
fn fill(text: &str, mark: &str, table: &str) -> String {
    let mark = format!("\n{mark}\n");
    let parts: Vec<&str> = text.split(&mark).collect();
    let [before, after] = parts.as_slice() else {
        panic!("write one line{mark}before the table");
    };
    let after = after.split_inclusive('\n').skip_while(|line| line.starts_with('|'));
    [before, mark.as_str(), table].into_iter().chain(after).collect()
}
