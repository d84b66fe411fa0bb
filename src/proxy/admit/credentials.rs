//! Verifies the credentials of an app that has a dialect, and binds the credentials that the app
//! issues to the session.

use std::time::Duration;

use http::header::{HeaderValue, SET_COOKIE};
use http::{Method, StatusCode};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::caller::caller;
use super::site::Site;
use super::unidentified::Unidentified;
use super::visitor::token;
use crate::auth::audit::{Caller, Ended};
use crate::auth::ports::Stored;
use crate::auth::token::{HashedToken, SessionToken};
use crate::gate::admission::{Admission, Visitor};
use crate::gate::dialect::{Credentials, Dialect, MOST_CREDENTIALS};
use crate::gate::machine::{self, KnownMachine, TokenRejection, TokenRule};
use crate::gate::sessions::{KnownSession, Use};
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::proxy::respond::refused::Refused;
use crate::proxy::rewrite::omitted::Omitted;
use crate::web::cookies;
use crate::web::refusal::wants_page;

/// The visitor that a request acts as, and the app credentials to omit.
pub(in crate::proxy) type Vouched = (Visitor, Omitted);

/// Rejects credentials that belong to several users or to an unknown one.
fn several_owners() -> Unidentified {
    Unidentified::credential("several users", "These credentials don't belong to one user.")
}

/// Rejects a session token of the app that is not bound to this session. A browser without a
/// session gets a sign-in instead: its session has merely expired.
fn not_bound(visitor: &Visitor, found: &Credentials) -> Unidentified {
    let sentence = "This token was not issued in your current session, or that session has ended. \
                    Sign in again.";
    let why = "not issued in a live session of this user";
    if found.only_cookies && matches!(visitor, Visitor::Anonymous) {
        let sign_in = Refused::new(StatusCode::UNAUTHORIZED, "login_required", sentence);
        return Unidentified::refused(why, sign_in);
    }
    Unidentified::credential(why, sentence)
}

/// Returns true if a browser loads a page or a part of one, rather than a script's request. The
/// app's cookie may be omitted then, and the page shows by itself that the user is signed out.
fn loads_page(site: &Site, request: &RequestHeader) -> bool {
    if site.app.answers.is_api(request.raw_path()) {
        return false;
    }
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    let part = request.headers.get("sec-fetch-dest").is_some_and(|d| d.as_bytes() != b"empty");
    reads && (part || wants_page(&request.method, &request.headers))
}

impl Gateway {
    /// Returns true if all credentials are known to belong to this session, without a store call.
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

    /// Verifies the app credentials of a request next to `visitor`, whom the session cookie
    /// identifies.
    pub(in crate::proxy) async fn verify_credentials(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &RequestState,
        visitor: Visitor,
        found: &Credentials,
    ) -> std::result::Result<Vouched, Unidentified> {
        let Some(dialect) = site.app.dialect.as_deref() else {
            return Ok((visitor, Omitted::default()));
        };
        if found.too_many() {
            return Err(several_owners());
        }
        let long_lived: Vec<_> = found.all.iter().filter(|t| dialect.is_long_lived(t)).collect();
        let owner = self.owner(site, found, dialect, state.look_up()).await?;
        if let Some(token) = long_lived.first() {
            if long_lived.len() > 1 || matches!(owner, Owner::Unclear) {
                return Err(several_owners());
            }
            let machine =
                self.machine(site, request, state, Beside { visitor, owner }, token).await?;
            return Ok((machine, Omitted::default()));
        }
        let signs_in =
            request.method == Method::POST && dialect.is_sign_in(request.uri.path().as_bytes());
        match (owner, visitor) {
            (Owner::Session(known), Visitor::Full(ours)) if ours.is(known.token()) => {
                Ok((Visitor::Full(ours), Omitted::default()))
            }
            // A child process sends the app's token alone.
            (Owner::Session(known), Visitor::Anonymous | Visitor::Password(_)) => {
                Ok((Visitor::Full(known), Omitted::default()))
            }
            (Owner::None, visitor) => Ok((visitor, Omitted::default())),
            (Owner::Session(_) | Owner::Unclear, visitor) => {
                if found.only_cookies && (loads_page(site, request) || signs_in) {
                    Ok((visitor, Omitted { cookie: true, authorization: false }))
                } else {
                    Err(not_bound(&visitor, found))
                }
            }
        }
    }

    /// Returns the owner of the session credentials, which are those that are not long-lived.
    async fn owner(
        &self,
        site: &Site,
        found: &Credentials,
        dialect: &Dialect,
        at: (Duration, Use),
    ) -> Stored<Owner> {
        let app = site.app.name();
        let mut owner: Option<HashedToken<SessionToken>> = None;
        for token in found.all.iter().filter(|t| !dialect.is_long_lived(t)) {
            let Some(id) = self.bound.session_of(app, token).await? else {
                return Ok(Owner::Unclear);
            };
            if owner.replace(id).is_some_and(|other| other != id) {
                return Ok(Owner::Unclear);
            }
        }
        let Some(id) = owner else { return Ok(Owner::None) };
        let known = self.sessions.find_hashed(app, &id, at).await?;
        Ok(known.map_or(Owner::Unclear, Owner::Session))
    }

