//! What the checks share: where mistakes and warnings are collected, and the kinds of value that
//! occur again and again. A value that is wrong is noted and replaced by its default, so that the
//! checks go on; with a mistake noted, the settings are thrown away in the end.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::{Document, Mistake};
use super::key_path::KeyPath;
use super::secret_ref::SecretRef;
use super::{units, wording};
use crate::base::secret::Secret;

/// Collects mistakes and warnings.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    document: Document<'a>,
    base: PathBuf,
    mistakes: Vec<Mistake>,
    warnings: Vec<String>,
    weakenings: Vec<String>,
}

impl<'a> Reader<'a> {
    /// For a document whose relative paths start at `base`.
    pub(super) fn new(document: Document<'a>, base: PathBuf, mistakes: Vec<Mistake>) -> Self {
        Self { document, base, mistakes, warnings: Vec::new(), weakenings: Vec::new() }
    }

    /// What was collected: mistakes in the order of the file, warnings, and weakenings.
    pub(super) fn finish(mut self) -> (Vec<Mistake>, Vec<String>, Vec<String>) {
        self.mistakes.sort_by_key(|m| m.position);
        (self.mistakes, self.warnings, self.weakenings)
    }

    /// Notes a mistake at `key`, unless one is known there already.
    pub(super) fn fail(&mut self, key: &KeyPath, message: impl Into<String>) {
        if !self.document.is_known_bad(key) {
            let position = self.document.position(key);
            let key = self.document.as_written(key);
            self.mistakes.push(Mistake { key, position, message: message.into() });
        }
    }

    /// Notes something that is allowed but may not be meant.
    pub(super) fn warn(&mut self, key: &KeyPath, message: &str) {
        self.warnings.push(format!("{key}: {message}"));
    }

    /// Notes that two factors are not asked for somewhere, as it was asked for.
    pub(super) fn weaken(&mut self, key: &KeyPath, message: &str) {
        self.weakenings.push(format!("{key}: {message}"));
    }

    /// Whether the file has something at `key`.
    pub(super) fn has(&self, key: &KeyPath) -> bool {
        self.document.has(key)
    }

    /// `path`, taken from the directory of the configuration file.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// A duration.
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

    /// A duration that is not zero.
    pub(super) fn some_time(
        &mut self,
        key: &KeyPath,
        text: Option<&str>,
        default: Duration,
    ) -> Duration {
        let duration = self.duration(key, text, default);
        if duration.is_zero() {
            self.fail(
                key,
                format!("must be longer than nothing, such as {:?}", units::written(default)),
            );
            return default;
        }
        duration
    }

    /// A number within `range`.
    pub(super) fn number<T: PartialOrd + Display>(
        &mut self,
        key: &KeyPath,
        value: Option<T>,
        default: T,
        range: &RangeInclusive<T>,
    ) -> T {
        match value {
            Some(value) if !range.contains(&value) => {
                let (least, most) = (range.start(), range.end());
                self.fail(key, format!("{value} is out of range: write {least} to {most}"));
                default
            }
            Some(value) => value,
            None => default,
        }
    }

    /// One of the words of `choices`; `None` when it is missing or not one of them.
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
            self.fail(key, format!("{word:?} is not known here: {hint}"));
        }
        found
    }

    /// An IP address with a port.
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

    /// A secret that is not empty.
    pub(super) fn secret(&mut self, key: &KeyPath, reference: &SecretRef) -> Option<Secret> {
        match reference.value(&self.base) {
            Ok(secret) if secret.is_empty() => {
                self.fail(key, "is empty: write the value, or where to find it");
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
