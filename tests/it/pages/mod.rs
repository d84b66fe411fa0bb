//! The pages over the real use cases and embedded stores, without a network: each test is a browser
//! that opens pages, and reads in the stores what came of it.

mod account;
mod browser;
mod outage;
mod recover;
mod sign_in;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tempfile::TempDir;
use vestibule::auth::access_token::{AccessRecord, Limits};
use vestibule::auth::account::{Account, LoginName, NewName};
use vestibule::auth::admin::{AccessWish, NewUser};
use vestibule::auth::audit::Kind;
use vestibule::auth::authenticator::{Authenticator, app_of};
use vestibule::auth::password::{PasswordRecord, PasswordSettings};
use vestibule::auth::ports::{
    AccessTokens as _, AccountLookup as _, AuditQuery, Authenticators as _, RecoveryCodes as _,
    SessionOverview as _, Tickets as _,
};
use vestibule::auth::recovery::RecoverySet;
use vestibule::auth::session::Session;
use vestibule::auth::throttle::Budgets;
use vestibule::auth::ticket::Rights;
use vestibule::base::clock::{Clock as _, ManualClock, Timestamp};
use vestibule::base::id::{AccountId, FactorId};
use vestibule::base::secret::Secret;

use self::browser::{Browser, Got};
use super::services::{self, CHEAP, Node};
use super::support::codes::Codes;
use super::support::html;

/// Midnight of the first day of 2026, when most tests begin.
const NOW: u64 = 1_767_225_600_000;
const PASSWORD: &str = "quiet-fence-7-lantern";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1";

/// The pages of one app, and alice, who has an account.
struct Pages {
    services: Node,
    router: Router,
    clock: Arc<ManualClock>,
    alice: AccountId,
    phone: Option<Codes>,
    used_step: u64,
    /// Recovery codes of alice that were not used.
    recovery: Vec<String>,
    dir: TempDir,
}

fn name() -> LoginName {
    LoginName::parse("alice").unwrap()
}

