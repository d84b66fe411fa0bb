//! The portal's start page: the apps that the user may open.

use std::sync::Arc;

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::second_factor::to_login;
use crate::web::failure::Failure;
use crate::web::frame::Frame;
use crate::web::icon::Icon;
use crate::web::portal::Access;
use crate::web::return_to::ReturnTo;
use crate::web::view::Answer;
use crate::web::visit::Visit;

/// An app on the page.
struct Tile {
    title: String,
    /// First letter of the title.
    letter: String,
    /// Stands in place of the letter.
    icon: Option<Arc<Icon>>,
    url: String,
    host: String,
}

#[derive(Template)]
#[template(path = "launch.html")]
struct Page<'a> {
    frame: Frame,
    name: &'a str,
    apps: Vec<Tile>,
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    let Some(portal) = visit.context.portal() else {
        let sentence = "There's no page at this address.";
        return Err(Failure::refused(StatusCode::NOT_FOUND, "not_found", sentence));
    };
    let Some((_, session)) = visit.session().await? else { return Ok(to_login(&visit)) };
    if session.recovery_codes_due.is_some() {
        return Ok(Answer::see_other("/_auth/recovery-codes").done());
    }
    let start = ReturnTo::root();
    let all = portal.all().into_iter();
    let open = all.filter(|app| portal.access(app, &start, &session) != Access::Denied);
    let apps = open.map(|app| Tile {
        letter: app.title.chars().next().map(|c| c.to_uppercase().collect()).unwrap_or_default(),
        url: format!("{}/", app.origin),
        title: app.title,
        icon: app.icon,
        host: app.host,
    });
    let apps = apps.collect();
    let page = Page { frame: visit.frame(), name: session.identity.name.as_str(), apps };
    Ok(Answer::page(StatusCode::OK, &page)?.done())
}
