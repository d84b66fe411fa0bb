//! What is remembered of a request from one of Pingora's phases to the next.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use data_encoding::HEXLOWER;
use http::HeaderValue;
use pingora_core::protocols::SocketDigest;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddr;

use super::admit::site::Site;
use super::admit::vet::Marks;
use super::client::connection::Connection;
use super::client::in_hand::InHand;
use super::client::origin::Origin;
use super::rewrite::left_out::LeftOut;
use super::upstream::handshake::ReadGate;
use super::upstream::tunnel::Tunnel;
use crate::base::id::RequestId;
use crate::gate::admission::{Admission, Visitor};
use crate::gate::policy::{Outcome, Ruling};

/// How far the app has been sent a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sending {
    /// There is a body.
    pub(super) has_body: bool,
    /// The header block went out, and what there is of a body follows it.
    pub(super) body_begun: bool,
    /// This is the second try, on a connection of its own.
    pub(super) afresh: bool,
}

/// The context of one request.
pub(super) struct RequestState {
    pub(super) id: RequestId,
    pub(super) started: Duration,
    /// When the last byte of a body passed within a session, in monotonic time.
    pub(super) bytes_at: Duration,
    pub(super) connection: Option<Arc<Connection>>,
    pub(super) origin: Option<Origin>,
    /// What the host leads to.
    pub(super) site: Option<Arc<Site>>,
    /// Its place among the requests in hand.
    pub(super) in_hand: Option<InHand>,
    /// Set by the gate alone. Without it no connection to the app is made.
    pub(super) admission: Option<Admission>,
    /// What the rules said.
    pub(super) ruling: Option<Ruling>,
    /// What rules that do not act would have said.
    pub(super) reports: Vec<(usize, Outcome)>,
    /// What of the app's credentials is left out.
    pub(super) left_out: LeftOut,
    /// This signs out at the app.
    pub(super) signs_out: bool,
    /// The target to forward, where it is not what the client sent.
    pub(super) rewritten: Option<String>,
    /// What the header block tells.
    pub(super) marks: Marks,
    pub(super) failed: Vec<PeerAddr>,
    /// The connection to the app, where there is a body to send.
    pub(super) upstream_socket: Option<Arc<SocketDigest>>,
    /// How far the app has been sent the request.
    pub(super) sending: Sending,
    /// Set for a WebSocket handshake.
    pub(super) handshake: Option<Arc<ReadGate>>,
    pub(super) tunnel: Option<Arc<Tunnel>>,
    pub(super) refusal: Option<&'static str>,
    /// A question of a browser (`OPTIONS`) that has no body.
    pub(super) bodiless: bool,
    /// Who was refused, once somebody has looked.
    pub(super) refused: Option<Visitor>,
    /// Why a token, of ours or of the app's, was not let through.
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
            in_hand: None,
            admission: None,
            ruling: None,
            reports: Vec::new(),
            left_out: LeftOut::default(),
            signs_out: false,
            rewritten: None,
            marks: Marks::default(),
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

    /// Its id as a header value.
    pub(super) fn id_value(&self) -> HeaderValue {
        let mut text = [0; RequestId::TEXT_LEN];
        HEXLOWER.encode_mut(self.id.as_bytes(), &mut text);
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    }
}
