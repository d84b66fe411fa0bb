//! The command line: arguments in, calls of the application, exit code out. What a command prints
//! goes to streams that are handed in. It holds no logic of its own: what an operator may do is
//! [`crate::auth::admin`]'s business, what a configuration means is [`crate::config`]'s.

mod args;
mod audit;
mod check;
mod explain;
mod failure;
mod input;
mod meta;
mod serve;
mod session;
mod table;
mod token;
mod user;
mod why;

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, Write};
use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command, KeysCommand};
use self::failure::Failure;
use crate::config::keys;

/// Where a command reads from and writes to.
pub struct Streams<'a> {
    /// Standard input: passwords.
    pub input: &'a mut dyn BufRead,
    /// Standard output: what was asked for.
    pub output: &'a mut (dyn Write + Send),
    /// Standard error: what went wrong, and warnings.
    pub errors: &'a mut dyn Write,
    /// Whether usage errors may be coloured: standard error is a terminal.
    pub colour: bool,
}

impl fmt::Debug for Streams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streams")
    }
}

/// Runs the command that `arguments` (the program's name first) ask for. 0: done, 1: failed, 2: bad
/// usage or configuration.
pub fn run(arguments: impl IntoIterator<Item = OsString>, mut streams: Streams<'_>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &mut streams),
    };
    match dispatch(cli.command, &mut streams).and_then(|()| Ok(streams.output.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // With standard error gone too, the exit code is all that is left to say.
            drop(failure.report(streams.errors));
            failure.exit_code()
        }
    }
}

/// Help, version and errors in the arguments.
fn usage(error: &clap::Error, streams: &mut Streams<'_>) -> ExitCode {
    let text = error.render();
    let stream: &mut dyn Write = if error.use_stderr() { streams.errors } else { streams.output };
    let written = if streams.colour && error.use_stderr() {
        write!(stream, "{}", text.ansi())
    } else {
        write!(stream, "{text}")
    };
    match (written.and_then(|()| stream.flush()), error.use_stderr()) {
        (_, true) => ExitCode::from(2),
        (Ok(()), false) => ExitCode::SUCCESS,
        (Err(_), false) => ExitCode::FAILURE,
    }
}

fn dispatch(command: Command, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match command {
        Command::Demo(arguments) => serve::demo(arguments, streams),
        Command::Serve(arguments) => serve::serve(&arguments, streams),
        Command::Check(arguments) => check::check(&arguments, streams),
        Command::Explain(arguments) => explain::explain(&arguments, streams),
        Command::Schema => meta::schema(streams.output),
        Command::Keys(KeysCommand::Init { file }) => {
            keys::init(&file)?;
            Ok(writeln!(streams.output, "made the key file {}", file.display())?)
        }
        Command::Keys(KeysCommand::Rotate { file }) => {
            keys::rotate(&file)?;
            Ok(writeln!(
                streams.output,
                "added new keys to {}: give the same file to every node and restart them",
                file.display()
            )?)
        }
        Command::User(arguments) => user::run(arguments, streams),
        Command::Audit(arguments) => audit::run(&arguments, streams),
        Command::Token(arguments) => token::run(&arguments, streams),
        Command::Session(arguments) => session::run(&arguments, streams),
        Command::Why(arguments) => why::why(&arguments, streams),
        Command::Completions { shell } => meta::completions(shell, streams.output),
        Command::Man => meta::man(streams.output),
    }
}
