//! Errors of the application.

use crate::auth::keys::SealError;
use crate::auth::ports::StoreError;
use crate::config::keys::KeyFileError;
use crate::proxy::ProxyError;

/// An error of the application.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The key ring cannot be used.
    #[error(transparent)]
    Keys(#[from] SealError),
    /// The proxy failed to start.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A directory or socket cannot be used.
    #[error("{what}: {error}")]
    Io {
        /// Failed action, with the path or address.
        what: String,
        /// Error of the operating system.
        error: std::io::Error,
    },
    /// Any other error, in one plain sentence.
    #[error("{0}")]
    Other(String),
}

impl AppError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}
