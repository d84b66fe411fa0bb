//! A parsed request for one of the gateway's pages: cookies, tokens, query and form.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Uri};

use super::RequestContext;
use super::back::Back;
use super::cookies::{self, OwnCookies};
use super::csrf::{CsrfState, Protected, Sent, Stale};
use super::failure::Failure;
use super::form::{Fields, Form};
use super::frame::Frame;
use super::onward::Onward;
use super::origin::WebOrigin;
use super::token::{Finished, Pending};
use super::view::Answer;
use crate::auth::audit::{Caller, Ended};
use crate::auth::browser::KnownBrowser;
use crate::auth::login::{
    AppRef, Changed, DeviceCookie, KeyPage, SecondFactor, Services, SignedIn,
};
use crate::auth::session::{Device, Session};
use crate::auth::token::{ParkedToken, PlainToken};
use crate::auth::webauthn::challenge::BrowserBinding;
use crate::auth::webauthn::relying_party::{KeySettings, RelyingParty};
use crate::base::secret::Secret;

pub(super) struct Visit {
    pub(super) services: Arc<Services>,
    pub(super) context: RequestContext,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    own: OwnCookies,
    fields: Option<Fields>,
    back: Option<Back>,
    /// Relying party of the page, if keys work on its host.
    party: Option<RelyingParty>,
    /// True once a valid session was found.
    signed_in: AtomicBool,
}

impl Visit {
    pub(super) async fn of(
        services: Arc<Services>,
        context: RequestContext,
        request: Request,
    ) -> Result<Self, Failure> {
        let own = OwnCookies::read(request.headers())?;
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let headers = request.headers().clone();
        let fields =
            if method == Method::POST { Some(Fields::of_body(request).await?) } else { None };
        let portal = context.portal().is_some();
        let back = return_address(&uri, fields.as_ref(), portal)?;
        let party = party(services.key_settings(), &context.origin);
        let signed_in = AtomicBool::new(false);
        Ok(Self { services, context, method, uri, headers, own, fields, back, party, signed_in })
    }

