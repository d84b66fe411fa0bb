//! The way in: from a request to an admission, to one of our pages, or to a refusal.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Method, Response, StatusCode, Version, header};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::app::App;
use super::forward::drop_spelling;
use super::gateway::Gateway;
use super::request::{Origin, RequestState, Tunnel, reference};
use super::settings::ListenerKind;
use super::site::{NoSite, Site};
use super::vet::{self, Malformed};
use super::{bridge, client, workers};
use crate::auth::ports::StoreError;
use crate::auth::token::{PlainToken, SessionToken};
use crate::gate::admission::{Admission, Decision, Visitor, decide};
use crate::gate::policy::Access;
use crate::gate::target::CanonicalTarget;
use crate::web::RequestContext;
use crate::web::cookies;
use crate::web::refusal::{Place, Refusal, wants_page};
use crate::web::return_to::ReturnTo;

/// How often a tunnel's session is looked at.
const TUNNEL_WATCH: Duration = Duration::from_secs(2);

/// Where a request goes.
enum Way {
    /// On to the app.
    Forward,
    /// To our own pages.
    Own,
    /// Nowhere.
    Refuse(Box<Refused>),
    /// That depends on whose session this is, and the store has to be asked.
    Ask(Box<Question>),
}

/// What is still to be decided once the visitor is known.
struct Question {
    token: PlainToken<SessionToken>,
    access: Access,
    rewritten: Option<String>,
}

/// A refusal, before it is written down for whoever asked.
struct Refused {
    status: StatusCode,
    code: &'static str,
    sentence: &'static str,
    retry_after: Option<Duration>,
    close: bool,
}

impl Refused {
    fn way(status: StatusCode, code: &'static str, sentence: &'static str) -> Way {
        Way::Refuse(Box::new(Self { status, code, sentence, retry_after: None, close: false }))
    }

    fn unavailable() -> Way {
        Way::Refuse(Box::new(Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "unavailable",
            sentence: "Signing in is not possible at this moment. This is not your fault; try \
                       again in a few seconds.",
            retry_after: Some(Duration::from_secs(5)),
            close: false,
        }))
    }
}

impl From<Malformed> for Way {
    fn from(why: Malformed) -> Self {
        Self::Refuse(Box::new(Refused {
            status: why.status,
            code: "bad_request",
            sentence: why.sentence,
            retry_after: None,
            close: true,
        }))
    }
}

impl Gateway {
    /// `request_filter`: true when the request has been answered here.
    pub(super) async fn admit_or_answer(
        &self,
        session: &mut Session,
        state: &mut RequestState,
    ) -> Result<bool> {
        match self.way(session, state) {
            Way::Forward => {
                drop_spelling(session.req_header_mut());
                Ok(false)
            }
            // Boxed: the futures of the rare ways would make every request's future large.
            way @ (Way::Own | Way::Refuse(_) | Way::Ask(_)) => {
                Box::pin(self.go_other_way(session, state, way)).await
            }
        }
    }

    async fn go_other_way(
        &self,
        session: &mut Session,
        state: &mut RequestState,
        way: Way,
    ) -> Result<bool> {
        let way = match way {
            Way::Ask(question) => match self.ask(session, state, *question).await {
                Ok(way) => way,
                Err(error) => {
                    tracing::error!(id = %state.id, %error, "refused because a store did not answer");
                    Refused::unavailable()
                }
            },
            Way::Forward | Way::Own | Way::Refuse(_) => way,
        };
        match way {
            Way::Forward => return Ok(false),
            Way::Own => self.answer_own(session, state).await?,
            Way::Refuse(refused) => {
                state.admission = None;
                self.refuse(session, state, &refused).await?;
            }
            Way::Ask(_) => return Err(super::forward::no_admission()),
        }
        Ok(true)
    }

    /// The way of a request, as far as it can be told without asking a store.
    fn way(&self, session: &mut Session, state: &mut RequestState) -> Way {
        let site = match self.vet(session, state) {
            Ok(site) => site,
            Err(way) => return way,
        };
        let app = &site.app;
        let request = session.req_header();
        let raw = request.raw_path();
        let target = if app.policy.has_rules() {
            CanonicalTarget::canonical(raw)
        } else {
            CanonicalTarget::verbatim(raw)
        };
        let target = match target {
            Ok(target) => target,
            Err(error) => return Malformed::from(error).into(),
        };
        if target.is_own() {
            return Way::Own;
        }
        if let Some(way) = not_for(app, request, state, target.path()) {
            return way;
        }
        let access = app.policy.access(&request.method, target.path());
        // Who asks makes no difference on a public path: it stays up when the store is down.
        if access == Access::Public {
            return settle(session, state, access, Visitor::Anonymous, target.rewritten());
        }
        let cookie =
            if state.marks.cookies { cookies::session(&request.headers) } else { Ok(None) };
        let Ok(cookie) = cookie else {
            return Malformed {
                status: StatusCode::BAD_REQUEST,
                sentence: "The request carries one of our cookies more than once.",
            }
            .into();
        };
        let Some(text) = cookie else {
            return settle(session, state, access, Visitor::Anonymous, None);
        };
        // Most requests are of a session just seen.
        if let Some(known) = self.sessions.find_seen(app.name(), text, state.started) {
            return settle(session, state, access, Visitor::Full(known), target.rewritten());
        }
        let token = std::str::from_utf8(text).ok().and_then(|t| PlainToken::parse(t, &self.keys));
        match token {
            Some(token) => {
                let rewritten = target.rewritten();
                Way::Ask(Box::new(Question { token, access, rewritten }))
            }
            None => settle(session, state, access, Visitor::Anonymous, None),
        }
    }

