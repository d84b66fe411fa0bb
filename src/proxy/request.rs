//! The state of a request, from phase to phase.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use data_encoding::HEXLOWER;
use http::HeaderValue;
use pingora_core::protocols::SocketDigest;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddr;

use super::admit::site::Site;
use super::admit::vet::HeaderFacts;
use super::client::connection::Connection;
use super::client::origin::Origin;
use super::client::slot::RequestSlot;
use super::rewrite::omitted::Omitted;
use super::upstream::handshake::ReadGate;
use super::upstream::tunnel::Tunnel;
use crate::base::id::RequestId;
use crate::gate::admission::{Admission, Visitor};
use crate::gate::policy::{Outcome, Ruling};

/// The progress of forwarding a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sending {
    /// The request has a body.
    pub(super) has_body: bool,
    /// The header block was sent, and the body follows.
    pub(super) body_begun: bool,
    /// This is the second try, on its own connection.
    pub(super) afresh: bool,
}

/// The context of one request.
pub(super) struct RequestState {
    pub(super) id: RequestId,
    pub(super) started: Duration,
    /// Time of the last body byte within a session, in monotonic time.
    pub(super) bytes_at: Duration,
    pub(super) connection: Option<Arc<Connection>>,
    pub(super) origin: Option<Origin>,
    /// The site of the host.
    pub(super) site: Option<Arc<Site>>,
    /// The slot of the request.
    pub(super) slot: Option<RequestSlot>,
    /// The admission. Only the gate sets it, and no connection to the app is made without it.
    pub(super) admission: Option<Admission>,
    /// The ruling.
    pub(super) ruling: Option<Ruling>,
    /// The outcomes of report-only rules.
    pub(super) reports: Vec<(usize, Outcome)>,
    /// The app credentials that are omitted.
    pub(super) omitted: Omitted,
    /// The request signs out at the app.
    pub(super) signs_out: bool,
    /// The target to forward, if it differs from the client's.
    pub(super) rewritten: Option<String>,
    /// Facts about the request headers.
    pub(super) facts: HeaderFacts,
    pub(super) failed: Vec<PeerAddr>,
    /// The connection to the app, if the request has a body.
    pub(super) upstream_socket: Option<Arc<SocketDigest>>,
    /// The progress of forwarding.
    pub(super) sending: Sending,
    /// Set for a WebSocket handshake.
    pub(super) handshake: Option<Arc<ReadGate>>,
    pub(super) tunnel: Option<Arc<Tunnel>>,
    pub(super) refusal: Option<&'static str>,
    /// The request is an `OPTIONS` without a body.
    pub(super) bodiless: bool,
    /// The rejected visitor, if known.
    pub(super) refused: Option<Visitor>,
    /// The reason for rejecting an access token or an app token.
    pub(super) token_refused: Option<&'static str>,
}

impl Drop for RequestState {
    fn drop(&mut self) {
        if let Some(tunnel) = &self.tunnel {
            tunnel.over.store(true, Ordering::Release);
        }
        if let Some(connection) = &self.connection {
            connection.usage.leave();
        }
    }
}

impl RequestState {
    pub(super) fn new(id: RequestId, started: Duration) -> Self {
        Self {
            id,
            started,
            bytes_at: started,
            connection: None,
            origin: None,
            site: None,
            slot: None,
            admission: None,
            ruling: None,
            reports: Vec::new(),
            omitted: Omitted::default(),
            signs_out: false,
            rewritten: None,
            facts: HeaderFacts::default(),
            failed: Vec::new(),
            upstream_socket: None,
            sending: Sending::default(),
            handshake: None,
            tunnel: None,
            refusal: None,
            bodiless: false,
            refused: None,
            token_refused: None,
        }
    }

    /// Returns the id as a header value.
    pub(super) fn id_value(&self) -> HeaderValue {
        let mut text = [0; RequestId::TEXT_LEN];
        HEXLOWER.encode_mut(self.id.as_bytes(), &mut text);
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    }
}