    pub(super) fn app(&self) -> AppRef<'_> {
        AppRef {
            name: &self.context.app.name,
            issuer: &self.context.app.issuer,
            party: self.party.as_ref(),
        }
    }

    /// Returns the relying party of the page, if keys work on its host.
    pub(super) fn party(&self) -> Option<&RelyingParty> {
        self.party.as_ref()
    }

    /// Returns the page as keys see it, with a token for its form and the cookie to set with it.
    /// Returns `None` if keys do not work on this host. The cookie that the form is bound to identifies
    /// the browser, not the form token: nodes with other writing keys make another one.
    pub(super) fn key_page(&self) -> Result<Option<KeyForms>, Failure> {
        let Some(party) = self.party.clone() else { return Ok(None) };
        let keys = self.services.keys();
        let (held, cookie) = CsrfState::of(&self.own, keys).bound_to(self.services.random())?;
        let page = KeyPage { party, browser: BrowserBinding::of(&held) };
        let csrf = keys.csrf_token(&held);
        Ok(Some(KeyForms { page, csrf, cookie }))
    }

    pub(super) fn frame(&self) -> Frame {
        let signed_in = self.signed_in.load(Ordering::Relaxed);
        let frame = Frame::new(&self.context.app.title, &self.context.origin);
        let frame = frame.signed_in(signed_in);
        match &self.back {
            Some(back) => frame.with_back(back),
            None => frame,
        }
    }

    /// Returns the host as the browser used it.
    pub(super) fn host(&self) -> &str {
        let origin = &self.context.origin;
        origin.split_once("://").map_or(origin, |(_, host)| host)
    }

    fn device(&self) -> Device {
        let agent = self.headers.get(USER_AGENT).map(HeaderValue::as_bytes);
        Device::new(self.context.client, agent.unwrap_or_default())
    }

    /// Returns the caller, for the audit log.
    pub(super) fn caller(&self) -> Caller {
        let browser = cookies::device(&self.headers);
        Caller {
            device: self.device(),
            browser: browser.and_then(|text| KnownBrowser::parse(text, self.services.keys())),
            reference: self.context.request_id,
            host: self.context.origin.split_once("://").map(|(_, host)| host.to_owned()),
            parked: self.parked().map(|token| *token.hashed()),
        }
    }

    /// Returns the return address from the form, else from the URL.
    pub(super) fn asked_back(&self) -> Option<&Back> {
        self.back.as_ref()
    }

    /// Returns the return address, or the start page if the request has none.
    pub(super) fn back(&self) -> Back {
        self.back.clone().unwrap_or_else(Back::root)
    }

    /// Returns the URL of another page, with the same return address.
    pub(super) fn on(&self, page: &str) -> String {
        format!("{page}{}", self.back().query())
    }

    /// Verifies the form token and returns the content; fails if the form is stale. Pages that show a
    /// stale form again use [`Self::sent`].
    pub(super) fn form<F: Form>(&mut self) -> Result<F, Failure> {
        self.sent()?.map_err(|_stale| self.stale_form())
    }

    /// Verifies the form token and returns the content, or the kept parts of a stale form. Fails if the
    /// form is forged.
    pub(super) fn sent<F: Form>(&mut self) -> Result<Result<F, Stale>, Failure> {
        let fields = self.fields.take().ok_or_else(|| Failure::Broken("no form".to_owned()))?;
        let keys = self.services.keys();
        match Protected::new(fields).open(&CsrfState::of(&self.own, keys), keys) {
            Sent::Good(form) => Ok(Ok(form)),
            Sent::Stale(stale) => Ok(Err(stale)),
            Sent::Forged => Err(self.stale_form()),
        }
    }

    fn stale_form(&self) -> Failure {
        match self.uri.path() {
            "/_auth/account/sessions" | "/_auth/account/tokens" => {
                Failure::stale_form("/_auth/account".to_owned(), "Back to your account")
            }
            // These take forms only.
            "/_auth/passkey" => Failure::stale_form(self.on("/_auth/login"), "Reload the page"),
            page if page.starts_with("/_auth/account/keys/")
                && page != "/_auth/account/keys/new" =>
            {
                Failure::stale_form("/_auth/account/keys".to_owned(), "Back to your keys")
            }
            page => Failure::stale_form(self.on(page), "Reload the page"),
        }
    }

    /// Redirects a browser that is already signed in away from a sign-in page: to the return address,
    /// or to the account or the portal's start page if there is none.
    pub(super) async fn led_on(&self) -> Result<Option<Answer>, Failure> {
        let start = if self.context.portal().is_some() { "/" } else { "/_auth/account" };
        Ok(self.session().await?.map(|(_, session)| {
            if session.recovery_codes_due.is_some() {
                Answer::see_other(&self.on("/_auth/recovery-codes"))
            } else {
                Answer::see_other(self.asked_back().map_or(start, Back::as_str))
            }
        }))
    }

    /// Returns the host as the browser used it, without its port.
    pub(super) fn host_name(&self) -> Option<String> {
        Some(WebOrigin::parse(&self.context.origin)?.name().to_owned())
    }

    /// Returns the address of the app that a form of this page may lead to.
    pub(super) fn form_target(&self) -> Option<String> {
        let onward = self.back.as_ref()?.onward()?;
        let app = self.context.portal()?.find(&onward.app, onward.host.as_deref())?;
        Some(app.origin)
    }

    /// Returns a token for a form in the response, and the cookie to set with it.
    pub(super) fn csrf(&self) -> Result<(String, Option<HeaderValue>), Failure> {
        let keys = self.services.keys();
        CsrfState::of(&self.own, keys).token(keys, self.services.random())
    }

    pub(super) fn pending(&self) -> Option<Pending> {
        PlainToken::parse(self.own.pending.as_deref()?, self.services.keys())
    }

    /// Forgets the pending login and returns the `Set-Cookie` value that clears it.
    pub(super) fn forget_pending(&mut self) -> Option<HeaderValue> {
        self.own.pending = None;
        cookies::clear(cookies::PENDING)
    }

    /// Ends the browser's earlier session after a new sign-in, which replaces its cookie.
    pub(super) async fn end_former_session(&self, outcome: &SecondFactor) {
        if let SecondFactor::SignedIn(done) = outcome {
            self.end_session_before(done).await;
        }
    }

    /// Ends the browser's earlier session after the sign-in `_anew`.
    pub(super) async fn end_session_before(&self, _anew: &SignedIn) {
        let Some(former) = self.session_token() else { return };
        if self.services.sessions.sign_out(&former, &self.caller(), Ended::Replaced).await.is_err()
        {
            tracing::warn!("failed to end replaced session");
        }
    }

    /// Returns the token of what the browser was sending when its session ended.
    pub(super) fn parked(&self) -> Option<PlainToken<ParkedToken>> {
        PlainToken::parse(cookies::parked(&self.headers)?, self.services.keys())
    }

    pub(super) fn session_token(&self) -> Option<Finished> {
        PlainToken::parse(self.own.session.as_deref()?, self.services.keys())
    }

    /// Returns the session, if it is valid.
    pub(super) async fn session(&self) -> Result<Option<(Finished, Session)>, Failure> {
        let Some(token) = self.session_token() else { return Ok(None) };
        let session = self.services.sessions.session(&self.context.app.name, &token).await?;
        self.signed_in.store(session.is_some(), Ordering::Relaxed);
        Ok(session.map(|session| (token, session)))
    }
}