    async fn ask(
        &self,
        session: &Session,
        state: &mut RequestState,
        question: Question,
    ) -> std::result::Result<Way, StoreError> {
        let Question { token, access, rewritten } = question;
        let Some(site) = state.site.clone() else { return Ok(Refused::unavailable()) };
        let known = self.sessions.find(site.app.name(), &token, state.started).await?;
        let visitor = known.map_or(Visitor::Anonymous, Visitor::Full);
        Ok(settle(session, state, access, visitor, rewritten))
    }

    /// Where a request comes from and what it is for: everything that can be refused without
    /// looking anybody up.
    fn vet(
        &self,
        session: &mut Session,
        state: &mut RequestState,
    ) -> std::result::Result<Arc<Site>, Way> {
        let request = session.req_header();
        let connection = state.connection.as_ref().ok_or_else(|| {
            Refused::way(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "The gateway lost track of this connection.",
            )
        })?;
        let (peer, kind) = (connection.peer, connection.kind);
        let origin = Origin {
            client: client::address(peer, &request.headers, &self.trusted),
            https: client::is_https(peer, kind, &request.headers, &self.trusted),
        };
        state.origin = Some(origin);
        let heads = vet::vet(session.as_downstream())?;
        state.marks = heads.marks;
        // A WebSocket handshake (RFC 6455 §4.1) is one in HTTP/1.1 only.
        state.marks.websocket &= request.version == Version::HTTP_11;
        let host = heads.host(request.uri.authority().map(http::uri::Authority::as_str))?;
        let site = connection.site(&self.apps.load(), host, origin).map_err(|none| match none {
            NoSite::Malformed(why) => why.into(),
            NoSite::Unknown => Refused::way(
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected",
                "No app is served under this host name.",
            ),
        })?;
        state.site = Some(Arc::clone(&site));
        if kind == ListenerKind::Redirect {
            return Err(Refused::way(
                StatusCode::FORBIDDEN,
                "https_required",
                "Use https. Nothing was forwarded.",
            ));
        }
        Ok(site)
    }

    async fn answer_own(&self, session: &mut Session, state: &RequestState) -> Result<()> {
        let site = state.site.as_ref().ok_or_else(super::forward::no_admission)?;
        let context = RequestContext {
            app: Arc::clone(&site.app.pages),
            origin: format!("{}://{}", site.origin.scheme(), site.host()),
            client: site.origin.client,
            request_id: state.id,
        };
        bridge::serve(session, &self.pages, context).await?;
        Ok(())
    }

    async fn refuse(
        &self,
        session: &mut Session,
        state: &mut RequestState,
        refused: &Refused,
    ) -> Result<()> {
        state.refusal = Some(refused.code);
        let request = session.req_header();
        let readable = matches!(request.method, Method::GET | Method::HEAD);
        let target = String::from_utf8_lossy(request.raw_path()).into_owned();
        if refused.code == "https_required" && readable {
            let response = redirect(StatusCode::PERMANENT_REDIRECT, &https_url(state, &target));
            bridge::write(session, response).await?;
            return Ok(());
        }
        let page = wants_page(&request.method, &request.headers);
        if refused.code == "login_required" && page {
            let login = login_path(&target);
            bridge::write(session, redirect(StatusCode::SEE_OTHER, &login)).await?;
            return Ok(());
        }
        let scheme = state.origin.map_or("http", Origin::scheme);
        let origin = format!("{scheme}://{}", state.host());
        let login_url = (refused.code == "login_required").then(|| format!("{origin}/_auth/login"));
        let refusal = Refusal {
            status: refused.status,
            code: refused.code,
            sentence: refused.sentence.into(),
            reference: reference(state.id),
            retry_after: refused.retry_after,
            login_url,
        };
        if refused.close {
            session.set_keepalive(None);
        }
        let title = state.site.as_ref().map(|site| &site.app.pages.title);
        let place = title.map(|title| Place { title, origin: &origin });
        bridge::write(session, refusal.answer(page, place)).await?;
        Ok(())
    }

