//! Pingora's phases, each in a few lines: what is decided is decided elsewhere.

use std::os::fd::RawFd;
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
use super::phase::{go_on, over, passed, phase};
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
    type CTX = Box<RequestState>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(RequestState::new(self.ids.next(), self.clock.monotonic()))
    }

    fn init_downstream_modules(&self, _modules: &mut pingora_core::modules::http::HttpModules) {
        // No compression: bodies go through as they are.
    }

    phase! {
        fn early_request_filter<'a, 'b, 'c>(
            self, session: &'b mut Session, state: &'c mut Self::CTX,
        ) -> Result<()> {
            state.connection = connection_of(session.digest());
            if let Some(connection) = &state.connection {
                connection.header_done();
            }
            // In HTTP/1.1 Pingora gives a body a minute between two reads by itself, and the
            // connection notices a client that takes nothing.
            if session.req_header().version == Version::HTTP_2 {
                session.set_read_timeout(Some(BODY_IDLE));
                session.set_write_timeout(Some(BODY_IDLE));
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
        state: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent yet, so any request may be tried at another address.
        state.failed.push(peer.address().clone());
        error.set_retry(state.failed.len() < 4);
        error
    }

    phase! {
        fn connected_to_upstream<'a, 'b, 'c, 'd, 'e>(
            self,
            _session: &'b mut Session,
            _reused: bool,
            _peer: &'c HttpPeer,
            _fd: RawFd,
            _digest: Option<&'d Digest>,
            _state: &'e mut Self::CTX,
        ) -> Result<()> {
            passed(Ok(()))
        }
    }

    phase! {
        fn upstream_request_filter<'a, 'b, 'c, 'd>(
            self,
            _session: &'b mut Session,
            upstream: &'c mut RequestHeader,
            state: &'d mut Self::CTX,
        ) -> Result<()> {
            if let Some(gate) = &state.handshake {
                gate.hold();
            }
            passed(forward::request(upstream, state))
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
                tunnel::watch(self, state);
            }
            let workers = state.site.as_ref().is_none_or(|site| site.app.service_workers);
            let client = forward::Client { version: session.req_header().version, https, workers };
            if let Some(site) = state.site.as_deref()
                && let Some(own) = &site.app.own_name
                && let Err(error) = own.answer(response, site)
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
            _session: &'b mut Session,
            _body: &'c mut Option<Bytes>,
            end: bool,
            state: &'d mut Self::CTX,
        ) -> Result<()> {
            if end && let Some(gate) = &state.handshake {
                gate.hand_over();
            }
            if let Some(tunnel) = &state.tunnel {
                tunnel.used.store(true, Ordering::Relaxed);
            }
            passed(Ok(()))
        }
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
        // One line of our own is written in `logging`.
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
            over()
        }
    }
}
