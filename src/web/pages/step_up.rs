//! Step-up: a fresh proof before a sensitive change.

use askama::Template;
use axum::response::Response;

use super::target::Target;
use super::{fresh, key, login, setup};
use crate::auth::app_sign_in::Typed;
use crate::auth::authenticator::AuthenticatorKind;
use crate::auth::fresh::FreshSecondFactor;
use crate::auth::login::{FactorResponse, KeyAnswer, StepUp};
use crate::auth::session::Session;
use crate::auth::stage::Factor;
use crate::auth::webauthn::challenge::Purpose;
use crate::web::back::Back;
use crate::web::cookies;
use crate::web::failure::Failure;
use crate::web::form::{Fields, StepUpForm};
use crate::web::frame::Frame;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::{KeyForms, Visit};
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
    /// A passkey or security key, because a rule accepts nothing else.
    Key,
}

impl Means {
    fn complaint(self, of_app: &str, of_recovery: &str) -> Complaint {
        Complaint::wrong(match self {
            Self::App | Self::Key => of_app,
            Self::RecoveryCode => of_recovery,
        })
    }
}

#[derive(Template)]
#[template(path = "step_up.html")]
#[expect(clippy::struct_excessive_bools, reason = "each shows or hides one part of the page")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    return_to: &'a str,
    needs_password: bool,
    /// True if the password is required beside a key.
    key_password: bool,
    /// True if a key was just proved and the password is still missing.
    password_missing: bool,
    /// User name as entered, if the app checks the password itself.
    at_app: Option<&'a str>,
    app_code: bool,
    recovery: bool,
    /// Request options, if the account has a key that works here.
    key: Option<String>,
    /// True if only a key will do.
    key_only: bool,
    /// True if the account has a key that does not work here.
    key_elsewhere: bool,
    /// Address of the page that adds a key and then returns to the page that wants one.
    add_key: &'a str,
    /// True if a code can be entered.
    shows_code: bool,
    /// Message beside the key.
    at_key: &'a Complaint,
    /// Message beside the password.
    password: &'a Complaint,
    /// Message beside the code.
    code: &'a Complaint,
}

fn in_address(visit: &Visit) -> Result<(Option<Target>, Means), Failure> {
    let mut query = Fields::of_query(&visit.uri)?;
    let target = query.take("return_to");
    let means = match query.take("with").as_str() {
        "recovery" => Means::RecoveryCode,
        "key" => Means::Key,
        _ => Means::App,
    };
    let onward = visit.asked_back().filter(|back| back.onward().is_some());
    let target = match onward {
        Some(back) => Some(Target::Onward(back.clone())),
        None if target.is_empty() => None,
        None => Some(Target::parse(&target)),
    };
    Ok((target, means))
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    let (target, means) = in_address(&visit)?;
    let target = target.unwrap_or(Target::Account);
    let (_, session) = match fresh::session(&visit, &target).await? {
        Ok(found) => found,
        Err(redirect) => return Ok(*redirect),
    };
    let owes_key = fresh::owes_key(&visit, &target, &session).await?;
    if means != Means::Key && !owes_key && target.is_served(&session, &visit) {
        return Ok(Answer::see_other(target.path()).done());
    }
    if session.method == Factor::App && means != Means::Key && !owes_key {
        return login::once_more(&visit, &session, &Back::parse(target.path()));
    }
    page(
        &visit,
        &session,
        &Prompt { target: &target, means, username: "", with_key: false },
        &Complaint::none(),
        &Complaint::none(),
    )
    .await
}

/// Parameters of the page, and the user name as entered.
struct Prompt<'a> {
    target: &'a Target,
    means: Means,
    username: &'a str,
    /// True if the answer of a key was sent.
    with_key: bool,
}

