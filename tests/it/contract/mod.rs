//! The contract of each port, tested on every store: accounts and factors on SQLite, on PostgreSQL
//! and behind `PgBouncer`, sessions, logins in progress and counters on SQLite, on one Redis server,
//! under Redis Sentinel and in a Redis Cluster. Always through two stores opened apart, as two
//! processes or two nodes would.

mod access_tokens;
mod accounts;
mod app_accounts;
mod app_tokens;
mod attempts;
mod audit;
mod cancelled;
mod challenges;
mod ended;
mod factors;
mod failovers;
mod guesses;
mod hand_overs;
mod keys;
mod networks;
mod nodes;
mod outages;
mod parked;
mod pending;
mod places;
mod refusals;
mod refused;
mod resets;
pub(crate) mod samples;
mod sessions;
mod tickets;
mod used_challenges;

/// Makes a test of each named function for both durable stores.
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::contract::places::Durable::sqlite().await).await;
            })+
        }
        mod on_postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::contract::places::Durable::postgresql().await).await;
            })+
        }
        mod behind_pgbouncer {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::contract::places::Durable::pooled().await).await;
            })+
        }
    };
}

/// Makes a test of each named function for every short-lived store. In a cluster, which takes
/// seconds to form, the functions run one after the other.
macro_rules! on_session_stores {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::contract::places::ShortLived::embedded().await).await;
            })+
        }
        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::contract::places::ShortLived::redis()).await;
            })+
        }
        mod under_sentinel {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::contract::places::ShortLived::monitored().await).await;
            })+
        }
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn in_a_redis_cluster() {
            use crate::contract::places::ShortLived;
            let cluster = ShortLived::cluster().await;
            $(
                eprintln!("in a Redis Cluster: {}", stringify!($name));
                $name(&ShortLived::in_cluster(&cluster, stringify!($name)).await).await;
            )+
        }
    };
}

use {on_both_databases, on_session_stores};
