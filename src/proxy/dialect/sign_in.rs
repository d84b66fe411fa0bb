//! An app's own sign-in, as its pages, scripts and toolkits send it. The app checks the password.
//! Its response is kept and sent once the second factor is proved, in the app's own format.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN, SET_COOKIE};
use http::{Response, StatusCode};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use crate::auth::app_sign_in::{AppPolicy, Relayed};
use crate::auth::audit::{Caller, Ended};
use crate::auth::login::{
    AppAttempt, AppRef, ByApp, FactorResponse, GoneOn, LoginError, Owed, SecondFactor, SignedIn,
};
use crate::auth::token::{HashedToken, PendingToken, PlainToken, SessionToken};
use crate::base::secret::Secret;
use crate::gate::dialect::{Dialect, MOST_BYTES, READ_TIME, SignInForm};
use crate::proxy::admit::caller::caller;
use crate::proxy::admit::site::Site;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::{RequestState, no_admission};
use crate::proxy::respond::bridge::{self, Form};
use crate::proxy::respond::refused::Refused;
use crate::proxy::rewrite::forward;
use crate::proxy::rewrite::slim;
use crate::proxy::upstream::pool::or_internal;
use crate::web::cookies;
use crate::web::origin::Source;
use crate::web::refusal::{Refusal, RefusalSummary};

/// Deadline for a client's second request, with the code.
const SECOND_REQUEST_WITHIN: Duration = Duration::from_mins(2);

/// The response to a sign-in.
enum Reply {
    /// The app's response.
    App(Relayed),
    /// The app's response, with a session.
    SignedIn(Relayed, Box<SignedIn>),
    /// A response of the gateway, as JSON.
    Gateway(StatusCode, &'static str, String, Option<Duration>),
    /// The request for a code, in the app's own format, and the login that waits for it.
    CodeWanted(PlainToken<PendingToken>),
}

fn rejection(status: StatusCode, code: &'static str, sentence: impl Into<String>) -> Reply {
    Reply::Gateway(status, code, sentence.into(), None)
}

/// A sign-in in progress.
struct Attempt<'a> {
    gateway: &'a Gateway,
    site: &'a Site,
    caller: Caller,
}

impl Gateway {
    /// Answers a sign-in at an app that checks passwords itself.
    pub(in crate::proxy) async fn sign_in_by_app(
        &self,
        session: &mut Session,
        state: &mut RequestState,
        policy: AppPolicy,
    ) -> Result<()> {
        let site = state.site().cloned().ok_or_else(no_admission)?;
        let dialect = site.app.dialect.clone().ok_or_else(no_admission)?;
        slim::down(session);
        let headers = session.req_header().headers.clone();
        let caller = caller(self, &headers, state).ok_or_else(no_admission)?;
        let attempt = Attempt { gateway: self, site: &site, caller };
        let reply = if from_elsewhere(&headers, &site) && !site.app.answers.lets_read(&headers) {
            rejection(
                StatusCode::FORBIDDEN,
                "forbidden",
                "This was sent from another site, so nothing was done.",
            )
        } else {
            match bridge::read_form(session, MOST_BYTES, READ_TIME).await? {
                Form::TooLarge => {
                    session.set_keepalive(None);
                    rejection(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "too_large",
                        "The sign-in request is too large.",
                    )
                }
                Form::TooSlow => {
                    session.set_keepalive(None);
                    rejection(
                        StatusCode::REQUEST_TIMEOUT,
                        "too_slow",
                        "The sign-in took too long to arrive.",
                    )
                }
                Form::Read(body) => {
                    let body = zeroize::Zeroizing::new(body);
                    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
                    match dialect.sign_in.read(kind, &body) {
                        Err(why) => {
                            rejection(StatusCode::BAD_REQUEST, "bad_request", why.to_string())
                        }
                        Ok(form) => match attempt.run(policy, form, &headers).await {
                            Ok(reply) => reply,
                            Err(error) => return failed(self, session, state, &error).await,
                        },
                    }
                }
            }
        };
        if let Reply::SignedIn(..) = reply {
            attempt.end_former(&headers).await;
        }
        self.answer_sign_in(session, state, (&site, &dialect, &headers), reply).await
    }

