//! Lists the value in effect of each key, for `check`.

use std::collections::BTreeMap;

use super::document::Document;
use super::key_path::KeyPath;
use super::raw::RawConfig;
use super::table::{Absent, Kind, Row, Table};
use super::units;

/// A key and its value in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveKey {
    /// Path of the key, such as `sessions.idle` or `apps[0].title`.
    pub key: String,
    /// The value as written, or the default. `***` for a secret.
    pub value: String,
}

/// Facts of the resolution that the document does not contain.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Values that the document does not show: they follow from other settings or the machine, or
    /// are secret.
    pub(super) shown: BTreeMap<String, String>,
    /// Remarks about values, by key: the reason why one is a weakening.
    pub(super) remarks: BTreeMap<String, String>,
}

/// Returns each key with its value in effect: of tables in the file, and of optional tables that are not
/// in it. Leaves out the keys of rules and app tokens, because `check` describes those as a whole.
pub(super) fn keys(document: &Document<'_>, notes: &Notes) -> Vec<EffectiveKey> {
    let mut found = Vec::new();
    add(document, notes, &RawConfig::TABLE, &KeyPath::default(), &mut found);
    found
}

fn add(
    document: &Document<'_>,
    notes: &Notes,
    table: &Table,
    at: &KeyPath,
    found: &mut Vec<EffectiveKey>,
) {
    for row in table.rows {
        let path = at.key(row.key);
        match row.kind {
            Kind::Value(_) | Kind::OneOf(_) => {
                if let Some(value) = value(document, notes, row, &path) {
                    found.push(EffectiveKey { key: path.to_string(), value });
                }
            }
            Kind::Table(inner) => add(document, notes, inner, &path, found),
            Kind::Optional(inner) if document.has(&path) => {
                add(document, notes, inner, &path, found);
            }
            Kind::List(inner) if at.steps().is_empty() => {
                for index in 0..document.length(&path) {
                    add(document, notes, inner, &path.index(index), found);
                }
            }
            Kind::Optional(_) | Kind::List(_) => {}
        }
    }
}

/// Returns the value of a key. `None` if it is required and missing.
fn value(document: &Document<'_>, notes: &Notes, row: &Row, path: &KeyPath) -> Option<String> {
    let name = path.to_string();
    let value = match (document.value(path), row.absent) {
        (Some(_), _) if row.is_secret() => {
            notes.shown.get(&name).cloned().unwrap_or_else(|| "***".to_owned())
        }
        (Some(written), _) => normal(row, written),
        (None, Absent::Default("[]")) => "none".to_owned(),
        (None, Absent::Default(value)) => normal(row, value.trim_matches('"').to_owned()),
        (None, Absent::Implied(words)) => match notes.shown.get(&name) {
            Some(value) => value.clone(),
            None if words.starts_with("required") => "none".to_owned(),
            None => words.replace('`', ""),
        },
        (None, Absent::None) => return None,
    };
    let remark = notes.remarks.get(&name).map(|remark| format!(" ({remark})"));
    Some(value + &remark.unwrap_or_default())
}

/// Returns a duration in its largest unit, and any other value as written.
fn normal(row: &Row, value: String) -> String {
    match row.kind {
        Kind::Value(words) if words.starts_with("duration") => {
            units::duration(&value).map_or(value, units::written)
        }
        Kind::Value(_) | Kind::OneOf(_) | Kind::Table(_) | Kind::Optional(_) | Kind::List(_) => {
            value
        }
    }
}
