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
    signed_in_at: String,
    idle_expires_at: String,
    expires_at: String,
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    match visit.session().await? {
        Some((_, session)) => Ok(Answer::json(&signed_in(&visit, &session))?.done()),
        None => Ok(signed_out(&visit)),
    }
}

fn signed_in<'a>(visit: &Visit, session: &'a Session) -> SignedIn<'a> {
    let idle = session.last_seen_at.plus(visit.service.limits().idle);
    SignedIn {
        user: session.identity.name.as_str(),
        display_name: &session.identity.display_name,
        email: session.identity.email.as_deref(),
        groups: &session.identity.groups,
        method: session.method.as_str(),
        signed_in_at: session.signed_in_at().rfc3339(),
        idle_expires_at: idle.min(session.expires_at).rfc3339(),
        expires_at: session.expires_at.rfc3339(),
    }
}

fn signed_out(visit: &Visit) -> Response {
    let context = &visit.context;
    let reference = context.request_id.reference();
    let refusal = Refusal {
        login_url: Some(format!("{}/_auth/login", context.links)),
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
