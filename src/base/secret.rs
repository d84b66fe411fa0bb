//! Text that must not be seen: it is wiped when dropped and has no `Debug`, `Display` or
//! `Serialize` of its content.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret text: a password, a connection URL with credentials, a key file's entry.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text into custody.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The content, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether the other one has the same content. How long it takes tells no more than the lengths.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }

    /// Whether there is nothing in it.
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