    /// Writes the response. A login that it leaves pending expires by itself.
    async fn answer_sign_in(
        &self,
        session: &mut Session,
        state: &mut RequestState,
        (site, dialect, headers): (&Site, &Dialect, &HeaderMap),
        reply: Reply,
    ) -> Result<()> {
        state.refusal = match &reply {
            Reply::SignedIn(..) => None,
            Reply::Gateway(_, code, ..) => Some(code),
            Reply::App(_) => Some("sign_in_refused"),
            Reply::CodeWanted(_) => Some("code_wanted"),
        };
        if let Reply::CodeWanted(token) = &reply {
            self.end_unless_finished(*token.hashed());
        }
        let signed_in = matches!(reply, Reply::SignedIn(..));
        let within = self.second_request_within();
        let mut response = response(reply, within, site, dialect, state, session)?;
        if signed_in && cookies::pending(headers).is_ok_and(|login| login.is_some()) {
            response
                .headers_mut()
                .extend(cookies::clear(cookies::PENDING).map(|c| (SET_COOKIE, c)));
        }
        site.app.answers.let_read(response.headers_mut(), headers);
        if let Some(summary) = response.extensions().get::<RefusalSummary>() {
            self.note_refusal(session.req_header(), state, summary);
        }
        bridge::write(session, response).await?;
        Ok(())
    }
}

impl Gateway {
    /// Returns the deadline for the client's second request, with the code.
    fn second_request_within(&self) -> Duration {
        SECOND_REQUEST_WITHIN.min(self.login.limits().pending / 2)
    }

    /// Ends a login that its client does not complete in time, so that no session is left at the
    /// app.
    fn end_unless_finished(&self, login: HashedToken<PendingToken>) {
        let (service, within) = (Arc::clone(&self.login), self.second_request_within());
        tokio::spawn(async move {
            tokio::time::sleep(within).await;
            if let Err(error) = service.logins.abandon_hashed(&login).await {
                tracing::warn!(%error, "failed to end the pending login of an app client");
            }
        });
    }
}

async fn failed(
    gateway: &Gateway,
    session: &mut Session,
    state: &mut RequestState,
    error: &LoginError,
) -> Result<()> {
    let id = state.id;
    if matches!(error, LoginError::Busy) {
        tracing::warn!(%id, %error, "app sign-in rejected: too many in progress");
    } else {
        tracing::error!(%id, %error, "app sign-in failed");
    }
    let refused = if let LoginError::AppSilent(_) = error {
        Refused::app_silent()
    } else {
        Refused::unavailable()
    };
    refused.answer(gateway, session, state).await
}

/// Returns true if another site sent the request (login CSRF).
fn from_elsewhere(headers: &HeaderMap, site: &Site) -> bool {
    // A typed address: no page sends the request.
    let typed = headers.get("sec-fetch-site").is_some_and(|site| site == "none");
    if typed && !headers.contains_key(ORIGIN) {
        return headers.get_all("sec-fetch-site").iter().count() > 1;
    }
    Source::of(headers, &site.page) == Source::Elsewhere
}

/// A sign-in that the app accepted, before the second factor.
struct Begun {
    token: PlainToken<PendingToken>,
    /// True if the account has to enrol a second factor first.
    enrol: bool,
    /// True if the app used the code of the request for its own second factor.
    code_spent: bool,
    /// The answer of the app.
    answer: Relayed,
}

