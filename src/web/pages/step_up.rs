//! Proving again who one is, before something that matters.

use askama::Template;
use axum::response::Response;

use super::{fresh, login, setup};
use crate::auth::fresh::{FreshFactors, FreshSecondFactor};
use crate::auth::login::{StepUp, TypedCode};
use crate::auth::session::Session;
use crate::auth::stage::Factor;
use crate::web::back::Back;
use crate::web::cookies;
use crate::web::failure::Failure;
use crate::web::form::{Fields, StepUpForm};
use crate::web::return_to::ReturnTo;
use crate::web::view::{Answer, Complaint, Frame};
use crate::web::visit::Visit;
use crate::web::words;

const WRONG_PASSWORD: &str = "Incorrect password.";
const SUSPENDED_APP: &str = "Your authenticator app is suspended after too many wrong codes. Use a \
                             recovery code instead.";
const SUSPENDED_RECOVERY: &str = "Too many wrong recovery codes: they're suspended. Use your \
                                  authenticator app, or ask your administrator.";

/// Where a step-up leads: one of our pages, or a page of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) enum Target {
    Account,
    Authenticator,
    FirstCodes,
    RecoveryCodes,
    Password,
    App(ReturnTo),
}

impl Target {
    const OWN: [Self; 5] =
        [Self::Account, Self::Authenticator, Self::FirstCodes, Self::RecoveryCodes, Self::Password];

    /// One of our own pages by its very path, a harmless address of the app, else the account.
    pub(super) fn parse(text: &str) -> Self {
        let own = Self::OWN.into_iter().find(|page| page.path() == text);
        own.unwrap_or_else(|| match ReturnTo::parse(text) {
            app if app.is_root() && text != "/" => Self::Account,
            app => Self::App(app),
        })
    }

    pub(super) fn path(&self) -> &str {
        match self {
            Self::Account => "/_auth/account",
            Self::Authenticator => "/_auth/account/authenticator",
            Self::FirstCodes => "/_auth/recovery-codes",
            Self::RecoveryCodes => "/_auth/account/recovery-codes",
            Self::Password => "/_auth/account/password",
            Self::App(path) => path.as_str(),
        }
    }

    /// What can let somebody else in for good needs both factors; the page for the password asks for
    /// the present one itself.
    fn needs_password(&self) -> bool {
        match self {
            Self::Authenticator | Self::RecoveryCodes => true,
            Self::Account | Self::FirstCodes | Self::Password | Self::App(_) => false,
        }
    }

    pub(super) fn step_up_path(&self) -> String {
        let path = form_urlencoded::byte_serialize(self.path().as_bytes());
        format!("/_auth/step-up?return_to={}", path.collect::<String>())
    }

    /// Whether nothing is to be proved. How fresh the proof must be for a page of the app is its
    /// rules' to say, and they have sent the person here.
    fn is_served(&self, session: &Session, visit: &Visit) -> bool {
        let now = visit.service.now();
        match self {
            Self::Authenticator | Self::RecoveryCodes => FreshFactors::of(session, now).is_some(),
            Self::Account | Self::FirstCodes | Self::Password => {
                FreshSecondFactor::of(session, now).is_some()
            }
            Self::App(_) => false,
        }
    }
}

/// Which code is asked for.
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
    /// The app keeps the password, and knows the person by this name as far as was typed.
    at_app: Option<&'a str>,
    app_code: bool,
    recovery: bool,
    /// Beside the password.
    password: &'a Complaint,
    /// Beside the code.
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
        Ok(asked) => asked,
        Err(elsewhere) => return Ok(*elsewhere),
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
        &Asked { target: &target, means, username: "" },
        &Complaint::none(),
        &Complaint::none(),
    )
}

/// What a page is for, and the name that was typed on it.
struct Asked<'a> {
    target: &'a Target,
    means: Means,
    username: &'a str,
}

fn page(
    visit: &Visit,
    session: &Session,
    asked: &Asked<'_>,
    password: &Complaint,
    code: &Complaint,
) -> Result<Response, Failure> {
    let (csrf, cookie) = visit.csrf()?;
    let page = Page {
        frame: visit.frame(),
        csrf,
        name: session.identity.name.as_str(),
        return_to: asked.target.path(),
        needs_password: asked.target.needs_password(),
        at_app: visit.context.app.keeps_passwords.then_some(asked.username),
        app_code: password.text.as_deref() == Some(setup::APP_CODE),
        recovery: asked.means == Means::RecoveryCode,
        password,
        code,
    };
    let status = if password.text.is_some() { password.status() } else { code.status() };
    let answer = Answer::page(status, &page)?.told(code).cookie(cookie);
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
        Ok(asked) => asked,
        Err(elsewhere) => return Ok(*elsewhere),
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
            let asked = Asked { target: &target, means, username: &old.username };
            let complaint = Complaint::stale(&old, visit.host());
            return page(&visit, &session, &asked, &Complaint::none(), &complaint);
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
    let asked = Asked { target: &target, means, username: &username };
    page(&visit, &session, &asked, &password, &code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_up_leads_to_our_own_changes_or_into_the_app_only() {
        for own in Target::OWN {
            assert_eq!(Target::parse(own.path()), own);
            assert!(own.step_up_path().starts_with("/_auth/step-up?return_to=%2F_auth%2F"));
        }
        assert_eq!(Target::parse("/a?b=c").path(), "/a?b=c");
        assert_eq!(Target::parse("/").path(), "/");
        for bad in [
            "",
            "/_auth/logout",
            "/_auth/account/",
            "/_auth/account/password?x",
            "/_auth/account/../logout",
            "//evil.example",
            "https://evil.example/",
        ] {
            assert_eq!(Target::parse(bad), Target::Account, "{bad}");
        }
    }
}
