//! Pingora's phases, a few lines each. The decisions are made elsewhere.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{StatusCode, Version};
use pingora_core::protocols::{ALPN, Digest};
use pingora_core::upstreams::peer::{H1UpgradePolicy, HttpPeer, HttpUpstreamRequestPolicy, Peer};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use super::Gateway;
use super::phase::{Phase, go_on, over, passed, phase};
use crate::gate::sessions::Use;
use crate::proxy::admit::vet::HeaderFacts;
use crate::proxy::answered::is_final;
use crate::proxy::client::connection;
use crate::proxy::client::linger;
use crate::proxy::live::served::beginning;
use crate::proxy::log;
use crate::proxy::request::{Again, Arrival, Fate, RequestState, no_admission};
use crate::proxy::respond::bridge;
use crate::proxy::respond::refused;
use crate::proxy::rewrite::{forward, hygiene};
use crate::proxy::upstream::again;
use crate::proxy::upstream::balance::Ask;
use crate::proxy::upstream::handshake::{GatedConnect, ReadGate};
use crate::proxy::upstream::outcome::{self, ALL_OUT, MOST_ADDRESSES};
use crate::proxy::upstream::target::Fault;

/// Maximum time between two writes of an HTTP/2 response.
const WRITE_IDLE: Duration = Duration::from_mins(1);

impl Gateway {
    /// Records the use of the session when bytes of a body pass.
    fn bytes_passed(&self, body: Option<&Bytes>, state: &mut RequestState) {
        if body.is_none_or(Bytes::is_empty) || state.counts == Use::Passive {
            return;
        }
        if let Some(forwarding) = state.forwarding_mut()
            && let Some((known, at)) = forwarding.bytes_passed(self.pulse.now())
        {
            self.sessions.bytes_passed(known, at);
        }
    }

    fn request_over(&self, state: &RequestState) {
        if let Some(forwarding) = state.forwarding()
            && let Some(known) = forwarding.session()
            && state.counts == Use::Counts
        {
            self.sessions.request_over(known, (state.started, forwarding.bytes_at));
        }
    }
}

/// The error of a `101` without a handshake.
fn unasked() -> Box<Error> {
    let what = "the app switched protocols without being asked";
    let mut error = Error::explain(ErrorType::InvalidHTTPHeader, what);
    error.esource = ErrorSource::Upstream;
    error.set_retry(false);
    error
}

fn connection_of(digest: Option<&Digest>) -> Option<Arc<connection::Connection>> {
    digest?.proxy_digest.as_deref().and_then(connection::of_digest).cloned()
}

