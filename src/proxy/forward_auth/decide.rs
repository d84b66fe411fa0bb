//! The decision about a request that another proxy holds: the decision of the gate, by the same code,
//! about the original request.
//!
//! An auth request that cannot be answered is rejected with 403 and its reason in the log, because nginx
//! makes an error of its own of every status that it does not expect.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Version, header};
use pingora_error::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::answer::{pass, reject};
use super::original::{BadAuthRequest, OriginalRequest, app_of, is_auth_request, wants_401};
use crate::base::address::ClientIp;
use crate::gate::admission::{Admission, Visitor};
use crate::proxy::admit::site::Site;
use crate::proxy::admit::vet;
use crate::proxy::admit::way::{Answer, Decided, refuse};
use crate::proxy::client::load::Limit;
use crate::proxy::client::origin::Origin;
use crate::proxy::client::sender::{Front, sender};
use crate::proxy::gateway::Gateway;
use crate::proxy::request::{Arrival, Asked, RequestState};
use crate::proxy::respond::bridge;
use crate::proxy::respond::refused::Refused;
use crate::proxy::respond::sent_form::Parked;
use crate::web::refusal::RefusalSummary;

/// An auth request, ready to be decided.
struct AuthRequest {
    site: Arc<Site>,
    original: RequestHeader,
}

/// The reason why there is no answer yet.
enum Stop {
    Reject(Rejected),
    Shed(Limit),
}

impl<T: Into<Rejected>> From<T> for Stop {
    fn from(rejected: T) -> Self {
        Self::Reject(rejected.into())
    }
}

/// A rejection, with the reason for the log where its code does not say it.
struct Rejected {
    answer: Answer,
    why: Option<Cow<'static, str>>,
    /// True if the proxy has to ask in another way.
    is_bad: bool,
}

impl<T: Into<Answer>> From<T> for Rejected {
    fn from(answer: T) -> Self {
        Self { answer: answer.into(), why: None, is_bad: false }
    }
}

/// Rejects an auth request that the proxy got wrong.
fn bad_auth_request(why: &dyn std::fmt::Display) -> Rejected {
    let sentence = "The proxy in front of this app asked about this request in a way that can't be \
                    answered.";
    let answer = refuse(StatusCode::FORBIDDEN, "bad_auth_request", sentence);
    Rejected { answer, why: Some(why.to_string().into()), is_bad: true }
}

/// Rejects a request of a client that another proxy cannot forward.
fn cannot_pass(why: &'static str) -> Rejected {
    let sentence = "This address can't be opened through this proxy.";
    let answer = refuse(StatusCode::FORBIDDEN, "forbidden", sentence);
    Rejected { answer, why: Some(why.into()), is_bad: false }
}

/// Returns what the log says about a request that a proxy asked about.
fn asked(original: &RequestHeader, why: Option<Cow<'static, str>>, is_bad: bool) -> Box<Asked> {
    let host = original.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    Box::new(Asked {
        method: original.method.clone(),
        host: host.unwrap_or("-").to_owned(),
        path: original.uri.path().to_owned(),
        why,
        is_bad,
    })
}

impl Gateway {
    /// Returns true if a proxy asks about another request.
    pub(in crate::proxy) fn is_auth_request(request: &RequestHeader) -> bool {
        is_auth_request(request.raw_path())
    }

    /// Answers a proxy that asks about a request.
    pub(in crate::proxy) async fn verify(
        &self,
        session: &mut Session,
        state: &mut RequestState,
    ) -> Result<bool> {
        let wants_401 = wants_401(session.req_header().raw_path());
        let auth = match self.auth_request(session, state) {
            Ok(auth) => auth,
            Err(rejected) => {
                let original = session.req_header().as_owned_parts().into();
                let response = self.rejection(rejected, &original, state, wants_401);
                return self.write(session, state, response).await;
            }
        };
        let response = match self.judge(&auth, state).await {
            Ok(response) => response,
            Err(Stop::Shed(limit)) => {
                state.asked = Some(asked(&auth.original, None, false));
                return self.shed(session, state, limit).await;
            }
            Err(Stop::Reject(rejected)) => {
                self.rejection(rejected, &auth.original, state, wants_401)
            }
        };
        self.write(session, state, response).await
    }

