//! The command line: parses arguments, calls the application and returns an exit code. Output goes
//! to the streams that the caller passes in. There is no logic here: [`crate::auth::admin`]
//! implements the actions of operators and [`crate::config`] interprets the configuration.

mod args;
mod audit;
mod backup;
mod check;
mod doctor;
mod explain;
mod failure;
mod input;
mod meta;
mod serve;
mod session;
mod table;
mod token;
mod user;
mod user_keys;
mod why;

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command, ConfigCommand, KeysCommand};
use self::failure::Failure;
use crate::config::keys;

/// Standard streams of a command.
pub struct Streams<'a> {
    /// Standard input: passwords.
    pub input: &'a mut dyn BufRead,
    /// Standard output: results.
    pub output: &'a mut (dyn Write + Send),
    /// Standard error: errors and warnings.
    pub errors: &'a mut dyn Write,
    /// True if usage errors may be coloured: standard error is a terminal.
    pub colour: bool,
    /// True if questions can be asked: standard input is a terminal.
    pub interactive: bool,
}

impl fmt::Debug for Streams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streams")
    }
}

/// Runs the command in `arguments`, of which the first is the program's name. Returns exit code 0
/// on success, 1 on failure, 2 for bad usage or configuration.
pub fn run(arguments: impl IntoIterator<Item = OsString>, mut streams: Streams<'_>) -> ExitCode {
    let mut cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &mut streams),
    };
    let by_default = match fill_in_config(&mut cli.command) {
        Ok(by_default) => by_default,
        Err(failure) => return failed(&failure, None, &mut streams),
    };
    match dispatch(cli.command, &mut streams).and_then(|()| Ok(streams.output.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure, by_default.as_deref(), &mut streams),
    }
}

/// Sets the default configuration file of a command that needs one and was given none. Returns that
/// default.
fn fill_in_config(command: &mut Command) -> Result<Option<PathBuf>, Failure> {
    let Some(named @ None) = command.config_mut() else { return Ok(None) };
    let hint = "pass --config FILE or set the environment variable VESTIBULE_CONFIG";
    let found = args::default_config().map_err(|why| Failure::usage(why, hint))?;
    *named = Some(found.clone());
    Ok(Some(found))
}

/// Reports a failure, and the configuration file if it was the default. Write errors are ignored:
/// if standard error is closed too, only the exit code is left.
fn failed(failure: &Failure, by_default: Option<&Path>, streams: &mut Streams<'_>) -> ExitCode {
    let reported = failure.report(streams.errors).and_then(|()| match by_default {
        Some(file) => {
            writeln!(streams.errors, "note: the configuration is {}, the default", file.display())
        }
        None => Ok(()),
    });
    drop(reported);
    failure.exit_code()
}

/// Prints help, the version, or an error in the arguments.
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
        Command::Doctor(arguments) => doctor::doctor(&arguments, streams),
        Command::Explain(arguments) => explain::explain(&arguments, streams),
        Command::Schema => meta::schema(streams.output),
        Command::Config(ConfigCommand::Hash(arguments)) => {
            let hash = input::configured(arguments.config.as_deref())?.hash();
            if arguments.json {
                return meta::json(&serde_json::json!({ "hash": hash }), streams.output);
            }
            Ok(writeln!(streams.output, "{hash}")?)
        }
        Command::Keys(command) => key_file(&command, streams),
        Command::User(arguments) => user::run(arguments, streams),
        Command::Audit(arguments) => audit::run(&arguments, streams),
        Command::Token(arguments) => token::run(&arguments, streams),
        Command::Session(arguments) => session::run(&arguments, streams),
        Command::Backup(arguments) => backup::back_up(&arguments, streams),
        Command::Restore(arguments) => backup::restore(&arguments, streams),
        Command::Why(arguments) => why::why(&arguments, streams),
        Command::Completions { shell } => meta::completions(shell, streams.output),
        Command::Man { dir: None } => meta::man(streams.output),
        Command::Man { dir: Some(dir) } => meta::man_pages(&dir, streams.output),
    }
}

/// Creates or changes a key file and says what comes next.
fn key_file(command: &KeysCommand, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let (file, told, next) = match command {
        KeysCommand::Init { file } => {
            keys::init(file)?;
            (file, "created the key file", "")
        }
        KeysCommand::Add { file } => {
            keys::add(file)?;
            let next = ": copy the file to every node and reload each (SIGHUP), then run \
                        `vestibule keys use`";
            (file, "added keys for reading to", next)
        }
        KeysCommand::Use { file } => {
            keys::use_added(file)?;
            let next = ": copy the file to every node and reload each (SIGHUP)";
            (file, "the added keys now write in", next)
        }
        KeysCommand::Rotate { file } => {
            keys::rotate(file)?;
            let next = ": reload the node (SIGHUP). On several nodes use `vestibule keys add` and \
                        `vestibule keys use` instead";
            (file, "added new keys to", next)
        }
    };
    Ok(writeln!(streams.output, "{told} {}{next}", file.display())?)
}