async fn page(
    visit: &Visit,
    session: &Session,
    prompt: &Prompt<'_>,
    password: &Complaint,
    code: &Complaint,
) -> Result<Response, Failure> {
    let needs_password = prompt.target.needs_password();
    let asked_recovery = prompt.means == Means::RecoveryCode;
    let key_page = visit.key_page()?.filter(|_| !asked_recovery).map(|forms| forms.page);
    let (key, kinds) = visit.services.keys.step_up_ways(session, key_page.as_ref()).await?;
    let app = kinds.contains(&AuthenticatorKind::Totp);
    let (csrf, cookie) = visit.csrf()?;
    let password_missing = needs_password
        && session.method == Factor::KEY
        && FreshSecondFactor::of(session, visit.services.now()).is_some();
    let key_is_both = visit.services.step_ups.key_is_both(session);
    let key_elsewhere =
        !asked_recovery && key.is_none() && fresh::owes_key(visit, prompt.target, session).await?;
    let recovery = asked_recovery || key_elsewhere;
    // A code from the app does not do for a change, if the account has a key.
    let key_only =
        !recovery && (prompt.means == Means::Key || (prompt.target.needs_key() && key.is_some()));
    let shows_code = recovery || (!key_only && (app || key.is_none()));
    let none = Complaint::none();
    let at_key = if password.text.is_some() { password } else { code };
    let by_key = prompt.with_key || !shows_code;
    let (at_key, at_password, at_code) =
        if by_key { (at_key, &none, &none) } else { (&none, password, code) };
    let add_key = prompt.target.new_key();
    let page = Page {
        frame: visit.frame(),
        csrf,
        name: session.identity.name.as_str(),
        return_to: prompt.target.path(),
        needs_password,
        key_password: needs_password && (password_missing || !key_is_both),
        password_missing,
        at_app: (!visit.context.app.first_factor.is_kept_here()).then_some(prompt.username),
        app_code: password.text.as_deref() == Some(setup::APP_CODE),
        recovery,
        key_only,
        key_elsewhere,
        add_key: add_key.path(),
        shows_code,
        key,
        at_key,
        password: at_password,
        code: at_code,
    };
    let status = if password.text.is_some() { password.status() } else { code.status() };
    let answer = Answer::page(status, &page)?.with_summary(code).cookie(cookie);
    Ok(answer.retry_after(password.wait.or(code.wait)).done())
}

/// Returns the password, if it is required, and the response of the second factor.
fn proofs(
    visit: &Visit,
    form: StepUpForm,
    target: &Target,
) -> Result<(Option<Typed>, Option<FactorResponse>), Failure> {
    let StepUpForm { typed, code, credential: text, return_to: _ } = form;
    let typed = Some(typed).filter(|_| target.needs_password());
    if text.is_empty() {
        return Ok((typed, FactorResponse::parse(code.reveal())));
    }
    // A key can be both factors. If it isn't, the page asks for the password next.
    let typed = typed.filter(|typed| !typed.password.reveal().is_empty());
    let response = visit.key_page()?.map(|KeyForms { page, .. }| {
        FactorResponse::Key(Box::new(KeyAnswer { text, page, purpose: Purpose::StepUp }))
    });
    Ok((typed, response))
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
    let owes_key = fresh::owes_key(&visit, &target, &session).await?;
    if session.method == Factor::App && means != Means::Key && !owes_key {
        return login::once_more(&visit, &session, &Back::parse(target.path()));
    }
    let form = match sent {
        Ok(form) => form,
        Err(_) if !owes_key && target.is_served(&session, &visit) => {
            return Ok(Answer::see_other(target.path()).done());
        }
        Err(old) => {
            let prompt =
                Prompt { target: &target, means, username: &old.username, with_key: false };
            let complaint = Complaint::stale(&old, visit.host());
            return page(&visit, &session, &prompt, &Complaint::none(), &complaint).await;
        }
    };
    let username = form.typed.name.clone();
    let with_key = !form.credential.is_empty();
    let (typed, response) = proofs(&visit, form, &target)?;
    let none = Complaint::none;
    let service = &visit.services;
    let (password, code) = match service
        .step_ups
        .step_up(&token, &session, typed, response.as_ref(), &visit.caller())
        .await?
    {
        StepUp::Done(token) => {
            let cookie = cookies::set(cookies::SESSION, token.reveal());
            return Ok(Answer::see_other(target.path()).cookie(cookie).done());
        }
        StepUp::Ended => return Ok(fresh::to_login_for(&target)),
        StepUp::WrongPassword if !visit.context.app.first_factor.is_kept_here() => {
            (Complaint::wrong(setup::WRONG_AT_APP), none())
        }
        StepUp::WrongPassword => (Complaint::wrong(WRONG_PASSWORD), none()),
        StepUp::AppCodeWanted => (Complaint::wrong(setup::APP_CODE), none()),
        StepUp::WrongCode | StepUp::UsedCode | StepUp::Typo if with_key => {
            (none(), Complaint::wrong(key::REFUSED))
        }
        StepUp::WrongCode => (none(), means.complaint(words::WRONG_CODE, words::WRONG_RECOVERY)),
        StepUp::UsedCode => (none(), means.complaint(words::USED_CODE, words::USED_RECOVERY)),
        StepUp::Typo => (none(), means.complaint(words::NOT_A_CODE, words::TYPO)),
        StepUp::Suspended => (none(), means.complaint(SUSPENDED_APP, SUSPENDED_RECOVERY)),
        StepUp::Wait(wait) => (none(), Complaint::wait(wait)),
    };
    let prompt = Prompt { target: &target, means, username: &username, with_key };
    page(&visit, &session, &prompt, &password, &code).await
}