    /// Reads an auth request and finds the app that it is about.
    fn auth_request(
        &self,
        session: &Session,
        state: &mut RequestState,
    ) -> Result<AuthRequest, Rejected> {
        let request = session.req_header();
        let (peer, kind, nameless, bad_line) = match &state.connection {
            Some(known) => (known.peer, known.kind, known.nameless, known.line.is_bad()),
            None => return Err(Refused::unavailable().into()),
        };
        if nameless || !ClientIp::new(peer.ip()).is_in(&self.trusted) {
            let sentence = "Only a trusted proxy may ask here.";
            return Err(refuse(StatusCode::FORBIDDEN, "not_a_trusted_proxy", sentence).into());
        }
        let scan = vet::vet(session.as_downstream(), bad_line)?;
        let asked = OriginalRequest::of(&request.method, request.raw_path(), &request.headers);
        let asked = asked.map_err(|why| bad_auth_request(&why))?;
        let sender = sender(peer, kind, &request.headers, &self.trusted);
        if let Some(doubt) = sender.doubt {
            self.doubts.warn(doubt, peer.ip(), state.started);
        }
        let https = asked.https.unwrap_or(sender.https);
        let origin = Origin { client: sender.client, https };
        let authority = request.uri.authority().map(http::uri::Authority::as_str);
        let host = match &asked.host {
            Some(host) => host.clone(),
            None => scan.host(authority)?.to_owned(),
        };
        let port = sender.front.as_ref().and_then(|front| front.port);
        let front = Front { scheme: true, host: Some(host.as_str().into()), port };
        let site = self.site_of(&host, origin, &front, state)?;
        if app_of(request.raw_path()).is_some_and(|app| app != site.app.name().as_bytes()) {
            let why = format_args!("the host {host:?} is not one of the app that the proxy serves");
            return Err(bad_auth_request(&why));
        }
        state.arrival = Arrival::At(Arc::clone(&site));
        state.facts = scan.facts;
        let original = original(request, &asked, &host).ok_or_else(|| {
            bad_auth_request(&BadAuthRequest::Unreadable("the target of the original request"))
        })?;
        // Proxies do not hand `Upgrade` on. HAProxy makes a handshake of HTTP/2 (RFC 8441 §5) one of
        // HTTP/1.1, and adds its key later than it sends the auth request.
        let of_handshake = [header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION];
        state.facts.websocket |=
            of_handshake.iter().any(|name| original.headers.contains_key(name));
        state.facts.websocket &= original.method == Method::GET;
        // A preflight has no body, which an auth request does not show.
        state.facts.preflight = false;
        if state.facts.websocket && !site.app.websocket {
            let sentence = "This app accepts no WebSockets.";
            return Err(refuse(StatusCode::FORBIDDEN, "forbidden", sentence).into());
        }
        Ok(AuthRequest { site, original })
    }

    fn site_of(
        &self,
        host: &str,
        origin: Origin,
        front: &Front<'_>,
        state: &RequestState,
    ) -> Result<Arc<Site>, Rejected> {
        let Some(connection) = &state.connection else { return Err(Refused::unavailable().into()) };
        let load = self.load_of(connection, origin);
        let Ok(site) = Site::find(&self.apps.load(), host, origin, Some(front), load) else {
            return Err(bad_auth_request(&format_args!("no app is served at the host {host:?}")));
        };
        if !site.app.forwarded_by.includes_others() {
            let app = site.app.name();
            return Err(bad_auth_request(&format_args!("the app {app} has no forward_auth")));
        }
        Ok(Arc::new(site))
    }

