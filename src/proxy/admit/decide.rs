//! Request admission: decides between the app, one of our own pages, and a rejection.

use http::{Method, StatusCode};
use pingora_error::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::foreign_origin::foreign_websocket;
use super::own_token;
use super::take_in::hang_up;
use super::vet::Malformed;
use super::visitor::Presented;
use super::way::{Question, Way, refuse};
use crate::auth::ports::Stored;
use crate::gate::admission::{Decision, Visitor, decide};
use crate::gate::policy::{NoTrace, Outcome, Ruling};
use crate::proxy::app::App;
use crate::proxy::dialect::in_dialect::{in_dialect, omit_credentials};
use crate::proxy::gateway::Gateway;
use crate::proxy::gateway::phase::{Phase, unanswered};
use crate::proxy::request::RequestState;
use crate::proxy::respond::refused::Refused;
use crate::proxy::rewrite::forward::drop_spelling;
use crate::proxy::rewrite::workers;
use crate::web::cookies::DuplicateCookie;

impl Gateway {
    /// Implements `request_filter`: resolves to true if the gateway has answered the request.
    pub(in crate::proxy) fn admit_or_answer<'f>(
        &'f self,
        session: &'f mut Session,
        state: &'f mut RequestState,
    ) -> Phase<'f, Result<bool>> {
        if session.req_header().method == Method::OPTIONS {
            state.bodiless = session.is_body_empty();
        }
        let way = self.way(session, state);
        match self.take_in(session.req_header(), state, way) {
            Way::Forward => {
                drop_spelling(session.req_header_mut());
                unanswered()
            }
            way @ (Way::Own | Way::SignIn(_) | Way::Refuse(_) | Way::HangUp | Way::Ask(_)) => {
                Box::pin(self.go_other_way(session, state, way))
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
                Ok(Way::Forward) => self.take_in(session.req_header(), state, Way::Forward),
                Ok(way) => way,
                Err(error) => {
                    tracing::error!(id = %state.id, %error, "request rejected: a store failed");
                    Refused::unavailable().into()
                }
            },
            Way::Forward | Way::Own | Way::SignIn(_) | Way::Refuse(_) | Way::HangUp => way,
        };
        match way {
            Way::Forward => return Ok(false),
            Way::Own => self.answer_own(session, state).await?,
            Way::SignIn(policy) => self.sign_in_by_app(session, state, policy).await?,
            Way::Refuse(refused) => {
                state.admission = None;
                refused.answer(self, session, state).await?;
            }
            Way::HangUp => return hang_up(state),
            Way::Ask(_) => return Err(crate::proxy::rewrite::forward::no_admission()),
        }
        Ok(true)
    }

    /// Decides as far as possible without a store call.
    fn way(&self, session: &Session, state: &mut RequestState) -> Way {
        let (site, only_cookie) = match self.vet(session, state) {
            Ok(vetted) => vetted,
            Err(way) => return way,
        };
        let app = &site.app;
        let request = session.req_header();
        let target = match app.policy.target_of(request.raw_path(), request.uri.path_and_query()) {
            Ok(target) => target,
            Err(error) => return Malformed::from(error).into(),
        };
        if target.forwarded.is_own() {
            return Way::Own;
        }
        if let Some(way) = reject_for_app(app, request, state, target.forwarded.path()) {
            return way;
        }
        let mut asked = site.asked(&request.method, target.path());
        asked.preflight = state.bodiless && app.answers.passes(&request.method, &request.headers);
        let first = app.policy.first(&asked, &mut NoTrace);
        let rewritten = || target.forwarded.rewritten();
        // A public path ignores the visitor, so it stays up during a store outage.
        let found = match in_dialect(app, request, state, first, &asked) {
            Ok(found) => found,
            Err(way) => return way,
        };
        if let Some(ruling) = app.policy.public(first) {
            if let Some(way) = omit_credentials(state, found.as_ref()) {
                return way;
            }
            return settle(session, state, ruling, Visitor::Anonymous, rewritten());
        }
        if state.facts.access_token
            && let Some(refused) = own_token::beside_session(request, only_cookie)
        {
            return refused.into();
        }
        let visitor = match self.visitor(&site, request, only_cookie, state) {
            Ok(Ok(visitor)) if self.is_settled(app, found.as_ref(), &visitor) => visitor,
            Ok(asked) => {
                let presented = asked.map_or_else(|presented| presented, Presented::Known);
                let (path, rewritten) = (target.path().map(str::to_owned), rewritten());
                return Way::Ask(Box::new(Question { presented, path, first, rewritten, found }));
            }
            Err(DuplicateCookie(_)) => {
                return Malformed {
                    status: StatusCode::BAD_REQUEST,
                    sentence: "The request has a Vestibule cookie more than once.",
                }
                .into();
            }
        };
        let reports = &mut state.reports;
        let ruling = app.policy.ruling(first, &asked, visitor.who(), &*self.clock, reports);
        if ruling.outcome == Outcome::Public
            && let Some(way) = omit_credentials(state, found.as_ref())
        {
            return way;
        }
        settle(session, state, ruling, visitor, rewritten())
    }

    async fn ask(
        &self,
        session: &Session,
        state: &mut RequestState,
        question: Question,
    ) -> Stored<Way> {
        let Question { presented, path, first, rewritten, found } = question;
        let Some(site) = state.site.clone() else { return Ok(Refused::unavailable().into()) };
        let policy = &site.app.policy;
        let request = session.req_header();
        let mut asked = site.asked(&request.method, path.as_deref());
        asked.preflight =
            site.app.answers.passes(&request.method, &request.headers) && state.bodiless;
        let found_visitor = match self.with_token_verified(&site, request, state, presented).await {
            Ok(Ok(presented)) => self.find(site.app.name(), presented, state.started).await,
            Ok(Err(refused)) => return Ok(refused.into()),
            Err(error) => Err(error),
        };
        let visitor = match found_visitor {
            Ok(visitor) => visitor,
            // Without a visitor, report-only rules cannot be evaluated. Public paths stay up.
            Err(error) => match policy.public_without_reports(first, &asked) {
                Some(ruling) => {
                    if let Some(way) = omit_credentials(state, found.as_ref()) {
                        return Ok(way);
                    }
                    return Ok(settle(session, state, ruling, Visitor::Anonymous, rewritten));
                }
                None => return Err(error),
            },
        };
        let verdict =
            self.with_credentials_verified(&site, request, state, visitor, found.as_ref());
        let visitor = match verdict.await? {
            Ok(visitor) => visitor,
            Err(refused) => return Ok(refused.into()),
        };
        let reports = &mut state.reports;
        let ruling = policy.ruling(first, &asked, visitor.who(), &*self.clock, reports);
        if ruling.outcome == Outcome::Public
            && let Some(way) = omit_credentials(state, found.as_ref())
        {
            return Ok(way);
        }
        Ok(settle(session, state, ruling, visitor, rewritten))
    }
}

