//! Pingora's phases, a few lines each. The decisions are made elsewhere.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{StatusCode, Version};
use pingora_core::protocols::{ALPN, Digest};
use pingora_core::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, Peer};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use super::Gateway;
use super::phase::{Phase, go_on, over, passed, phase};
use crate::gate::admission::{Admission, Visitor};
use crate::proxy::admit::site::Site;
use crate::proxy::client::connection;
use crate::proxy::client::linger;
use crate::proxy::log;
use crate::proxy::request::RequestState;
use crate::proxy::respond::bridge;
use crate::proxy::respond::refused;
use crate::proxy::rewrite::forward;
use crate::proxy::upstream::again;
use crate::proxy::upstream::handshake::{GatedConnect, ReadGate};
use crate::proxy::upstream::tunnel_watch;

/// Maximum time between two writes of an HTTP/2 response.
const WRITE_IDLE: Duration = Duration::from_mins(1);

impl Gateway {
    /// Records the use of the session when bytes of a body pass.
    fn bytes_passed(&self, body: Option<&Bytes>, state: &mut RequestState) {
        if body.is_none_or(Bytes::is_empty) {
            return;
        }
        if let Some(Visitor::Full(known)) = state.admission.as_ref().map(Admission::visitor) {
            state.bytes_at = self.clock.monotonic();
            self.sessions.bytes_passed(known, state.bytes_at);
        }
    }

    fn request_over(&self, state: &RequestState) {
        if let Some(Visitor::Full(known)) = state.admission.as_ref().map(Admission::visitor) {
            self.sessions.request_over(known, (state.started, state.bytes_at));
        }
    }
}

