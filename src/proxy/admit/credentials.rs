//! Verifies the credentials of an app that has a dialect, and binds the credentials that the app
//! issues to the session.

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

/// The verdict on the app credentials of a request.
pub(in crate::proxy) enum CredentialVerdict {
    /// The request acts as this visitor.
    Visitor(Visitor),
    /// The request acts as this visitor, without the app's own cookie.
    WithoutCookie(Visitor),
    /// Rejected: the reason and the response.
    Refused(&'static str, Refused),
}

fn refused(why: &'static str, sentence: &'static str) -> CredentialVerdict {
    CredentialVerdict::Refused(
        why,
        Refused::new(StatusCode::UNAUTHORIZED, "credential_refused", sentence),
    )
}

/// Rejects credentials that belong to several users or to an unknown one.
fn several_owners() -> CredentialVerdict {
    refused("several users", "These credentials don't belong to one user.")
}

/// Rejects a session token of the app that is not bound to this session. A browser without a
/// session gets a sign-in instead: its session has merely expired.
fn not_bound(visitor: &Visitor, found: &Credentials) -> CredentialVerdict {
    let sentence = "This token was not issued in your current session, or that session has ended. \
                    Sign in again.";
    let why = "not issued in a live session of this user";
    if found.only_cookies && matches!(visitor, Visitor::Anonymous) {
        let refused = Refused::new(StatusCode::UNAUTHORIZED, "login_required", sentence);
        return CredentialVerdict::Refused(why, refused);
    }
    refused(why, sentence)
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
    ) -> std::result::Result<CredentialVerdict, LoginError> {
        let Some(dialect) = site.app.dialect.as_deref() else {
            return Ok(CredentialVerdict::Visitor(visitor));
        };
        if found.too_many() {
            return Ok(several_owners());
        }
        let long_lived: Vec<_> = found.all.iter().filter(|t| dialect.is_long_lived(t)).collect();
        let owner = self.owner(site, found, dialect, state.started).await?;
        if let Some(token) = long_lived.first() {
            if long_lived.len() > 1 || matches!(owner, Owner::Nobody) {
                return Ok(several_owners());
            }
            return self.machine(site, request, state, (visitor, owner), token).await;
        }
        let signs_in = request.method == Method::POST
            && dialect.sign_in_likeness(request.uri.path().as_bytes())
                == crate::gate::dialect::Likeness::Same;
        Ok(match (owner, visitor) {
            (Owner::Session(known), Visitor::Full(ours)) if ours.is(known.token()) => {
                CredentialVerdict::Visitor(Visitor::Full(ours))
            }
            // A child process sends the app's token alone.
            (Owner::Session(known), Visitor::Anonymous | Visitor::Password(_)) => {
                CredentialVerdict::Visitor(Visitor::Full(known))
            }
            (Owner::None, visitor) => CredentialVerdict::Visitor(visitor),
            (Owner::Session(_) | Owner::Nobody, visitor) => {
                if found.only_cookies && (loads_page(site, request) || signs_in) {
                    CredentialVerdict::WithoutCookie(visitor)
                } else {
                    not_bound(&visitor, found)
                }
            }
        })
    }

    /// Returns the owner of the session credentials, which are those that are not long-lived.
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

    /// Verifies a single long-lived app token.
    async fn machine(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &RequestState,
        beside: (Visitor, Owner),
        token: &[u8],
    ) -> std::result::Result<CredentialVerdict, LoginError> {
        let app = site.app.name();
        let Some(caller) = caller(self, &request.headers, state) else {
            return Ok(refused("unknown", "This token is not accepted here."));
        };
        let rules: &[TokenRule] = &site.app.tokens;
        let client = site.origin.client;
        let asked = (&request.method, state.facts.websocket);
        let let_through = machine::admits(rules, token, asked, client, self.clock.now());
        let (rule, known) = match let_through {
            // The access token admits the program. The app judges its own token.
            Err(TokenRejection::Unknown)
                if matches!(beside, (Visitor::Machine(_), Owner::None)) =>
            {
                return Ok(CredentialVerdict::Visitor(beside.0));
            }
            Err(why) => return self.reject_app_token(app, why.as_str(), &caller).await,
            Ok(rule) => match self.machines.find(rule, state.started).await? {
                None => return self.reject_app_token(app, "account", &caller).await,
                Some(known) => (rule, known),
            },
        };
        if !is_same_user(&beside, &known) {
            return Ok(several_owners());
        }
        if self.machines.should_report(rule, client, state.started) {
            self.login.app_token_used(app, &rule.name, known.identity(), &caller).await?;
            self.machines.mark_reported(rule, client, state.started);
        }
        Ok(CredentialVerdict::Visitor(match beside {
            // An access token next to it decides when the admission ends.
            (own @ Visitor::Machine(_), _) => own,
            _ => Visitor::Machine(known),
        }))
    }

    async fn reject_app_token(
        &self,
        app: &str,
        why: &'static str,
        caller: &crate::auth::audit::Caller,
    ) -> std::result::Result<CredentialVerdict, LoginError> {
        Ok(match self.login.app_token_refused(app, why, caller).await? {
            None => refused(why, "This token is not accepted here. Ask your administrator."),
            Some(wait) => CredentialVerdict::Refused(why, Refused::too_many(wait)),
        })
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
    Nobody,
}

/// Returns true if everything next to a long-lived token belongs to the same user.
fn is_same_user((visitor, owner): &(Visitor, Owner), machine: &KnownMachine) -> bool {
    let account = machine.identity().account;
    let visitor = visitor.identity().is_none_or(|who| who.account == account);
    let owner = match owner {
        Owner::None => true,
        Owner::Session(known) => known.session.identity.account == account,
        Owner::Nobody => false,
    };
    visitor && owner
}

/// Maps a login failure to the store failure that it means for a request.
pub(in crate::proxy) fn unavailable(error: LoginError) -> StoreError {
    match error {
        LoginError::Store(error) => error,
        other @ (LoginError::Busy | LoginError::AppSilent(_) | LoginError::Broken(_)) => {
            StoreError { store: "the gateway", reason: other.to_string() }
        }
    }
}
