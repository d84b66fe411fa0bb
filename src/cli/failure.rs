//! How a command says that it failed: one plain sentence, a hint where there is one, and an exit
//! code.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::app::AppError;
use crate::auth::account::NotAName;
use crate::auth::admin::AdminError;
use crate::auth::ports::StoreError;
use crate::config::ConfigError;
use crate::config::keys::KeyFileError;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was asked for in a way that cannot be done: exit 2.
    Usage {
        /// One sentence.
        message: String,
        /// What to do.
        hint: Option<&'static str>,
    },
    /// The configuration has mistakes: exit 2.
    Config(Vec<ConfigError>),
    /// It could not be done: exit 1.
    Failed {
        /// One sentence.
        message: String,
        /// What to do.
        hint: Option<&'static str>,
    },
    /// Whoever read the output has gone away: exit 1, and nobody to tell.
    OutputClosed,
}

impl Failure {
    /// Bad usage.
    pub(super) fn usage(message: impl Display, hint: &'static str) -> Self {
        Self::Usage { message: message.to_string(), hint: Some(hint) }
    }

    /// Not done.
    pub(super) fn failed(message: impl Display, hint: Option<&'static str>) -> Self {
        Self::Failed { message: message.to_string(), hint }
    }

    /// Says so.
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

    /// 1: failed, 2: bad usage or configuration.
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
            Self::failed(format_args!("the output cannot be written: {error}"), None)
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
        let hint = "`vestibule check --online` tells what is wrong";
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

/// What to do about an act that was not done, or not in full.
fn next_step(error: &AdminError) -> Option<&'static str> {
    Some(match error {
        AdminError::Store(_) => {
            "nothing was changed; `vestibule check --online` tells what is wrong"
        }
        AdminError::Undone(_) => {
            "nothing was changed; try again once the account database takes writes"
        }
        AdminError::LinkWithheld(_) => {
            "`vestibule user ticket` makes another, once the account database takes writes"
        }
        AdminError::Partly { .. } => {
            "`vestibule check --online` tells what is wrong with the store; then try again"
        }
        AdminError::NotRecorded(_) => {
            "note down who did it and when; see to it that the account database answers"
        }
        AdminError::SessionsLeft { .. } => "nothing more is needed: they end by themselves",
        AdminError::SessionsBehind { .. } => "nothing more is needed: they see it in five seconds",
        AdminError::NoSuchUser(_) => "`vestibule user list` shows who there is",
        AdminError::Disabled(_) => "enable the user first, with `vestibule user enable`",
        AdminError::NoSuchToken(_) => "`vestibule token list` shows which there are",
        AdminError::NoSuchSession(_) => "`vestibule session list` shows which there are",
        AdminError::LinkedAlready { .. } | AdminError::SubjectTaken { .. } => {
            "`vestibule user unlink` takes a link back"
        }
        AdminError::NotLinked { .. } => "`vestibule user show` tells who a user is at apps",
        AdminError::PasswordKept { .. } => {
            "leave out --password for a link that enrols; `vestibule user set-password` gives a \
             password of Vestibule's on purpose"
        }
        AdminError::NameTaken(_) => {
            "choose another name, or change it with `vestibule user set-password`"
        }
        AdminError::BadField { .. }
        | AdminError::Hash(_)
        | AdminError::NoRandomness(_)
        | AdminError::Password(_) => return None,
    })
}
