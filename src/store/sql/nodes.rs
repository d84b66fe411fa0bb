//! The nodes of a cluster in SQL.

use async_trait::async_trait;
use sqlx::any::{AnyConnectOptions, AnyRow};
use sqlx::{AnyConnection, Connection as _, Executor as _, query};

use crate::auth::keys::KeyMark;
use crate::auth::nodes::{KeyUse, LiveTokens, Node};
use crate::auth::ports::{Nodes, Recorded, Stored};
use crate::base::clock::Timestamp;

use super::SqlStore;
use super::database::Statement;
use super::values::{at, json, moment, number, text};

const RECORDED: &str = "the list of nodes";
/// Age from which the use of a key is recorded again, in milliseconds.
const USE_AGAIN: i64 = 600_000;

/// Time after the recorded use of a key within which it may have been used again, in milliseconds.
const USED_UNTIL: i64 = USE_AGAIN + 60_000;

/// Selects the uses of keys, each with the live tokens that were made until then.
const KEY_USES: &str = "SELECT ring, digest, key_id, used_at, \
     (SELECT COUNT(*) FROM access_tokens t WHERE key_uses.ring = 'token' \
     AND t.made_at <= key_uses.used_at + $2 AND t.expires_at > $1) AS access_tokens, \
     (SELECT COALESCE(MAX(t.expires_at), 0) FROM access_tokens t WHERE key_uses.ring = 'token' \
     AND t.made_at <= key_uses.used_at + $2 AND t.expires_at > $1) AS tokens_expire_at, \
     (SELECT COUNT(*) FROM tickets t WHERE key_uses.ring = 'token' \
     AND t.created_at <= key_uses.used_at + $2 AND t.expires_at > $1) AS links, \
     (SELECT COALESCE(MAX(t.expires_at), 0) FROM tickets t WHERE key_uses.ring = 'token' \
     AND t.created_at <= key_uses.used_at + $2 AND t.expires_at > $1) AS links_expire_at \
     FROM key_uses";
const NODES: &str = "SELECT instance, name, version, config, key_marks, seen_at FROM nodes";

fn key_use(row: &AnyRow) -> sqlx::Result<KeyUse> {
    Ok(KeyUse {
        ring: text(row, "ring")?,
        id: text(row, "key_id")?,
        digest: text(row, "digest")?,
        used_at: at(row, "used_at")?,
        tokens: LiveTokens {
            access_tokens: number(row, "access_tokens")?,
            links: number(row, "links")?,
            expire_at: at(row, "tokens_expire_at")?.max(at(row, "links_expire_at")?),
        },
    })
}

fn key_uses(now: Timestamp) -> Statement<'static> {
    query(KEY_USES).bind(moment(now)).bind(USED_UNTIL)
}

fn node(row: &AnyRow) -> sqlx::Result<Node> {
    Ok(Node {
        instance: text(row, "instance")?,
        name: text(row, "name")?,
        version: text(row, "version")?,
        config: text(row, "config")?,
        keys: json(row, "key_marks")?,
        seen_at: at(row, "seen_at")?,
    })
}

fn recorded(key_uses: &[AnyRow], nodes: &[AnyRow]) -> sqlx::Result<Recorded> {
    Ok(Recorded {
        key_uses: key_uses.iter().map(key_use).collect::<Result<_, _>>()?,
        nodes: nodes.iter().map(node).collect::<Result<_, _>>()?,
    })
}

/// Reads what nodes have recorded over a connection that `read_only` makes read-only.
pub(super) async fn read(
    options: &AnyConnectOptions,
    read_only: &'static str,
    now: Timestamp,
) -> sqlx::Result<Recorded> {
    let mut connection = AnyConnection::connect_with(options).await?;
    connection.execute(read_only).await?;
    let key_uses = connection.fetch_all(key_uses(now).persistent(false)).await?;
    let nodes = connection.fetch_all(query(NODES).persistent(false)).await?;
    connection.close().await?;
    recorded(&key_uses, &nodes)
}

#[async_trait]
impl Nodes for SqlStore {
    async fn report(&self, node: &Node, expired: Timestamp) -> Stored<()> {
        let marks =
            serde_json::to_string(&node.keys).map_err(|_values| self.db.damaged(RECORDED))?;
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                query(
                    "INSERT INTO nodes (instance, name, version, config, key_marks, seen_at) \
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (instance) DO UPDATE SET \
                     config = excluded.config, key_marks = excluded.key_marks, \
                     seen_at = excluded.seen_at",
                )
                .bind(node.instance.as_str())
                .bind(node.name.as_str())
                .bind(node.version.as_str())
                .bind(node.config.as_str())
                .bind(marks.as_str())
                .bind(moment(node.seen_at))
                .execute(&mut *t)
                .await?;
                // In the order of the ring, so that two nodes do not wait for each other.
                for KeyMark { ring, id, digest, .. } in node.keys.iter().filter(|key| key.writes) {
                    query(
                        "INSERT INTO key_uses (ring, digest, key_id, used_at) \
                         VALUES ($1, $2, $3, $4) ON CONFLICT (ring, digest) DO UPDATE SET \
                         used_at = excluded.used_at WHERE key_uses.used_at < excluded.used_at - $5",
                    )
                    .bind(ring.as_str())
                    .bind(digest.as_str())
                    .bind(id.as_str())
                    .bind(moment(node.seen_at))
                    .bind(USE_AGAIN)
                    .execute(&mut *t)
                    .await?;
                }
                let old = query("DELETE FROM nodes WHERE seen_at < $1").bind(moment(expired));
                old.execute(&mut *t).await?;
                t.commit().await
            })
            .await
    }

    async fn recorded(&self, now: Timestamp) -> Stored<Recorded> {
        let key_uses = self.db.fetch(key_uses(now)).await?;
        let nodes = self.db.fetch(query(NODES)).await?;
        recorded(&key_uses, &nodes).map_err(|_values| self.db.damaged(RECORDED))
    }

    async fn time(&self) -> Stored<Timestamp> {
        self.db.now().await
    }

    async fn leave(&self, instance: &str) -> Stored<()> {
        let statement = query("DELETE FROM nodes WHERE instance = $1").bind(instance);
        self.db.change(statement).await.map(drop)
    }

    async fn forget(&self, instance: &str, seen_at: Timestamp) -> Stored<()> {
        let statement = query("DELETE FROM nodes WHERE instance = $1 AND seen_at = $2");
        self.db.change(statement.bind(instance).bind(moment(seen_at))).await.map(drop)
    }
}
