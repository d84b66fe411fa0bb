//! The credentials of an app with a description: what they are worth in a request, and what becomes
//! of those that the app gives out in an answer.

use std::time::Duration;

use http::header::{HeaderValue, SET_COOKIE};
use http::{Method, StatusCode};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::caller::caller;
use super::site::Site;
use super::visitor::token;
use crate::auth::audit::Ended;
use crate::auth::login::LoginError;
use crate::auth::ports::{StoreError, Stored};
use crate::auth::token::{HashedToken, SessionToken};
use crate::gate::admission::Visitor;
use crate::gate::dialect::{Credentials, Dialect, MOST_CREDENTIALS};
use crate::gate::machine::{self, KnownMachine, TokenRejection, TokenRule};
use crate::gate::sessions::KnownSession;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::proxy::respond::refused::Refused;
use crate::web::cookies;
use crate::web::refusal::wants_page;

/// What a request's credentials come to.
pub(in crate::proxy) enum Weighed {
    /// This is who asks.
    Visitor(Visitor),
    /// This is who asks, and the app's own cookie is left out.
    WithoutCookie(Visitor),
    /// Nobody who may: why, and what is answered.
    Refused(&'static str, Refused),
}

fn refused(why: &'static str, sentence: &'static str) -> Weighed {
    Weighed::Refused(why, Refused::new(StatusCode::UNAUTHORIZED, "credential_refused", sentence))
}

/// More than one person's, or nobody can tell whose.
fn of_several() -> Weighed {
    refused("of several", "These credentials are not those of one person.")
}

/// A session token of the app's that is worth nothing here. Who has no session of ours either, and
/// sends it as a browser does, has merely been away for too long.
fn not_bound(visitor: &Visitor, found: &Credentials) -> Weighed {
    let sentence = "This token was not given out in your session here, or that session is over. \
                    Sign in again.";
    let why = "not given out in a live session of this visitor";
    if found.only_cookies && matches!(visitor, Visitor::Anonymous) {
        let refused = Refused::new(StatusCode::UNAUTHORIZED, "login_required", sentence);
        return Weighed::Refused(why, refused);
    }
    refused(why, sentence)
}

/// Whether a browser loads this as a page or a part of one, and not a script of the page: then the
/// app's cookie may be left out, and the page says by itself that nobody is signed in.
fn loads_page(site: &Site, request: &RequestHeader) -> bool {
    if site.app.answers.is_api(request.raw_path()) {
        return false;
    }
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    let part = request.headers.get("sec-fetch-dest").is_some_and(|d| d.as_bytes() != b"empty");
    reads && (part || wants_page(&request.method, &request.headers))
}

impl Gateway {
    /// Whether all credentials are known to be those of this very session. Nobody is asked.
    pub(in crate::proxy) fn all_seen(
        &self,
        app: &str,
        found: &Credentials,
        known: &KnownSession,
    ) -> bool {
        let of_session =
            |token: &Vec<u8>| self.bound.seen(app, token).is_some_and(|id| known.is(&id));
        found.all.iter().all(of_session)
    }

    /// What credentials come to, beside our own cookie, which says `visitor`.
    pub(in crate::proxy) async fn weigh(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &RequestState,
        visitor: Visitor,
        found: &Credentials,
    ) -> std::result::Result<Weighed, LoginError> {
        let Some(dialect) = site.app.dialect.as_deref() else {
            return Ok(Weighed::Visitor(visitor));
        };
        if found.too_many() {
            return Ok(of_several());
        }
        let long_lived: Vec<_> = found.all.iter().filter(|t| dialect.is_long_lived(t)).collect();
        let owner = self.owner(site, found, dialect, state.started).await?;
        if let Some(token) = long_lived.first() {
            if long_lived.len() > 1 || matches!(owner, Owner::Nobody) {
                return Ok(of_several());
            }
            return self.machine(site, request, state, (visitor, owner), token).await;
        }
        let signs_in = request.method == Method::POST
            && dialect.sign_in_likeness(request.uri.path().as_bytes())
                == crate::gate::dialect::Likeness::Same;
        Ok(match (owner, visitor) {
            (Owner::Session(known), Visitor::Full(ours)) if ours.is(known.token()) => {
                Weighed::Visitor(Visitor::Full(ours))
            }
            // A child process has the app's token alone.
            (Owner::Session(known), Visitor::Anonymous | Visitor::Password(_)) => {
                Weighed::Visitor(Visitor::Full(known))
            }
            (Owner::None, visitor) => Weighed::Visitor(visitor),
            (Owner::Session(_) | Owner::Nobody, visitor) => {
                if found.only_cookies && (loads_page(site, request) || signs_in) {
                    Weighed::WithoutCookie(visitor)
                } else {
                    not_bound(&visitor, found)
                }
            }
        })
    }

