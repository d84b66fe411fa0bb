//! The Redis commands that Vestibule's user needs, and a trial of each.

use redis::{Cmd, RedisResult, Value};

use crate::auth::ports::{StoreError, Stored};

use super::RedisStore;
use super::failure::STORE;
use super::reason::is_no_permission;

/// Calls that change nothing, each preceded by the name of the command. `KEY` holds a string that
/// lives for a second. Commands for hashes, lists and sorted sets fail because of its type, but
/// only after the server has checked permissions.
const TRIALS: &[(&str, &[&str])] = &[
    ("set", &["SET", "KEY", "1", "PX", "1000"]),
    ("get", &["GET", "KEY"]),
    ("incr", &["INCR", "KEY"]),
    ("decr", &["DECR", "KEY"]),
    ("exists", &["EXISTS", "KEY"]),
    ("pttl", &["PTTL", "KEY"]),
    ("pexpire", &["PEXPIRE", "KEY", "1000"]),
    ("rename", &["RENAME", "KEY", "KEY"]),
    ("hget", &["HGET", "KEY", "field"]),
    ("hlen", &["HLEN", "KEY"]),
    ("hmget", &["HMGET", "KEY", "field"]),
    ("hset", &["HSET", "KEY", "field", "1"]),
    ("hsetnx", &["HSETNX", "KEY", "field", "1"]),
    ("hdel", &["HDEL", "KEY", "field"]),
    ("hgetall", &["HGETALL", "KEY"]),
    ("hincrby", &["HINCRBY", "KEY", "field", "1"]),
    ("lindex", &["LINDEX", "KEY", "0"]),
    ("llen", &["LLEN", "KEY"]),
    ("lrange", &["LRANGE", "KEY", "0", "1"]),
    ("lrem", &["LREM", "KEY", "0", "none"]),
    ("rpush", &["RPUSH", "KEY", "1"]),
    ("zadd", &["ZADD", "KEY", "1", "member"]),
    ("zcard", &["ZCARD", "KEY"]),
    ("zrange", &["ZRANGE", "KEY", "0", "1"]),
    ("zrangebyscore", &["ZRANGEBYSCORE", "KEY", "0", "1"]),
    ("zrem", &["ZREM", "KEY", "member"]),
    ("zremrangebyscore", &["ZREMRANGEBYSCORE", "KEY", "0", "1"]),
    ("zscore", &["ZSCORE", "KEY", "member"]),
    ("scan", &["SCAN", "0", "MATCH", "none", "COUNT", "1"]),
    ("time", &["TIME"]),
    ("evalsha", &["EVALSHA", "0000000000000000000000000000000000000000", "0"]),
    ("script|load", &["SCRIPT", "LOAD", "return 1"]),
    ("del", &["DEL", "KEY"]),
];
/// Further calls in a cluster.
const CLUSTER_TRIALS: &[(&str, &[&str])] =
    &[("cluster|slots", &["CLUSTER", "SLOTS"]), ("asking", &["ASKING"])];
/// The command that reports memory policy, replication and persistence. It is optional.
pub(super) const OPTIONAL: &str = "info";

impl RedisStore {
    /// Checks that the server answers, accepts writes, and allows its user every command that
    /// Vestibule uses. Changes nothing but a key that lives for a second. Returns advice for the
    /// operator.
    pub async fn try_rights(&self) -> Stored<Vec<String>> {
        let (mut missing, mut keys) = (Vec::new(), false);
        let of_cluster = if self.inner.connection.is_cluster() { CLUSTER_TRIALS } else { &[] };
        for (right, words) in TRIALS.iter().chain(of_cluster) {
            let mut call = Cmd::new();
            for word in *words {
                if *word == "KEY" {
                    call.arg(self.guard())
                } else {
                    call.arg(*word)
                };
            }
            let call = &call;
            let refused = self.inner.connection.run(|mut link| async move {
                let done: RedisResult<Value> = call.query_async(&mut link).await;
                Ok(done.err().map(|e| {
                    (e.code().unwrap_or("").to_owned(), e.detail().unwrap_or("").to_owned())
                }))
            });
            let Some((code, detail)) = refused.await? else { continue };
            if !is_no_permission(&code, &detail) {
                continue;
            }
            // Command names are quoted in this reply, keys are not.
            if detail.contains("key") && !detail.contains('\'') {
                keys = true;
            } else {
                missing.push(*right);
            }
        }
        if keys || !missing.is_empty() {
            return Err(StoreError { store: STORE, reason: self.rights_to_give(&missing, keys) });
        }
        self.try_writing().await?;
        self.advice().await
    }

    fn rights_to_give(&self, missing: &[&str], keys: bool) -> String {
        let what = match (missing, keys) {
            ([], _) => "its keys".to_owned(),
            (missing, false) => missing.join(", "),
            (missing, true) => format!("its keys and {}", missing.join(", ")),
        };
        format!(
            "its user {} lacks permission for {what}; write: {}",
            self.inner.connection.user(),
            self.acl_line(missing, keys)
        )
    }

    pub(super) fn acl_line(&self, rights: &[&str], keys: bool) -> String {
        use std::fmt::Write as _;
        let mut line = format!("ACL SETUSER {}", self.inner.connection.user());
        if keys {
            // Writing to a string cannot fail.
            write!(line, " ~{}:*", self.inner.prefix).unwrap_or_default();
        }
        for right in rights {
            write!(line, " +{right}").unwrap_or_default();
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn called(text: &str) -> impl Iterator<Item = String> {
        text.split("redis.call('")
            .skip(1)
            .map(|rest| rest.split('\'').next().unwrap_or_default().to_lowercase())
    }

    #[test]
    fn each_command_of_a_script_is_tried_and_documented_and_no_other() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut used: BTreeSet<String> =
            ["scan", "evalsha", "script|load"].map(str::to_owned).into();
        used.extend(called(include_str!("scripts.rs")));
        for file in std::fs::read_dir(root.join("src/store/redis/scripts")).unwrap() {
            used.extend(called(&std::fs::read_to_string(file.unwrap().path()).unwrap()));
        }
        let tried: BTreeSet<String> = TRIALS.iter().map(|(right, _)| (*right).to_owned()).collect();
        assert_eq!(used, tried);
        let docs = std::fs::read_to_string(root.join("docs/operation.md")).unwrap();
        let line = docs.lines().find(|line| line.starts_with("ACL SETUSER vestibule ")).unwrap();
        let documented: BTreeSet<String> =
            line.split(" +").skip(1).map(|right| right.trim().to_owned()).collect();
        let mut all = tried;
        all.insert(OPTIONAL.to_owned());
        assert_eq!(documented, all, "docs/operation.md");
    }
}