    /// `fail_to_proxy`: the status answered, 0 when there is nobody left to answer.
    pub(super) async fn answer_failure(
        &self,
        session: &mut Session,
        error: &Error,
        state: &mut RequestState,
    ) -> u16 {
        let silent = state.connection.as_ref().is_some_and(|c| c.app_was_silent());
        let gone = !silent
            && *error.esource() == ErrorSource::Downstream
            && matches!(
                error.etype(),
                ErrorType::WriteError
                    | ErrorType::ReadError
                    | ErrorType::ConnectionClosed
                    | ErrorType::H2Error
            );
        if gone || session.response_written().is_some() {
            return 0;
        }
        let source = if silent { &ErrorSource::Upstream } else { error.esource() };
        let kind = if silent { &ErrorType::ReadTimedout } else { error.etype() };
        let (status, code, sentence, retry) = match (kind, source) {
            (ErrorType::HTTPStatus(500), _) | (_, ErrorSource::Internal | ErrorSource::Unset) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Something went wrong in the gateway.",
                None,
            ),
            (ErrorType::ReadTimedout | ErrorType::WriteTimedout, ErrorSource::Upstream) => (
                StatusCode::GATEWAY_TIMEOUT,
                "upstream_timeout",
                "The application did not answer in time.",
                None,
            ),
            (_, ErrorSource::Upstream) => (
                StatusCode::BAD_GATEWAY,
                "upstream_unavailable",
                "The application cannot be reached at this moment.",
                Some(Duration::from_secs(5)),
            ),
            (_, ErrorSource::Downstream) => {
                (StatusCode::BAD_REQUEST, "bad_request", "The request was broken off.", None)
            }
        };
        let refused = Refused { status, code, sentence, retry_after: retry, close: true };
        match self.refuse(session, state, &refused).await {
            Ok(()) => status.as_u16(),
            Err(_) => 0,
        }
    }

    /// Ends a tunnel within seconds of its session.
    pub(super) fn watch_tunnel(&self, state: &mut RequestState) {
        let person = state.admission.as_ref().and_then(Admission::person_shared);
        let (Some(person), Some(connection), Some(site)) =
            (person, state.connection.clone(), state.site.clone())
        else {
            return;
        };
        let tunnel = Arc::new(Tunnel::default());
        state.tunnel = Some(Arc::clone(&tunnel));
        let sessions = Arc::clone(&self.sessions);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TUNNEL_WATCH);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                if tunnel.over.load(Ordering::Acquire) {
                    return;
                }
                let used = tunnel.used.swap(false, Ordering::Relaxed);
                let lives = sessions.still_lives(site.app.name(), &person, used).await;
                if !lives.unwrap_or(false) {
                    tracing::info!(session = %person.session.id, "a tunnel ends with its session");
                    connection.close();
                    return;
                }
            }
        });
    }
}

/// What the app is never asked, whoever asks.
fn not_for(app: &App, request: &RequestHeader, state: &RequestState, path: &str) -> Option<Way> {
    if !app.takes(&request.method) {
        return Some(Refused::way(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This method is not allowed here.",
        ));
    }
    let worker = state.marks.worker && !app.service_workers && workers::covers_our_pages(path);
    worker.then(|| {
        Refused::way(
            StatusCode::FORBIDDEN,
            "service_worker",
            "A service worker may not cover the sign-in pages. Serve it from below a directory.",
        )
    })
}

/// The decision, now that the visitor is known.
fn settle(
    session: &Session,
    state: &mut RequestState,
    access: Access,
    visitor: Visitor,
    rewritten: Option<String>,
) -> Way {
    match decide(access, visitor) {
        Decision::Admit(admission) => {
            if let Some(way) = foreign_websocket(session, state) {
                return way;
            }
            state.rewritten = rewritten;
            state.admission = Some(admission);
            Way::Forward
        }
        Decision::SignIn => Refused::way(
            StatusCode::UNAUTHORIZED,
            "login_required",
            "Sign in with both factors first.",
        ),
        Decision::Forbid => Refused::way(
            StatusCode::FORBIDDEN,
            "forbidden",
            "You are signed in, but this is not allowed for you.",
        ),
    }
}

/// A WebSocket handshake from another origin, or from none, is no page of the app's (RFC 6455
/// §10.2).
fn foreign_websocket(session: &Session, state: &RequestState) -> Option<Way> {
    let site = state.site.as_ref()?;
    if !site.app.websocket || !state.marks.websocket {
        return None;
    }
    let request = session.req_header();
    let own = format!("{}://{}", site.origin.scheme(), site.host());
    let mut origins = request.headers.get_all(header::ORIGIN).iter();
    let same = origins.next().is_some_and(|o| o.as_bytes().eq_ignore_ascii_case(own.as_bytes()))
        && origins.next().is_none();
    (!same).then(|| {
        Refused::way(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "A WebSocket may only be opened from a page of this host.",
        )
    })
}

fn redirect(status: StatusCode, to: &str) -> Response<bytes::Bytes> {
    let mut response = Response::new(bytes::Bytes::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Ok(to) = to.parse() {
        headers.insert(header::LOCATION, to);
    }
    headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

/// The same address by https, on the standard port: the host was checked to be one of ours.
fn https_url(state: &RequestState, target: &str) -> String {
    let host = vet::host_name(state.host()).unwrap_or_default();
    let path = if CanonicalTarget::verbatim(target.as_bytes()).is_ok() { target } else { "/" };
    format!("https://{host}{path}")
}

/// The login page, with the way back.
fn login_path(target: &str) -> String {
    let back = ReturnTo::parse(target);
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("return_to", back.as_str())
        .finish();
    format!("/_auth/login?{query}")
}
