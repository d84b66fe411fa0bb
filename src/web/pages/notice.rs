//! What a person is told right after signing in, before the way leads on. It is shown as long as the
//! session lives, to its owner alone.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::second_factor::to_login;
use crate::auth::notice::Notice;
use crate::base::address::ClientIp;
use crate::web::failure::Failure;
use crate::web::view::{Answer, Frame};
use crate::web::visit::Visit;
use crate::web::words::Moment;

struct Told {
    title: String,
    text: &'static str,
    at: Option<Moment>,
    address: Option<String>,
    advice: &'static str,
    way: Way,
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Page<'a> {
    frame: Frame,
    name: &'a str,
    notices: Vec<Told>,
    at_app: bool,
}

/// Where a notice leads: a page of the account, and its words.
type Way = (&'static str, &'static str);

const PASSWORD: Way = ("/_auth/account/password", "Change your password");
const CODES: Way = ("/_auth/account/recovery-codes", "Create new recovery codes");
const APP: Way = ("/_auth/account/authenticator", "Set up your authenticator app");

/// An address to be told, where it is known.
fn shown(address: Option<ClientIp>) -> Option<String> {
    address.filter(|address| address.is_known()).map(|address| address.to_string())
}

fn told(notice: &Notice) -> Told {
    match notice {
        Notice::WrongCodes { tries, last_at, address } => Told {
            title: match tries {
                1 => "Somebody entered a wrong code after your correct password".to_owned(),
                n => format!("Somebody entered {n} wrong codes after your correct password"),
            },
            text: "They weren't let in.",
            at: Some(Moment::new(*last_at)),
            address: shown(Some(*address)),
            advice: "If that wasn't you, somebody knows your password: change it now and tell your \
                     administrator.",
            way: PASSWORD,
        },
        Notice::RecoveryCodeUsed { at, address } => Told {
            title: "One of your recovery codes was used".to_owned(),
            text: "Each of them works once.",
            at: Some(Moment::new(*at)),
            address: shown(*address),
            advice: "If that wasn't you, somebody has your recovery codes: create new ones now, \
                     change your password and tell your administrator.",
            way: CODES,
        },
        Notice::FewRecoveryCodes { left } => Told {
            title: match left {
                0 => "You have no recovery codes left".to_owned(),
                1 => "You have one recovery code left".to_owned(),
                n => format!("You have {n} recovery codes left"),
            },
            text: "Without one, you'll need an administrator if you lose your phone.",
            at: None,
            address: None,
            advice: "It takes a minute to create new ones.",
            way: CODES,
        },
        Notice::AuthenticatorSuspended => Told {
            title: "Your authenticator app is suspended".to_owned(),
            text: "There were too many wrong codes in a row, after your correct password.",
            at: None,
            address: None,
            advice: "Set it up again now, or ask your administrator for a one-time link.",
            way: APP,
        },
        Notice::SignedInWithRecoveryCode => Told {
            title: "You signed in with a recovery code".to_owned(),
            text: "That code is used up. Lost your phone, or got a new one?",
            at: None,
            address: None,
            advice: "Set up your authenticator app on it now. The old one then stops working. If \
                     you still have your phone, there's nothing to do.",
            way: APP,
        },
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
        notices: session.notices.iter().map(told).collect(),
        at_app: visit.context.app.keeps_passwords,
    };
    Ok(Answer::page(StatusCode::OK, &page)?.done())
}
