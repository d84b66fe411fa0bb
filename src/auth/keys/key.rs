//! A key of a ring, and the reasons for which one cannot open what was sealed.

use std::fmt;

use zeroize::Zeroizing;

use crate::base::random::RandomError;

/// Length of every key, in bytes.
pub const KEY_LEN: usize = 32;

/// A key and its id.
#[derive(Clone)]
pub struct Key {
    /// Id of the key: short, unique in its ring, and stored beside the key's output.
    pub id: String,
    /// Bytes of the key.
    pub bytes: Zeroizing<[u8; KEY_LEN]>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, ***)", self.id)
    }
}

/// Sealed data cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key that sealed the data is not in the key file.
    #[error(
        "the data key {0} is missing from the key file: restore its entry from the former key file"
    )]
    UnknownKey(String),
    /// The data was changed or belongs to another account.
    #[error("a stored secret cannot be opened: it was changed or belongs to another account")]
    Broken,
    /// A ring of the key file is empty.
    #[error("the key file holds no {0} key")]
    EmptyRing(&'static str),
    /// No random bytes for a nonce.
    #[error(transparent)]
    Random(#[from] RandomError),
}
