//! Credentials and sign-outs in a request, according to the app's dialect.

use http::Method;
use pingora_http::RequestHeader;

use crate::gate::admission::Visitor;
use crate::gate::dialect::Credentials;
use crate::gate::policy::Target;
use crate::proxy::admit::credentials::Vouched;
use crate::proxy::admit::site::Site;
use crate::proxy::admit::unidentified::Unidentified;
use crate::proxy::app::App;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::proxy::rewrite::omitted::Omitted;

/// The parts of a request that concern the dialect of its app.
pub(in crate::proxy) struct Carried {
    /// The app's credentials.
    pub(in crate::proxy) credentials: Credentials,
    /// The request signs out at the app.
    pub(in crate::proxy) signs_out: bool,
}

/// Returns the parts of a request that concern the dialect of its app, if it has one.
pub(in crate::proxy) fn carried(
    app: &App,
    request: &RequestHeader,
    target: &Target<'_>,
) -> Option<Carried> {
    let dialect = app.dialect.as_deref()?;
    let raw = target.raw();
    let query = raw.iter().position(|byte| *byte == b'?').and_then(|at| raw.get(at + 1..));
    let query = query.map(String::from_utf8_lossy);
    Some(Carried {
        credentials: dialect.credentials(&request.headers, query.as_deref()),
        signs_out: request.method == Method::POST && dialect.is_sign_out(target.raw_path()),
    })
}

impl Carried {
    /// Returns true if the request has credentials of the app.
    pub(in crate::proxy) fn has_credentials(&self) -> bool {
        !self.credentials.all.is_empty()
    }
}

impl Gateway {
    /// Returns true if the app credentials are known to belong to the visitor's session.
    pub(in crate::proxy) fn is_settled(
        &self,
        app: &App,
        carried: Option<&Carried>,
        visitor: &Visitor,
    ) -> bool {
        let Some(carried) = carried.filter(|carried| carried.has_credentials()) else {
            return true;
        };
        let Visitor::Full(known) = visitor else { return false };
        self.all_seen(app.name(), &carried.credentials, known)
    }

    /// Returns the visitor after verification of the app credentials, and those to omit.
    pub(in crate::proxy) async fn with_credentials_verified(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &RequestState,
        visitor: Visitor,
        carried: Option<&Carried>,
    ) -> Result<Vouched, Unidentified> {
        match carried.filter(|carried| carried.has_credentials()) {
            Some(Carried { credentials, .. }) => {
                self.verify_credentials(site, request, state, visitor, credentials).await
            }
            None => Ok((visitor, Omitted::default())),
        }
    }
}
