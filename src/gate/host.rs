//! Host patterns.

use std::fmt;

/// A host name that an app is served on, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Exactly this name.
    Exact(String),
    /// Any single label followed by this suffix, which starts with a dot: `*.example.com` is stored
    /// as `.example.com`.
    Wildcard(String),
}

impl HostPattern {
    /// Returns the name, unless it is a wildcard.
    pub fn exact(&self) -> Option<String> {
        match self {
            Self::Exact(name) => Some(name.clone()),
            Self::Wildcard(_) => None,
        }
    }

    /// Returns true if every name that `other` matches matches.
    pub fn covers(&self, other: &Self) -> bool {
        self == other || matches!(other, Self::Exact(name) if self.matches(name))
    }

    /// Returns true if `name` matches. `name` must be in lower case and without a port.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Wildcard(suffix) => name
                .strip_suffix(suffix.as_str())
                .is_some_and(|label| !label.is_empty() && !label.contains('.')),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_one_label() {
        let pattern = HostPattern::Wildcard(".example.com".to_owned());
        assert!(pattern.matches("a.example.com"));
        assert!(!pattern.matches("example.com"));
        assert!(!pattern.matches(".example.com"));
        assert!(!pattern.matches("a.b.example.com"));
        assert!(!pattern.matches("a.example.com.evil.test"));
    }
}
