//! The way in: from a request to an admission, to one of our pages, or to a refusal.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Method, Response, StatusCode, header};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::app::App;
use super::gateway::{Gateway, asks_for_websocket};
use super::request::{Origin, RequestState, Tunnel, reference};
use super::settings::ListenerKind;
use super::vet::{self, Malformed};
use super::{bridge, client, workers};
use crate::auth::ports::StoreError;
use crate::auth::token::{HashedToken, PlainToken, SessionToken};
use crate::gate::admission::{Admission, Decision, Visitor, decide};
use crate::gate::policy::Access;
use crate::gate::target::CanonicalTarget;
use crate::web::RequestContext;
use crate::web::cookies::OwnCookies;
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
        let way = match self.way(session, state).await {
            Ok(way) => way,
            Err(error) => {
                tracing::error!(id = %state.id, %error, "refused because a store did not answer");
                Refused::unavailable()
            }
        };
        match way {
            Way::Forward => Ok(false),
            Way::Own => {
                // Boxed: the futures of the cold ways would make every request's future large.
                Box::pin(self.answer_own(session, state)).await?;
                Ok(true)
            }
            Way::Refuse(refused) => {
                state.admission = None;
                Box::pin(self.refuse(session, state, &refused)).await?;
                Ok(true)
            }
        }
    }

    async fn way(
        &self,
        session: &mut Session,
        state: &mut RequestState,
    ) -> std::result::Result<Way, StoreError> {
        let app = match self.vet(session, state) {
            Ok(app) => app,
            Err(way) => return Ok(way),
        };
        let request = session.req_header();
        let raw = request.raw_path();
        let target = if app.policy.has_rules() {
            CanonicalTarget::canonical(raw)
        } else {
            CanonicalTarget::verbatim(raw)
        };
        let target = match target {
            Ok(target) => target,
            Err(error) => return Ok(Malformed::from(error).into()),
        };
        if target.is_own() {
            return Ok(Way::Own);
        }
        if let Some(way) = not_for(&app, request, target.path()) {
            return Ok(way);
        }
        let access = app.policy.access(&request.method, target.path());
        let rewritten = target.rewritten();
        // Who asks makes no difference on a public path: it stays up when the store is down.
        let visitor = if access == Access::Public {
            Visitor::Anonymous
        } else {
            match self.visitor(session, &app).await? {
                Ok(visitor) => visitor,
                Err(way) => return Ok(way),
            }
        };
        match decide(access, visitor) {
            Decision::Admit(admission) => {
                if let Some(way) = foreign_websocket(session, state, &app) {
                    return Ok(way);
                }
                state.rewritten = rewritten;
                state.admission = Some(admission);
                Ok(Way::Forward)
            }
            Decision::SignIn => Ok(Refused::way(
                StatusCode::UNAUTHORIZED,
                "login_required",
                "Sign in with both factors first.",
            )),
            Decision::Forbid => Ok(Refused::way(
                StatusCode::FORBIDDEN,
                "forbidden",
                "You are signed in, but this is not allowed for you.",
            )),
        }
    }

    /// Who asks and what for: everything that can be refused without looking anybody up.
    fn vet(
        &self,
        session: &mut Session,
        state: &mut RequestState,
    ) -> std::result::Result<Arc<App>, Way> {
        let request = session.req_header();
        let peer = state.connection.as_ref().map(|c| (c.peer, c.kind));
        let (peer, kind) = peer.ok_or_else(|| {
            Refused::way(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "The gateway lost track of this connection.",
            )
        })?;
        state.origin = Some(Origin {
            client: client::address(peer, &request.headers, &self.trusted),
            https: client::is_https(peer, kind, &request.headers, &self.trusted),
        });
        vet::vet(session.as_downstream())?;
        let host =
            vet::host(&request.headers, request.uri.authority().map(http::uri::Authority::as_str))?;
        let name = vet::host_name(&host)?;
        state.host = host;
        let app = self.apps.load().by_host(&name).cloned().ok_or_else(|| {
            Refused::way(
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected",
                "No app is served under this host name.",
            )
        })?;
        state.app = Some(Arc::clone(&app));
        if kind == ListenerKind::Redirect {
            return Err(Refused::way(
                StatusCode::FORBIDDEN,
                "https_required",
                "Use https. Nothing was forwarded.",
            ));
        }
        Ok(app)
    }

    async fn visitor(
        &self,
        session: &Session,
        app: &Arc<App>,
    ) -> std::result::Result<std::result::Result<Visitor, Way>, StoreError> {
        let headers = &session.req_header().headers;
        if !headers.contains_key(header::COOKIE) {
            return Ok(Ok(Visitor::Anonymous));
        }
        let Ok(own) = OwnCookies::read(headers) else {
            return Ok(Err(Malformed {
                status: StatusCode::BAD_REQUEST,
                sentence: "The request carries one of our cookies more than once.",
            }
            .into()));
        };
        let Some(text) = own.session else { return Ok(Ok(Visitor::Anonymous)) };
        // Most requests are of a session just seen: for them the tag need not be computed.
        let fresh = HashedToken::<SessionToken>::of_text(&text, &self.keys)
            .and_then(|hashed| self.sessions.find_fresh(app.name(), &hashed));
        if let Some(known) = fresh {
            return Ok(Ok(Visitor::Full(known)));
        }
        let token = PlainToken::<SessionToken>::parse(&text, &self.keys);
        let Some(token) = token else { return Ok(Ok(Visitor::Anonymous)) };
        let known = self.sessions.find(app.name(), token.hashed()).await?;
        Ok(Ok(known.map_or(Visitor::Anonymous, Visitor::Full)))
    }

    async fn answer_own(&self, session: &mut Session, state: &RequestState) -> Result<()> {
        let (Some(app), Some(origin)) = (&state.app, state.origin) else {
            return Err(super::forward::no_admission());
        };
        let scheme = if origin.https { "https" } else { "http" };
        let context = RequestContext {
            app: Arc::clone(&app.pages),
            origin: format!("{scheme}://{}", state.host),
            client: origin.client,
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
        let https = state.origin.is_some_and(|o| o.https);
        let scheme = if https { "https" } else { "http" };
        let login_url = (refused.code == "login_required")
            .then(|| format!("{scheme}://{}/_auth/login", state.host));
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
        let origin = format!("{scheme}://{}", state.host);
        let place =
            state.app.as_ref().map(|app| Place { title: &app.pages.title, origin: &origin });
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
        let gone = *error.esource() == ErrorSource::Downstream
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
        let (status, code, sentence, retry) = match (error.etype(), error.esource()) {
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
        let (Some(person), Some(connection), Some(app)) =
            (person, state.connection.clone(), state.app.clone())
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
                let lives = sessions.still_lives(app.name(), &person, used).await;
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
fn not_for(app: &App, request: &RequestHeader, path: &str) -> Option<Way> {
    if !app.takes(&request.method) {
        return Some(Refused::way(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This method is not allowed here.",
        ));
    }
    let worker = !app.service_workers && workers::covers_our_pages(&request.headers, path);
    worker.then(|| {
        Refused::way(
            StatusCode::FORBIDDEN,
            "service_worker",
            "A service worker may not cover the sign-in pages. Serve it from below a directory.",
        )
    })
}

/// A WebSocket handshake from another origin, or from none, is no page of the app's (RFC 6455
/// §10.2).
fn foreign_websocket(session: &Session, state: &RequestState, app: &App) -> Option<Way> {
    let request = session.req_header();
    if !app.websocket || !asks_for_websocket(request) {
        return None;
    }
    let scheme = if state.origin?.https { "https" } else { "http" };
    let own = format!("{scheme}://{}", state.host);
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
    let host = vet::host_name(&state.host).unwrap_or_default();
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
