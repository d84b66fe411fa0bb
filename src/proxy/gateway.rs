//! Pingora's phases, each in a few lines: what is decided is decided elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use http::{StatusCode, Version};
use ipnet::IpNet;
use pingora_core::protocols::{ALPN, Digest};
use pingora_core::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, Peer};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use super::app::CurrentApps;
use super::app_call::AppCalls;
use super::connection;
use super::forward;
use super::handshake::{GatedConnect, ReadGate};
use super::request::{RequestIds, RequestState};
use super::site::Site;
use super::{log, refused, tunnel};
use crate::auth::keys::KeyRing;
use crate::auth::login::LoginService;
use crate::base::clock::Clock;
use crate::gate::app_tokens::BoundTokens;
use crate::gate::keeper::RefusalKeeper;
use crate::gate::logins::CachedLogins;
use crate::gate::machine::Machines;
use crate::gate::sessions::CachedSessions;

/// Between two reads of a request body, and two writes of a response.
const BODY_IDLE: Duration = Duration::from_mins(1);

/// The gateway, as Pingora calls it.
pub(super) struct Gateway {
    pub(super) apps: Arc<CurrentApps>,
    pub(super) pages: Router,
    pub(super) sessions: Arc<CachedSessions>,
    pub(super) logins: Arc<CachedLogins>,
    pub(super) login: Arc<LoginService>,
    pub(super) bound: Arc<BoundTokens>,
    pub(super) machines: Arc<Machines>,
    pub(super) calls: Arc<AppCalls>,
    pub(super) refusals: RefusalKeeper,
    pub(super) keys: Arc<KeyRing>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: RequestIds,
    pub(super) trusted: Vec<IpNet>,
    pub(super) draining: Arc<AtomicBool>,
}

fn connection_of(digest: Option<&Digest>) -> Option<Arc<connection::Connection>> {
    digest?.proxy_digest.as_deref().and_then(connection::of_digest).cloned()
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = RequestState;

    fn new_ctx(&self) -> RequestState {
        RequestState::new(self.ids.next(), self.clock.monotonic())
    }

    fn init_downstream_modules(&self, _modules: &mut pingora_core::modules::http::HttpModules) {
        // No compression: bodies go through as they are.
    }

    async fn early_request_filter(
        &self,
        session: &mut Session,
        state: &mut RequestState,
    ) -> Result<()> {
        state.connection = connection_of(session.digest());
        if let Some(connection) = &state.connection {
            connection.header_done();
        }
        // In HTTP/1.1 Pingora gives a body a minute between two reads by itself, and the connection
        // notices a client that takes nothing.
        if session.req_header().version == Version::HTTP_2 {
            session.set_read_timeout(Some(BODY_IDLE));
            session.set_write_timeout(Some(BODY_IDLE));
        }
        if self.draining.load(Ordering::Relaxed) {
            session.set_keepalive(None);
        }
        Ok(())
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        state: &mut RequestState,
    ) -> Result<bool> {
        self.admit_or_answer(session, state).await
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        state: &mut RequestState,
    ) -> Result<Box<HttpPeer>> {
        if state.admission.is_none() {
            return Err(forward::no_admission());
        }
        let app = &state.site.as_ref().ok_or_else(forward::no_admission)?.app;
        let mut peer = app.upstream.choose(&state.failed).ok_or_else(|| {
            let mut error = Error::explain(ErrorType::ConnectNoRoute, "no upstream is healthy");
            error.esource = ErrorSource::Upstream;
            error
        })?;
        if !state.marks.hop_by_hop {
            // Pingora would look for each of them again.
            peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::preserve();
        }
        let tunnel = app.websocket && state.marks.websocket;
        let plain = session.req_header().version != Version::HTTP_2 && !state.marks.more;
        match &state.connection {
            // The header goes into the socket's buffer at once, and then all wait for the app.
            Some(connection) if plain && !tunnel => connection.watch_app(app.upstream.patience()),
            _ => app.upstream.time(&mut peer, !session.is_body_empty()),
        }
        if tunnel {
            let gate = Arc::new(ReadGate::default());
            peer.options.custom_l4 = Some(Arc::new(GatedConnect(Arc::clone(&gate))));
            // Over HTTP/2 Pingora knows no tunnels.
            peer.options.alpn = ALPN::H1;
            // A connection of its own: no other request shares this key.
            peer.group_key ^= state.id.number();
            state.handshake = Some(gate);
        }
        Ok(peer)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        peer: &HttpPeer,
        state: &mut RequestState,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent yet, so any request may be tried at another address.
        state.failed.push(peer.address().clone());
        error.set_retry(state.failed.len() < 4);
        error
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        upstream: &mut RequestHeader,
        state: &mut RequestState,
    ) -> Result<()> {
        if let Some(gate) = &state.handshake {
            gate.hold();
        }
        forward::request(upstream, state)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        state: &mut RequestState,
    ) -> Result<()> {
        let https = state.origin.is_some_and(|o| o.https);
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            tunnel::watch(self, state);
        }
        let workers = state.site.as_ref().is_none_or(|site| site.app.service_workers);
        let client = forward::Client { version: session.req_header().version, https, workers };
        if let Some(site) = state.site.as_deref()
            && let Some(own) = &site.app.own_name
        {
            own.answer(response, site)?;
        }
        forward::response(response, client)?;
        if state.site.as_ref().is_some_and(|site| site.app.dialect.is_some()) {
            // Boxed: the futures of few apps would make every request's future large.
            Box::pin(self.bind_tokens(response, state)).await?;
            if state.signs_out {
                let request = session.req_header();
                Box::pin(self.signed_out_by_app(request, response, state)).await?;
            }
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        end: bool,
        state: &mut RequestState,
    ) -> Result<()> {
        if end && let Some(gate) = &state.handshake {
            gate.hand_over();
        }
        if let Some(tunnel) = &state.tunnel {
            tunnel.used.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        state: &mut RequestState,
    ) -> FailToProxy {
        let error_code = refused::answer_failure(self, session, error, state).await;
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _session: &Session, _state: &RequestState, _e: &Error) -> bool {
        // One line of our own is written in `logging`.
        true
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&Error>,
        state: &mut RequestState,
    ) {
        if let Some(connection) = &state.connection
            && session.req_header().version != Version::HTTP_2
        {
            connection.request_done();
        }
        if let Some(Site { app, .. }) = state.site.as_deref() {
            if state.admission.is_some() {
                app.forwarded.one();
            } else {
                app.refused.one();
            }
            app.rules.count(state.ruling, &state.reports);
        }
        log::request(session, error, state, &*self.clock);
    }
}
