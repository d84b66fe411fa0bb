//! The current session as JSON, for scripts of the app.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use axum::body::Body;

use crate::auth::session::Session;
use crate::web::failure::Failure;
use crate::web::refusal::{Place, Refusal};
use crate::web::view::Answer;
use crate::web::visit::Visit;

#[expect(clippy::struct_field_names, reason = "the names are those of the JSON")]
#[derive(Serialize)]
struct SignedIn<'a> {
    user: &'a str,
    display_name: &'a str,
    email: Option<&'a str>,
    groups: &'a [String],
    method: &'static str,
    /// Authentication methods (RFC 8176).
    amr: Vec<&'static str>,
    signed_in_at: String,
    idle_expires_at: String,
    expires_at: String,
    /// Seconds until the idle limit ends it.
    idle_expires_in: u64,
    /// Seconds until it ends in any case.
    expires_in: u64,
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    match visit.session().await? {
        Some((_, session)) => Ok(Answer::json(&signed_in(&visit, &session))?.done()),
        None => Ok(signed_out(&visit)),
    }
}

/// Counts as use of the session.
pub(in crate::web) async fn extend(visit: Visit) -> Result<Response, Failure> {
    let Some((token, session)) = visit.session().await? else { return Ok(signed_out(&visit)) };
    let session = visit.services.sessions.extend(&token, session).await?;
    Ok(Answer::json(&signed_in(&visit, &session))?.done())
}

fn signed_in<'a>(visit: &Visit, session: &'a Session) -> SignedIn<'a> {
    let now = visit.services.now();
    let idle = session.last_seen_at.plus(visit.services.limits().idle);
    SignedIn {
        user: session.identity.name.as_str(),
        display_name: &session.identity.display_name,
        email: session.identity.email.as_deref(),
        groups: &session.identity.groups,
        method: session.method.as_str(),
        amr: session.methods(),
        signed_in_at: session.signed_in_at().rfc3339(),
        idle_expires_at: idle.min(session.expires_at).rfc3339(),
        expires_at: session.expires_at.rfc3339(),
        idle_expires_in: idle.since(now).as_secs(),
        expires_in: session.expires_at.since(now).as_secs(),
    }
}

fn signed_out(visit: &Visit) -> Response {
    let context = &visit.context;
    let reference = context.request_id.reference();
    let refusal = Refusal {
        login_url: Some(context.login_url()),
        ..Refusal::new(
            StatusCode::UNAUTHORIZED,
            "login_required",
            "You're not signed in.",
            reference,
        )
    };
    let place = Place { title: &context.app.title, origin: &context.origin };
    refusal.answer(false, Some(place)).map(Body::from)
}
