//! A change to the display name, email address or groups of an account.

/// The parts of an identity that an operator changed. The addresses themselves are not recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// True if the email address changed.
    pub email: bool,
    /// True if the display name changed.
    pub display_name: bool,
    /// Groups added.
    pub groups_added: Vec<String>,
    /// Groups removed.
    pub groups_removed: Vec<String>,
}

impl AccountChange {
    /// Returns true if nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
