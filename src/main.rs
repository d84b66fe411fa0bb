//! The `vestibule` command.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::process::ExitCode;

use vestibule::cli::{self, Streams};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let streams = Streams {
        input: &mut stdin().lock(),
        // Not locked: the log of a running gateway goes there from other threads.
        output: &mut stdout(),
        errors: &mut stderr(),
        colour: stderr().is_terminal(),
        interactive: stdin().is_terminal(),
    };
    cli::run(std::env::args_os(), streams)
}
