//! The connection to Redis: opened on first use, shared by all callers, and reopened when lost.
//! This module knows no key and no record.

mod cluster;
mod id;
mod link;
mod node;
mod primary;
mod sentinel;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::{RedisError, RedisResult};

use crate::auth::ports::Stored;
use crate::base::secret::Secret;
use crate::store::{PATIENCE, TOO_SLOW};

use super::failure::{error, failure};
use super::servers::Servers;

use cluster::Slot;
pub(super) use link::Link;
use node::{Node, client};
use sentinel::Watched;

/// A connection to the server that holds the keys. Callers share it.
pub(super) struct Connection {
    source: Source,
    user: String,
}

/// The way to the server that holds the keys.
enum Source {
    One(Box<Node>),
    Sentinel(Watched),
    Cluster(Box<Slot>),
}

impl Connection {
    /// Creates a connection to `servers`. `tag` is the hash tag of all keys in a cluster.
    pub(super) fn new(servers: &Servers, ca: Option<&[u8]>, tag: &str) -> Stored<Self> {
        let invalid = |_may_hold_the_address: RedisError| {
            error(
                "its address or CA is not valid; write redis://user:password@host:port/db, or \
                 rediss:// for TLS, with `/`, `?`, `#` and `@` in a password written as %2F, %3F, \
                 %23 and %40",
            )
        };
        let (source, user) = match servers {
            Servers::One(url) => {
                let client = client(url.reveal(), ca).map_err(invalid)?;
                let user = client.get_connection_info().redis_settings().username();
                let user = user.map(str::to_owned);
                (Source::One(Box::new(Node::new(client))), user)
            }
            Servers::Sentinel(sentinels) => {
                let watched = Watched::new(sentinels, ca).map_err(invalid)?;
                (Source::Sentinel(watched), sentinels.login.user.clone())
            }
            Servers::Cluster(urls) => {
                let first = urls.first().map_or("", Secret::reveal);
                let user = client(first, ca).map_err(invalid)?;
                let user = user.get_connection_info().redis_settings().username();
                let user = user.map(str::to_owned);
                (Source::Cluster(Box::new(Slot::new(urls, ca, tag).map_err(invalid)?)), user)
            }
        };
        Ok(Self { source, user: user.unwrap_or_else(|| "default".to_owned()) })
    }

    /// Returns the name of the Redis user.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// Returns true if the servers form a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.source, Source::Cluster(_))
    }

    /// Returns true if a replica replaces a server that fails.
    pub(super) fn fails_over(&self) -> bool {
        !matches!(self.source, Source::One(_))
    }

    /// Returns a remark about sentinels that did not answer, if any.
    pub(super) async fn silent_sentinels(&self) -> Option<String> {
        match &self.source {
            Source::Sentinel(watched) => watched.silent().await,
            Source::One(_) | Source::Cluster(_) => None,
        }
    }

    /// Runs `command` within two seconds in all. It runs again if an attempt certainly changed
    /// nothing and its failure may be over: no server was reached, or the server was no longer the
    /// primary.
    pub(super) async fn run<T, F>(&self, command: impl Fn(Link) -> F + Send + Sync) -> Stored<T>
    where
        F: Future<Output = RedisResult<T>> + Send,
        T: Send,
    {
        let used = AtomicU64::new(0);
        let attempts = async {
            let mut tries = 0;
            loop {
                let (id, link) = self.source.link().await?;
                used.store(id, Ordering::Relaxed);
                let failed = match command(link).await {
                    Ok(done) => return Ok(done),
                    Err(failed) => failed,
                };
                if !self.source.again(id, &failed, tries).await {
                    return Err(failure(&failed));
                }
                tries += 1;
            }
        };
        tokio::time::timeout(PATIENCE, attempts).await.unwrap_or_else(|_elapsed| {
            self.source.hung(used.load(Ordering::Relaxed));
            Err(error(TOO_SLOW))
        })
    }
}

impl Source {
    /// Returns a connection and its id.
    async fn link(&self) -> Stored<(u64, Link)> {
        match self {
            Self::One(node) => {
                let (id, manager) = node.manager().map_err(|failed| failure(&failed))?;
                Ok((id, Link::Node(manager)))
            }
            Self::Sentinel(watched) => {
                let (id, manager) = watched.manager().await?;
                Ok((id, Link::Node(manager)))
            }
            Self::Cluster(slot) => {
                let (id, link) = slot.link().await?;
                Ok((id, Link::Slot(link)))
            }
        }
    }

    /// Handles the failure of a command. Returns true if it should run again.
    async fn again(&self, id: u64, failed: &RedisError, tries: u32) -> bool {
        match self {
            Self::One(node) => {
                node.failed(id, failed);
                tries == 0 && failed.is_connection_refusal()
            }
            Self::Sentinel(watched) => watched.again(id, failed, tries).await,
            Self::Cluster(slot) => slot.again(id, failed, tries).await,
        }
    }

    /// Handles a command without an answer.
    fn hung(&self, id: u64) {
        match self {
            Self::One(_) => {}
            Self::Sentinel(watched) => watched.ask(),
            Self::Cluster(slot) => slot.forget(id),
        }
    }
}
