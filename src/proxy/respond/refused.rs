//! Rejections, as a page, as JSON or as a redirect.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::bridge;
use super::sent_form::{self, Parked};
use crate::base::random::Random;
use crate::gate::admission::Visitor;
use crate::gate::evaluate::{Denial, allowed};
use crate::gate::target::CanonicalTarget;
use crate::proxy::admit::vet::Malformed;
use crate::proxy::answered::is_final;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::{Fate, RequestState};
use crate::proxy::upstream::outcome::ALL_OUT;
use crate::web::back::Back;
use crate::web::cookies;
use crate::web::portal::{Detour, flow};
use crate::web::refusal::{NOT_CHECKED, Place, Refusal, RefusalSummary, wants_page};

/// Maximum `Retry-After` for scripts.
const SOON: Duration = Duration::from_secs(1);

/// A rejection, before its format is chosen.
pub(in crate::proxy) struct Refused {
    status: StatusCode,
    code: &'static str,
    sentence: &'static str,
    retry_after: Option<Duration>,
    /// True if only a passkey or security key will do.
    key: bool,
    close: bool,
}

impl From<Malformed> for Refused {
    fn from(why: Malformed) -> Self {
        Self { close: true, ..Self::new(why.status, "bad_request", why.sentence) }
    }
}

impl From<Denial> for Refused {
    fn from(why: Denial) -> Self {
        let key = why == Denial::UseKey;
        Self { key, ..Self::new(why.status(), why.code(), why.sentence()) }
    }
}

impl Refused {
    pub(in crate::proxy) fn new(
        status: StatusCode,
        code: &'static str,
        sentence: &'static str,
    ) -> Self {
        Self { status, code, sentence, retry_after: None, key: false, close: false }
    }

    /// Returns the rejection for a store failure.
    pub(in crate::proxy) fn unavailable() -> Self {
        let sentence = "Signing in isn't possible right now. It's not your fault.";
        let retry_after = Some(Duration::from_secs(5));
        Self { retry_after, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", sentence) }
    }

    /// Returns the rejection for an app that does not respond.
    pub(in crate::proxy) fn app_silent() -> Self {
        let sentence = "The application can't be reached right now.";
        let retry_after = Some(Duration::from_secs(5));
        let new = Self::new(StatusCode::BAD_GATEWAY, "upstream_unavailable", sentence);
        Self { retry_after, ..new }
    }

    /// Returns the rejection of a method.
    pub(in crate::proxy) fn method(method: &Method) -> Self {
        // Arbitrary bytes may follow CONNECT.
        Self { close: *method == Method::CONNECT, ..Denial::Method.into() }
    }

    /// Returns the rejection for an overload.
    pub(in crate::proxy) fn overloaded() -> Self {
        let sentence = "The gateway is overloaded. Try again in a few seconds.";
        let new = Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", sentence);
        Self { retry_after: Some(Duration::from_secs(2)), ..new }
    }

    /// Returns the rejection for too many failed attempts.
    pub(in crate::proxy) fn too_many(wait: Duration) -> Self {
        let new = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", "Too many attempts.");
        Self { retry_after: Some(wait), ..new }
    }

    /// Returns its code.
    pub(in crate::proxy) fn code(&self) -> &'static str {
        self.code
    }

