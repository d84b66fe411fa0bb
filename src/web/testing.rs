//! A fake service with configurable results, and a browser with a cookie jar.

mod recover;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use http::header::{CONTENT_TYPE, COOKIE, HeaderMap, SET_COOKIE};
use http::{Method, Request, StatusCode};
use parking_lot::Mutex;
use tower::ServiceExt;
use zeroize::Zeroizing;

use super::outcome::{Finished, Outcome, Pending};
use super::routes::router_over;
use super::service::SignIn;
use super::{AppPages, RequestContext, cookies};
use crate::auth::access_token::{AccessRecord, Limits};
use crate::auth::account::{Account, Identity, LoginName};
use crate::auth::audit::{Caller, Ended};
use crate::auth::keys::KeyRing;
use crate::auth::keys::testing::material;
use crate::auth::login::{
    AppRef, Changed, ClockOff, DeviceCookie, Enrolment, FirstFactor, FirstFactorAttempt,
    LoginError, Owed, Profile, SecondFactor, SignedIn,
};
use crate::auth::notice::Notice;
use crate::auth::password::PasswordRecord;
use crate::auth::ports::StoreError;
use crate::auth::recovery::{RecoveryCode, RecoverySet};
use crate::auth::session::{Device, Offers, Session, SessionLimits};
use crate::auth::stage::Factor;
use crate::auth::token::{PendingToken, PlainToken, SessionToken};
use crate::auth::totp::{Code, TotpFactor};
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId, RequestId, SessionId, TokenId};
use crate::base::random::{OsRandom, Random};

pub(super) const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
pub(super) const ORIGIN: &str = "https://gw.test";
const NOW: u64 = 1_767_225_600_000;

/// Configuration of the fake service: alice's password is `right`, her code is [`RIGHT_CODE`].
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Script {
    pub(super) down: bool,
    pub(super) busy: bool,
    pub(super) wait: Option<Duration>,
    pub(super) enrolled: bool,
    pub(super) help: bool,
    pub(super) tries_left: u32,
    pub(super) clock: Option<ClockOff>,
    pub(super) suspended: bool,
    pub(super) notices: Vec<Notice>,
    pub(super) codes_due: bool,
    pub(super) code_sets: u32,
    pub(super) codes_kept: u32,
    pub(super) pending: Option<String>,
    pub(super) session: Option<String>,
    pub(super) return_to: String,
    pub(super) ticket: Option<String>,
    /// True if the session's proofs are no longer fresh.
    pub(super) stale: bool,
    pub(super) in_force: bool,
    pub(super) ended: Vec<String>,
    /// True if the pending login started with a recovery code.
    pub(super) forgotten: bool,
    /// True if the pending login has also proved its second factor.
    pub(super) reset: bool,
}

pub(super) struct Fake {
    pub(super) script: Mutex<Script>,
    keys: KeyRing,
    random: OsRandom,
    account: AccountId,
    session: SessionId,
}

impl Fake {
    pub(super) fn up(&self) -> Outcome<()> {
        let script = self.script.lock();
        if script.busy {
            return Err(LoginError::Busy);
        }
        if script.down {
            let reason = "connection refused".to_owned();
            return Err(StoreError { store: "the session store", reason }.into());
        }
        Ok(())
    }

    pub(super) fn name() -> LoginName {
        LoginName::parse("alice").unwrap()
    }

    fn identity(&self) -> Identity {
        Identity {
            account: self.account,
            name: Self::name(),
            display_name: "Alice <Liddell>".to_owned(),
            email: Some("alice@example.com".to_owned()),
            groups: vec!["staff".to_owned(), "lab".to_owned()],
        }
    }

    pub(super) fn at() -> Timestamp {
        Timestamp::from_millis(NOW)
    }