    /// Decides about the original request, as the gate does about one that it forwards itself.
    async fn judge(
        &self,
        auth: &AuthRequest,
        state: &mut RequestState,
    ) -> Result<Response<Bytes>, Stop> {
        let AuthRequest { site, original } = auth;
        let decided = self.decide_at(site, original, None, state);
        self.take_in(original, state, &decided).map_err(Stop::Shed)?;
        match decided {
            Ok(Decided::Forward) => {}
            Ok(Decided::Ask(question)) => {
                self.decide_with_stores(original, state, *question).await?;
                let admitted = Ok(Decided::Forward);
                self.take_in(original, state, &admitted).map_err(Stop::Shed)?;
            }
            Err(Answer::Own | Answer::SignIn(_)) => {
                let why = "the path is one of Vestibule's own pages, which the proxy passes to us";
                return Err(cannot_pass(why).into());
            }
            Err(answer) => return Err(answer.into()),
        }
        self.permission(auth, state)
    }

    /// Returns the answer that lets an admitted request pass.
    fn permission(
        &self,
        AuthRequest { site, original }: &AuthRequest,
        state: &RequestState,
    ) -> Result<Response<Bytes>, Stop> {
        let (Some(forwarding), Some(admission)) = (state.forwarding(), state.admission()) else {
            return Err(Refused::unavailable().into());
        };
        let rewritten = forwarding.rewritten.as_deref();
        if rewritten.is_some_and(|rewritten| !may_stay(original.raw_path(), rewritten, admission)) {
            let why = "the path opens only after decoding";
            return Err(cannot_pass(why).into());
        }
        let assertion = match site.app.headers.as_deref() {
            None => Ok(None),
            Some(headers) => headers.assertion(admission, &*self.clock, state.started),
        };
        let assertion = assertion.map_err(|_logged| Refused::unavailable())?;
        Ok(pass(&site.app, admission.headers(), assertion, &original.headers))
    }

    /// Turns a rejection into the answer for the proxy, and records it.
    fn rejection(
        &self,
        rejected: Rejected,
        original: &RequestHeader,
        state: &mut RequestState,
        wants_401: bool,
    ) -> Response<Bytes> {
        let Rejected { answer, why, is_bad } = rejected;
        let refused = match answer {
            Answer::Refuse(refused) => refused,
            Answer::Own | Answer::SignIn(_) => Box::new(Refused::unavailable()),
        };
        state.refusal = Some(refused.code());
        let response = refused.response(original, state, (self.login.random(), &Parked::No));
        let page = state.site().zip(refused.page_here(original));
        let page = page.map(|(site, page)| format!("{}{page}", site.links));
        let response = reject(response, page.as_deref(), wants_401);
        let (code, sentence) = (refused.code(), refused.sentence().into());
        let summary = RefusalSummary { status: response.status(), code, sentence };
        self.note_refusal(original, state, &summary);
        state.asked = Some(asked(original, why, is_bad));
        response
    }

    /// Writes the answer without reading a body.
    async fn write(
        &self,
        session: &mut Session,
        state: &mut RequestState,
        response: Response<Bytes>,
    ) -> Result<bool> {
        let has_body = !session.is_body_empty();
        if let Some(forwarding) = state.forwarding_mut() {
            forwarding.sending.has_body = has_body;
        }
        if has_body {
            session.set_keepalive(None);
        }
        bridge::send(session, response).await?;
        Ok(true)
    }
}

/// Returns the original request: the headers of the auth request, with its own method and target.
/// Returns `None` if the target is not one that a request can have.
fn original(request: &RequestHeader, asked: &OriginalRequest, host: &str) -> Option<RequestHeader> {
    let mut parts = request.as_owned_parts();
    parts.method = asked.method.clone();
    parts.version = Version::HTTP_11;
    parts.headers.insert(header::HOST, HeaderValue::from_str(host).ok()?);
    let mut original = RequestHeader::from(parts);
    original.set_raw_path(&asked.target).ok()?;
    (original.raw_path() == asked.target).then_some(original)
}

/// Returns true if the app may get the target as the client wrote it, although the rules saw it
/// `rewritten`. A path that matched only after decoding opens nothing without both factors.
fn may_stay(raw: &[u8], rewritten: &str, admission: &Admission) -> bool {
    match admission.visitor() {
        Visitor::Full(_) | Visitor::Machine(_) => true,
        Visitor::Anonymous | Visitor::Password(_) => raw.eq_ignore_ascii_case(rewritten.as_bytes()),
    }
}