    /// Returns its message.
    pub(in crate::proxy) fn sentence(&self) -> &'static str {
        self.sentence
    }

    /// Writes the rejection.
    pub(in crate::proxy) async fn answer(
        &self,
        gateway: &Gateway,
        session: &mut Session,
        state: &mut RequestState,
    ) -> Result<()> {
        state.refusal = Some(self.code);
        let parked = match self.code {
            "login_required" | "step_up_required" => gateway.park(session, state, self.code).await,
            _ => Parked::No,
        };
        let mut response =
            self.response(session.req_header(), state, (gateway.login.random(), &parked));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            let extra = state.site().map_or(&[][..], |site| site.app.rules().extra_methods);
            if let Ok(methods) = HeaderValue::try_from(allowed(extra)) {
                response.headers_mut().insert(header::ALLOW, methods);
            }
        }
        if let Parked::Stored(Some(cookie)) = parked {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        let summary = RefusalSummary {
            status: response.status(),
            code: self.code,
            sentence: self.sentence.into(),
        };
        // Redirects to HTTPS and preflight responses are not recorded.
        if !matches!(summary.status, StatusCode::PERMANENT_REDIRECT | StatusCode::NO_CONTENT) {
            gateway.note_refusal(session.req_header(), state, &summary);
        }
        if self.close {
            session.set_keepalive(None);
        }
        bridge::write(session, response).await?;
        Ok(())
    }

    /// Returns Vestibule's page that asks for the missing proof.
    fn own_page(&self) -> Option<&'static str> {
        match self.code {
            "login_required" => Some("/_auth/login"),
            "step_up_required" if self.key => Some("/_auth/step-up?with=key"),
            "step_up_required" => Some("/_auth/step-up"),
            _ => None,
        }
    }

    /// Returns the path and query of the page at the app's own host that asks for what is missing, and
    /// leads back to `request`.
    pub(in crate::proxy) fn page_here(&self, request: &RequestHeader) -> Option<String> {
        let target = String::from_utf8_lossy(request.raw_path());
        self.own_page().map(|page| and_back(page, &target))
    }

    /// Returns the rejection of `request`.
    pub(in crate::proxy) fn response(
        &self,
        request: &RequestHeader,
        state: &RequestState,
        (random, parked): (&dyn Random, &Parked),
    ) -> Response<Bytes> {
        let readable = matches!(request.method, Method::GET | Method::HEAD);
        let raw = request.raw_path();
        let target = String::from_utf8_lossy(raw);
        let answers = state.site().map(|site| &site.app.answers);
        let api = answers.is_some_and(|answers| answers.is_api(raw));
        if self.code == "https_required" && readable && !api {
            return redirect(StatusCode::PERMANENT_REDIRECT, &https_url(state, &target));
        }
        // The client of an access token is a program, whatever it accepts.
        let page =
            !api && !state.facts.access_token && wants_page(&request.method, &request.headers);
        let own_page = self.own_page();
        let detour = state.site().and_then(|site| site.detour.as_deref());
        if let Some(own_page) = own_page.filter(|_| page && readable) {
            return match detour {
                Some(detour) => to_portal(detour, (own_page, &target), request, random),
                None => redirect(StatusCode::SEE_OTHER, &and_back(own_page, &target)),
            };
        }
        let https = state.is_https();
        if self.code == "login_required"
            && let Some(answers) = answers
            && let Some(preflight) = answers.preflight(&request.method, &request.headers, https)
        {
            return preflight;
        }
        let site = state.site();
        let links = site.map_or("", |site| &site.links);
        let url = |code| {
            let page = own_page.filter(|_| self.code == code)?;
            Some(match detour {
                Some(detour) => with_key(detour.to(path_of(page), &Back::root(), None), page),
                None => format!("{links}{page}"),
            })
        };
        // Clients retry an unreachable app soon. An attempt limit keeps its full time.
        let soon = api && self.status != StatusCode::TOO_MANY_REQUESTS;
        let mut refusal = Refusal {
            retry_after: self.retry_after.map(|wait| if soon { wait.min(SOON) } else { wait }),
            login_url: url("login_required"),
            step_up_url: url("step_up_required"),
            signed_in: matches!(state.fate, Fate::Denied(Visitor::Full(_))),
            ..Refusal::new(self.status, self.code, self.sentence, state.id.reference())
        };
        if self.code == "unavailable" && holds_session(request) {
            refusal.sentence = NOT_CHECKED.into();
        }
        if page && !readable {
            let here = site.map(|site| &site.page);
            let https = || https_url(state, "/");
            sent_form::explain(&mut refusal, request, (here, own_page), https, parked);
        } else {
            sent_form::mention(&mut refusal, parked);
        }
        let place =
            site.map(|site| Place { title: &site.app.pages.title, origin: &site.page_text });
        let Some(answers) = answers else { return refusal.answer(page, place) };
        let mut response = refusal.answer_in(page, place, &answers.errors);
        answers.let_read(response.headers_mut(), &request.headers);
        response
    }
}

/// Returns true if the browser has a session cookie.
fn holds_session(request: &RequestHeader) -> bool {
    matches!(cookies::session(&request.headers, None), Ok(Some(_)))
}

/// Implements `fail_to_proxy`: returns the status of the response, or 0 if the client is gone.
pub(in crate::proxy) async fn answer_failure(
    gateway: &Gateway,
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
    let answered = session.response_written().is_some_and(|a| is_final(a.status));
    if gone || answered {
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
            "The application did not respond in time.",
            None,
        ),
        (kind, ErrorSource::Upstream) if *kind == ALL_OUT || all_out(state) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "upstream_unavailable",
            "The application can't be reached right now.",
            Some(Duration::from_secs(5)),
        ),
        (_, ErrorSource::Upstream) => (
            StatusCode::BAD_GATEWAY,
            "upstream_unavailable",
            "The application can't be reached right now.",
            Some(Duration::from_secs(5)),
        ),
        (_, ErrorSource::Downstream) => {
            (StatusCode::BAD_REQUEST, "bad_request", "The request was cut off.", None)
        }
    };
    let refused = Refused { status, code, sentence, retry_after: retry, key: false, close: true };
    match refused.answer(gateway, session, state).await {
        Ok(()) => status.as_u16(),
        Err(_) => 0,
    }
}

/// Returns true if the app has several addresses and none answers.
fn all_out(state: &RequestState) -> bool {
    state.site().is_some_and(|site| site.app.upstream.all_out())
}

fn redirect(status: StatusCode, to: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Ok(to) = to.parse() {
        headers.insert(header::LOCATION, to);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Redirects to a page of the portal, which leads back to the target. Sets the cookie that the way back
/// needs, if the browser has none.
fn to_portal(
    detour: &Detour,
    (page, target): (&str, &str),
    request: &RequestHeader,
    random: &dyn Random,
) -> Response<Bytes> {
    let Ok((hash, cookie)) = flow(&request.headers, random) else {
        return redirect(StatusCode::SEE_OTHER, &and_back(page, target));
    };
    let url = detour.to(path_of(page), &Back::of_target(target), Some(&hash));
    let mut response = redirect(StatusCode::SEE_OTHER, &with_key(url, page));
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(cookie) = cookie {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Returns the path of one of Vestibule's pages, without its query.
fn path_of(page: &str) -> &str {
    page.split('?').next().unwrap_or(page)
}

/// Adds to a URL of the portal that only a key will do, if `page` says so.
fn with_key(url: String, page: &str) -> String {
    if page.ends_with("?with=key") { url + "&with=key" } else { url }
}

/// Returns the HTTPS URL of the request. The host was validated against the configured ones.
fn https_url(state: &RequestState, target: &str) -> String {
    let links = state.site().map_or("", |site| &site.links);
    let place = links.split_once("://").map_or("", |(_, place)| place);
    let path = if CanonicalTarget::verbatim(target.as_bytes()).is_ok() { target } else { "/" };
    format!("https://{place}{path}")
}

/// Returns the URL of one of our own pages, with the target to return to.
fn and_back(page: &str, target: &str) -> String {
    Back::of_target(target).on(page)
}
