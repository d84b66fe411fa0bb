//! Records that are issued and taken once, a limited number of them in a group.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::damaged;
use super::{RedisStore, lifetime};
use crate::auth::ports::Stored;
use crate::base::clock::Timestamp;

/// A kind of such records.
pub(super) struct Kind {
    /// Its name in keys. The key of a group has a `g` after it.
    pub(super) key: &'static str,
    /// Key of a group.
    pub(super) group_key: &'static str,
    /// The field with the group of a record.
    pub(super) field: &'static str,
    /// Its name in errors.
    pub(super) name: &'static str,
}

/// The group of a new record, and its limits.
pub(super) struct Place<'a> {
    /// Name of the group.
    pub(super) group: &'a str,
    /// Maximum number of records in it. The oldest one goes.
    pub(super) most: u32,
    /// Expiry of the record.
    pub(super) expires_at: Timestamp,
}

impl RedisStore {
    /// Stores a record under a hash.
    pub(super) async fn issue(
        &self,
        kind: &Kind,
        hash: &str,
        record: &(impl Serialize + Sync),
        place: Place<'_>,
        now: Timestamp,
    ) -> Stored<()> {
        let keys = [self.key(kind.key, hash), self.key(kind.group_key, place.group)];
        let mut call = self.call_on(|s| &s.issue, keys);
        call.arg(kind.key)
            .arg(kind.field)
            .arg(hash)
            .arg(serde_json::json!(record).to_string())
            .arg(place.group)
            .arg(now.as_millis())
            .arg(place.expires_at.as_millis())
            .arg(lifetime(place.expires_at.since(now)))
            .arg(place.most);
        self.run(&call).await
    }

    /// Removes the record of a hash and returns it, if it has not expired.
    pub(super) async fn take_issued<T: DeserializeOwned>(
        &self,
        kind: &Kind,
        hash: &str,
        now: Timestamp,
    ) -> Stored<Option<T>> {
        let mut call = self.call_on(|s| &s.take_issued, [self.key(kind.key, hash)]);
        call.arg(kind.key).arg(kind.field).arg(hash).arg(now.as_millis());
        let record: Option<String> = self.run(&call).await?;
        let record = record.map(|text| serde_json::from_str(&text)).transpose();
        record.map_err(|_json| damaged(kind.name))
    }
}
