//! Errors of a command: one plain sentence, an optional hint, and an exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::app::AppError;
use crate::auth::account::NotAName;
use crate::auth::admin::AdminError;
use crate::auth::ports::StoreError;
use crate::config::ConfigError;
use crate::config::keys::KeyFileError;

/// An error of a command.
#[derive(Debug)]
pub(super) enum Failure {
    /// The arguments are not valid: exit code 2.
    Usage {
        /// Message, one sentence.
        message: String,
        /// Next step.
        hint: Option<&'static str>,
    },
    /// The configuration has errors: exit code 2.
    Config(Vec<ConfigError>),
    /// The command failed: exit code 1.
    Failed {
        /// Message, one sentence.
        message: String,
        /// Next step.
        hint: Option<&'static str>,
    },
    /// The reader of standard output has closed it: exit code 1, without a message.
    OutputClosed,
}

impl Failure {
    /// Creates a usage error.
    pub(super) fn usage(message: impl Display, hint: &'static str) -> Self {
        Self::Usage { message: message.to_string(), hint: Some(hint) }
    }

    /// Creates a failure.
    pub(super) fn failed(message: impl Display, hint: Option<&'static str>) -> Self {
        Self::Failed { message: message.to_string(), hint }
    }

    /// Writes the message and the hint to `errors`.
    pub(super) fn report(&self, errors: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Config(mistakes) => {
                for mistake in mistakes {
                    writeln!(errors, "{mistake}")?;
                }
            }
            Self::Usage { message, hint } | Self::Failed { message, hint } => {
                writeln!(errors, "error: {message}")?;
                if let Some(hint) = hint {
                    writeln!(errors, "hint: {hint}")?;
                }
            }
            Self::OutputClosed => {}
        }
        errors.flush()
    }

    /// Returns the exit code: 1 if the command failed, 2 for bad usage or configuration.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage { .. } | Self::Config(_) => ExitCode::from(2),
            Self::Failed { .. } | Self::OutputClosed => ExitCode::FAILURE,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::failed(format_args!("failed to write the output: {error}"), None)
        }
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        Self::failed(error, None)
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Self::failed(error, None)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let hint = "`vestibule check --online` shows the problem";
        Self::failed(error, Some(hint))
    }
}

impl From<NotAName> for Failure {
    fn from(error: NotAName) -> Self {
        Self::Usage { message: error.to_string(), hint: None }
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        let message = error.to_string();
        if matches!(error, AdminError::BadField { .. }) {
            return Self::Usage { message, hint: None };
        }
        Self::Failed { message, hint: next_step(&error) }
    }
}

/// Returns the next step after an administrative action that failed or was incomplete.
fn next_step(error: &AdminError) -> Option<&'static str> {
    Some(match error {
        AdminError::Store(_) => "nothing was changed; `vestibule check --online` shows the problem",
        AdminError::Undone(_) => {
            "nothing was changed; try again when the account database accepts writes"
        }
        AdminError::LinkWithheld(_) => {
            "create a new link with `vestibule user ticket` when the account database accepts writes"
        }
        AdminError::Partly { .. } => {
            "`vestibule check --online` shows the problem with the store; then try again"
        }
        AdminError::NotRecorded(_) => {
            "record who did it and when, and restore the account database"
        }
        AdminError::SessionsLeft { .. } => "no action needed: they end on their own",
        AdminError::SessionsBehind { .. } => {
            "no action needed: they pick it up within five seconds"
        }
        AdminError::NoSuchUser(_) => "`vestibule user list` shows all users",
        AdminError::NoSuchKey(_) => "`vestibule user keys NAME` shows the user's keys",
        AdminError::Disabled(_) => "enable the user first, with `vestibule user enable`",
        AdminError::NoSuchToken(_) => "`vestibule token list` shows all tokens",
        AdminError::NoSuchSession(_) => "`vestibule session list` shows all sessions",
        AdminError::LinkedAlready { .. } | AdminError::SubjectTaken { .. } => {
            "`vestibule user unlink` removes a link"
        }
        AdminError::NotLinked { .. } => {
            "`vestibule user show NAME` lists the apps that the user is linked to"
        }
        AdminError::PasswordKept { .. } => {
            "omit --password for a link that enrols only; `vestibule user set-password` sets a \
             password of Vestibule's own"
        }
        AdminError::NameTaken(_) => {
            "choose another name, or change the user's password with `vestibule user set-password`"
        }
        AdminError::BadField { .. }
        | AdminError::Hash(_)
        | AdminError::Random(_)
        | AdminError::Password(_) => return None,
    })
}
