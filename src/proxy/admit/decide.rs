//! Request admission: decides between the app, one of our own pages, and a rejection.
//!
//! Read from top to bottom, this is the way of a request: [`Gateway::decide`] goes as far as it gets
//! without a store call, [`Gateway::decide_with_stores`] goes the rest of the way, and [`settle`]
//! ends both.

use http::{HeaderValue, Method, StatusCode};
use pingora_error::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::own_token::not_beside_session;
use super::site::Site;
use super::unidentified::Unidentified;
use super::visitor::Presented;
use super::way::{Answer, Changes, Decided, Question, refuse};
use crate::gate::admission::{Visitor, admit};
use crate::gate::evaluate::{Route, Verdict};
use crate::gate::path::RulePath;
use crate::gate::policy::NoTrace;
use crate::proxy::dialect::in_dialect::carried;
use crate::proxy::gateway::Gateway;
use crate::proxy::gateway::phase::{Phase, unanswered};
use crate::proxy::request::{Fate, Forwarding, RequestState};
use crate::proxy::respond::refused::Refused;
use crate::proxy::rewrite::forward::drop_spelling;
use crate::proxy::rewrite::omitted::Omitted;
use crate::proxy::settings::ForwardedBy;

impl Gateway {
    /// Implements `request_filter`: resolves to true if the gateway has answered the request.
    pub(in crate::proxy) fn admit_or_answer<'f>(
        &'f self,
        session: &'f mut Session,
        state: &'f mut RequestState,
    ) -> Phase<'f, Result<bool>> {
        // Pingora's look at the body needs the session to itself.
        let bodiless = session.req_header().method == Method::OPTIONS && session.is_body_empty();
        let decided = self.decide(session, state, bodiless);
        if decided.is_err() && Self::is_auth_request(session.req_header()) {
            return Box::pin(self.verify(session, state));
        }
        if let Err(limit) = self.take_in(session.req_header(), state, &decided) {
            return Box::pin(self.shed(session, state, limit));
        }
        match decided {
            Ok(Decided::Forward) => {
                drop_spelling(session.req_header_mut());
                unanswered()
            }
            Ok(Decided::Ask(question)) => Box::pin(self.ask(session, state, question)),
            Err(answer) => Box::pin(self.answer(session, state, answer)),
        }
    }

    /// Decides as far as possible without a store call.
    pub(super) fn decide(
        &self,
        session: &Session,
        state: &mut RequestState,
        bodiless: bool,
    ) -> Result<Decided, Answer> {
        let (site, only_cookie) = self.vet(session, state)?;
        let request = session.req_header();
        state.facts.preflight =
            bodiless && site.app.answers.passes(&request.method, &request.headers);
        if site.app.forwarded_by == ForwardedBy::Others {
            return Err(not_forwarded_here(&site, request));
        }
        self.decide_at(&site, request, only_cookie, state)
    }

    /// Decides about a request to this site as far as possible without a store call.
    pub(in crate::proxy) fn decide_at(
        &self,
        site: &Site,
        request: &RequestHeader,
        only_cookie: Option<&HeaderValue>,
        state: &mut RequestState,
    ) -> Result<Decided, Answer> {
        let app = &site.app;
        let target = app.policy.target_of(request.raw_path(), request.uri.path_and_query())?;
        if app.is_portal() {
            return Err(Answer::Own);
        }
        state.counts = app.counts(&target);
        let carried = carried(app, request, &target);
        let credentials = carried.as_ref().map(|carried| &carried.credentials);
        let facts = site.facts(request, state.facts, target.path(), credentials);
        let rules = app.rules();
        let first = match rules.route(&target, &facts, &mut NoTrace) {
            Route::App(first) => first,
            Route::Own => return Err(Answer::Own),
            Route::AppSignIn(policy) => return Err(Answer::SignIn(policy)),
            Route::Deny(why) => return Err(why.into()),
        };
        // A public path ignores the visitor, so it stays up during a store outage.
        if let Some(verdict) = rules.public(first, &facts) {
            let changes = Changes::new(target.forwarded.rewritten(), carried);
            return settle(state, verdict, Visitor::Anonymous, changes).map(|()| Decided::Forward);
        }
        let presented = match self.presented(site, request, only_cookie, state) {
            Ok(presented) => presented,
            Err(answer) => {
                // A report-only rule before a public one must not change the result.
                let public = rules.public_without_reports(first, &facts).ok_or(answer)?;
                let changes = Changes::new(target.forwarded.rewritten(), carried);
                let admitted = settle(state, public, Visitor::Anonymous, changes);
                return admitted.map(|()| Decided::Forward);
            }
        };
        let visitor = match presented {
            Presented::Known(visitor) if self.is_settled(app, carried.as_ref(), &visitor) => {
                visitor
            }
            presented @ (Presented::Known(_)
            | Presented::Session(..)
            | Presented::Login(_)
            | Presented::Token) => {
                let changes = Changes::new(target.forwarded.rewritten(), carried);
                let path = target.path().map(RulePath::to_static);
                return Ok(Decided::Ask(Box::new(Question { presented, path, first, changes })));
            }
        };
        let reports = &mut state.reports;
        let verdict = rules.verdict(first, &facts, visitor.who(), &*self.clock, reports);
        let changes = Changes::new(target.forwarded.rewritten(), carried);
        settle(state, verdict, visitor, changes).map(|()| Decided::Forward)
    }

    /// Returns what the client presented, or the rejection of contradictory credentials.
    fn presented(
        &self,
        site: &Site,
        request: &RequestHeader,
        only_cookie: Option<&HeaderValue>,
        state: &mut RequestState,
    ) -> Result<Presented, Answer> {
        if state.facts.access_token {
            not_beside_session(request, only_cookie)?;
        }
        Ok(self.visitor(site, request, only_cookie, state)?)
    }

    async fn ask(
        &self,
        session: &mut Session,
        state: &mut RequestState,
        question: Box<Question>,
    ) -> Result<bool> {
        if let Err(answer) = self.decide_with_stores(session.req_header(), state, *question).await {
            return self.answer(session, state, answer).await;
        }
        match self.take_in(session.req_header(), state, &Ok(Decided::Forward)) {
            Ok(()) => Ok(false),
            Err(limit) => self.shed(session, state, limit).await,
        }
    }

    /// Decides after the stores have verified the visitor.
    pub(in crate::proxy) async fn decide_with_stores(
        &self,
        request: &RequestHeader,
        state: &mut RequestState,
        question: Question,
    ) -> Result<(), Answer> {
        let Question { presented, path, first, changes } = question;
        let Some(site) = state.site().cloned() else { return Err(Refused::unavailable().into()) };
        let carried = changes.carried.as_ref();
        let credentials = carried.map(|carried| &carried.credentials);
        let facts = site.facts(request, state.facts, path.as_ref(), credentials);
        let rules = site.app.rules();
        let vouched = match self.identify(&site, request, state, presented).await {
            Ok(visitor) => {
                self.with_credentials_verified(&site, request, state, visitor, carried).await
            }
            Err(why) => Err(why),
        };
        let (visitor, omitted) = match vouched {
            Ok(vouched) => vouched,
            Err(why) => {
                // Without a visitor, report-only rules cannot be evaluated. Public paths stay up.
                let Some(verdict) = rules.public_without_reports(first, &facts) else {
                    return Err(rejected(state, why));
                };
                return settle(state, verdict, Visitor::Anonymous, changes);
            }
        };
        let reports = &mut state.reports;
        let verdict = rules.verdict(first, &facts, visitor.who(), &*self.clock, reports);
        settle(state, verdict, visitor, Changes { omitted, ..changes })
    }

    /// Answers a request that is not forwarded. Resolves to false if it is one to send a kept
    /// request, which is forwarded.
    pub(super) async fn answer(
        &self,
        session: &mut Session,
        state: &mut RequestState,
        answer: Answer,
    ) -> Result<bool> {
        match answer {
            Answer::Own => {
                if let Some(order) = self.answer_own(session, state).await? {
                    return self.resend(session, state, order).await;
                }
            }
            Answer::SignIn(policy) => self.sign_in_by_app(session, state, policy).await?,
            Answer::Refuse(refused) => refused.answer(self, session, state).await?,
        }
        Ok(true)
    }
}

