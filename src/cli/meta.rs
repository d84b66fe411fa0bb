//! The program's description of itself: schema, shell completions and manual pages.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;

use super::args::Cli;
use super::failure::Failure;

/// Prints the JSON Schema of the configuration.
pub(super) fn schema(output: &mut dyn Write) -> Result<(), Failure> {
    json(&crate::config::schema(), output)
}

/// Prints a value as indented JSON.
pub(super) fn json(value: &serde_json::Value, output: &mut dyn Write) -> Result<(), Failure> {
    Ok(writeln!(output, "{value:#}")?)
}

/// Prints a completion script.
pub(super) fn completions(
    shell: clap_complete::Shell,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    // The generator panics on a write error, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vestibule", &mut script);
    Ok(output.write_all(&script)?)
}

/// Prints the manual pages of the program and of every subcommand, in roff.
pub(super) fn man(output: &mut dyn Write) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    Ok(pages(&command, output)?)
}

/// Writes one manual page for the program and one for each subcommand to `dir`, in roff.
pub(super) fn man_pages(dir: &Path, output: &mut dyn Write) -> Result<(), Failure> {
    let written = std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), dir));
    written.map_err(|error| {
        Failure::failed(format_args!("failed to write to {}: {error}", dir.display()), None)
    })?;
    Ok(writeln!(output, "wrote the manual pages to {}", dir.display())?)
}

fn pages(command: &clap::Command, output: &mut dyn Write) -> std::io::Result<()> {
    clap_mangen::Man::new(command.clone()).render(output)?;
    command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
        .try_for_each(|sub| pages(sub, output))
}
