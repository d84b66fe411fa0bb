//! Notices shown after sign-in, before the redirect to the app. They stay available for the lifetime
//! of the session.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::second_factor::to_login;
use crate::auth::notice::Notice;
use crate::base::address::ClientIp;
use crate::web::failure::Failure;
use crate::web::frame::Frame;
use crate::web::view::Answer;
use crate::web::visit::Visit;
use crate::web::words::{Moment, listed};

/// A notice as shown on the page.
struct Item {
    title: String,
    text: &'static str,
    at: Option<Moment>,
    address: Option<String>,
    advice: &'static str,
    link: Link,
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Page<'a> {
    frame: Frame,
    name: &'a str,
    notices: Vec<Item>,
    at_app: bool,
}

/// A link to an account page: path and text.
type Link = (&'static str, &'static str);

const PASSWORD: Link = ("/_auth/account/password", "Change your password");
const CODES: Link = ("/_auth/account/recovery-codes", "Create new recovery codes");
const KEYS: Link = ("/_auth/account/keys", "See your keys");
const APP: Link = ("/_auth/account/authenticator", "Set up your authenticator app");

/// Returns the address as text, if it is known.
fn shown(address: Option<ClientIp>) -> Option<String> {
    address.filter(|address| address.is_known()).map(|address| address.to_string())
}

fn item(notice: &Notice) -> Item {
    match notice {
        Notice::WrongCodes { tries, last_at, address } => Item {
            title: match tries {
                1 => "Someone entered a wrong code after your correct password".to_owned(),
                n => format!("Someone entered {n} wrong codes after your correct password"),
            },
            text: "They weren't let in.",
            at: Some(Moment::new(*last_at)),
            address: shown(Some(*address)),
            advice: "If that wasn't you, someone knows your password: change it now and tell your \
                     administrator.",
            link: PASSWORD,
        },
        Notice::RecoveryCodeUsed { at, address } => Item {
            title: "One of your recovery codes was used".to_owned(),
            text: "Each of them works once.",
            at: Some(Moment::new(*at)),
            address: shown(*address),
            advice: "If that wasn't you, someone has your recovery codes: create new ones now, \
                     change your password and tell your administrator.",
            link: CODES,
        },
        Notice::FewRecoveryCodes { left } => Item {
            title: match left {
                0 => "You have no recovery codes left".to_owned(),
                1 => "You have one recovery code left".to_owned(),
                n => format!("You have {n} recovery codes left"),
            },
            text: "Without one, you'll need an administrator if you lose your phone.",
            at: None,
            address: None,
            advice: "It takes a minute to create new ones.",
            link: CODES,
        },
        Notice::AuthenticatorSuspended => Item {
            title: "Your authenticator app is suspended".to_owned(),
            text: "There were too many wrong codes in a row, after your correct password.",
            at: None,
            address: None,
            advice: "Set it up again now, or ask your administrator for a one-time link.",
            link: APP,
        },
        Notice::KeysRemain { names } => keys_remain(names),
        Notice::SignedInWithRecoveryCode => Item {
            title: "You signed in with a recovery code".to_owned(),
            text: "That code is used up. Lost your phone, or got a new one?",
            at: None,
            address: None,
            advice: "Set up your authenticator app on it now. The old one then stops working. If \
                     you still have your phone, there's nothing to do.",
            link: APP,
        },
    }
}

fn keys_remain(names: &[String]) -> Item {
    Item {
        title: match names.len() {
            1 => format!("This key still signs in to your account: {}", listed(names)),
            n => format!("These {n} keys still sign in to your account: {}", listed(names)),
        },
        text: "What you've just set up anew doesn't change that.",
        at: None,
        address: None,
        advice: "If one of them isn't yours, remove it now and tell your administrator.",
        link: KEYS,
    }
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    let Some((_, session)) = visit.session().await? else { return Ok(to_login(&visit)) };
    let back = visit.back();
    if session.notices.is_empty() {
        return Ok(Answer::see_other(back.as_str()).done());
    }
    let page = Page {
        frame: visit.frame().with_back(&back),
        name: session.identity.name.as_str(),
        notices: session.notices.iter().map(item).collect(),
        at_app: !visit.context.app.first_factor.is_kept_here(),
    };
    Ok(Answer::page(StatusCode::OK, &page)?.done())
}
