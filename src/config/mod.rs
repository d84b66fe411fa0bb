//! Configuration: reads a TOML file and returns validated [`settings::Settings`], or all errors
//! with their positions. Secrets may come from files or environment variables. This module does not
//! open stores or load certificates into servers.

mod document;
mod effective;
mod error;
mod file;
mod fingerprint;
#[doc(hidden)]
pub mod fuzzing;
mod key_path;
pub mod keys;
mod raw;
mod reader;
pub mod reference;
mod resolve;
mod schema;
mod secret_ref;
pub mod settings;
mod table;
pub mod units;
mod wording;

use std::path::{Path, PathBuf};

use self::document::{Document, Mistake};
pub use self::error::ConfigError;
use self::raw::RawConfig;
use self::reader::{Finished, Reader};
pub use self::schema::schema;
use self::settings::Settings;

/// The configuration file.
#[derive(Debug)]
pub struct Config;

impl Config {
    /// Reads and checks the file at `path` and the files and environment variables it refers to:
    /// certificates, the key file and secrets. Makes no connection and writes nothing. Returns all
    /// errors in the order of the file.
    pub fn load(path: &Path) -> Result<Settings, Vec<ConfigError>> {
        let text = file::read(path).map_err(|unreadable| {
            vec![ConfigError {
                file: path.to_owned(),
                position: unreadable.position,
                key: String::new(),
                message: unreadable.message,
            }]
        })?;
        parse(&text, path).map_err(|mistakes| {
            mistakes
                .into_iter()
                .map(|m| ConfigError {
                    file: path.to_owned(),
                    position: Some(m.position),
                    key: m.key.to_string(),
                    message: m.message,
                })
                .collect()
        })
    }
}

fn parse(text: &str, file: &Path) -> Result<Settings, Vec<Mistake>> {
    let mut document = Document::parse(text)?;
    let (raw, mistakes) = document.read::<RawConfig>();
    let base: PathBuf = file.parent().map(Path::to_owned).unwrap_or_default();
    let mut reader = Reader::new(document, base, mistakes);
    let settings = resolve::settings(&raw, &mut reader);
    let Finished { mistakes, warnings, weakenings, effective } = reader.finish();
    if mistakes.is_empty() {
        Ok(Settings { source: file.to_owned(), effective, warnings, weakenings, ..settings })
    } else {
        Err(mistakes)
    }
}