    /// Verifies a single long-lived app token.
    async fn machine(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &RequestState,
        beside: Beside,
        token: &[u8],
    ) -> std::result::Result<Visitor, Unidentified> {
        let app = site.app.name();
        let Some(caller) = caller(self, &request.headers, state) else {
            let sentence = "This token is not accepted here.";
            return Err(Unidentified::credential("unknown", sentence));
        };
        let rules: &[TokenRule] = &site.app.tokens;
        let client = site.origin.client;
        let asked = (&request.method, state.facts.websocket);
        let rule = match machine::admits(rules, token, asked, client, self.clock.now()) {
            Ok(rule) => rule,
            // The access token admits the program. The app judges its own token.
            Err(TokenRejection::Unknown)
                if matches!(beside.visitor, Visitor::Machine(_))
                    && matches!(beside.owner, Owner::None) =>
            {
                return Ok(beside.visitor);
            }
            Err(why) => return Err(self.reject_app_token(app, why.as_str(), &caller).await),
        };
        let Some(known) = self.machines.find(rule, state.started).await? else {
            return Err(self.reject_app_token(app, "account", &caller).await);
        };
        if !beside.is_of(&known) {
            return Err(several_owners());
        }
        if self.machines.should_report(rule, client, state.started) {
            self.login.tokens.app_token_used(app, &rule.name, known.identity(), &caller).await?;
            self.machines.mark_reported(rule, client, state.started);
        }
        Ok(match beside.visitor {
            // An access token next to it decides when the admission ends.
            own @ Visitor::Machine(_) => own,
            Visitor::Anonymous | Visitor::Password(_) | Visitor::Full(_) => Visitor::Machine(known),
        })
    }

    async fn reject_app_token(
        &self,
        app: &str,
        why: &'static str,
        caller: &Caller,
    ) -> Unidentified {
        match self.login.tokens.app_token_refused(app, why, caller).await {
            Ok(None) => {
                let sentence = "This token is not accepted here. Ask your administrator.";
                Unidentified::credential(why, sentence)
            }
            Ok(Some(wait)) => Unidentified::refused(why, Refused::too_many(wait)),
            Err(error) => error.into(),
        }
    }

    /// Returns the app tokens of a sign-out request that were issued in this session. The gateway
    /// never calls the app with tokens of another session.
    pub(in crate::proxy) async fn app_tokens_of_session(
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
                Err(error) => {
                    tracing::warn!(%error, "app sign-out skipped: failed to look up its tokens");
                }
            }
        }
        theirs
    }

    /// Binds the tokens that the app issues in a response to the session. A token that cannot be
    /// bound is omitted: no later request could use it.
    pub(in crate::proxy) async fn bind_tokens(
        &self,
        response: &mut ResponseHeader,
        state: &RequestState,
    ) -> Result<()> {
        let Some(site) = state.site() else { return Ok(()) };
        let Some(dialect) = site.app.dialect.as_deref() else { return Ok(()) };
        let Some(visitor) = state.admission().map(Admission::visitor) else { return Ok(()) };
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
                tracing::warn!("token in the app's response omitted: it belongs to another user");
                false
            }
            Err(error) => {
                tracing::error!(%error, "token in the app's response omitted: failed to bind it");
                false
            }
        }
    }

    /// Ends the session after the app has signed the user out.
    pub(in crate::proxy) async fn signed_out_by_app(
        &self,
        request: &RequestHeader,
        response: &mut ResponseHeader,
        state: &mut RequestState,
    ) -> Result<()> {
        let Some(known) = state.session().cloned() else { return Ok(()) };
        if response.status.is_server_error() {
            return Ok(());
        }
        // The end that this request brings about must not cut its own response.
        state.leave_live();
        let Some(caller) = caller(self, &request.headers, state) else { return Ok(()) };
        let ended = self
            .login
            .sessions
            .end_known(known.token(), &known.session, &caller, Ended::SignedOut)
            .await;
        if let Err(error) = ended {
            tracing::error!(id = %state.id, %error, "failed to end the session after the app's sign-out");
            return Err(Error::explain(ErrorType::HTTPStatus(503), "failed to end the session"));
        }
        if let Some(clear) = cookies::clear(cookies::SESSION) {
            response.append_header(SET_COOKIE, clear)?;
        }
        Ok(())
    }
}

/// The owner of the credentials of a request.
enum Owner {
    /// No credentials.
    None,
    /// All credentials belong to this session.
    Session(std::sync::Arc<KnownSession>),
    /// A credential has no known owner, or the credentials belong to several sessions.
    Unclear,
}

/// The other credentials of a request with a long-lived token.
struct Beside {
    visitor: Visitor,
    owner: Owner,
}

impl Beside {
    /// Returns true if all of them belong to the user of the token.
    fn is_of(&self, machine: &KnownMachine) -> bool {
        let account = machine.identity().account;
        let visitor = self.visitor.identity().is_none_or(|who| who.account == account);
        let owner = match &self.owner {
            Owner::None => true,
            Owner::Session(known) => known.session.identity.account == account,
            Owner::Unclear => false,
        };
        visitor && owner
    }
}
