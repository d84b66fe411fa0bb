//! What commands read: the configuration, a password, a name. And the runtime they run on.

use std::future::Future;
use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::args::{NoDefault, StateArgs};
use super::failure::Failure;
use crate::app;
use crate::auth::admin::AccountAdmin;
use crate::auth::audit::Trail;
use crate::base::secret::Secret;
use crate::config::Config;
use crate::config::settings::Settings;

/// Most bytes of a password on standard input; the domain allows fewer.
const PASSWORD_MAX: u64 = 4096;

/// The settings, or every mistake in them.
pub(super) fn settings(file: &Path) -> Result<Settings, Failure> {
    Config::load(file).map_err(Failure::Config)
}

/// The first line of `input`, without its line break.
pub(super) fn password(input: &mut dyn BufRead) -> Result<Secret, Failure> {
    let mut raw = Zeroizing::new(Vec::with_capacity(256));
    input
        .take(PASSWORD_MAX + 1)
        .read_until(b'\n', &mut raw)
        .map_err(|e| Failure::failed(format_args!("the password cannot be read: {e}"), None))?;
    let line = raw.strip_suffix(b"\n").unwrap_or(&raw);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let hint = "write the password on one line of standard input";
    if line.is_empty() {
        return Err(Failure::usage("there is no password on standard input", hint));
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
    command: impl FnOnce(AccountAdmin) -> F,
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
            writeln!(errors, "warning: notices that could not be sent by mail: {unsent}")?;
        }
        done
    })
}

/// Opens the audit trail and runs `command` on it.
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

/// The settings of a command whose configuration was named, or filled in by default.
pub(super) fn configured(file: Option<&Path>) -> Result<Settings, Failure> {
    let hint = "name one with --config FILE or in the environment variable VESTIBULE_CONFIG";
    settings(file.ok_or_else(|| Failure::usage(NoDefault::Missing, hint))?)
}

/// A runtime with this many worker threads.
pub(super) fn runtime(workers: usize) -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.max(1))
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format_args!("no threads can be started: {e}"), None))
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
    fn no_password_and_no_text_are_refused() {
        assert!(password(&mut "".as_bytes()).is_err());
        assert!(password(&mut "\n".as_bytes()).is_err());
        assert!(password(&mut b"\xff\xfe\n".as_slice()).is_err());
        assert!(password(&mut "x".repeat(5000).as_bytes()).is_err());
    }
}
