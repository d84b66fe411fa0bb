//! The gate's decision as a pure function: facts in, verdict out. The proxy, `vestibule explain`
//! and Vestibule's own pages share it.
//!
//! [`AppRules::evaluate`] is the whole sequence. The proxy calls its two halves, because it looks
//! the visitor up in between: [`AppRules::route`] does not need the visitor, [`AppRules::verdict`]
//! does. A verdict is data and does not admit: [`admit`](super::admission::admit) does, with the
//! visitor's proofs.

use http::{Method, StatusCode};

use super::dialect::{Credentials, Dialect, SignInWay};
use super::policy::{First, Outcome, Policy, RuleTrace, Ruling, Target, VisitorFacts};
use super::rule::RequestFacts;
use super::target::RELATED_ORIGINS;
use crate::auth::app_sign_in::AppPolicy;
use crate::base::clock::Clock;

/// The settings of an app that the gate decides by.
#[derive(Clone, Copy, Debug)]
pub struct AppRules<'a> {
    /// The rules.
    pub policy: &'a Policy,
    /// Methods beyond those that every app accepts.
    pub extra_methods: &'a [Method],
    /// True if the app's service workers may cover Vestibule's pages.
    pub service_workers: bool,
    /// The sign-in by the app's own clients.
    pub dialect: Option<&'a Dialect>,
    /// The account policy, if the app checks passwords itself.
    pub first_factor: Option<AppPolicy>,
    /// Host whose [`RELATED_ORIGINS`] Vestibule answers, if it is one of the app's.
    pub related_origins_at: Option<&'a str>,
}

/// The facts of a request, apart from its target and its visitor.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The facts that rules match.
    pub request: RequestFacts<'a>,
    /// True if the request is for the script of a service worker.
    pub service_worker: bool,
    /// The WebSocket that the request opens at the app.
    pub handshake: Handshake,
    /// The app credentials in the request, if the app has a dialect.
    pub credentials: Option<&'a Credentials>,
}

impl<'a> Facts<'a> {
    /// Returns the facts of a request without anything else that the gate looks at.
    pub fn of(request: RequestFacts<'a>) -> Self {
        Self { request, service_worker: false, handshake: Handshake::None, credentials: None }
    }
}

/// A WebSocket handshake, by the origin that sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Not a handshake, or one that the app does not accept.
    None,
    /// From a page of this host.
    Here,
    /// Without `Origin`. Browsers always send it.
    Unnamed,
    /// From another origin.
    Foreign,
}

/// The destination of a request, before its visitor matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<T> {
    /// One of Vestibule's own pages. Rules do not apply.
    Own,
    /// The app's own sign-in, which Vestibule handles.
    AppSignIn(AppPolicy),
    /// Rejected for every visitor.
    Deny(Denial),
    /// The app, if the rules allow it.
    App(T),
}

/// The verdict on a request for the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it.
    Forward(Ruling, Grant),
    /// Reject it. The ruling is missing where something other than the rules decided.
    Deny(Option<Ruling>, Denial),
}

/// The permission that the rules give, for a visitor with certain proofs. Only this module creates
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant(Proofs);

/// Proofs that a grant requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proofs {
    None,
    Password,
    Both,
}

impl Grant {
    /// Returns true if it requires no proof. The request then carries no identity.
    pub fn is_public(self) -> bool {
        self.0 == Proofs::None
    }

    pub(super) fn requires(self) -> Proofs {
        self.0
    }
}

/// The reason for rejecting a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The app does not accept the method.
    Method,
    /// A service worker would cover Vestibule's pages.
    ServiceWorker,
    /// The app might accept the request as its sign-in, but Vestibule does not handle it as one.
    NotASignIn,
    /// A public path, and the URL contains an app credential that cannot be omitted.
    TokenInUrl,
    /// A WebSocket from a page of another origin.
    ForeignOrigin,
    /// The visitor has to sign in.
    SignIn,
    /// The user has to prove the second factor again.
    StepUp,
    /// The user has to prove a passkey or security key.
    UseKey,
    /// A rule requires a recent second factor, or a key, which a program cannot prove.
    StepUpOfMachine,
    /// A rule denies the request to this user.
    Forbidden,
}

impl Denial {
    /// Returns the status of the answer.
    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// Returns the error code of the answer.
    pub fn code(self) -> &'static str {
        self.row().1
    }

    /// Returns the message of the answer.
    pub fn sentence(self) -> &'static str {
        self.row().2
    }

    /// Returns true if a rule denies the request to this visitor.
    pub fn is_by_rule(self) -> bool {
        match self {
            Self::SignIn
            | Self::StepUp
            | Self::UseKey
            | Self::StepUpOfMachine
            | Self::Forbidden => true,
            Self::Method
            | Self::ServiceWorker
            | Self::NotASignIn
            | Self::TokenInUrl
            | Self::ForeignOrigin => false,
        }
    }

    fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This method is not allowed here.",
            ),
            Self::ServiceWorker => (
                StatusCode::FORBIDDEN,
                "service_worker",
                "A service worker may not cover the sign-in pages. Serve it from a subdirectory.",
            ),
            Self::NotASignIn => {
                (StatusCode::NOT_FOUND, "not_found", "There is no sign-in at this address.")
            }
            Self::TokenInUrl => (
                StatusCode::UNAUTHORIZED,
                "credential_refused",
                "This URL may not contain a token.",
            ),
            Self::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                "foreign_origin",
                "A WebSocket may only be opened from a page of this host.",
            ),
            Self::SignIn => {
                (StatusCode::UNAUTHORIZED, "login_required", "Sign in with both factors first.")
            }
            Self::StepUp => (
                StatusCode::UNAUTHORIZED,
                "step_up_required",
                "This needs a more recent proof of your second factor: a code or a key.",
            ),
            Self::UseKey => (
                StatusCode::UNAUTHORIZED,
                "step_up_required",
                "This needs a passkey or security key, because codes can be phished.",
            ),
            Self::StepUpOfMachine => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "This needs a recent code from a person. A token can't provide one.",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "You're signed in, but you don't have access to this page.",
            ),
        }
    }
}