    fn finished(&self) -> Session {
        let due = self.script.lock().codes_due;
        Session {
            id: self.session,
            identity: self.identity(),
            app: "app".to_owned(),
            method: Factor::Totp,
            started_at: Self::at(),
            renewed_since: None,
            second_factor_at: Self::at(),
            password_at: Self::at(),
            last_seen_at: Self::at(),
            expires_at: Self::at().plus(Duration::from_hours(12)),
            device: Device {
                address: ClientIp::new([192, 0, 2, 7].into()),
                user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0".to_owned(),
            },
            recovery_codes_due: due.then(|| "/app?q=1".to_owned()),
            offers: Offers::default(),
            notices: self.script.lock().notices.clone(),
            identity_changes: 0,
        }
    }

    pub(super) fn new_session(&self) -> Outcome<PlainToken<SessionToken>> {
        let token = PlainToken::<SessionToken>::generate(&self.keys, &self.random)
            .map_err(|e| LoginError::Broken(e.to_string()))?;
        self.script.lock().session = Some(token.reveal().to_owned());
        Ok(token)
    }

    fn device_cookie() -> DeviceCookie {
        DeviceCookie { text: "known".to_owned(), lives: Duration::from_hours(24) }
    }

    pub(super) fn changed(&self) -> Outcome<Changed> {
        Ok(Changed { token: self.new_session()?, browser: Some(Self::device_cookie()) })
    }

    fn second(&self, right: bool) -> Outcome<SecondFactor> {
        self.up()?;
        let mut script = self.script.lock();
        if let Some(wait) = script.wait {
            return Ok(SecondFactor::Wait(wait));
        }
        if script.pending.is_none() {
            return Ok(SecondFactor::StartAgain);
        }
        if !right {
            return Ok(SecondFactor::Wrong {
                tries_left: script.tries_left,
                used_up: false,
                clock: script.clock,
            });
        }
        if script.forgotten && !script.reset {
            script.reset = true;
            return Ok(SecondFactor::NewPasswordOwed);
        }
        script.pending = None;
        drop(script);
        let token = self.new_session()?;
        let script = self.script.lock();
        Ok(SecondFactor::SignedIn(SignedIn {
            token,
            return_to: script.return_to.clone(),
            recovery_codes_due: script.codes_due,
            browser: Some(Self::device_cookie()),
            has_notices: !script.notices.is_empty(),
            app_cookies: Vec::new(),
        }))
    }
}