impl Pages {
    /// Alice has a password, or else a one-time link, which is returned.
    async fn open(password: bool, hashing: PasswordSettings, budgets: Budgets) -> (Self, String) {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(NOW)));
        let keys = Arc::new(services::keys());
        let services = Node::open("one", dir.path(), &clock, &keys, hashing, budgets).await;
        let user = NewUser {
            name: NewName::of(name()).unwrap(),
            display_name: Some("Alice <Liddell>".to_owned()),
            email: Some("alice@example.com".to_owned()),
            groups: vec!["staff".to_owned(), "lab".to_owned()],
            password: password.then(|| Secret::new(PASSWORD.to_owned())),
        };
        let added = services.admin.accounts.add(user).await.unwrap();
        let link = added.link.map(|link| path(&link.url)).unwrap_or_default();
        let router = vestibule::web::router(Arc::clone(&services.login));
        let (alice, recovery) = (added.identity.account, Vec::new());
        (Self { services, router, clock, alice, phone: None, used_step: 0, recovery, dir }, link)
    }

    /// Alice has a password and has never signed in.
    async fn new() -> Self {
        Self::open(true, CHEAP, Budgets::default()).await.0
    }

    /// Alice has no password, but a one-time link.
    async fn with_link() -> (Self, String) {
        Self::open(false, CHEAP, Budgets::default()).await
    }

    /// Alice enrolled an authenticator and saved her recovery codes a day ago, on another network.
    async fn enrolled() -> Self {
        Self::enrolled_with(CHEAP, Budgets::default()).await
    }

    async fn enrolled_with(hashing: PasswordSettings, budgets: Budgets) -> Self {
        let mut pages = Self::open(true, hashing, budgets).await.0;
        pages.enrol().await;
        pages
    }

    async fn enrol(&mut self) {
        self.clock.set_back(Duration::from_hours(24));
        let mut browser = self.browser();
        browser.address = [198, 51, 100, 5].into();
        browser.fill("/_auth/login", &password_form()).await;
        let page = browser.get("/_auth/enroll").await;
        self.phone = Some(Codes::new(&html::by_id(&page.body, "totp-secret").unwrap()));
        let form = format!("code={}", self.code());
        let next = browser.fill("/_auth/enroll", &form).await;
        assert_eq!(next.location(), "/_auth/recovery-codes");
        self.recovery = html::recovery_codes(&browser.get("/_auth/recovery-codes").await.body);
        browser.fill("/_auth/recovery-codes", &format!("confirm={}", self.recovery[0])).await;
        browser.fill("/_auth/logout", "").await;
        assert!(self.sessions().await.is_empty());
        self.clock.advance(Duration::from_hours(24));
    }

    /// Opens the same stores again, as after a restart.
    async fn reopened(self) -> Self {
        let keys = Arc::new(services::keys());
        let (dir, clock) = (self.dir.path(), &self.clock);
        let services = Node::open("one", dir, clock, &keys, CHEAP, Budgets::default()).await;
        let router = vestibule::web::router(Arc::clone(&services.login));
        Self { services, router, ..self }
    }

    /// Returns a browser that was never here.
    fn browser(&self) -> Browser {
        Browser::new(self.router.clone())
    }

    /// Returns a browser in which alice is signed in.
    async fn signed_in(&mut self) -> Browser {
        let mut browser = self.browser();
        self.sign_in(&mut browser).await;
        browser
    }

    async fn sign_in(&mut self, browser: &mut Browser) {
        let got = self.send_both(browser).await;
        assert_eq!(got.location(), "/", "{}", got.body);
    }

    /// Returns a browser in which alice is signed in and has notices to read.
    async fn signed_in_with_notices(&mut self) -> Browser {
        let mut browser = self.browser();
        let got = self.send_both(&mut browser).await;
        assert_eq!(got.location(), "/_auth/notice?return_to=%2F", "{}", got.body);
        browser
    }

    async fn send_both(&mut self, browser: &mut Browser) -> Got {
        let got = browser.fill("/_auth/login", &password_form()).await;
        assert_eq!(got.location(), "/_auth/otp");
        browser.fill("/_auth/otp", &format!("code={}", self.code())).await
    }

    /// Returns a code of the phone that is right now and was not used. Moves the clock on if there
    /// is none.
    fn code(&mut self) -> String {
        let step = |pages: &Self| pages.clock.now().as_secs() / 30;
        let next = (self.used_step + 1).max(step(self) - 1);
        while next > step(self) + 1 {
            self.clock.advance(Duration::from_secs(30));
        }
        self.used_step = next;
        self.phone.as_ref().unwrap().of_step(next)
    }

    /// Returns a code of the phone from long ago.
    fn wrong_code(&self) -> String {
        self.phone.as_ref().unwrap().of_step(NOW / 30_000 - 1000)
    }

    /// Makes the proofs of every session too old for a change.
    fn make_stale(&self) {
        self.clock.advance(Duration::from_mins(6));
    }

    async fn link(&self, rights: Rights) -> String {
        path(&self.services.admin.recovery.ticket(&name(), rights, None).await.unwrap().url)
    }

    async fn access_token(&self, description: &str) -> AccessRecord {
        let wish = AccessWish {
            app: "app".to_owned(),
            description: description.to_owned(),
            limits: Limits { methods: vec!["GET".to_owned()], ..Limits::default() },
            lifetime: None,
        };
        self.services.admin.tokens.make(&name(), wish).await.unwrap().0
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    // The contents of the stores.

    async fn account(&self) -> Account {
        self.services.durable.by_id(self.alice).await.unwrap().unwrap()
    }

    async fn totp(&self) -> Option<Authenticator> {
        app_of(&self.services.durable.authenticators(self.alice).await.unwrap()).cloned()
    }

    async fn recovery_set(&self) -> Option<RecoverySet> {
        self.services.durable.recovery_set(self.alice).await.unwrap()
    }

    async fn sessions(&self) -> Vec<Session> {
        self.services.short.list(Some(self.alice), self.now()).await.unwrap()
    }

    async fn tokens(&self) -> Vec<AccessRecord> {
        self.services.durable.tokens(Some(self.alice)).await.unwrap()
    }

    async fn has_ticket(&self) -> bool {
        self.services.durable.of_account(self.alice, self.now()).await.unwrap().is_some()
    }

    /// Returns what the account pages can change.
    async fn changeable(&self) -> Changeable {
        Changeable {
            authenticator: self.totp().await.map(|totp| totp.id),
            codes: self.recovery_set().await.map(|set| set.salt),
            password: self.account().await.password,
            sessions: self.sessions().await.len(),
            tokens: self.tokens().await.len(),
        }
    }

    /// Returns the number of audit rows of this kind.
    async fn rows(&self, kind: Kind) -> usize {
        let asked = AuditQuery { event: Some(kind.name().to_owned()), ..AuditQuery::newest(100) };
        self.services.trail.find(&asked).await.unwrap().len()
    }
}

/// What the account pages can change.
#[derive(Debug, PartialEq)]
struct Changeable {
    authenticator: Option<FactorId>,
    codes: Option<String>,
    password: Option<PasswordRecord>,
    sessions: usize,
    tokens: usize,
}

impl Changeable {
    fn differs_in_all_from(&self, other: &Self) -> bool {
        self.authenticator != other.authenticator
            && self.codes != other.codes
            && self.password != other.password
            && self.sessions != other.sessions
            && self.tokens != other.tokens
    }
}

/// Returns the path and query of a one-time link.
fn path(link: &str) -> String {
    link.strip_prefix(services::PUBLIC_URL).unwrap().to_owned()
}

fn password_form() -> String {
    format!("username=alice&password={PASSWORD}")
}
