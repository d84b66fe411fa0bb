//! Paths to values in a document, such as `apps[0].rules[2].path`.

use std::fmt;

/// One step down into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A key of a table.
    Key(String),
    /// An index of a list, from 0.
    Index(usize),
}

/// The path from the root of a document to a value. The empty path is the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPath(Vec<Step>);

impl KeyPath {
    /// Parses a dotted key such as `sessions.idle`.
    pub(super) fn of(dotted: &str) -> Self {
        Self(dotted.split('.').map(|k| Step::Key(k.to_owned())).collect())
    }

    /// Returns the path of the entry `key` of this table.
    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    /// Returns the path of element `index` of this list.
    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Returns the steps from the root.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Returns the index of this path in `list`, if it is an element of it.
    pub(super) fn index_in(&self, list: &Self) -> Option<usize> {
        match self.0.strip_prefix(list.0.as_slice()) {
            Some([Step::Index(index)]) => Some(*index),
            _ => None,
        }
    }

    /// Returns true if `other` is this path or lies below it.
    pub(super) fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(n) => write!(f, "[{n}]")?,
                Step::Key(key) => {
                    let dot = if i == 0 { "" } else { "." };
                    if is_bare(key) {
                        write!(f, "{dot}{key}")?;
                    } else {
                        write!(f, "{dot}\"{}\"", key.escape_default())?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_formatted_as_in_toml() {
        let path = KeyPath::of("apps").index(0).key("hosts").index(2);
        assert_eq!(path.to_string(), "apps[0].hosts[2]");
        assert_eq!(KeyPath::default().key("a\nb").key("c").to_string(), "\"a\\nb\".c");
    }

    #[test]
    fn a_path_contains_the_paths_below_it() {
        let app = KeyPath::of("apps").index(0);
        assert!(app.holds(&app.key("name")));
        assert!(!app.key("name").holds(&app));
    }
}
