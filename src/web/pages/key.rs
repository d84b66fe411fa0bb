//! The second factor by a passkey or security key, and sign-in by a passkey alone.

use askama::Template;
use axum::response::Response;

use super::login;
use super::second_factor::{WrongWords, finished, no_login, to_code};
use crate::auth::authenticator::AuthenticatorKind;
use crate::auth::login::{ByPasskey, FactorResponse, KeyAnswer, Owed, PasskeyAttempt};
use crate::auth::webauthn::challenge::Purpose;
use crate::web::failure::Failure;
use crate::web::form::KeyForm;
use crate::web::frame::Frame;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::{KeyForms, Visit, signed_in};

pub(super) const REFUSED: &str = "That key wasn't accepted. Try again with a key of your account.";
const PASSKEY_REFUSED: &str = "That passkey wasn't accepted. Try again, or use your password.";

/// Messages for refused keys.
const WORDS: WrongWords = WrongWords { wrong: REFUSED, used_up: REFUSED };

#[derive(Template)]
#[template(path = "key.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    /// True if a code from an authenticator app is another way.
    app: bool,
    options: String,
    complaint: &'a Complaint,
}

/// Renders the page, or redirects a login that needs something else.
async fn page(visit: &Visit, complaint: &Complaint) -> Result<Response, Failure> {
    let Some(pending) = visit.pending() else { return no_login(visit).await };
    let app = visit.app();
    let (name, kinds) = match visit.services.logins.owed(app, &pending).await? {
        None => return no_login(visit).await,
        Some(Owed::SecondFactor { name, kinds }) => (name, kinds),
        Some(
            Owed::Enrolment { .. }
            | Owed::NewPassword { .. }
            | Owed::Suspended { .. }
            | Owed::Help { .. },
        ) => return Ok(to_code(visit)),
    };
    let Some(KeyForms { page: key_page, csrf, cookie }) = visit.key_page()? else {
        return Ok(to_code(visit));
    };
    let Some(options) = visit.services.second.key_options(app, &pending, &key_page).await? else {
        return Ok(to_code(visit));
    };
    let page = Page {
        frame: visit.frame(),
        csrf,
        name: name.as_str(),
        app: kinds.contains(&AuthenticatorKind::Totp),
        options,
        complaint,
    };
    let answer = Answer::page(complaint.status(), &page)?.with_summary(complaint).cookie(cookie);
    Ok(answer.retry_after(complaint.wait).done())
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    page(&visit, &Complaint::none()).await
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let form: KeyForm = match visit.sent()? {
        Ok(form) => form,
        Err(old) => return page(&visit, &Complaint::stale(&old, visit.host())).await,
    };
    let Some(pending) = visit.pending() else { return no_login(&visit).await };
    let Some(KeyForms { page: key_page, .. }) = visit.key_page()? else {
        return Ok(to_code(&visit));
    };
    let answer =
        KeyAnswer { text: form.credential, page: key_page, purpose: Purpose::SecondFactor };
    let response = FactorResponse::Key(Box::new(answer));
    let outcome =
        visit.services.second.prove(visit.app(), &pending, &response, &visit.caller()).await?;
    visit.end_former_session(&outcome).await;
    match finished(&visit, &outcome, WORDS)? {
        Ok(response) => Ok(response),
        Err(complaint) => page(&visit, &complaint).await,
    }
}

/// Signs in by a passkey from the sign-in page.
pub(in crate::web) async fn passkey(mut visit: Visit) -> Result<Response, Failure> {
    let form: KeyForm = match visit.sent()? {
        Ok(form) => form,
        Err(stale) => return login::again(&visit, &stale).await,
    };
    if let Some(answer) = visit.led_on().await? {
        return Ok(answer.done());
    }
    let back = visit.back();
    let Some(KeyForms { page: key_page, .. }) = visit.key_page()? else {
        return login::with_complaint(&visit, &Complaint::wrong(PASSKEY_REFUSED));
    };
    let attempt = PasskeyAttempt {
        answer: KeyAnswer {
            text: form.credential,
            page: key_page,
            purpose: Purpose::PasskeySignIn,
        },
        caller: visit.caller(),
        return_to: back.as_str().to_owned(),
    };
    let complaint = match visit.services.passkeys.by_passkey(visit.app(), attempt).await? {
        ByPasskey::SignedIn(done) => {
            visit.end_session_before(&done).await;
            return Ok(signed_in(&visit, &done)?.done());
        }
        ByPasskey::Refused => Complaint::wrong(PASSKEY_REFUSED),
        ByPasskey::Wait(wait) => Complaint::wait(wait),
    };
    login::with_complaint(&visit, &complaint)
}
