//! The way in: from a request to an admission, to one of our pages, or to a refusal.

use http::{Method, StatusCode};
use pingora_error::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::foreign_origin::foreign_websocket;
use super::own_token;
use super::take_in::hang_up;
use super::vet::Malformed;
use super::visitor::Held;
use super::way::{Question, Way, refuse};
use crate::auth::ports::Stored;
use crate::gate::admission::{Decision, Visitor, decide};
use crate::gate::policy::{NoTrace, Outcome, Ruling};
use crate::proxy::app::App;
use crate::proxy::dialect::in_dialect::{in_dialect, leave_out};
use crate::proxy::gateway::Gateway;
use crate::proxy::gateway::phase::{Phase, unanswered};
use crate::proxy::request::RequestState;
use crate::proxy::respond::refused::Refused;
use crate::proxy::rewrite::forward::drop_spelling;
use crate::proxy::rewrite::workers;
use crate::web::cookies::DuplicateCookie;

impl Gateway {
    /// `request_filter`: true when the request has been answered here.
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
                    tracing::error!(id = %state.id, %error, "refused because a store did not answer");
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

    /// The way of a request, as far as it can be told without asking a store.
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
        if let Some(way) = not_for(app, request, state, target.forwarded.path()) {
            return way;
        }
        let mut asked = site.asked(&request.method, target.path());
        asked.preflight = state.bodiless && app.answers.passes(&request.method, &request.headers);
        let first = app.policy.first(&asked, &mut NoTrace);
        let rewritten = || target.forwarded.rewritten();
        // Who asks makes no difference on a public path: it stays up when the store is down.
        let found = match in_dialect(app, request, state, first, &asked) {
            Ok(found) => found,
            Err(way) => return way,
        };
        if let Some(ruling) = app.policy.public(first) {
            if let Some(way) = leave_out(state, found.as_ref()) {
                return way;
            }
            return settle(session, state, ruling, Visitor::Anonymous, rewritten());
        }
        if state.marks.token
            && let Some(refused) = own_token::beside_session(request, only_cookie)
        {
            return refused.into();
        }
        let visitor = match self.visitor(&site, request, only_cookie, state) {
            Ok(Ok(visitor)) if self.is_settled(app, found.as_ref(), &visitor) => visitor,
            Ok(asked) => {
                let token = asked.map_or_else(|held| held, Held::Known);
                let (path, rewritten) = (target.path().map(str::to_owned), rewritten());
                return Way::Ask(Box::new(Question { token, path, first, rewritten, found }));
            }
            Err(DuplicateCookie(_)) => {
                return Malformed {
                    status: StatusCode::BAD_REQUEST,
                    sentence: "The request carries one of our cookies more than once.",
                }
                .into();
            }
        };
        let reports = &mut state.reports;
        let ruling = app.policy.ruling(first, &asked, visitor.who(), &*self.clock, reports);
        if ruling.outcome == Outcome::Public
            && let Some(way) = leave_out(state, found.as_ref())
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
        let Question { token, path, first, rewritten, found } = question;
        let Some(site) = state.site.clone() else { return Ok(Refused::unavailable().into()) };
        let policy = &site.app.policy;
        let request = session.req_header();
        let mut asked = site.asked(&request.method, path.as_deref());
        asked.preflight =
            site.app.answers.passes(&request.method, &request.headers) && state.bodiless;
        let found_visitor = match self.with_token_weighed(&site, request, state, token).await {
            Ok(Ok(held)) => self.find(site.app.name(), held, state.started).await,
            Ok(Err(refused)) => return Ok(refused.into()),
            Err(error) => Err(error),
        };
        let visitor = match found_visitor {
            Ok(visitor) => visitor,
            // Whom rules that do not act would have let in is then not known; the rest is public.
            Err(error) => match policy.public_without_reports(first, &asked) {
                Some(ruling) => {
                    if let Some(way) = leave_out(state, found.as_ref()) {
                        return Ok(way);
                    }
                    return Ok(settle(session, state, ruling, Visitor::Anonymous, rewritten));
                }
                None => return Err(error),
            },
        };
        let weighed = self.with_credentials_weighed(&site, request, state, visitor, found.as_ref());
        let visitor = match weighed.await? {
            Ok(visitor) => visitor,
            Err(refused) => return Ok(refused.into()),
        };
        let reports = &mut state.reports;
        let ruling = policy.ruling(first, &asked, visitor.who(), &*self.clock, reports);
        if ruling.outcome == Outcome::Public
            && let Some(way) = leave_out(state, found.as_ref())
        {
            return Ok(way);
        }
        Ok(settle(session, state, ruling, visitor, rewritten))
    }
}

/// What the app is never asked, whoever asks.
fn not_for(app: &App, request: &RequestHeader, state: &RequestState, path: &str) -> Option<Way> {
    if !app.takes(&request.method) {
        return Some(Refused::method(&request.method).into());
    }
    let worker = state.marks.worker && !app.service_workers && workers::covers_our_pages(path);
    worker.then(|| {
        refuse(
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
    ruling: Ruling,
    visitor: Visitor,
    rewritten: Option<String>,
) -> Way {
    state.ruling = Some(ruling);
    if matches!(ruling.outcome, Outcome::SignIn | Outcome::StepUp | Outcome::Forbid) {
        state.refused = Some(visitor.clone());
    }
    if ruling.outcome == Outcome::StepUp && matches!(visitor, Visitor::Machine(_)) {
        let sentence = "This needs a code that a person typed recently: no token stands for that.";
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
            "This needs a code from your authenticator app that was typed more recently.",
        ),
        Decision::Forbid => refuse(
            StatusCode::FORBIDDEN,
            "forbidden",
            "You are signed in, but this is not allowed for you.",
        ),
    }
}
