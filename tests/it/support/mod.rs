//! What the black-box tests stand on: a gateway that runs, an app behind it that notes all it
//! hears, and visitors that walk through the real pages. Knows only the outside of Vestibule.

pub(crate) mod app;
pub(crate) mod authenticator;
pub(crate) mod cellengine;
pub(crate) mod certs;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod codes;
pub(crate) mod disk;
pub(crate) mod frames;
pub(crate) mod fronts;
pub(crate) mod gateway;
pub(crate) mod generated;
pub(crate) mod grpc;
pub(crate) mod html;
pub(crate) mod log;
pub(crate) mod mail;
pub(crate) mod ports;
pub(crate) mod program;
pub(crate) mod redis_ha;
mod selftest;
pub(crate) mod servers;
pub(crate) mod strict;
pub(crate) mod upstream;
pub(crate) mod virtual_key;
pub(crate) mod visitor;
mod watchdog;
pub(crate) mod wire;

use std::future::Future;
use std::time::Duration;

/// Runs `future`, and fails the test with `what` when it takes longer than `limit`.
pub(crate) async fn within<F: Future>(limit: Duration, what: &str, future: F) -> F::Output {
    match tokio::time::timeout(limit, future).await {
        Ok(output) => output,
        Err(tokio::time::error::Elapsed { .. }) => panic!("not within {limit:?}: {what}"),
    }
}

/// Asks until `over` is true. What has just ended must be over for every request that is sent more
/// than a second from now; however long the requests themselves take.
pub(crate) async fn over_after_a_second(what: &str, mut over: impl AsyncFnMut() -> bool) {
    let ended = tokio::time::Instant::now();
    let asking = async {
        loop {
            let sent = ended.elapsed();
            if over().await {
                return;
            }
            assert!(
                sent <= Duration::from_secs(1),
                "{what}: not for a request sent after {sent:?}"
            );
        }
    };
    within(client::PATIENCE, what, asking).await;
}

/// Lower-case hexadecimal SHA-256.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

/// Whether `needle` stands somewhere in `hay`.
pub(crate) fn contains(hay: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || hay.windows(needle.len()).any(|window| window == needle)
}
