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
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Page<'a> {
    frame: Frame,
    name: &'a str,
    notices: Vec<Told>,
}

const SOMEBODY_KNOWS: &str = "If that was not you, somebody knows your password: change it now, and \
                              tell your administrator.";

/// An address to be told, where it is known.
fn shown(address: Option<ClientIp>) -> Option<String> {
    address.filter(|address| address.is_known()).map(|address| address.to_string())
}

fn told(notice: &Notice) -> Told {
    match notice {
        Notice::WrongCodes { tries, last_at, address } => Told {
            title: match tries {
                1 => "A wrong code was typed after your right password".to_owned(),
                n => format!("{n} wrong codes were typed after your right password"),
            },
            text: "The sign-in was refused.",
            at: Some(Moment::new(*last_at)),
            address: shown(Some(*address)),
            advice: SOMEBODY_KNOWS,
        },
        Notice::RecoveryCodeUsed { at, address } => Told {
            title: "A recovery code of yours was used".to_owned(),
            text: "Each of them works once.",
            at: Some(Moment::new(*at)),
            address: shown(*address),
            advice: "If that was not you, somebody holds your recovery codes: make new ones now, \
                     change your password, and tell your administrator.",
        },
        Notice::FewRecoveryCodes { left } => Told {
            title: match left {
                0 => "You have no recovery codes left".to_owned(),
                1 => "You have one recovery code left".to_owned(),
                n => format!("You have {n} recovery codes left"),
            },
            text: "Without one, losing your phone means asking an administrator.",
            at: None,
            address: None,
            advice: "Make new ones on the page of your account.",
        },
        Notice::AuthenticatorSuspended => Told {
            title: "Your authenticator is suspended".to_owned(),
            text: "There were too many wrong codes in a row, after your right password.",
            at: None,
            address: None,
            advice: "Set it up anew on the page of your account, or ask your administrator for a \
                     one-time link.",
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
    };
    Ok(Answer::page(StatusCode::OK, &page)?.done())
}
