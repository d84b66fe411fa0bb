//! Step-up: a fresh proof before a sensitive change.

use askama::Template;
use axum::response::Response;

use super::target::Target;
use super::{fresh, login, setup};
use crate::auth::login::{StepUp, TypedCode};
use crate::auth::session::Session;
use crate::auth::stage::Factor;
use crate::web::back::Back;
use crate::web::cookies;
use crate::web::failure::Failure;
use crate::web::form::{Fields, StepUpForm};
use crate::web::frame::Frame;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::Visit;
use crate::web::words;

const WRONG_PASSWORD: &str = "Incorrect password.";
const SUSPENDED_APP: &str = "Your authenticator app is suspended after too many wrong codes. Use a \
                             recovery code instead.";
const SUSPENDED_RECOVERY: &str = "Too many wrong recovery codes: they're suspended. Use your \
                                  authenticator app, or ask your administrator.";

/// The kind of code to enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    App,
    RecoveryCode,
}

impl Means {
    fn complaint(self, of_app: &str, of_recovery: &str) -> Complaint {
        Complaint::wrong(match self {
            Self::App => of_app,
            Self::RecoveryCode => of_recovery,
        })
    }
}

#[derive(Template)]
#[template(path = "step_up.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    return_to: &'a str,
    needs_password: bool,
    /// User name as entered, if the app checks the password itself.
    at_app: Option<&'a str>,
    app_code: bool,
    recovery: bool,
    /// Message beside the password.
    password: &'a Complaint,
    /// Message beside the code.
    code: &'a Complaint,
}

fn in_address(visit: &Visit) -> Result<(Option<Target>, Means), Failure> {
    let mut query = Fields::of_query(&visit.uri)?;
    let target = query.take("return_to");
    let recovery = query.take("with") == "recovery";
    let target = if target.is_empty() { None } else { Some(Target::parse(&target)) };
    Ok((target, if recovery { Means::RecoveryCode } else { Means::App }))
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    let (target, means) = in_address(&visit)?;
    let target = target.unwrap_or(Target::Account);
    let (_, session) = match fresh::session(&visit, &target).await? {
        Ok(found) => found,
        Err(redirect) => return Ok(*redirect),
    };
    if target.is_served(&session, &visit) {
        return Ok(Answer::see_other(target.path()).done());
    }
    if session.method == Factor::App {
        return login::once_more(&visit, &session, &Back::parse(target.path()));
    }
    page(
        &visit,
        &session,
        &Prompt { target: &target, means, username: "" },
        &Complaint::none(),
        &Complaint::none(),
    )
}

/// Parameters of the page, and the user name as entered.
struct Prompt<'a> {
    target: &'a Target,
    means: Means,
    username: &'a str,
}

fn page(
    visit: &Visit,
    session: &Session,
    prompt: &Prompt<'_>,
    password: &Complaint,
    code: &Complaint,
) -> Result<Response, Failure> {
    let (csrf, cookie) = visit.csrf()?;
    let page = Page {
        frame: visit.frame(),
        csrf,
        name: session.identity.name.as_str(),
        return_to: prompt.target.path(),
        needs_password: prompt.target.needs_password(),
        at_app: visit.context.app.keeps_passwords.then_some(prompt.username),
        app_code: password.text.as_deref() == Some(setup::APP_CODE),
        recovery: prompt.means == Means::RecoveryCode,
        password,
        code,
    };
    let status = if password.text.is_some() { password.status() } else { code.status() };
    let answer = Answer::page(status, &page)?.with_summary(code).cookie(cookie);
    Ok(answer.retry_after(password.wait.or(code.wait)).done())
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let sent = visit.sent::<StepUpForm>()?;
    let (target, means) = in_address(&visit)?;
    let target = match &sent {
        Ok(form) if !form.return_to.is_empty() => Target::parse(&form.return_to),
        Ok(_) | Err(_) => target.unwrap_or(Target::Account),
    };
    let (token, session) = match fresh::session(&visit, &target).await? {
        Ok(found) => found,
        Err(redirect) => return Ok(*redirect),
    };
    if session.method == Factor::App {
        return login::once_more(&visit, &session, &Back::parse(target.path()));
    }
    let form = match sent {
        Ok(form) => form,
        Err(_) if target.is_served(&session, &visit) => {
            return Ok(Answer::see_other(target.path()).done());
        }
        Err(old) => {
            let prompt = Prompt { target: &target, means, username: &old.username };
            let complaint = Complaint::stale(&old, visit.host());
            return page(&visit, &session, &prompt, &Complaint::none(), &complaint);
        }
    };
    let username = form.typed.name.clone();
    let typed = target.needs_password().then_some(form.typed);
    let code = TypedCode::parse(form.code.reveal());
    let none = Complaint::none;
    let service = &visit.service;
    let (password, code) = match service
        .step_up(&token, &session, typed, &code, &visit.caller())
        .await?
    {
        StepUp::Done(token) => {
            let cookie = cookies::set(cookies::SESSION, token.reveal());
            return Ok(Answer::see_other(target.path()).cookie(cookie).done());
        }
        StepUp::Ended => return Ok(fresh::to_login_for(&target)),
        StepUp::WrongPassword if visit.context.app.keeps_passwords => {
            (Complaint::wrong(setup::WRONG_AT_APP), none())
        }
        StepUp::WrongPassword => (Complaint::wrong(WRONG_PASSWORD), none()),
        StepUp::AppCodeWanted => (Complaint::wrong(setup::APP_CODE), none()),
        StepUp::WrongCode => (none(), means.complaint(words::WRONG_CODE, words::WRONG_RECOVERY)),
        StepUp::UsedCode => (none(), means.complaint(words::USED_CODE, words::USED_RECOVERY)),
        StepUp::Typo => (none(), means.complaint(words::NOT_A_CODE, words::TYPO)),
        StepUp::Suspended => (none(), means.complaint(SUSPENDED_APP, SUSPENDED_RECOVERY)),
        StepUp::Wait(wait) => (none(), Complaint::wait(wait)),
    };
    let prompt = Prompt { target: &target, means, username: &username };
    page(&visit, &session, &prompt, &password, &code)
}
