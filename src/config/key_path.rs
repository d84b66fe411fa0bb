//! Where in a document a value stands: `apps[0].rules[2].path`.

use std::fmt;

/// One step down into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into a list, counted from 0.
    Index(usize),
}

/// The way from the root of a document to a value; the empty path is the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPath(Vec<Step>);

impl KeyPath {
    /// The path of a dotted key such as `sessions.idle`.
    pub(super) fn of(dotted: &str) -> Self {
        Self(dotted.split('.').map(|k| Step::Key(k.to_owned())).collect())
    }

    /// The entry `key` of the table here.
    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    /// The `index`th element of the list here.
    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Its steps, from the root.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The number of this element, where this is an element of `list`.
    pub(super) fn index_in(&self, list: &Self) -> Option<usize> {
        match self.0.strip_prefix(list.0.as_slice()) {
            Some([Step::Index(index)]) => Some(*index),
            _ => None,
        }
    }

    /// Whether the other lies at this path or below it.
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
    fn a_path_is_written_as_one_would_in_toml() {
        let path = KeyPath::of("apps").index(0).key("hosts").index(2);
        assert_eq!(path.to_string(), "apps[0].hosts[2]");
        assert_eq!(KeyPath::default().key("a\nb").key("c").to_string(), "\"a\\nb\".c");
    }

    #[test]
    fn a_path_holds_what_lies_below_it() {
        let app = KeyPath::of("apps").index(0);
        assert!(app.holds(&app.key("name")));
        assert!(!app.key("name").holds(&app));
    }
}
