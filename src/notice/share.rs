//! Shares of accounts in the queue of notices. A flood of one kind of notice to one account takes
//! neither the places of other accounts nor those of other notices to that account.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::auth::audit::Occasion;
use crate::base::id::AccountId;

/// Maximum unsent notices of one occasion to one account.
pub(super) const SHARE: u32 = 10;

/// Notices of one occasion to one account.
type Key = (AccountId, Occasion);

#[derive(Default)]
struct Share {
    unsent: u32,
    /// True if one was refused since the share was last empty.
    refused: bool,
}

/// The shares in use.
#[derive(Clone, Default)]
pub(super) struct Shares(Arc<Mutex<HashMap<Key, Share>>>);

/// The place of a notice, until it is sent or given up.
pub(super) struct Place {
    shares: Shares,
    key: Key,
}

/// The share is used up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// True for the first notice that is refused since the share was last empty.
    pub(super) first: bool,
}

impl Shares {
    /// Takes a place for a notice.
    pub(super) fn take(&self, account: AccountId, occasion: Occasion) -> Result<Place, Full> {
        let key = (account, occasion);
        let mut shares = self.0.lock();
        let share = shares.entry(key).or_default();
        if share.unsent >= SHARE {
            let first = !std::mem::replace(&mut share.refused, true);
            return Err(Full { first });
        }
        share.unsent += 1;
        drop(shares);
        Ok(Place { shares: self.clone(), key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut share) = self.shares.0.lock().entry(self.key) {
            share.get_mut().unsent -= 1;
            if share.get().unsent == 0 {
                share.remove();
            }
        }
    }
}
