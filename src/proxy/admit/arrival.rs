//! Resolves the client, the host and the app of a request.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, Version, header};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::site::{NoSite, Site};
use super::vet;
use super::way::{Answer, refuse};
use crate::base::address::ClientIp;
use crate::proxy::client::connection::Connection;
use crate::proxy::client::load::ClientLoad;
use crate::proxy::client::origin::Origin;
use crate::proxy::client::sender::{Front, sender};
use crate::proxy::gateway::Gateway;
use crate::proxy::request::{Arrival, RequestState};
use crate::proxy::respond::refused::Refused;
use crate::proxy::settings::ListenerKind;

impl Gateway {
    /// Resolves the client and the site of a request, and rejects everything that can be rejected
    /// without a session lookup.
    pub(in crate::proxy) fn vet<'a>(
        &self,
        session: &'a Session,
        state: &mut RequestState,
    ) -> Result<(Arc<Site>, Option<&'a HeaderValue>), Answer> {
        let request = session.req_header();
        let connection = state.connection.as_ref().ok_or_else(|| {
            refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "The gateway lost track of this connection.",
            )
        })?;
        let (peer, kind) = (connection.peer, connection.kind);
        let trusted = if connection.nameless { &[][..] } else { &self.trusted };
        let mut sender = sender(peer, kind, &request.headers, trusted);
        if connection.nameless {
            sender.client = ClientIp::unknown_behind(peer.ip());
        }
        if let Some(doubt) = sender.doubt {
            self.doubts.warn(doubt, peer.ip(), state.started);
        }
        let origin = Origin { client: sender.client, https: sender.https };
        state.arrival = Arrival::From(origin);
        let front = sender.front.as_ref();
        let scan = match vet::vet(session.as_downstream(), connection.line.is_bad()) {
            Ok(scan) => scan,
            Err(why) => {
                // The app decides the shape of the error response. Nothing is forwarded.
                let named = request.headers.get(header::HOST).map(HeaderValue::to_str);
                let host = match named {
                    Some(host) => host.ok(),
                    None => request.uri.authority().map(http::uri::Authority::as_str),
                };
                if let Some(host) = host {
                    let load = self.load_of(connection, origin);
                    if let Ok(site) = Site::find(&self.apps.load(), host, origin, front, load) {
                        state.arrival = Arrival::At(Arc::new(site));
                    }
                }
                return Err(why.into());
            }
        };
        state.facts = scan.facts;
        let authority = request.uri.authority().map(http::uri::Authority::as_str);
        // CONNECT addresses a proxy: its host is not one of the configured hosts.
        if request.method == Method::CONNECT {
            return Err(Refused::method(&request.method).into());
        }
        let generation = self.apps.generation();
        let last = scan
            .only_host(authority)
            .and_then(|h| connection.last_site(generation, h, origin, front));
        let site = match last {
            Some(site) => site,
            None => self.find_site(connection, scan.host(authority)?, origin, front)?,
        };
        state.facts.websocket &= site.app.websocket && may_be_handshake(request);
        state.arrival = Arrival::At(Arc::clone(&site));
        if kind == ListenerKind::Redirect {
            return Err(refuse(
                StatusCode::FORBIDDEN,
                "https_required",
                "Use https. Nothing was forwarded.",
            ));
        }
        Ok((site, scan.only_cookie()))
    }

    /// Returns the load counters of the client, which may differ from those of the socket's peer.
    pub(in crate::proxy) fn load_of(
        &self,
        connection: &Connection,
        origin: Origin,
    ) -> Arc<ClientLoad> {
        if origin.client.network() == connection.load.network() {
            return Arc::clone(&connection.load);
        }
        self.loads.of(origin.client)
    }

    fn find_site(
        &self,
        connection: &Connection,
        host: &str,
        origin: Origin,
        front: Option<&Front<'_>>,
    ) -> Result<Arc<Site>, Answer> {
        let load = self.load_of(connection, origin);
        let found = connection.find_site(&self.apps.load(), host, origin, front, load);
        found.map_err(|none| match none {
            NoSite::Malformed(why) => why.into(),
            NoSite::Unknown => refuse(
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected",
                "No app is served at this host name.",
            ),
        })
    }
}

/// Returns true if a request may be a WebSocket handshake: a GET in HTTP/1.1 (RFC 6455 §4.1). The app
/// never sees the `Upgrade` header of another request.
fn may_be_handshake(request: &RequestHeader) -> bool {
    request.version == Version::HTTP_11 && request.method == Method::GET
}
