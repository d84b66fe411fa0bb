//! Stored password hashes.

use std::fmt;

/// A stored password hash.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordRecord {
    /// Hash with its parameters and salt: `$argon2id$v=19$m=…,t=…,p=…$salt$tag` (PHC string).
    pub phc: String,
    /// Id of the pepper.
    pub pepper_id: String,
}

impl fmt::Debug for PasswordRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordRecord(…)")
    }
}
