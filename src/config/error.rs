//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// One mistake in the configuration, printed as `FILE:LINE:COL: KEY: what is wrong, what would be
/// right`. It never holds a value that may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The configuration file.
    pub file: PathBuf,
    /// Line and column, both from 1; `None` when the file could not be read at all.
    pub position: Option<(usize, usize)>,
    /// The key, such as `apps[0].hosts[1]`; empty when the text is not TOML.
    pub key: String,
    /// What is wrong and what would be right.
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
