//! Shared parts of the checks: collects errors and warnings, and reads common kinds of values. A
//! wrong value is recorded and replaced by its default, so that checking continues. If any error
//! was recorded, the settings are discarded.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::{Document, Mistake};
use super::effective::{self, EffectiveKey, Notes};
use super::key_path::KeyPath;
use super::secret_ref::SecretRef;
use super::{units, wording};
use crate::base::secret::Secret;

/// Collects errors and warnings.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    document: Document<'a>,
    base: PathBuf,
    mistakes: Vec<Mistake>,
    warnings: Vec<String>,
    weakenings: Vec<String>,
    notes: Notes,
}

/// The result of reading a document.
#[derive(Debug)]
pub(super) struct Finished {
    /// Errors, in the order of the file.
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<String>,
    pub(super) weakenings: Vec<String>,
    /// The value in effect of each key.
    pub(super) effective: Vec<EffectiveKey>,
}

impl<'a> Reader<'a> {
    /// Creates a reader for a document whose relative paths start at `base`.
    pub(super) fn new(document: Document<'a>, base: PathBuf, mistakes: Vec<Mistake>) -> Self {
        let (warnings, weakenings) = (Vec::new(), Vec::new());
        Self { document, base, mistakes, warnings, weakenings, notes: Notes::default() }
    }

    /// Returns everything that was recorded.
    pub(super) fn finish(mut self) -> Finished {
        self.mistakes.sort_by_key(|m| m.position);
        Finished {
            effective: effective::keys(&self.document, &self.notes),
            mistakes: self.mistakes,
            warnings: self.warnings,
            weakenings: self.weakenings,
        }
    }

    /// Records a remark about a value, for `check`.
    pub(super) fn remark(&mut self, key: &KeyPath, remark: impl Display) {
        self.notes.remarks.insert(key.to_string(), remark.to_string());
    }

    /// Records the text that stands for the value of a key if it is secret, or not written and not
    /// a constant.
    pub(super) fn show(&mut self, key: &KeyPath, value: impl Display) {
        self.notes.shown.insert(key.to_string(), value.to_string());
    }

    /// Records an error at `key`, unless one is recorded there already.
    pub(super) fn fail(&mut self, key: &KeyPath, message: impl Into<String>) {
        if !self.document.is_known_bad(key) {
            let position = self.document.position(key);
            let key = self.document.as_written(key);
            self.mistakes.push(Mistake { key, position, message: message.into() });
        }
    }

    /// Records a warning: a setting that is allowed but may be a mistake.
    pub(super) fn warn(&mut self, key: &KeyPath, message: &str) {
        self.warnings.push(format!("{key}: {message}"));
    }

    /// Records a weakening: a setting that requires less than two factors.
    pub(super) fn weaken(&mut self, key: &KeyPath, message: &str) {
        self.weakenings.push(format!("{key}: {message}"));
        self.remark(key, format_args!("weakening: {message}"));
    }

    /// Returns true if the file has a value at `key`.
    pub(super) fn has(&self, key: &KeyPath) -> bool {
        self.document.has(key)
    }

    /// Resolves `path` against the directory of the configuration file.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// Reads a duration.
    pub(super) fn duration(
        &mut self,
        key: &KeyPath,
        text: Option<&str>,
        default: Duration,
    ) -> Duration {
        let Some(text) = text else { return default };
        units::duration(text).unwrap_or_else(|| {
            self.fail(key, "not a duration: write a number and a unit, such as \"30m\" or \"12h\"");
            default
        })
    }

    /// Reads a duration greater than zero.
    pub(super) fn positive_duration(
        &mut self,
        key: &KeyPath,
        text: Option<&str>,
        default: Duration,
    ) -> Duration {
        let duration = self.duration(key, text, default);
        if duration.is_zero() {
            self.fail(
                key,
                format!("must be greater than zero, such as {:?}", units::written(default)),
            );
            return default;
        }
        duration
    }

    /// Reads a number within `range`.
    pub(super) fn number<T: PartialOrd + Display>(
        &mut self,
        key: &KeyPath,
        value: Option<T>,
        default: T,
        range: &RangeInclusive<T>,
    ) -> T {
        match value {
            Some(value) if !range.contains(&value) => {
                let (min, max) = (range.start(), range.end());
                self.fail(key, format!("{value} is out of range: write {min} to {max}"));
                default
            }
            Some(value) => value,
            None => default,
        }
    }

    /// Reads one of the words of `choices`. Returns `None` if it is missing or unknown.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &KeyPath,
        word: Option<&str>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(w, _)| *w).collect();
        let list = words.join(", ");
        let Some(word) = word else {
            self.fail(key, format!("is missing: write one of {list}"));
            return None;
        };
        let found = choices.iter().find(|(w, _)| *w == word).map(|(_, value)| *value);
        if found.is_none() {
            let hint = wording::nearest(word, &words)
                .map_or_else(|| format!("write one of {list}"), |w| format!("did you mean {w:?}?"));
            self.fail(key, format!("unknown value {word:?}: {hint}"));
        }
        found
    }

    /// Reads an IP address with a port.
    pub(super) fn address(&mut self, key: &KeyPath, text: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.fail(
                key,
                format!(
                    "{text:?} is not an IP address and port: write \"127.0.0.1:8443\" or \
                     \"[::]:8443\""
                ),
            );
        }
        address
    }

    /// Reads a secret that is not empty.
    pub(super) fn secret(&mut self, key: &KeyPath, reference: &SecretRef) -> Option<Secret> {
        match reference.value(&self.base) {
            Ok(secret) if secret.is_empty() => {
                self.fail(
                    key,
                    "is empty: write the value, or a file or environment variable that contains it",
                );
                None
            }
            Ok(secret) => Some(secret),
            Err(why) => {
                self.fail(key, why);
                None
            }
        }
    }
}
