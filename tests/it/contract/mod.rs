//! The contract of each port, tested on every store: accounts and factors on SQLite, on PostgreSQL
//! and behind `PgBouncer`, sessions, logins in progress and counters on SQLite and Redis. Always through two stores opened
//! apart, as two processes or two nodes would.

mod access_tokens;
mod accounts;
mod app_accounts;
mod app_tokens;
mod attempts;
mod audit;
mod cancelled;
mod factors;
mod guesses;
mod networks;
mod outages;
mod pending;
mod places;
mod refusals;
mod refused;
mod resets;
pub(crate) mod samples;
mod sessions;
mod tickets;

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

/// Makes a test of each named function for both short-lived stores.
macro_rules! on_both_session_stores {
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
    };
}

use {on_both_databases, on_both_session_stores};
