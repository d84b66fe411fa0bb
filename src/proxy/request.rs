//! What is remembered of a request from one of Pingora's phases to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use http::HeaderValue;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddr;

use super::app::App;
use super::connection::Connection;
use super::handshake::ReadGate;
use crate::base::address::ClientIp;
use crate::base::id::RequestId;
use crate::base::random::{NoRandomness, Random, bytes};
use crate::gate::admission::Admission;

/// Ids of requests: unique over nodes and restarts, at the price of an increment each.
#[derive(Debug)]
pub(super) struct RequestIds {
    node: [u8; 4],
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new(random: &dyn Random) -> Result<Self, NoRandomness> {
        let start: [u8; 4] = bytes(random)?;
        Ok(Self {
            node: bytes(random)?,
            next: AtomicU64::new(u64::from(u32::from_be_bytes(start)) << 24),
        })
    }

    pub(super) fn next(&self) -> RequestId {
        RequestId::from_parts(self.node, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The short form of a request id that people can read out: `K7QX-3FZA`.
pub(super) fn reference(id: RequestId) -> String {
    let tail = id.as_bytes().get(7..).unwrap_or_default();
    let text = BASE32_NOPAD.encode(tail);
    match text.split_at_checked(4) {
        Some((a, b)) => format!("{a}-{b}"),
        None => HEXLOWER.encode(tail),
    }
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) client: ClientIp,
    pub(super) https: bool,
}

/// A tunnel's side of the watch over its session.
#[derive(Debug, Default)]
pub(super) struct Tunnel {
    pub(super) used: AtomicBool,
    pub(super) over: AtomicBool,
}

/// The context of one request.
pub(super) struct RequestState {
    pub(super) id: RequestId,
    pub(super) started: Duration,
    pub(super) connection: Option<Arc<Connection>>,
    pub(super) app: Option<Arc<App>>,
    pub(super) origin: Option<Origin>,
    /// The host as the client wrote it.
    pub(super) host: String,
    /// Set by the gate alone. Without it no connection to the app is made.
    pub(super) admission: Option<Admission>,
    /// The target to forward, where it is not what the client sent.
    pub(super) rewritten: Option<String>,
    pub(super) failed: Vec<PeerAddr>,
    /// Set for a WebSocket handshake.
    pub(super) handshake: Option<Arc<ReadGate>>,
    pub(super) tunnel: Option<Arc<Tunnel>>,
    pub(super) refusal: Option<&'static str>,
}

impl Drop for RequestState {
    fn drop(&mut self) {
        if let Some(tunnel) = &self.tunnel {
            tunnel.over.store(true, Ordering::Release);
        }
    }
}

impl RequestState {
    pub(super) fn new(id: RequestId, started: Duration) -> Self {
        Self {
            id,
            started,
            connection: None,
            app: None,
            origin: None,
            host: String::new(),
            admission: None,
            rewritten: None,
            failed: Vec::new(),
            handshake: None,
            tunnel: None,
            refusal: None,
        }
    }

    /// Its id as a header value.
    pub(super) fn id_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.id.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    }
}
