//! Secret text: wiped when dropped, with no `Debug`, `Display` or `Serialize` of its content.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret text, such as a password, a connection URL with credentials, or a key.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns the content, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns true if `other` has the same content. The time taken reveals only the lengths.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }

    /// Returns true if the content is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_in_debug_output() {
        let shown = format!("{:?}", Secret::new("hunter2".to_owned()));
        assert_eq!(shown, "***");
    }
    #[test]
    fn secrets_are_the_same_by_their_content() {
        let secret = |text: &str| Secret::new(text.to_owned());
        assert!(secret("hunter2").is_same(&secret("hunter2")));
        for other in ["hunter3", "hunter", "hunter22", ""] {
            assert!(!secret("hunter2").is_same(&secret(other)), "{other}");
        }
    }
}