    /// Whose the credentials are that are not long-lived.
    async fn owner(
        &self,
        site: &Site,
        found: &Credentials,
        dialect: &Dialect,
        at: Duration,
    ) -> Stored<Owner> {
        let app = site.app.name();
        let mut owner: Option<HashedToken<SessionToken>> = None;
        for token in found.all.iter().filter(|t| !dialect.is_long_lived(t)) {
            let Some(id) = self.bound.session_of(app, token).await? else {
                return Ok(Owner::Nobody);
            };
            if owner.replace(id).is_some_and(|other| other != id) {
                return Ok(Owner::Nobody);
            }
        }
        let Some(id) = owner else { return Ok(Owner::None) };
        let known = self.sessions.find_hashed(app, &id, at).await?;
        Ok(known.map_or(Owner::Nobody, Owner::Session))
    }

    /// What one long-lived token comes to.
    async fn machine(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &RequestState,
        beside: (Visitor, Owner),
        token: &[u8],
    ) -> std::result::Result<Weighed, LoginError> {
        let app = site.app.name();
        let Some(caller) = caller(self, &request.headers, state) else {
            return Ok(refused("unknown", "This token is not let through here."));
        };
        let rules: &[TokenRule] = &site.app.tokens;
        let client = site.origin.client;
        let asked = (&request.method, state.marks.websocket);
        let let_through = machine::admits(rules, token, asked, client, self.clock.now());
        let (rule, known) = match let_through {
            // A token of ours lets the program in; what else it is to the app, the app judges.
            Err(TokenRejection::Unknown)
                if matches!(beside, (Visitor::Machine(_), Owner::None)) =>
            {
                return Ok(Weighed::Visitor(beside.0));
            }
            Err(why) => return self.not_let(app, why.as_str(), &caller).await,
            Ok(rule) => match self.machines.find(rule, state.started).await? {
                None => return self.not_let(app, "account", &caller).await,
                Some(known) => (rule, known),
            },
        };
        if !is_theirs(&beside, &known) {
            return Ok(of_several());
        }
        if self.machines.should_report(rule, client, state.started) {
            self.login.app_token_used(app, &rule.name, known.identity(), &caller).await?;
            self.machines.mark_reported(rule, client, state.started);
        }
        Ok(Weighed::Visitor(match beside {
            // A token of ours beside it is what everything ends with.
            (own @ Visitor::Machine(_), _) => own,
            _ => Visitor::Machine(known),
        }))
    }

    async fn not_let(
        &self,
        app: &str,
        why: &'static str,
        caller: &crate::auth::audit::Caller,
    ) -> std::result::Result<Weighed, LoginError> {
        Ok(match self.login.app_token_refused(app, why, caller).await? {
            None => refused(why, "This token is not let through here. Ask your administrator."),
            Some(wait) => Weighed::Refused(why, Refused::too_many(wait)),
        })
    }

    /// The app's tokens in a request that asks for the end of our session: those that were given
    /// out in this very session. Nobody has us call the app with others.
    pub(in crate::proxy) async fn of_session(
        &self,
        site: &Site,
        request: &RequestHeader,
    ) -> Vec<Vec<u8>> {
        let Some(dialect) = site.app.dialect.as_deref() else { return Vec::new() };
        let Ok(Some(cookie)) = cookies::session(&request.headers, None) else { return Vec::new() };
        let Some(ours) = token::<SessionToken>(Some(cookie.value), &self.keys) else {
            return Vec::new();
        };
        let found = dialect.credentials(&request.headers, None);
        let mut theirs = Vec::new();
        for token in found.all.into_iter().take(MOST_CREDENTIALS) {
            match self.bound.session_of(site.app.name(), &token).await {
                Ok(Some(id)) if &id == ours.hashed() => theirs.push(token),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the app is not told of a sign-out"),
            }
        }
        theirs
    }

