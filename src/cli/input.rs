//! Input of commands: configuration and password. Also the runtime that commands run on.

use std::future::Future;
use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Streams;
use super::args::{NoDefault, StateArgs};
use super::failure::Failure;
use crate::app;
use crate::auth::admin::Admin;
use crate::auth::audit::Trail;
use crate::base::secret::Secret;
use crate::config::Config;
use crate::config::settings::Settings;

/// Maximum length of a password on standard input, in bytes. The password policy allows fewer.
const PASSWORD_MAX: u64 = 4096;
/// Most bytes of an answer to a question.
const ANSWER_MAX: u64 = 64;

/// Loads the settings, or returns every error in them.
pub(super) fn settings(file: &Path) -> Result<Settings, Failure> {
    Config::load(file).map_err(Failure::Config)
}

/// Returns the first line of `input`, without its line break.
pub(super) fn password(input: &mut dyn BufRead) -> Result<Secret, Failure> {
    let mut raw = Zeroizing::new(Vec::with_capacity(256));
    input
        .take(PASSWORD_MAX + 1)
        .read_until(b'\n', &mut raw)
        .map_err(|e| Failure::failed(format_args!("failed to read the password: {e}"), None))?;
    let line = raw.strip_suffix(b"\n").unwrap_or(&raw);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let hint = "write the password on one line of standard input";
    if line.is_empty() {
        return Err(Failure::usage("no password on standard input", hint));
    }
    match std::str::from_utf8(line) {
        Ok(text) if u64::try_from(line.len()).is_ok_and(|n| n <= PASSWORD_MAX) => {
            Ok(Secret::new(text.to_owned()))
        }
        Ok(_) => Err(Failure::usage("the password is too long", hint)),
        Err(_) => Err(Failure::usage("the password is not UTF-8 text", hint)),
    }
}

/// Opens the stores and runs `command` on them.
pub(super) fn with_admin<T, F>(
    state: &StateArgs,
    command: impl FnOnce(Admin) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let settings = state_settings(state)?;
    runtime(1)?.block_on(async {
        let (admin, outlets) = Box::pin(app::open_admin(&settings)).await?;
        let done = Box::pin(command(admin)).await;
        let unsent = outlets.close().await;
        if unsent > 0 {
            let mut errors = std::io::stderr().lock();
            writeln!(errors, "warning: notices not sent by mail: {unsent}")?;
        }
        done
    })
}

/// Opens the audit log and runs `command` on it.
pub(super) fn with_trail<T, F>(
    state: &StateArgs,
    command: impl FnOnce(Arc<Trail>) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let settings = state_settings(state)?;
    runtime(1)?.block_on(async {
        let trail = Box::pin(app::open_trail(&settings)).await?;
        Box::pin(command(trail)).await
    })
}

pub(super) fn state_settings(state: &StateArgs) -> Result<Settings, Failure> {
    configured(state.config.as_deref())
}

/// Loads the settings of a command from `file`: the `--config` option or its default.
pub(super) fn configured(file: Option<&Path>) -> Result<Settings, Failure> {
    let hint = "pass --config FILE or set the environment variable VESTIBULE_CONFIG";
    settings(file.ok_or_else(|| Failure::usage(NoDefault::Missing, hint))?)
}

/// Creates a runtime with this many worker threads.
pub(super) fn runtime(workers: usize) -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.max(1))
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format_args!("failed to start threads: {e}"), None))
}

/// Asks for confirmation of an act that cannot be undone. Does not ask if `yes` is true, or if there is
/// no terminal.
pub(super) fn confirm(question: &str, yes: bool, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if yes || !streams.interactive {
        return Ok(());
    }
    write!(streams.errors, "{question} [y/N] ")?;
    streams.errors.flush()?;
    let mut answer = String::new();
    streams
        .input
        .take(ANSWER_MAX)
        .read_line(&mut answer)
        .map_err(|e| Failure::failed(format_args!("the answer cannot be read: {e}"), None))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::failed("nothing was changed", None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_without_its_break() {
        for text in ["correct horse", "correct horse\n", "correct horse\r\n", "correct horse\nmore"]
        {
            assert_eq!(password(&mut text.as_bytes()).unwrap().reveal(), "correct horse");
        }
        assert_eq!(password(&mut " spaces \n".as_bytes()).unwrap().reveal(), " spaces ");
    }

    #[test]
    fn no_password_and_no_text_are_rejected() {
        assert!(password(&mut "".as_bytes()).is_err());
        assert!(password(&mut "\n".as_bytes()).is_err());
        assert!(password(&mut b"\xff\xfe\n".as_slice()).is_err());
        assert!(password(&mut "x".repeat(5000).as_bytes()).is_err());
    }

    #[test]
    fn irreversible_commands_ask_first_on_a_terminal() {
        for (typed, yes, interactive, goes_on) in [
            ("y\n", false, true, true),
            ("Yes\n", false, true, true),
            ("n\n", false, true, false),
            ("\n", false, true, false),
            ("", false, true, false),
            ("", true, true, true),
            ("", false, false, true),
        ] {
            let (mut output, mut errors) = (Vec::new(), Vec::new());
            let mut streams = Streams {
                input: &mut typed.as_bytes(),
                output: &mut output,
                errors: &mut errors,
                colour: false,
                interactive,
            };
            let confirmed = confirm("Remove the user alice?", yes, &mut streams);
            assert_eq!(confirmed.is_ok(), goes_on, "{typed:?} {yes} {interactive}");
            let asked = if interactive && !yes { "Remove the user alice? [y/N] " } else { "" };
            assert_eq!(String::from_utf8(errors).unwrap(), asked);
            assert!(output.is_empty());
        }
    }
}
