//! The second factor: a code from the authenticator app, or a recovery code instead.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use crate::auth::authenticator::AuthenticatorKind;
use crate::auth::login::{ClockOff, FactorResponse, Owed, SecondFactor};
use crate::auth::recovery::RecoveryCode;
use crate::auth::totp::Code;
use crate::web::failure::Failure;
use crate::web::form::CodeForm;
use crate::web::frame::Frame;
use crate::web::refusal::RefusalSummary;
use crate::web::token::Pending;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::{Visit, signed_in};
use crate::web::words;

const SUSPENDED: &str = "Too many wrong codes in a row, so no more are accepted. Ask your \
                         administrator for a one-time link.";

/// Messages for rejected codes of one kind.
#[derive(Clone, Copy)]
pub(in crate::web) struct WrongWords {
    pub(in crate::web) wrong: &'static str,
    pub(in crate::web) used_up: &'static str,
}

/// Messages for one-time codes.
const APP_WORDS: WrongWords = WrongWords { wrong: words::WRONG_CODE, used_up: words::USED_CODE };
/// Messages for recovery codes.
pub(super) const RECOVERY_WORDS: WrongWords =
    WrongWords { wrong: words::WRONG_RECOVERY, used_up: words::USED_RECOVERY };
/// Number of remaining attempts from which the page counts down.
const FEW_TRIES: u32 = 2;

#[derive(Template)]
#[template(path = "otp.html")]
struct OtpPage<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    complaint: &'a Complaint,
}

#[derive(Template)]
#[template(path = "recovery.html")]
struct RecoveryPage<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    /// Other ways. Empty if the account has keys alone, and none of them works here.
    others: Vec<AuthenticatorKind>,
    complaint: &'a Complaint,
}

#[derive(Template)]
#[template(path = "help.html")]
struct HelpPage<'a> {
    frame: Frame,
    name: &'a str,
    reference: String,
}

#[derive(Template)]
#[template(path = "suspended.html")]
struct SuspendedPage<'a> {
    frame: Frame,
    name: &'a str,
    recovery: bool,
    reference: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Means {
    App,
    RecoveryCode,
}

/// Redirects to the page for codes, which leads on where a login needs something else.
pub(super) fn to_code(visit: &Visit) -> Response {
    Answer::see_other(&visit.on("/_auth/otp")).done()
}

/// Returns the page of the second factor of a login: a key before a code.
pub(super) async fn first_choice(
    visit: &Visit,
    pending: &Pending,
) -> Result<&'static str, Failure> {
    Ok(match visit.services.logins.owed(visit.app(), pending).await? {
        Some(Owed::SecondFactor { kinds, .. }) if kinds.contains(&AuthenticatorKind::Webauthn) => {
            "/_auth/key"
        }
        Some(_) | None => "/_auth/otp",
    })
}

/// Redirects to the sign-in page and keeps the return address.
pub(in crate::web) fn to_login(visit: &Visit) -> Response {
    Answer::see_other(&visit.on("/_auth/login")).done()
}

/// Redirects a browser without a pending login: onward if it is signed in, else to the sign-in page.
pub(in crate::web) async fn no_login(visit: &Visit) -> Result<Response, Failure> {
    let on = if visit.asked_back().is_some() { visit.led_on().await? } else { None };
    Ok(on.map_or_else(|| to_login(visit), Answer::done))
}

/// Renders the form that the login needs next, or redirects to its page.
async fn page(visit: &Visit, means: Means, complaint: &Complaint) -> Result<Response, Failure> {
    let Some(pending) = visit.pending() else { return no_login(visit).await };
    let mut others = vec![AuthenticatorKind::Totp];
    let name = match visit.services.logins.owed(visit.app(), &pending).await? {
        None => return no_login(visit).await,
        Some(Owed::NewPassword { .. }) => {
            return Ok(Answer::see_other(&visit.on("/_auth/forgot/password")).done());
        }
        Some(Owed::Enrolment { .. }) => {
            return Ok(Answer::see_other(&visit.on("/_auth/enroll")).done());
        }
        Some(Owed::Help { name }) => return help(visit, name.as_str()),
        Some(Owed::SecondFactor { kinds, .. })
            if means == Means::App && !kinds.contains(&AuthenticatorKind::Totp) =>
        {
            let is_key = kinds.contains(&AuthenticatorKind::Webauthn);
            let other = if is_key { "/_auth/key" } else { "/_auth/recovery" };
            return Ok(Answer::see_other(&visit.on(other)).done());
        }
        Some(Owed::SecondFactor { name, kinds }) => {
            others = kinds;
            name
        }
        Some(Owed::Suspended { name, recovery: true }) if means == Means::RecoveryCode => name,
        Some(Owed::Suspended { name, recovery }) => {
            return suspended(visit, name.as_str(), recovery);
        }
    };
    let (frame, (csrf, cookie)) = (visit.frame(), visit.csrf()?);
    let (name, status) = (name.as_str(), complaint.status());
    let answer = match means {
        Means::App => Answer::page(status, &OtpPage { frame, csrf, name, complaint }),
        Means::RecoveryCode => {
            let page = RecoveryPage { frame, csrf, name, others, complaint };
            Answer::page(status, &page)
        }
    }?;
    Ok(answer.with_summary(complaint).cookie(cookie).retry_after(complaint.wait).done())
}