#[async_trait]
impl SignIn for Fake {
    async fn first_factor(
        &self,
        _app: AppRef<'_>,
        attempt: FirstFactorAttempt,
    ) -> Outcome<FirstFactor> {
        self.up()?;
        let mut script = self.script.lock();
        if let Some(wait) = script.wait {
            return Ok(FirstFactor::Wait(wait));
        }
        if attempt.name != "alice" || attempt.password.reveal() != "right" {
            return Ok(FirstFactor::Wrong);
        }
        let token = PlainToken::<PendingToken>::generate(&self.keys, &self.random).unwrap();
        script.pending = Some(token.reveal().to_owned());
        script.return_to = attempt.return_to;
        let lives = Duration::from_mins(10);
        Ok(FirstFactor::Begun { token, lives, enrol: !script.enrolled && !script.help })
    }
    async fn is_open(&self) -> Outcome<()> {
        self.up()
    }
    async fn owed(&self, _app: AppRef<'_>, token: &Pending) -> Outcome<Option<Owed>> {
        self.up()?;
        let script = self.script.lock();
        let name = Self::name();
        if script.pending.as_deref() != Some(token.reveal()) {
            return Ok(None);
        }
        if script.reset {
            return Ok(Some(Owed::NewPassword { name }));
        }
        if script.suspended {
            return Ok(Some(Owed::Suspended { name, recovery: true }));
        }
        Ok(Some(match (script.help, script.enrolled) {
            (true, _) => Owed::Help { name },
            (false, true) => Owed::SecondFactor { name },
            (false, false) => Owed::Enrolment { name },
        }))
    }
    async fn totp(
        &self,
        _app: AppRef<'_>,
        _token: &Pending,
        code: &Code,
        _caller: &Caller,
    ) -> Outcome<SecondFactor> {
        self.second(is_right(code))
    }
    async fn recovery_code(
        &self,
        _app: AppRef<'_>,
        _token: &Pending,
        _code: &RecoveryCode,
        _caller: &Caller,
    ) -> Outcome<SecondFactor> {
        self.second(true)
    }
    async fn enrolment(&self, _app: AppRef<'_>, token: &Pending) -> Outcome<Option<Enrolment>> {
        self.up()?;
        let script = self.script.lock();
        if script.enrolled || script.help || script.pending.as_deref() != Some(token.reveal()) {
            return Ok(None);
        }
        let uri = format!("otpauth://totp/App:alice?secret={SECRET}&issuer=App");
        Ok(Some(Enrolment {
            secret: Zeroizing::new(SECRET.to_owned()),
            uri: Zeroizing::new(uri),
            name: Self::name(),
        }))
    }
    async fn confirm_enrolment(
        &self,
        _app: AppRef<'_>,
        _token: &Pending,
        code: &Code,
        _caller: &Caller,
    ) -> Outcome<SecondFactor> {
        self.second(is_right(code))
    }
    async fn session(&self, _app: &str, token: &Finished) -> Outcome<Option<Session>> {
        self.up()?;
        let known = self.script.lock().session.as_deref() == Some(token.reveal());
        Ok(known.then(|| self.finished()))
    }
    async fn profile(&self, session: &Session, _events: u32) -> Outcome<Profile> {
        self.up()?;
        let mut other = session.clone();
        other.id = SessionId::random(&self.random).unwrap();
        other.device.user_agent = "Mozilla/5.0 (iPhone; like Mac OS X) Safari/604.1".to_owned();
        other.device.address = ClientIp::new("2001:db8::1f:77".parse().unwrap());
        Ok(Profile {
            account: Account {
                identity: self.identity(),
                password: Some(PasswordRecord { phc: String::new(), pepper_id: String::new() }),
                password_set_at: Some(Self::at()),
                disabled: false,
                ever_enrolled: true,
                sessions_valid_from: Timestamp::EPOCH,
                devices_valid_from: Timestamp::EPOCH,
                created_at: Timestamp::EPOCH,
            },
            totp: Some(TotpFactor {
                id: FactorId::random(&self.random).unwrap(),
                sealed: String::new(),
                confirmed_at: Self::at(),
                last_used_at: Self::at(),
                failures: 0,
                suspended_at: None,
            }),
            recovery: Some(RecoverySet {
                salt: String::new(),
                pepper_id: String::new(),
                left: 3,
                created_at: Self::at(),
                confirmed_at: None,
            }),
            sessions: vec![session.clone(), other],
            tokens: vec![AccessRecord {
                id: TokenId::random(&self.random).unwrap(),
                account: session.identity.account,
                app: "app".to_owned(),
                description: "nightly export".to_owned(),
                limits: Limits { methods: vec!["GET".to_owned()], ..Limits::default() },
                made_at: Self::at(),
                expires_at: Self::at(),
                last_used_at: None,
            }],
            events: Vec::new(),
        })
    }
    async fn sign_out(&self, _token: &Finished, _caller: &Caller, _why: Ended) -> Outcome<()> {
        self.up()?;
        self.script.lock().session = None;
        Ok(())
    }
    async fn abandon(&self, _token: &Pending) -> Outcome<()> {
        self.up()?;
        self.script.lock().pending = None;
        Ok(())
    }
    fn keys(&self) -> &KeyRing {
        &self.keys
    }
    fn random(&self) -> &dyn Random {
        &self.random
    }
    fn limits(&self) -> SessionLimits {
        SessionLimits::default()
    }
}

