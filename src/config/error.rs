//! Configuration errors with their positions.

use std::fmt;
use std::path::PathBuf;

/// An error in the configuration, printed as `FILE:LINE:COL: KEY: message`. The message says what
/// is wrong and how to fix it, and never contains a value that may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The configuration file.
    pub file: PathBuf,
    /// Line and column, both from 1. `None` if the file could not be read.
    pub position: Option<(usize, usize)>,
    /// The key, such as `apps[0].hosts[1]`. Empty if the text is not TOML.
    pub key: String,
    /// The error and how to fix it.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for ConfigError {}