impl Attempt<'_> {
    fn app(&self) -> AppRef<'_> {
        let pages = &self.site.app.pages;
        AppRef { name: &pages.name, issuer: &pages.issuer, party: None }
    }

    async fn run(
        &self,
        policy: AppPolicy,
        form: SignInForm,
        headers: &HeaderMap,
    ) -> std::result::Result<Reply, LoginError> {
        let SignInForm { mut typed, code } = form;
        if let (Some(token), Some(code)) = (self.waiting(headers), &code)
            && let Some(GoneOn { enrol, answer }) =
                self.gateway.login.first.gone_on(self.app(), &token, &typed).await?
        {
            let begun = Begun { token, enrol, code_spent: false, answer };
            return self.go_on(begun, Some(code)).await;
        }
        // The app's request for a code shows whose code it is.
        typed.code.clone_from(&code);
        let (caller, return_to) = (self.caller.clone(), "/".to_owned());
        let attempt = AppAttempt { typed, caller, return_to, by_client: true };
        let login = &self.gateway.login;
        let answer = login.first.check_first_factor(self.app(), policy, attempt).await?;
        Ok(match answer {
            ByApp::CodeWanted(answer) | ByApp::Refused(answer) | ByApp::Undecided(answer) => {
                Reply::App(answer)
            }
            ByApp::SignedIn(done, answer) => Reply::SignedIn(answer, done),
            ByApp::Stranger => rejection(
                StatusCode::FORBIDDEN,
                "no_account",
                "Your user name and password are correct, but you don't have an account at the \
                 gateway yet. Ask your administrator for one.",
            ),
            ByApp::Disabled => rejection(
                StatusCode::FORBIDDEN,
                "account_disabled",
                "Your user name and password are correct, but your account at the gateway is \
                 disabled. Ask your administrator about it.",
            ),
            ByApp::Wait(wait) => Reply::Gateway(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_tries",
                "Too many attempts.".to_owned(),
                Some(wait),
            ),
            ByApp::Begun { token, enrol, code_spent, answer } => {
                let begun = Begun { token, enrol, code_spent, answer };
                self.go_on(begun, code.as_ref()).await?
            }
        })
    }

    /// Returns the pending login of the client's first request, from its cookie.
    fn waiting(&self, headers: &HeaderMap) -> Option<PlainToken<PendingToken>> {
        let cookie = cookies::pending(headers).ok().flatten()?;
        PlainToken::parse(std::str::from_utf8(cookie).ok()?, &self.gateway.keys)
    }

    /// Requests a code, or checks the one in the request. A login that waits for its code is kept
    /// for a while; any other one ends.
    async fn go_on(
        &self,
        begun: Begun,
        code: Option<&Secret>,
    ) -> std::result::Result<Reply, LoginError> {
        let Begun { token, enrol, code_spent, answer } = begun;
        let reply = match self.refusal(&token, enrol, code_spent).await? {
            Some(reply) => reply,
            None => match code {
                None => return Ok(Reply::CodeWanted(token)),
                Some(code) => self.prove(&token, code, answer).await?,
            },
        };
        if !matches!(reply, Reply::SignedIn(..)) {
            self.gateway.login.logins.abandon(&token).await?;
        }
        Ok(reply)
    }

    /// Returns the response if no code is accepted now.
    async fn refusal(
        &self,
        token: &PlainToken<PendingToken>,
        enrol: bool,
        code_spent: bool,
    ) -> std::result::Result<Option<Reply>, LoginError> {
        let refuse =
            |code, sentence: String| Some(rejection(StatusCode::FORBIDDEN, code, sentence));
        let title = &self.site.app.pages.title;
        let login = format!("{}/_auth/login", self.site.links);
        if enrol {
            return Ok(refuse(
                "enrolment_required",
                format!("Set up your second factor first: sign in with a browser at {login}"),
            ));
        }
        if code_spent {
            return Ok(refuse(
                "two_second_factors",
                format!(
                    "{title} asked for its own code. It doesn't replace your code here, and a sign-in \
                     can carry only one. Sign in with a browser at {login}"
                ),
            ));
        }
        Ok(match self.gateway.login.logins.owed(self.app(), token).await? {
            Some(Owed::SecondFactor { kinds, .. }) if kinds.is_empty() => refuse(
                "no_code",
                format!(
                    "Your account has passkeys or security keys only, which this program can't use. \
                     Sign in with a browser at {login} and add an authenticator app on your account \
                     page, or ask your administrator for an access token."
                ),
            ),
            Some(Owed::SecondFactor { .. } | Owed::Suspended { recovery: true, .. }) => None,
            Some(Owed::Suspended { .. }) => refuse(
                "suspended",
                "Your authenticator is suspended after too many wrong codes. Ask your \
                 administrator."
                    .to_owned(),
            ),
            Some(Owed::Enrolment { .. } | Owed::Help { .. } | Owed::NewPassword { .. }) | None => {
                refuse(
                    "no_second_factor",
                    "Your account has no second factor at present. Ask your administrator."
                        .to_owned(),
                )
            }
        })
    }

    /// Checks the code that an app client sent, with the same rules as our own pages.
    async fn prove(
        &self,
        token: &PlainToken<PendingToken>,
        code: &Secret,
        answer: Relayed,
    ) -> std::result::Result<Reply, LoginError> {
        let (app, login) = (self.app(), &self.gateway.login);
        let outcome = match FactorResponse::parse(code.reveal()) {
            Some(response) => login.second.prove(app, token, &response, &self.caller).await?,
            None => SecondFactor::Wrong { tries_left: 0, used_up: false, clock: None },
        };
        Ok(match outcome {
            SecondFactor::SignedIn(done) => Reply::SignedIn(answer, Box::new(done)),
            SecondFactor::Wrong { clock: Some(_), .. } => rejection(
                StatusCode::UNAUTHORIZED,
                "wrong_code",
                "That code didn't work: the clock of your phone is off. Set its time to automatic \
                 and try the next code.",
            ),
            SecondFactor::Wrong { .. }
            | SecondFactor::StartAgain
            | SecondFactor::NewPasswordOwed => rejection(
                StatusCode::UNAUTHORIZED,
                "wrong_code",
                "That code didn't work. Each code works once; wait for the next one.",
            ),
            SecondFactor::Suspended => rejection(
                StatusCode::FORBIDDEN,
                "suspended",
                "Your authenticator is suspended after too many wrong codes. Ask your \
                 administrator, or use a recovery code.",
            ),
            SecondFactor::Wait(wait) => Reply::Gateway(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_tries",
                "Too many wrong codes.".to_owned(),
                Some(wait),
            ),
        })
    }

    /// Ends the session in the request: a new one replaces it.
    async fn end_former(&self, headers: &HeaderMap) {
        let cookie = cookies::session(headers, None).ok().flatten();
        let text = cookie.and_then(|cookie| std::str::from_utf8(cookie.value).ok());
        let former = text.and_then(|t| PlainToken::<SessionToken>::parse(t, &self.gateway.keys));
        let Some(former) = former else { return };
        let ended =
            self.gateway.login.sessions.sign_out(&former, &self.caller, Ended::Replaced).await;
        if let Err(error) = ended {
            tracing::warn!(%error, "failed to end a replaced session");
        }
    }
}