/// Returns true for the code 287082, which is step 1 of the secret `12345678901234567890` (RFC 6238
/// appendix B). A [`Code`] can be compared in no other way.
pub(super) fn is_right(code: &Code) -> bool {
    use crate::auth::totp::TotpSecret;
    let keys = KeyRing::new(&material()).unwrap();
    let random = OsRandom::new();
    let (account, factor) =
        (AccountId::random(&random).unwrap(), FactorId::random(&random).unwrap());
    let context = [b"totp".as_slice(), account.as_bytes(), factor.as_bytes()].concat();
    let sealed = keys.seal(&random, &context, b"12345678901234567890").unwrap();
    let secret = TotpSecret::open(&keys, account, factor, &sealed).unwrap();
    secret.matching_step(code, Timestamp::from_millis(59_000)).is_some()
}

/// The code that the fake accepts.
pub(super) const RIGHT_CODE: &str = "287082";

/// A browser with a cookie jar, connected to the pages.
pub(super) struct Browser {
    router: Router,
    pub(super) fake: Arc<Fake>,
    pub(super) jar: BTreeMap<String, String>,
}

/// A response with its body.
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Got {
    pub(super) fn location(&self) -> &str {
        self.headers.get("location").map_or("", |v| v.to_str().unwrap())
    }

    /// Returns the form token in the page.
    pub(super) fn csrf(&self) -> String {
        let rest = self.body.split("name=\"csrf\" value=\"").nth(1).unwrap_or_default();
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

impl Browser {
    pub(super) fn new(script: Script) -> Self {
        let random = OsRandom::new();
        let fake = Arc::new(Fake {
            script: Mutex::new(script),
            keys: KeyRing::new(&material()).unwrap(),
            account: AccountId::random(&random).unwrap(),
            session: SessionId::random(&random).unwrap(),
            random,
        });
        let service: Arc<dyn SignIn> = Arc::<Fake>::clone(&fake);
        Self { router: router_over(service), fake, jar: BTreeMap::new() }
    }

    pub(super) async fn send(&mut self, mut request: Request<Body>) -> Got {
        if !self.jar.is_empty() {
            let line: Vec<_> = self.jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
            request.headers_mut().append(COOKIE, line.join("; ").parse().unwrap());
        }
        let pages = AppPages {
            name: "app".to_owned(),
            title: "CellEngine".to_owned(),
            issuer: "App".to_owned(),
            keeps_passwords: false,
            titles: Arc::new([("app".to_owned(), "CellEngine".to_owned())].into()),
        };
        request.extensions_mut().insert(RequestContext {
            app: Arc::new(pages),
            origin: ORIGIN.to_owned(),
            links: ORIGIN.to_owned(),
            client: ClientIp::new([192, 0, 2, 7].into()),
            request_id: RequestId::random(&OsRandom::new()).unwrap(),
            openings: None,
        });
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for set in parts.headers.get_all(SET_COOKIE) {
            let cookie = cookie::Cookie::parse(set.to_str().unwrap().to_owned()).unwrap();
            if cookie.value().is_empty() {
                self.jar.remove(cookie.name());
            } else {
                self.jar.insert(cookie.name().to_owned(), cookie.value().to_owned());
            }
        }
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Got { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(super) async fn get(&mut self, path: &str) -> Got {
        self.ask(Method::GET, path, &[]).await
    }

    pub(super) async fn post(&mut self, path: &str, body: String) -> Got {
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-mode", "navigate")
            .header("origin", ORIGIN);
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// Opens the page, then sends its form with these fields.
    pub(super) async fn fill(&mut self, path: &str, fields: &str) -> Got {
        let csrf = self.get(path).await.csrf();
        self.post(path, format!("csrf={csrf}&{fields}")).await
    }

    pub(super) async fn sign_in(&mut self) {
        self.fill("/_auth/login", "username=alice&password=right").await;
        let step = if self.fake.script.lock().enrolled { "/_auth/otp" } else { "/_auth/enroll" };
        self.fill(step, &format!("code={RIGHT_CODE}")).await;
        assert!(self.jar.contains_key(cookies::SESSION));
    }
}
