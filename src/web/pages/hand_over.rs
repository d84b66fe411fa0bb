//! The hand-over of a sign-in: from the portal to an app, and its end at the app.

use axum::response::Response;
use http::StatusCode;

use crate::auth::hand_over::FlowHash;
use crate::auth::login::{Destination, HandedOver, ShownTicket};
use crate::auth::session::Session;
use crate::web::back::Back;
use crate::web::cookies;
use crate::web::failure::Failure;
use crate::web::form::Fields;
use crate::web::onward::Onward;
use crate::web::portal::{Access, AppAddress, Role, STEP_UP, known_flow};
use crate::web::refusal::RefusalLink;
use crate::web::token::Finished;
use crate::web::view::Answer;
use crate::web::visit::Visit;

/// The app's page that takes a ticket.
pub(in crate::web) const CONTINUE: &str = "/_auth/continue";
const REFUSED: &str = "You were not signed in. This sign-in was used before, took more than a minute, or \
                       began in another browser. Sign in again. Cookies must be allowed for this site.";

/// Hands the sign-in of a browser that is signed in at the portal over to the app in the query. Returns
/// `None` for a browser that is not, and if the query names no app.
pub(super) async fn hand_over(visit: &Visit) -> Result<Option<Response>, Failure> {
    let Some(portal) = visit.context.portal() else { return Ok(None) };
    let query = Fields::of_query(&visit.uri)?;
    let Some(onward) = Onward::of_fields(|name| query.get(name)) else { return Ok(None) };
    let Some((token, session)) = visit.session().await? else { return Ok(None) };
    let Some(app) = portal.find(&onward.app, onward.host.as_deref()) else {
        return Err(unknown_app());
    };
    if session.recovery_codes_due.is_some() {
        return Ok(Some(Answer::see_other(&visit.on("/_auth/recovery-codes")).done()));
    }
    let Some(flow) = &onward.flow else { return Ok(Some(begin_there(&app, &onward))) };
    let back = Back::to_app(&onward);
    match portal.access(&app, &onward.return_to, &session) {
        Access::Open => {}
        Access::AfterStepUp => return Ok(Some(Answer::see_other(&back.on(STEP_UP)).done())),
        Access::AfterKey => {
            return Ok(Some(Answer::see_other(&back.on("/_auth/step-up?with=key")).done()));
        }
        Access::Denied => return Err(denied(&app, &session)),
    }
    to_app(visit, (&token, &session), (&app, &onward, flow)).await.map(Some)
}

/// Redirects to the app with a ticket.
async fn to_app(
    visit: &Visit,
    (token, session): (&Finished, &Session),
    (app, onward, flow): (&AppAddress, &Onward, &FlowHash),
) -> Result<Response, Failure> {
    let to =
        Destination { app: &app.name, host: &app.host, return_to: onward.return_to.as_str(), flow };
    let ticket = visit.services.hand_overs.issue(token, session, to).await?;
    let ticket = ticket.ok_or_else(|| Failure::Broken("not a session of the portal".to_owned()))?;
    let url = format!("{}{CONTINUE}?ticket={}", app.origin, ticket.reveal());
    Ok(Answer::see_other(&url).unreferred().done())
}

/// Redirects to the app without a ticket. It begins a new detour, with a flow of its own.
fn begin_there(app: &AppAddress, onward: &Onward) -> Response {
    Answer::see_other(&format!("{}{}", app.origin, onward.return_to.as_str())).done()
}

fn unknown_app() -> Failure {
    Failure::refused(StatusCode::NOT_FOUND, "not_found", "There's no app with this name here.")
}

fn denied(app: &AppAddress, session: &Session) -> Failure {
    let sentence = format!(
        "You're signed in as {}, but you don't have access to this page of {}.",
        session.identity.name, app.title
    );
    Failure::Refused {
        status: StatusCode::FORBIDDEN,
        code: "forbidden",
        sentence: sentence.into(),
        link: Some(RefusalLink {
            href: "/".to_owned(),
            label: "See the apps you can open",
            hint: None,
        }),
    }
}

/// Takes a ticket at an app, and redirects to the page that the user asked for.
pub(in crate::web) async fn go_on(visit: Visit) -> Result<Response, Failure> {
    if !matches!(visit.context.role, Role::BelowPortal(_)) {
        let sentence = "There's no page at this address.";
        return Err(Failure::refused(StatusCode::NOT_FOUND, "not_found", sentence));
    }
    let ticket = Fields::of_query(&visit.uri)?.take("ticket");
    let flow = known_flow(&visit.headers);
    let host = visit.host_name().unwrap_or_default();
    let shown = ShownTicket {
        ticket: &ticket,
        app: &visit.context.app.name,
        host: &host,
        flow: flow.as_ref(),
        former: visit.session_token(),
    };
    match visit.services.hand_overs.show(shown, &visit.caller()).await? {
        HandedOver::Done { token, return_to, resend } => {
            let cookie = cookies::set(cookies::SESSION, token.reveal());
            let target = if resend { Back::resend() } else { Back::of_target(&return_to) };
            Ok(Answer::see_other(target.as_str()).cookie(cookie).unreferred().done())
        }
        HandedOver::Refused => Err(Failure::Refused {
            status: StatusCode::BAD_REQUEST,
            code: "hand_over_refused",
            sentence: REFUSED.into(),
            link: Some(RefusalLink {
                href: "/_auth/login".to_owned(),
                label: "Sign in again",
                hint: None,
            }),
        }),
    }
}