/// Answers a request to an app that only other proxies forward to: Vestibule's own pages, and nothing
/// else.
#[cold]
fn not_forwarded_here(site: &Site, request: &RequestHeader) -> Answer {
    match site.app.policy.target(request.raw_path()) {
        Ok(target) if site.app.rules().is_own(&target, site.name()) => Answer::Own,
        Ok(_) | Err(_) => {
            let sentence = "There is nothing at this address of the gateway.";
            refuse(StatusCode::NOT_FOUND, "not_found", sentence)
        }
    }
}

/// Applies a verdict: makes the request ready to be forwarded, or returns the rejection.
fn settle(
    state: &mut RequestState,
    verdict: Verdict,
    visitor: Visitor,
    changes: Changes,
) -> Result<(), Answer> {
    let grant = match verdict {
        Verdict::Forward(ruling, grant) => {
            state.ruling = Some(ruling);
            grant
        }
        Verdict::Deny(ruling, why) => {
            state.ruling = ruling;
            if why.is_by_rule() {
                state.fate = Fate::Denied(visitor);
            }
            return Err(why.into());
        }
    };
    let Changes { rewritten, carried, omitted } = changes;
    let mut forwarding = Forwarding::new(admit(grant, visitor)?, rewritten, state.started);
    forwarding.omitted = omitted;
    if let Some(carried) = carried {
        forwarding.signs_out = carried.signs_out;
        // Without an identity, the app's credentials would work without a session.
        if grant.is_public() && carried.has_credentials() {
            forwarding.omitted = Omitted { cookie: true, authorization: true };
        }
    }
    state.fate = Fate::Admitted(forwarding);
    Ok(())
}

/// Returns the answer to a request whose visitor is not identified.
#[cold]
fn rejected(state: &mut RequestState, why: Unidentified) -> Answer {
    match why {
        Unidentified::Store(error) => {
            // The store logs the beginning and the end of an outage.
            tracing::debug!(id = %state.id, %error, "request rejected: a store failed");
            Refused::unavailable().into()
        }
        Unidentified::Refused(why, refused) => {
            state.fate = Fate::TokenRejected(why);
            Answer::Refuse(refused)
        }
    }
}