fn help(visit: &Visit, name: &str) -> Result<Response, Failure> {
    let reference = visit.context.request_id.reference();
    let page = HelpPage { frame: visit.frame(), name, reference };
    let answer = Answer::page(StatusCode::FORBIDDEN, &page)?.done();
    let sentence = "The account has no second factor, and a password alone may not enrol one.";
    Ok(with_summary(answer, "no_second_factor", sentence))
}

/// Attaches the reason of a rejected login, for `vestibule why`.
fn with_summary(mut answer: Response, code: &'static str, sentence: &'static str) -> Response {
    let (status, sentence) = (answer.status(), sentence.into());
    answer.extensions_mut().insert(RefusalSummary { status, code, sentence });
    answer
}

fn suspended(visit: &Visit, name: &str, recovery: bool) -> Result<Response, Failure> {
    let reference = visit.context.request_id.reference();
    let page = SuspendedPage { frame: visit.frame(), name, recovery, reference };
    let answer = Answer::page(StatusCode::FORBIDDEN, &page)?.done();
    Ok(with_summary(
        answer,
        "suspended",
        "The authenticator is suspended after too many wrong codes in a row.",
    ))
}

pub(in crate::web) async fn show_otp(visit: Visit) -> Result<Response, Failure> {
    page(&visit, Means::App, &Complaint::none()).await
}

pub(in crate::web) async fn show_recovery(visit: Visit) -> Result<Response, Failure> {
    page(&visit, Means::RecoveryCode, &Complaint::none()).await
}

pub(in crate::web) async fn send_otp(mut visit: Visit) -> Result<Response, Failure> {
    let form: CodeForm = match visit.sent()? {
        Ok(form) => form,
        Err(old) => return page(&visit, Means::App, &Complaint::stale(&old, visit.host())).await,
    };
    let Some(pending) = visit.pending() else { return no_login(&visit).await };
    let Ok(code) = Code::parse(form.code.reveal()) else {
        return page(&visit, Means::App, &Complaint::wrong(words::NOT_A_CODE)).await;
    };
    let outcome = prove(&visit, &pending, &FactorResponse::Code(code)).await?;
    visit.end_former_session(&outcome).await;
    match finished(&visit, &outcome, APP_WORDS)? {
        Ok(response) => Ok(response),
        Err(complaint) => page(&visit, Means::App, &complaint).await,
    }
}

pub(in crate::web) async fn send_recovery(mut visit: Visit) -> Result<Response, Failure> {
    let form: CodeForm = match visit.sent()? {
        Ok(form) => form,
        Err(old) => {
            return page(&visit, Means::RecoveryCode, &Complaint::stale(&old, visit.host())).await;
        }
    };
    let Some(pending) = visit.pending() else { return no_login(&visit).await };
    let Ok(code) = RecoveryCode::parse(form.code.reveal()) else {
        return page(&visit, Means::RecoveryCode, &Complaint::wrong(words::TYPO)).await;
    };
    let outcome = prove(&visit, &pending, &FactorResponse::RecoveryCode(code)).await?;
    visit.end_former_session(&outcome).await;
    match finished(&visit, &outcome, RECOVERY_WORDS)? {
        Ok(response) => Ok(response),
        Err(complaint) => page(&visit, Means::RecoveryCode, &complaint).await,
    }
}

async fn prove(
    visit: &Visit,
    pending: &Pending,
    response: &FactorResponse,
) -> Result<SecondFactor, Failure> {
    Ok(visit.services.second.prove(visit.app(), pending, response, &visit.caller()).await?)
}

pub(super) fn clock_words(off: ClockOff) -> String {
    let (by, direction) = match off {
        ClockOff::Fast(by) => (by, "ahead"),
        ClockOff::Slow(by) => (by, "behind"),
    };
    let by = words::duration(by);
    format!(
        "That code isn't valid right now: your phone's clock is about {by} {direction}. Set the \
         time on your phone to automatic, wait for the next code and try again."
    )
}

/// Returns the response to a finished step, or the message to show beside the field.
pub(in crate::web) fn finished(
    visit: &Visit,
    outcome: &SecondFactor,
    said: WrongWords,
) -> Result<Result<Response, Complaint>, Failure> {
    Ok(match outcome {
        SecondFactor::SignedIn(done) => Ok(signed_in(visit, done)?.done()),
        SecondFactor::NewPasswordOwed => {
            Ok(Answer::see_other(&visit.on("/_auth/forgot/password")).done())
        }
        // Keep the cookie, so that the login page can say that the login expired.
        SecondFactor::StartAgain => Ok(to_login(visit)),
        SecondFactor::Wait(wait) => Err(Complaint::wait(*wait)),
        SecondFactor::Suspended => Err(Complaint::wrong(SUSPENDED)),
        SecondFactor::Wrong { tries_left, used_up, clock } => {
            let wrong = if *used_up { said.used_up } else { said.wrong };
            let text = clock.map_or_else(|| wrong.to_owned(), clock_words);
            Err(Complaint::wrong(match tries_left {
                0 => format!("{text} That was your last attempt. Start again."),
                1 => format!("{text} You have one attempt left."),
                n if *n <= FEW_TRIES => format!("{text} You have {n} attempts left."),
                _ => text,
            }))
        }
    })
}
