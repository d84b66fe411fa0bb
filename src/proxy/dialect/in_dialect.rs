//! Sign-ins, sign-outs and credentials in a request, according to the app's dialect.

use http::{Method, StatusCode};
use pingora_http::RequestHeader;

use crate::auth::ports::Stored;
use crate::gate::admission::Visitor;
use crate::gate::dialect::{Credentials, SignInWay};
use crate::gate::policy::First;
use crate::gate::rule::RequestFacts;
use crate::proxy::admit::credentials::{CredentialVerdict, unavailable};
use crate::proxy::admit::site::Site;
use crate::proxy::admit::way::{Way, refuse};
use crate::proxy::app::App;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::proxy::respond::refused::Refused;
use crate::proxy::rewrite::omitted::Omitted;

/// Returns the app credentials in a request, or the way of a sign-in.
pub(in crate::proxy) fn in_dialect(
    app: &App,
    request: &RequestHeader,
    state: &mut RequestState,
    first: First,
    asked: &RequestFacts<'_>,
) -> Result<Option<Credentials>, Way> {
    let Some(dialect) = app.dialect.as_deref() else { return Ok(None) };
    let raw = request.raw_path();
    let path = raw.split(|byte| *byte == b'?').next().unwrap_or(raw);
    if let Some(policy) = app.first_factor {
        match dialect.sign_in_way(&request.method, raw, app.policy.denies(first, asked)) {
            SignInWay::Other => {}
            SignInWay::Here => return Err(Way::SignIn(policy)),
            SignInWay::Nowhere => {
                let sentence = "There is no sign-in at this address.";
                return Err(refuse(StatusCode::NOT_FOUND, "not_found", sentence));
            }
        }
    }
    state.signs_out = request.method == Method::POST && dialect.is_sign_out(path);
    let query = raw.iter().position(|byte| *byte == b'?').and_then(|at| raw.get(at + 1..));
    let query = query.map(String::from_utf8_lossy);
    Ok(Some(dialect.credentials(&request.headers, query.as_deref())))
}

/// Omits the app credentials of a request to a public path, which carries no identity: there they
/// would work without a session.
pub(in crate::proxy) fn omit_credentials(
    state: &mut RequestState,
    found: Option<&Credentials>,
) -> Option<Way> {
    let found = found.filter(|found| !found.all.is_empty())?;
    state.omitted = Omitted { cookie: true, authorization: true };
    found.in_query.then(|| {
        refuse(StatusCode::UNAUTHORIZED, "credential_refused", "This URL may not contain a token.")
    })
}

impl Gateway {
    /// Returns true if the app credentials are known to belong to the visitor's session.
    pub(in crate::proxy) fn is_settled(
        &self,
        app: &App,
        found: Option<&Credentials>,
        visitor: &Visitor,
    ) -> bool {
        let Some(found) = found.filter(|found| !found.all.is_empty()) else { return true };
        let Visitor::Full(known) = visitor else { return false };
        self.all_seen(app.name(), found, known)
    }

    /// Returns the visitor after verification of the app credentials.
    pub(in crate::proxy) async fn with_credentials_verified(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &mut RequestState,
        visitor: Visitor,
        found: Option<&Credentials>,
    ) -> Stored<Result<Visitor, Refused>> {
        let Some(found) = found.filter(|found| !found.all.is_empty()) else {
            return Ok(Ok(visitor));
        };
        let verdict = self.verify_credentials(site, request, state, visitor, found).await;
        Ok(match verdict.map_err(unavailable)? {
            CredentialVerdict::Visitor(visitor) => Ok(visitor),
            CredentialVerdict::WithoutCookie(visitor) => {
                state.omitted.cookie = true;
                Ok(visitor)
            }
            CredentialVerdict::Refused(why, refused) => {
                state.token_refused = Some(why);
                Err(refused)
            }
        })
    }
}