/// Rejects requests that the app never receives, from any visitor.
fn reject_for_app(
    app: &App,
    request: &RequestHeader,
    state: &RequestState,
    path: &str,
) -> Option<Way> {
    if !app.takes(&request.method) {
        return Some(Refused::method(&request.method).into());
    }
    let worker =
        state.facts.service_worker && !app.service_workers && workers::covers_our_pages(path);
    worker.then(|| {
        refuse(
            StatusCode::FORBIDDEN,
            "service_worker",
            "A service worker may not cover the sign-in pages. Serve it from a subdirectory.",
        )
    })
}

/// Applies the ruling for a known visitor.
fn settle(
    session: &Session,
    state: &mut RequestState,
    ruling: Ruling,
    visitor: Visitor,
    rewritten: Option<String>,
) -> Way {
    state.ruling = Some(ruling);
    if matches!(ruling.outcome, Outcome::SignIn | Outcome::StepUp | Outcome::Forbid) {
        state.refused = Some(visitor.clone());
    }
    if ruling.outcome == Outcome::StepUp && matches!(visitor, Visitor::Machine(_)) {
        let sentence = "This needs a recent code from a person. A token can't provide one.";
        return refuse(StatusCode::FORBIDDEN, "forbidden", sentence);
    }
    match decide(ruling.outcome, visitor) {
        Decision::Admit(admission) => {
            if let Some(way) = foreign_websocket(session, state, &admission) {
                return way;
            }
            state.rewritten = rewritten;
            state.admission = Some(admission);
            Way::Forward
        }
        Decision::SignIn => {
            refuse(StatusCode::UNAUTHORIZED, "login_required", "Sign in with both factors first.")
        }
        Decision::StepUp => refuse(
            StatusCode::UNAUTHORIZED,
            "step_up_required",
            "This needs a more recent code from your authenticator app.",
        ),
        Decision::Forbid => refuse(
            StatusCode::FORBIDDEN,
            "forbidden",
            "You're signed in, but you don't have access to this page.",
        ),
    }
}