    /// Binds the tokens that the app gives out in an answer to the session it answers to. One that
    /// cannot be bound is left out: it would be worth nothing here.
    pub(in crate::proxy) async fn bind_tokens(
        &self,
        response: &mut ResponseHeader,
        state: &RequestState,
    ) -> Result<()> {
        let Some(site) = state.site.as_deref() else { return Ok(()) };
        let Some(dialect) = site.app.dialect.as_deref() else { return Ok(()) };
        let Some(visitor) =
            state.admission.as_ref().map(crate::gate::admission::Admission::visitor)
        else {
            return Ok(());
        };
        let token = |line: &HeaderValue| dialect.token_set_by(line.as_bytes());
        let lines: Vec<HeaderValue> =
            response.headers.get_all(SET_COOKIE).iter().cloned().collect();
        if !lines.iter().any(|line| token(line).is_some()) {
            return Ok(());
        }
        let mut kept = Vec::with_capacity(lines.len());
        for line in lines {
            let keeps = match (token(&line), visitor) {
                (None, _) => true,
                (Some(token), Visitor::Full(known)) => self.bind(known, &token).await,
                (Some(_), Visitor::Machine(_) | Visitor::Password(_) | Visitor::Anonymous) => false,
            };
            if keeps {
                let bare = dialect.without_domain(line.as_bytes());
                let bare = bare.and_then(|bare| HeaderValue::from_bytes(&bare).ok());
                kept.push(bare.unwrap_or(line));
            }
        }
        response.remove_header(&SET_COOKIE);
        for line in kept {
            response.append_header(SET_COOKIE, line)?;
        }
        Ok(())
    }

    async fn bind(&self, known: &KnownSession, token: &[u8]) -> bool {
        match self.bound.bind(known, token).await {
            Ok(true) => true,
            Ok(false) => {
                tracing::warn!(
                    "the app gave out a token that is another person's: it was left out"
                );
                false
            }
            Err(error) => {
                tracing::error!(%error, "a token of the app was left out: it could not be bound");
                false
            }
        }
    }

    /// The app has signed out: so do we.
    pub(in crate::proxy) async fn signed_out_by_app(
        &self,
        request: &RequestHeader,
        response: &mut ResponseHeader,
        state: &RequestState,
    ) -> Result<()> {
        let visitor = state.admission.as_ref().map(crate::gate::admission::Admission::visitor);
        let Some(Visitor::Full(known)) = visitor else { return Ok(()) };
        if response.status.is_server_error() {
            return Ok(());
        }
        let Some(caller) = caller(self, &request.headers, state) else { return Ok(()) };
        let ended =
            self.login.end_known(known.token(), &known.session, &caller, Ended::SignedOut).await;
        if let Err(error) = ended {
            tracing::error!(id = %state.id, %error, "a session outlives the app's sign-out");
            return Err(Error::explain(ErrorType::HTTPStatus(503), "the session was not ended"));
        }
        if let Some(clear) = cookies::clear(cookies::SESSION) {
            response.append_header(SET_COOKIE, clear)?;
        }
        Ok(())
    }
}

/// Whose the credentials of a request are.
enum Owner {
    /// There are none.
    None,
    /// All are of this session.
    Session(std::sync::Arc<KnownSession>),
    /// One is nobody's, or they are not of one session.
    Nobody,
}

/// Whether what came beside a long-lived token is of the same person.
fn is_theirs((visitor, owner): &(Visitor, Owner), machine: &KnownMachine) -> bool {
    let account = machine.identity().account;
    let visitor = visitor.identity().is_none_or(|who| who.account == account);
    let owner = match owner {
        Owner::None => true,
        Owner::Session(known) => known.session.identity.account == account,
        Owner::Nobody => false,
    };
    visitor && owner
}

/// What a store's failure is to who weighs credentials.
pub(in crate::proxy) fn unavailable(error: LoginError) -> StoreError {
    match error {
        LoginError::Store(error) => error,
        other @ (LoginError::Busy | LoginError::AppSilent(_) | LoginError::Broken(_)) => {
            StoreError { store: "the gateway", reason: other.to_string() }
        }
    }
}
