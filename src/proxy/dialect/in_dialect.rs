//! What the description of an app's sign-in has to say of a request.

use http::{Method, StatusCode};
use pingora_http::RequestHeader;

use crate::auth::ports::Stored;
use crate::gate::admission::Visitor;
use crate::gate::dialect::{Credentials, SignInWay};
use crate::gate::policy::First;
use crate::gate::rule::RequestFacts;
use crate::proxy::admit::credentials::{Weighed, unavailable};
use crate::proxy::admit::site::Site;
use crate::proxy::admit::way::{Way, refuse};
use crate::proxy::app::App;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::proxy::respond::refused::Refused;
use crate::proxy::rewrite::left_out::LeftOut;

/// What an app's description has to say of a request: its credentials, or another way.
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

/// On a public path the app is told of nobody: its own credentials are left out as well, for they
/// would count there without a session of ours.
pub(in crate::proxy) fn leave_out(
    state: &mut RequestState,
    found: Option<&Credentials>,
) -> Option<Way> {
    let found = found.filter(|found| !found.all.is_empty())?;
    state.left_out = LeftOut { cookie: true, authorization: true };
    found.in_query.then(|| {
        refuse(
            StatusCode::UNAUTHORIZED,
            "credential_refused",
            "No token may stand in this address.",
        )
    })
}

impl Gateway {
    /// Whether it is known who asks, and that the app's credentials are those of the same session.
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

    /// Who asks, once the app's credentials beside our own were weighed.
    pub(in crate::proxy) async fn with_credentials_weighed(
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
        let weighed = self.weigh(site, request, state, visitor, found).await;
        Ok(match weighed.map_err(unavailable)? {
            Weighed::Visitor(visitor) => Ok(visitor),
            Weighed::WithoutCookie(visitor) => {
                state.left_out.cookie = true;
                Ok(visitor)
            }
            Weighed::Refused(why, refused) => {
                state.token_refused = Some(why);
                Err(refused)
            }
        })
    }
}