/// Sets what Pingora does with the hop-by-hop headers of a request.
fn limit_hop_by_hop(policy: &mut HttpUpstreamRequestPolicy, facts: HeaderFacts) {
    if !facts.hop_by_hop {
        // Pingora would search for each of them again.
        *policy = HttpUpstreamRequestPolicy::preserve();
        return;
    }
    // Pingora rejects requests that nominate some headers. `forward` removes the nominated.
    policy.strip_connection_nominated = false;
    if !facts.websocket {
        policy.h1_upgrade = H1UpgradePolicy::Deny;
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Box<RequestState>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(RequestState::new(self.ids.next(), self.clock.monotonic(), beginning()))
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
        let RequestState { id, started, connection, arrival, facts, fate, .. } = &mut **state;
        let (Arrival::At(site), Fate::Admitted(forwarding)) = (arrival, fate) else {
            return Err(no_admission());
        };
        let app = &site.app;
        let upstream = &app.upstream;
        let ask = Ask {
            key: upstream
                .is_sticky()
                .then(|| outcome::sticky_key(forwarding.admission().visitor()))
                .flatten(),
            failed: &forwarding.failed,
            repeatable: outcome::is_repeatable(session),
            now: *started,
            patience: upstream.read_timeout(),
        };
        let Some((mut peer, sent)) = upstream.choose(&ask) else {
            let gone = forwarding.failed.is_empty() && upstream.all_out();
            let kind = if gone { ALL_OUT } else { ErrorType::ConnectNoRoute };
            let mut error = Error::explain(kind, "no upstream is in service");
            error.esource = ErrorSource::Upstream;
            return Err(error);
        };
        forwarding.sent = Some(sent);
        limit_hop_by_hop(&mut peer.options.http_upstream_request_policy, *facts);
        let tunnel = facts.websocket;
        let http2 = session.req_header().version == Version::HTTP_2;
        match connection {
            // The header block fits the socket's buffer, and then only the app is awaited.
            Some(connection) if !http2 && !facts.has_body_or_upgrade && !tunnel => {
                connection.watch_app(app.upstream.read_timeout());
            }
            _ => {
                let has_body = !session.is_body_empty();
                forwarding.sending.has_body = has_body;
                let mut silence = app.upstream.read_timeout();
                if has_body {
                    silence = silence.min(self.body_idle.load().silence(forwarding.admission()));
                }
                if has_body || tunnel {
                    let idle = self.body_idle.load().of(forwarding.admission());
                    session.set_read_timeout(Some(idle));
                }
                app.upstream.set_timeouts(&mut peer, !http2, has_body, silence);
            }
        }
        let alone = tunnel || facts.connection_auth;
        if alone || forwarding.sending.again == Again::Afresh {
            // A unique key: the connection is not shared with other requests, so it is not kept.
            peer.group_key ^= id.number();
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
        if tunnel {
            let gate = Arc::new(ReadGate::default());
            peer.options.custom_l4 = Some(Arc::new(GatedConnect(Arc::clone(&gate))));
            // Pingora has no tunnels over HTTP/2.
            peer.options.alpn = ALPN::H1;
            forwarding.handshake = Some(gate);
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
        if let Some((site, forwarding)) = state.admitted_mut() {
            let now = self.clock.monotonic();
            let upstream = &site.app.upstream;
            if let Some(sent) = &mut forwarding.sent {
                sent.fails(Fault::Connect, now, upstream.health());
            }
            forwarding.failed.extend(peer.address().as_inet());
            let retry =
                forwarding.failed.len() < MOST_ADDRESSES && upstream.has_other(&forwarding.failed);
            error.set_retry(retry);
        }
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
        again::set_retry(error, peer, session, state, (reused, &*self.clock))
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
            if let Some(forwarding) = state.forwarding_mut()
                && forwarding.sending.has_body
            {
                forwarding.upstream_socket = digest.and_then(|digest| digest.socket_digest.clone());
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
            if let Some(gate) = state.forwarding().and_then(|f| f.handshake.as_ref()) {
                gate.hold();
            }
            if state.facts.hop_by_hop {
                hygiene::remove_nominated(&session.req_header().headers, upstream);
            }
            let done = forward::request(upstream, state, &*self.clock);
            if done.is_err() || !state.facts.expects_continue {
                return passed(done);
            }
            Box::pin(bridge::send_continue(session))
        }
    }

    phase! {
        fn upstream_response_filter<'a, 'b, 'c, 'd>(
            self,
            session: &'b mut Session,
            response: &'c mut ResponseHeader,
            state: &'d mut Self::CTX,
        ) -> Result<()> {
            passed(outcome::answered(session, response.status, state, &*self.clock))
        }
    }

    phase! {
        fn response_filter<'a, 'b, 'c, 'd>(
            self,
            session: &'b mut Session,
            response: &'c mut ResponseHeader,
            state: &'d mut Self::CTX,
        ) -> Result<()> {
            let https = state.is_https();
            if response.status == StatusCode::SWITCHING_PROTOCOLS {
                // Without a handshake, no client asked for a tunnel; the app changed the protocol.
                if state.forwarding().is_none_or(|forwarding| forwarding.handshake.is_none()) {
                    return passed(Err(unasked()));
                }
                if let Some(connection) = &state.connection {
                    connection.begin_tunnel();
                }
            }
            let workers = state.site().is_none_or(|site| site.app.service_workers);
            let version = session.req_header().version;
            let personal = state.admission().is_some_and(|a| a.headers().is_some());
            let client = forward::Client { version, https, workers, personal };
            if let Some(site) = state.site()
                && let Some(own) = &site.app.own_name
                && let Err(error) = own.answer(response, &site.page_text)
            {
                return passed(Err(error));
            }
            let done = forward::response(response, client);
            if done.is_err() || state.site().is_none_or(|site| site.app.dialect.is_none()) {
                return passed(done);
            }
            Box::pin(async move {
                self.bind_tokens(response, state).await?;
                if state.forwarding().is_some_and(|forwarding| forwarding.signs_out) {
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
            if let Some(forwarding) = state.forwarding_mut() {
                forwarding.sending.body_begun = true;
                if let Some((kept, _)) = &forwarding.resend {
                    *body = Some(kept.clone());
                }
                if let Some(gate) = forwarding.handshake.as_ref().filter(|_| end) {
                    gate.hand_over();
                } else if end && forwarding.sending.has_body {
                    forwarding.sending.body_over = true;
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
        if state.resends {
            self.put_back(state).await;
        }
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
            let failed = outcome::over(state, error, &*self.clock);
            if let Some(app) = state.site().map(|site| &site.app) {
                match (state.forwarding(), failed) {
                    (Some(_), true) => app.failed.one(),
                    (Some(_), false) => app.forwarded.one(),
                    (None, _) => app.refused.one(),
                }
                app.rules.count(state.ruling, &state.reports);
                let status = session.response_written().map(|answer| answer.status);
                let took = self.clock.monotonic().saturating_sub(state.started);
                app.answered.count(status, took);
            }
            self.request_over(state);
            log::request(session, error, state, &*self.clock);
            if state.forwarding().is_none_or(|forwarding| forwarding.sending.has_body)
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
        let answered = session.response_written().is_some_and(|a| is_final(a.status));
        if answered
            && let Some(socket) = state.forwarding().and_then(|f| f.upstream_socket.as_ref())
        {
            self.spent.add(socket);
        }
        if session.req_header().version != Version::HTTP_2
            && let (Some(connection), Some(site)) = (&state.connection, state.site())
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
