//! A parsed configuration with the position of each value. Deserialization continues after an
//! error, so that all errors are reported at once. This module does not know the meaning of any
//! key.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::key_path::{KeyPath, Step};
use super::wording;

/// Maximum number of errors. Reading stops there, because later errors would only repeat.
const MISTAKES_MAX: usize = 100;

/// An error in the form of the document.
#[derive(Debug)]
pub(super) struct Mistake {
    /// The key. Empty if the text is not TOML.
    pub(super) key: KeyPath,
    /// Line and column, both from 1.
    pub(super) position: (usize, usize),
    /// The error and how to fix it.
    pub(super) message: String,
}

/// A parsed document.
#[derive(Debug)]
pub(super) struct Document<'a> {
    text: &'a str,
    root: DeTable<'a>,
    removed: Vec<KeyPath>,
}

impl<'a> Document<'a> {
    /// Parses TOML. Returns all syntax errors.
    pub(super) fn parse(text: &'a str) -> Result<Self, Vec<Mistake>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { text, root: root.into_inner(), removed: Vec::new() });
        }
        let mut mistakes: Vec<Mistake> = errors
            .iter()
            .map(|e| Mistake {
                key: KeyPath::default(),
                position: position(text, e.span().map_or(0, |s| s.start)),
                message: format!("not TOML: {}", e.message()),
            })
            .collect();
        mistakes.sort_by_key(|m| m.position);
        mistakes.dedup_by_key(|m| m.position.0);
        Err(mistakes)
    }

    /// Deserializes `T` from the document. An entry that does not fit is recorded as an error,
    /// removed, and treated as absent.
    pub(super) fn read<T: DeserializeOwned + Default>(&mut self) -> (T, Vec<Mistake>) {
        let mut mistakes = Vec::new();
        while mistakes.len() < MISTAKES_MAX {
            let root = Spanned::new(0..self.text.len(), self.root.clone());
            let error = match T::deserialize(toml::Deserializer::from(root)) {
                Ok(value) => return (value, mistakes),
                Err(error) => error,
            };
            let span = error.span().unwrap_or(0..0);
            let found = find(&self.root, &span, &KeyPath::default());
            let key = found.as_ref().map(|path| self.as_written(path)).unwrap_or_default();
            mistakes.push(Mistake {
                key: key.clone(),
                position: position(self.text, span.start),
                message: wording::plain(error.message()),
            });
            let Some(path) = found else { break };
            remove(&mut self.root, path.steps());
            self.removed.push(key);
        }
        (T::default(), mistakes)
    }

    /// Returns true if an error was recorded at `key`, above it or below it.
    pub(super) fn is_known_bad(&self, key: &KeyPath) -> bool {
        let key = self.as_written(key);
        self.removed.iter().any(|r| r.holds(&key) || key.holds(r))
    }

    /// Returns the path of `key` in the original text, counting removed elements.
    pub(super) fn as_written(&self, key: &KeyPath) -> KeyPath {
        key.steps().iter().fold(KeyPath::default(), |list, step| match step {
            Step::Key(key) => list.key(key),
            Step::Index(index) => {
                let mut index = *index;
                let mut gone: Vec<usize> =
                    self.removed.iter().filter_map(|r| r.index_in(&list)).collect();
                gone.sort_unstable();
                for removed in gone {
                    if removed <= index {
                        index += 1;
                    }
                }
                list.index(index)
            }
        })
    }

    /// Returns true if the document has a value at `key`.
    pub(super) fn has(&self, key: &KeyPath) -> bool {
        walk(&self.root, key.steps()).1 == key.steps().len()
    }

    /// Returns the value at `key` for people: a string without quotes, the elements of a list.
    pub(super) fn value(&self, key: &KeyPath) -> Option<String> {
        get(&self.root, key.steps()).map(written)
    }

    /// Returns the number of elements of the list at `key`.
    pub(super) fn length(&self, key: &KeyPath) -> usize {
        get(&self.root, key.steps()).and_then(DeValue::as_array).map_or(0, |list| list.len())
    }

    /// Returns the line and column, both from 1, of the value at `key` or of its nearest ancestor.
    pub(super) fn position(&self, key: &KeyPath) -> (usize, usize) {
        position(self.text, walk(&self.root, key.steps()).0)
    }
}

/// Returns the line and column, both from 1, of a byte of `text`.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

fn get<'d, 'a>(root: &'d DeTable<'a>, steps: &[Step]) -> Option<&'d DeValue<'a>> {
    let (Step::Key(first), rest) = steps.split_first()? else { return None };
    rest.iter().try_fold(root.get(first.as_str())?.get_ref(), |value, step| match step {
        Step::Key(key) => Some(value.as_table()?.get(key.as_str())?.get_ref()),
        Step::Index(index) => Some(value.as_array()?.get(*index)?.get_ref()),
    })
}