fn connection_of(digest: Option<&Digest>) -> Option<Arc<connection::Connection>> {
    digest?.proxy_digest.as_deref().and_then(connection::of_digest).cloned()
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Box<RequestState>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(RequestState::new(self.ids.next(), self.clock.monotonic()))
    }

    fn init_downstream_modules(&self, _modules: &mut pingora_core::modules::http::HttpModules) {
        // No compression: bodies pass unchanged.
    }

    phase! {
        fn early_request_filter<'a, 'b, 'c>(
            self, session: &'b mut Session, state: &'c mut Self::CTX,
        ) -> Result<()> {
            state.connection = connection_of(session.digest());
            if let Some(connection) = &state.connection {
                connection.header_done();
                connection.usage.enter(state.started);
            }
            match session.req_header().version {
                // The connection detects a client that reads nothing.
                Version::HTTP_11 => {}
                Version::HTTP_2 => session.set_write_timeout(Some(WRITE_IDLE)),
                // An older client takes an interim response for the final one.
                _ => session.set_ignore_info_resp(true),
            }
            if self.draining.load(Ordering::Relaxed) {
                session.set_keepalive(None);
            }
            passed(Ok(()))
        }
    }

    phase! {
        fn request_filter<'a, 'b, 'c>(
            self, session: &'b mut Session, state: &'c mut Self::CTX,
        ) -> Result<bool> {
            self.admit_or_answer(session, state)
        }
    }

    phase! {
        fn proxy_upstream_filter<'a, 'b, 'c>(
            self, _session: &'b mut Session, _state: &'c mut Self::CTX,
        ) -> Result<bool> {
            go_on()
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        state: &mut Self::CTX,
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
        if !state.facts.hop_by_hop {
            // Pingora would search for each of them again.
            peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::preserve();
        }
        let tunnel = app.websocket && state.facts.websocket;
        let http2 = session.req_header().version == Version::HTTP_2;
        match &state.connection {
            // The header block fits the socket's buffer, and then only the app is awaited.
            Some(connection) if !http2 && !state.facts.has_body_or_upgrade && !tunnel => {
                connection.watch_app(app.upstream.read_timeout());
            }
            _ => {
                state.sending.has_body = !session.is_body_empty();
                let mut silence = app.upstream.read_timeout();
                let admission = state.admission.as_ref();
                if state.sending.has_body {
                    silence = silence.min(self.body_idle.silence(admission));
                }
                if state.sending.has_body || tunnel {
                    session.set_read_timeout(Some(self.body_idle.of(admission)));
                }
                app.upstream.set_timeouts(&mut peer, !http2, state.sending.has_body, silence);
            }
        }
        if tunnel || state.sending.afresh {
            // A unique key: the connection is not shared with other requests.
            peer.group_key ^= state.id.number();
        }
        if tunnel {
            let gate = Arc::new(ReadGate::default());
            peer.options.custom_l4 = Some(Arc::new(GatedConnect(Arc::clone(&gate))));
            // Pingora has no tunnels over HTTP/2.
            peer.options.alpn = ALPN::H1;
            state.handshake = Some(gate);
        }
        Ok(peer)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        peer: &HttpPeer,
        state: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent yet, so any request may be tried at another address.
        state.failed.push(peer.address().clone());
        error.set_retry(state.failed.len() < 4);
        error
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        state: &mut Self::CTX,
        reused: bool,
    ) -> Box<Error> {
        again::set_retry(error, peer, session, state, reused)
    }

    phase! {
        fn connected_to_upstream<'a, 'b, 'c, 'd, 'e>(
            self,
            _session: &'b mut Session,
            reused: bool,
            _peer: &'c HttpPeer,
            _fd: RawFd,
            digest: Option<&'d Digest>,
            state: &'e mut Self::CTX,
        ) -> Result<()> {
            if state.sending.has_body {
                state.upstream_socket = digest.and_then(|digest| digest.socket_digest.clone());
            }
            passed(if reused { self.spent.check(digest) } else { Ok(()) })
        }
    }

    phase! {
        fn upstream_request_filter<'a, 'b, 'c, 'd>(
            self,
            session: &'b mut Session,
            upstream: &'c mut RequestHeader,
            state: &'d mut Self::CTX,
        ) -> Result<()> {
            if let Some(gate) = &state.handshake {
                gate.hold();
            }
            let done = forward::request(upstream, state);
            if done.is_err() || !state.facts.expects_continue {
                return passed(done);
            }
            Box::pin(bridge::send_continue(session))
        }
    }

    phase! {
        fn upstream_response_filter<'a, 'b, 'c, 'd>(
            self,
            _session: &'b mut Session,
            _response: &'c mut ResponseHeader,
            _state: &'d mut Self::CTX,
        ) -> Result<()> {
            passed(Ok(()))
        }
    }

    phase! {
        fn response_filter<'a, 'b, 'c, 'd>(
            self,
            session: &'b mut Session,
            response: &'c mut ResponseHeader,
            state: &'d mut Self::CTX,
        ) -> Result<()> {
            let https = state.origin.is_some_and(|o| o.https);
            if response.status == StatusCode::SWITCHING_PROTOCOLS {
                tunnel_watch::watch(self, state);
            }
            let workers = state.site.as_ref().is_none_or(|site| site.app.service_workers);
            let client = forward::Client { version: session.req_header().version, https, workers };
            if let Some(site) = state.site.as_deref()
                && let Some(own) = &site.app.own_name
                && let Err(error) = own.answer(response, &site.page_text)
            {
                return passed(Err(error));
            }
            let done = forward::response(response, client);
            if done.is_err() || state.site.as_ref().is_none_or(|site| site.app.dialect.is_none()) {
                return passed(done);
            }
            Box::pin(async move {
                self.bind_tokens(response, state).await?;
                if state.signs_out {
                    self.signed_out_by_app(session.req_header(), response, state).await?;
                }
                Ok(())
            })
        }
    }

    phase! {
        fn request_body_filter<'a, 'b, 'c, 'd>(
            self,
            session: &'b mut Session,
            body: &'c mut Option<Bytes>,
            end: bool,
            state: &'d mut Self::CTX,
        ) -> Result<()> {
            state.sending.body_begun = true;
            if end {
                if let Some(gate) = &state.handshake {
                    gate.hand_over();
                } else if state.sending.has_body {
                    self.body_over(session, state);
                }
            }
            self.bytes_passed(body.as_ref(), state);
            passed(Ok(()))
        }
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        state: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        self.bytes_passed(body.as_ref(), state);
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        state: &mut Self::CTX,
    ) -> FailToProxy {
        let error_code = refused::answer_failure(self, session, error, state).await;
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _session: &Session, _state: &Self::CTX, _e: &Error) -> bool {
        // `logging` writes a line of its own.
        true
    }

    phase! {
        fn logging<'a, 'b, 'c, 'd>(
            self,
            session: &'b mut Session,
            error: Option<&'c Error>,
            state: &'d mut Self::CTX,
        ) -> () {
            if let Some(connection) = &state.connection
                && session.req_header().version != Version::HTTP_2
            {
                connection.request_done(session.as_downstream_mut().is_body_done());
            }
            if let Some(Site { app, .. }) = state.site.as_deref() {
                if state.admission.is_some() {
                    app.forwarded.one();
                } else {
                    app.refused.one();
                }
                app.rules.count(state.ruling, &state.reports);
            }
            self.request_over(state);
            log::request(session, error, state, &*self.clock);
            if (state.sending.has_body || state.admission.is_none())
                && !session.as_downstream_mut().is_body_done()
            {
                // A truncated response ends at once.
                let whole = error.is_none() || state.refusal.is_some();
                return self.answered_early(session, state, whole);
            }
            over()
        }
    }
}

impl Gateway {
    /// Starts the watch over the app after the end of the request body, unless the app has
    /// responded already.
    fn body_over(&self, session: &Session, state: &RequestState) {
        let answered = session.response_written().is_some_and(|a| !a.status.is_informational());
        if answered && let Some(socket) = &state.upstream_socket {
            self.spent.add(socket);
        }
        if session.req_header().version != Version::HTTP_2
            && let (Some(connection), Some(site)) = (&state.connection, &state.site)
        {
            connection.watch_app(site.app.upstream.read_timeout());
        }
    }

    /// Keeps a connection or stream open after an early response, while the client may still be
    /// sending.
    fn answered_early<'f>(
        &'f self,
        session: &'f mut Session,
        state: &RequestState,
        whole: bool,
    ) -> Phase<'f, ()> {
        let Some(connection) = &state.connection else { return over() };
        if session.req_header().version != Version::HTTP_2 {
            connection.left_unread();
            return over();
        }
        if !whole {
            return over();
        }
        let place = self.lingering.enter(connection.peer.ip());
        Box::pin(linger::stream(session, place, &self.draining))
    }
}