const HOP_BY_HOP: [&str; 6] =
    ["connection", "content-length", "keep-alive", "transfer-encoding", "trailer", "upgrade"];

/// Converts the app's response for the client.
fn relayed(
    mut answer: Relayed,
    dialect: &Dialect,
    state: &RequestState,
    session: &Session,
) -> Result<Response<Bytes>> {
    let body = Bytes::from(std::mem::take(&mut answer.body));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in &answer.headers {
        if HOP_BY_HOP.contains(&name.as_str()) {
            continue;
        }
        let bare = if name == "set-cookie" { dialect.without_domain(value) } else { None };
        let value = bare.as_ref().unwrap_or(value);
        let name = HeaderName::from_bytes(name.as_bytes()).ok();
        if let Some((name, value)) = name.zip(HeaderValue::from_bytes(value).ok()) {
            response.headers_mut().append(name, value);
        }
    }
    let (parts, body) = response.into_parts();
    let mut header = ResponseHeader::from(parts);
    let client = forward::Client {
        version: session.req_header().version,
        https: state.is_https(),
        workers: false,
        personal: true,
    };
    if let Some(site) = state.site()
        && let Some(own) = &site.app.own_name
    {
        own.answer(&mut header, &site.page_text)?;
    }
    forward::response(&mut header, client)?;
    Ok(Response::from_parts(header.into(), body))
}

fn response(
    reply: Reply,
    within: Duration,
    site: &Site,
    dialect: &Dialect,
    state: &RequestState,
    session: &Session,
) -> Result<Response<Bytes>> {
    match reply {
        Reply::App(answer) => relayed(answer, dialect, state, session),
        Reply::SignedIn(answer, done) => {
            let mut response = relayed(answer, dialect, state, session)?;
            let set = cookies::set(cookies::SESSION, done.token.reveal());
            let set =
                or_internal(set.ok_or(std::fmt::Error), "the token is not a valid header value")?;
            response.headers_mut().append(SET_COOKIE, set);
            let known = done.browser.as_ref();
            let known = known.and_then(|b| cookies::set_for(cookies::DEVICE, &b.text, b.lives));
            if let Some(known) = known {
                response.headers_mut().append(SET_COOKIE, known);
            }
            Ok(response)
        }
        Reply::Gateway(status, code, sentence, retry_after) => {
            let reference = state.id.reference();
            let refusal =
                Refusal { retry_after, ..Refusal::new(status, code, sentence, reference) };
            Ok(refusal.answer_in(false, None, &site.app.answers.errors))
        }
        Reply::CodeWanted(login) => {
            let wanted = &dialect.code_wanted;
            let mut response = Response::new(Bytes::from(wanted.body.clone()));
            *response.status_mut() =
                StatusCode::from_u16(wanted.status).unwrap_or(StatusCode::BAD_REQUEST);
            if let Ok(kind) = HeaderValue::from_str(&wanted.content_type) {
                response.headers_mut().insert(CONTENT_TYPE, kind);
            }
            let no_store = HeaderValue::from_static("no-store");
            response.headers_mut().insert(http::header::CACHE_CONTROL, no_store);
            let set = cookies::set_for(cookies::PENDING, login.reveal(), within);
            response.headers_mut().extend(set.map(|cookie| (SET_COOKIE, cookie)));
            Ok(response)
        }
    }
}