impl AppRules<'_> {
    /// Decides about a request of a known visitor.
    pub fn evaluate(
        &self,
        target: &Target<'_>,
        facts: &Facts<'_>,
        who: VisitorFacts<'_>,
        clock: &dyn Clock,
        trace: &mut impl RuleTrace,
    ) -> Route<Verdict> {
        match self.route(target, facts, trace) {
            Route::App(first) => Route::App(self.verdict(first, facts, who, clock, trace)),
            Route::Own => Route::Own,
            Route::AppSignIn(policy) => Route::AppSignIn(policy),
            Route::Deny(why) => Route::Deny(why),
        }
    }

    /// Returns true for one of Vestibule's own pages.
    pub fn is_own(&self, target: &Target<'_>, host: &str) -> bool {
        let target = &target.forwarded;
        target.is_own()
            || self
                .related_origins_at
                .is_some_and(|at| at == host && target.path() == RELATED_ORIGINS)
    }

    /// Decides everything that is the same for every visitor, and finds the first rule that matches.
    pub fn route(
        &self,
        target: &Target<'_>,
        facts: &Facts<'_>,
        trace: &mut impl RuleTrace,
    ) -> Route<First> {
        if self.is_own(target, facts.request.host) {
            return Route::Own;
        }
        if !accepts(self.extra_methods, facts.request.method) {
            return Route::Deny(Denial::Method);
        }
        if facts.service_worker && !self.service_workers && target.forwarded.covers_own_pages() {
            return Route::Deny(Denial::ServiceWorker);
        }
        let first = self.policy.first(&facts.request, trace);
        if let (Some(dialect), Some(policy)) = (self.dialect, self.first_factor) {
            let denied = self.policy.denies(first, &facts.request);
            match dialect.sign_in_way(facts.request.method, target.raw_path(), denied) {
                SignInWay::Other => {}
                SignInWay::Here => return Route::AppSignIn(policy),
                SignInWay::Nowhere => return Route::Deny(Denial::NotASignIn),
            }
        }
        Route::App(first)
    }

    /// Returns the verdict if it is the same for every visitor, without report-only rules before
    /// it: the request goes to a public path.
    pub fn public(&self, first: First, facts: &Facts<'_>) -> Option<Verdict> {
        let ruling = self.policy.public(first)?;
        Some(conclude(ruling, facts, VisitorFacts::Anonymous))
    }

    /// Like [`Self::public`], but ignores report-only rules, for a visitor that no store can find.
    pub fn public_without_reports(&self, first: First, facts: &Facts<'_>) -> Option<Verdict> {
        let ruling = self.policy.public_without_reports(first, &facts.request)?;
        Some(conclude(ruling, facts, VisitorFacts::Anonymous))
    }

    /// Returns the verdict for a visitor, from the first rule that matches.
    pub fn verdict(
        &self,
        first: First,
        facts: &Facts<'_>,
        who: VisitorFacts<'_>,
        clock: &dyn Clock,
        trace: &mut impl RuleTrace,
    ) -> Verdict {
        conclude(self.policy.ruling(first, &facts.request, who, clock, trace), facts, who)
    }
}

/// Concludes from the ruling, and from the facts that no rule looks at.
fn conclude(ruling: Ruling, facts: &Facts<'_>, who: VisitorFacts<'_>) -> Verdict {
    // Signing in would not help.
    if facts.handshake == Handshake::Foreign {
        return Verdict::Deny(Some(ruling), Denial::ForeignOrigin);
    }
    let machine = matches!(who, VisitorFacts::Machine(_));
    let requires = match ruling.outcome {
        Outcome::Public => Proofs::None,
        Outcome::Password => Proofs::Password,
        Outcome::TwoFactor => Proofs::Both,
        Outcome::SignIn => return Verdict::Deny(Some(ruling), Denial::SignIn),
        Outcome::StepUp | Outcome::UseKey if machine => {
            return Verdict::Deny(Some(ruling), Denial::StepUpOfMachine);
        }
        Outcome::StepUp => return Verdict::Deny(Some(ruling), Denial::StepUp),
        Outcome::UseKey => return Verdict::Deny(Some(ruling), Denial::UseKey),
        Outcome::Forbid => return Verdict::Deny(Some(ruling), Denial::Forbidden),
    };
    let public = requires == Proofs::None;
    // Without an identity the credential would work without a session.
    if public && facts.credentials.is_some_and(|found| found.in_query && !found.all.is_empty()) {
        return Verdict::Deny(None, Denial::TokenInUrl);
    }
    // RFC 6455 §10.2. Only a program with a token may omit `Origin`.
    if facts.handshake == Handshake::Unnamed && (public || !machine) {
        return Verdict::Deny(Some(ruling), Denial::ForeignOrigin);
    }
    Verdict::Forward(ruling, Grant(requires))
}

/// Methods that every app accepts.
const COMMON: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Returns true if an app with these `extra` methods accepts `method`.
pub fn accepts(extra: &[Method], method: &Method) -> bool {
    COMMON.contains(method) || extra.contains(method)
}

/// Returns the methods of an app with these `extra` methods, for `Allow`.
pub fn allowed(extra: &[Method]) -> String {
    let all = COMMON.iter().chain(extra.iter().filter(|method| !COMMON.contains(method)));
    all.map(Method::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
