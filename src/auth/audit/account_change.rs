//! A change to what an account is called and which groups it has.

use serde_json::{Value, json};

/// The parts of an identity that an operator changed. New and former addresses are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// True if the email address changed.
    pub email: bool,
    /// True if the display name changed.
    pub display_name: bool,
    /// New groups.
    pub groups_added: Vec<String>,
    /// Former groups.
    pub groups_removed: Vec<String>,
}

impl AccountChange {
    /// True if nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As the detail of its row.
    pub fn detail(&self) -> Value {
        json!({
            "email": self.email,
            "display_name": self.display_name,
            "groups_added": self.groups_added,
            "groups_removed": self.groups_removed,
        })
    }
}
