//! Host names as they are written in a configuration.

use std::fmt;

/// A host name an app answers to, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This name.
    Exact(String),
    /// Any one label before this suffix, which starts with a dot: `*.example.com` is
    /// `.example.com`.
    Wildcard(String),
}

impl HostPattern {
    /// Whether `name`, in lower case and without a port, is meant.
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
    fn a_star_stands_for_one_label() {
        let pattern = HostPattern::Wildcard(".example.com".to_owned());
        assert!(pattern.matches("a.example.com"));
        assert!(!pattern.matches("example.com"));
        assert!(!pattern.matches(".example.com"));
        assert!(!pattern.matches("a.b.example.com"));
        assert!(!pattern.matches("a.example.com.evil.test"));
    }
}
