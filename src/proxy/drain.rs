//! Draining: requests in flight finish, then `WebSockets` are closed, then the proxy ends.

use std::time::Duration;

use pingora_core::apps::HttpServerApp;
use tokio::sync::watch;
use tokio::time::timeout;

use super::client::listen::Acceptor;
use super::client::parting::Farewell;

/// Time for clients to see that a kept connection is about to close, and to answer a Close frame.
const GOODBYE: Duration = Duration::from_millis(500);

/// Lets requests in flight finish within `limit`, and closes everything else. HTTP/2 connections
/// end with GOAWAY in two steps: the first announces the last stream that is accepted after a round
/// trip.
pub(super) async fn drain(acceptor: &Acceptor, stop: &watch::Sender<bool>, limit: Duration) {
    let open = &acceptor.open;
    let finish = async {
        if timeout(GOODBYE, open.empty()).await.is_ok() {
            return;
        }
        if stop.send(true).is_err() {
            tracing::debug!("no connection is left to close");
        }
        acceptor.proxy.http_cleanup().await;
        open.only_tunnels().await;
        open.close_tunnels(Farewell::Restart);
        open.empty().await;
    };
    if timeout(limit, finish).await.is_err() {
        tracing::warn!("drain time is over with requests still in flight");
        open.close_tunnels(Farewell::Restart);
        // What is left after that ends with the process.
        drop(timeout(GOODBYE, open.empty()).await);
    }
}