fn written(value: &DeValue<'_>) -> String {
    let list = |items: Vec<String>| {
        if items.is_empty() { "none".to_owned() } else { items.join(", ") }
    };
    match value {
        DeValue::String(text) => text.clone().into_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(is) => is.to_string(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Array(items) => list(items.iter().map(|item| written(item.get_ref())).collect()),
        DeValue::Table(table) => {
            let pair = |(key, value): (&Spanned<_>, &Spanned<_>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                format!("{key} = {}", written(value.get_ref()))
            };
            list(table.iter().map(pair).collect())
        }
    }
}

/// Follows `steps` from `root`. Returns the depth reached and the offset of the value there. The
/// offset of a table or list is that of its key, for other values that of the value.
fn walk(root: &DeTable<'_>, steps: &[Step]) -> (usize, usize) {
    let (mut start, mut depth) = (0, 0);
    let mut table = Some(root);
    let mut list: Option<&DeArray<'_>> = None;
    for step in steps {
        let (at, value) = match step {
            Step::Key(key) => match table.and_then(|t| t.get_key_value(key.as_str())) {
                Some((key, value)) => (key.span().start, value),
                None => break,
            },
            Step::Index(index) => match list.and_then(|l| l.get(*index)) {
                Some(value) => (value.span().start, value),
                None => break,
            },
        };
        (table, list) = (value.get_ref().as_table(), value.get_ref().as_array());
        start = if table.is_some() || list.is_some() { at } else { value.span().start };
        depth += 1;
    }
    (start, depth)
}

/// Returns the path of the deepest entry whose key or value is exactly `span`.
fn find(table: &DeTable<'_>, span: &Range<usize>, at: &KeyPath) -> Option<KeyPath> {
    table.iter().find_map(|(key, value)| {
        let here = at.key(key.get_ref());
        find_in(value, span, &here).or_else(|| (key.span() == *span).then_some(here))
    })
}

fn find_in(value: &Spanned<DeValue<'_>>, span: &Range<usize>, at: &KeyPath) -> Option<KeyPath> {
    let deeper = if let Some(table) = value.get_ref().as_table() {
        find(table, span, at)
    } else if let Some(list) = value.get_ref().as_array() {
        list.iter().enumerate().find_map(|(i, v)| find_in(v, span, &at.index(i)))
    } else {
        None
    };
    deeper.or_else(|| (value.span() == *span).then(|| at.clone()))
}

fn remove(table: &mut DeTable<'_>, steps: &[Step]) {
    match steps {
        [Step::Key(key)] => {
            table.remove(key.as_str());
        }
        [Step::Key(key), rest @ ..] => {
            if let Some(value) = table.get_mut(key.as_str()) {
                remove_in(value.get_mut(), rest);
            }
        }
        _ => {}
    }
}

fn remove_in(value: &mut DeValue<'_>, steps: &[Step]) {
    match (value, steps) {
        (DeValue::Table(table), steps) => remove(table, steps),
        (DeValue::Array(list), [Step::Index(index)]) => {
            let mut kept = DeArray::new();
            for (i, element) in std::mem::replace(list, DeArray::new()).into_iter().enumerate() {
                if i != *index {
                    kept.push(element);
                }
            }
            *list = kept;
        }
        (DeValue::Array(list), [Step::Index(index), rest @ ..]) => {
            if let Some(element) = list.get_mut(*index) {
                remove_in(element.get_mut(), rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        count: Option<u32>,
        names: Vec<String>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        inner: Inner,
        list: Vec<Inner>,
    }

    #[test]
    fn all_errors_are_reported_and_the_rest_is_read() {
        let text = "[inner]\ncount = \"x\"\nnames = [\"a\", 5]\n\n[[list]]\ncuont = 1\ncount = 7\n";
        let mut doc = Document::parse(text).unwrap();
        let (outer, mistakes) = doc.read::<Outer>();
        let mut seen: Vec<_> = mistakes.iter().map(|m| (m.key.to_string(), m.position)).collect();
        seen.sort();
        assert_eq!(
            seen,
            [
                ("inner.count".to_owned(), (2, 9)),
                ("inner.names[1]".to_owned(), (3, 15)),
                ("list[0].cuont".to_owned(), (6, 1)),
            ]
        );
        assert_eq!(outer.inner.names, ["a"]);
        assert_eq!(outer.list.first().unwrap().count, Some(7));
        assert!(doc.is_known_bad(&KeyPath::of("inner.count")));
    }

    #[test]
    fn elements_after_a_removed_one_keep_their_numbers() {
        let mut doc = Document::parse("[inner]\nnames = [1, \"a\", 2, 3, \"b\"]\n").unwrap();
        let (outer, mistakes) = doc.read::<Outer>();
        assert_eq!(outer.inner.names, ["a", "b"]);
        let seen: Vec<_> = mistakes.iter().map(|m| m.key.to_string()).collect();
        assert_eq!(seen, ["inner.names[0]", "inner.names[2]", "inner.names[3]"]);
        let names = KeyPath::of("inner.names");
        assert_eq!(doc.as_written(&names.index(0)), names.index(1));
        assert_eq!(doc.as_written(&names.index(1)), names.index(4));
        assert!(!doc.is_known_bad(&names.index(0)));
        assert_eq!(doc.position(&names.index(1)), (2, 24));
    }

    #[test]
    fn a_missing_key_is_reported_at_its_table() {
        let doc = Document::parse("\n[inner]\ncount = 1\n").unwrap();
        assert_eq!(doc.position(&KeyPath::of("inner.names")), (2, 2));
        assert_eq!(doc.position(&KeyPath::of("inner.count")), (3, 9));
        assert_eq!(doc.position(&KeyPath::of("other")), (1, 1));
        assert!(doc.has(&KeyPath::of("inner.count")) && !doc.has(&KeyPath::of("inner.names")));
    }

    #[test]
    fn invalid_toml_is_reported_by_line() {
        let mistakes = Document::parse("a = 1\nb = \n").unwrap_err();
        assert_eq!(mistakes.first().unwrap().position.0, 2);
    }
}
