//! Settings of the servers that keep sessions safe, as far as the user of Vestibule may read them.

use std::collections::HashMap;

use redis::RedisResult;

use crate::auth::ports::Stored;

use super::RedisStore;
use super::reason::is_no_permission;

/// Advice about settings that cannot be read.
const UNSEEN: &str = "so Vestibule cannot check that it does not evict sessions, that it saves them, \
                      and that replicas are connected";

/// The reports of INFO that the advice needs.
#[derive(Debug, Default)]
struct Seen {
    replication: String,
    persistence: String,
}

impl Seen {
    fn says(&self, line: &str) -> bool {
        [&self.replication, &self.persistence]
            .into_iter()
            .any(|text| text.lines().any(|l| l.trim() == line))
    }

    fn names(&self, field: &str) -> bool {
        self.replication.lines().any(|line| line.starts_with(field))
    }

    /// Returns advice about a server. `takes_over` is true if a replica is expected to replace it.
    fn advice(&self, takes_over: bool) -> Vec<String> {
        let mut advice = Vec::new();
        if !self.says("aof_enabled:1") {
            advice.push(
                "it does not save every change: a restart signs users out; set appendonly yes"
                    .to_owned(),
            );
        }
        let alone = self.says("connected_slaves:0");
        if takes_over && alone {
            advice.push("it has no replica, so nothing can replace it".to_owned());
        }
        // Reported only if both settings are positive.
        if !alone && !self.names("min_slaves_good_slaves:") {
            advice.push(
                "it accepts writes without a replica: a failover can lose many of them; set \
                 min-replicas-to-write 1 and min-replicas-max-lag 2"
                    .to_owned(),
            );
        }
        advice
    }
}

impl RedisStore {
    /// Returns advice about the settings of the server that holds the keys.
    pub(super) async fn advice(&self) -> Stored<Vec<String>> {
        let connection = &self.inner.connection;
        let info = |section: &'static str| async move {
            connection
                .run(|mut link| async move {
                    allowed(redis::cmd("INFO").arg(section).query_async(&mut link).await)
                })
                .await
        };
        let (replication, persistence) = (info("replication").await?, info("persistence").await?);
        let Some((replication, persistence)) = replication.zip(persistence) else {
            let line = self.acl_line(&[super::rights::OPTIONAL], false);
            return Ok(vec![format!("its user may not run INFO, {UNSEEN}: {line}")]);
        };
        let mut advice = Seen { replication, persistence }.advice(connection.fails_over());
        if connection.is_cluster() {
            advice.extend(self.coverage().await?);
        }
        if let Some(silent) = connection.silent_sentinels().await {
            advice.push(silent);
        }
        Ok(advice)
    }

    async fn coverage(&self) -> Stored<Option<String>> {
        const SETTING: &str = "cluster-require-full-coverage";
        let read: Option<HashMap<String, String>> = self
            .inner
            .connection
            .run(|mut link| async move {
                let mut ask = redis::cmd("CONFIG");
                ask.arg("GET").arg(SETTING);
                allowed(ask.query_async(&mut link).await)
            })
            .await?;
        Ok(match read {
            Some(read) if read.get(SETTING).is_some_and(|value| value == "no") => None,
            Some(_) => {
                Some(format!("the loss of another slot stops this one as well; set {SETTING} no"))
            }
            None => Some(format!(
                "its user may not run CONFIG, so Vestibule could not check {SETTING}: it should be no"
            )),
        })
    }
}

/// Returns `None` if the user lacks permission for the command.
fn allowed<T>(reply: RedisResult<T>) -> RedisResult<Option<T>> {
    match reply {
        Err(refused)
            if is_no_permission(refused.code().unwrap_or(""), refused.detail().unwrap_or("")) =>
        {
            Ok(None)
        }
        reply => reply.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(replication: &str, persistence: &str, takes_over: bool) -> Vec<String> {
        let seen = Seen {
            replication: replication.replace(' ', "\r\n"),
            persistence: persistence.to_owned(),
        };
        seen.advice(takes_over)
    }

    #[test]
    fn a_server_that_is_set_up_as_documented_gets_no_advice() {
        let replication = "role:master connected_slaves:1 min_slaves_good_slaves:1";
        assert_eq!(told(replication, "aof_enabled:1", true), Vec::<String>::new());
        let alone = "role:master connected_slaves:0";
        assert_eq!(told(alone, "aof_enabled:1", false), Vec::<String>::new());
    }

    #[test]
    fn each_missing_setting_is_told() {
        let one = |replication, persistence, takes_over| {
            let told = told(replication, persistence, takes_over);
            assert_eq!(told.len(), 1, "{told:?}");
            told.concat()
        };
        let replicated = "connected_slaves:2 min_slaves_good_slaves:2";
        assert!(one(replicated, "aof_enabled:0", true).contains("appendonly yes"));
        assert!(
            one("connected_slaves:2", "aof_enabled:1", true).contains("min-replicas-to-write 1")
        );
        assert!(one("connected_slaves:0", "aof_enabled:1", true).contains("no replica"));
    }
}