/// A page that takes the answer of a key.
pub(super) struct KeyForms {
    pub(super) page: KeyPage,
    /// Token for the form.
    pub(super) csrf: String,
    /// Cookie to set with the page.
    pub(super) cookie: Option<HeaderValue>,
}

/// Returns the relying party of a page of this origin.
fn party(settings: &KeySettings, origin: &str) -> Option<RelyingParty> {
    let origin = WebOrigin::parse(origin)?;
    RelyingParty::of(settings, origin.name(), &origin.to_string())
}

fn return_address(uri: &Uri, form: Option<&Fields>, portal: bool) -> Result<Option<Back>, Failure> {
    let query = Fields::of_query(uri)?;
    if let Some(onward) = Onward::of_fields(|name| query.get(name)).filter(|_| portal) {
        return Ok(Some(Back::to_app(&onward)));
    }
    let too_long = query.get(super::onward::TOO_LONG) == "1";
    let asked = form.map_or("", |form| form.get("return_to"));
    let asked = if asked.is_empty() { query.get("return_to") } else { asked };
    if asked.is_empty() && !too_long {
        return Ok(None);
    }
    let back = Back::parse(asked).with_too_long(too_long);
    // The portal has no pages but its own.
    Ok(Some(if portal && !back.is_own() { Back::root() } else { back }))
}

/// Replaces the pending login by the session and redirects: to the form's return address, because
/// another tab may have started the login, else to the login's own.
pub(super) fn signed_in(visit: &Visit, done: &SignedIn) -> Result<Answer, Failure> {
    let cookie = cookies::set(cookies::SESSION, done.token.reveal())
        .ok_or_else(|| Failure::Broken("token is not a valid header value".to_owned()))?;
    let next = if done.resend {
        Back::resend()
    } else {
        visit.asked_back().cloned().unwrap_or_else(|| Back::parse(&done.return_to))
    };
    let path = if done.recovery_codes_due {
        format!("/_auth/recovery-codes{}", next.query())
    } else if done.has_notices {
        notice_path(&next)
    } else {
        next.as_str().to_owned()
    };
    let answer = Answer::see_other(&path).cookie(Some(cookie)).cookie(known(done.browser.as_ref()));
    // The app may set its own cookies here, but not the gateway's.
    let of_app = |set: &&Secret| !cookies::sets_own_cookie(set.reveal().as_bytes());
    let answer = done.app_cookies.iter().filter(of_app).fold(answer, |answer, set| {
        let value = HeaderValue::from_str(set.reveal()).ok();
        answer.cookie(value.map(|mut value| {
            value.set_sensitive(true);
            value
        }))
    });
    Ok(answer.cookie(cookies::clear(cookies::PENDING)))
}

fn known(browser: Option<&DeviceCookie>) -> Option<HeaderValue> {
    browser.and_then(|b| cookies::set_for(cookies::DEVICE, &b.text, b.lives))
}

/// Sets the renewed session after a change of credentials.
pub(super) fn with_renewed_session(answer: Answer, changed: &Changed) -> Answer {
    let cookie = cookies::set(cookies::SESSION, changed.token.reveal());
    answer.cookie(cookie).cookie(known(changed.browser.as_ref()))
}

/// Returns the path of the notice page, which continues to `next`.
pub(super) fn notice_path(next: &Back) -> String {
    next.on("/_auth/notice")
}
