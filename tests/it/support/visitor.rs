//! Visitors by how far they got, made by walking through the real pages.

use std::path::Path;
use std::time::Duration;

use vestibule::auth::keys::KeyRing;
use vestibule::auth::ports::{SessionLookup, Sessions};
use vestibule::auth::session::Session;
use vestibule::auth::token::{PlainToken, SessionToken};
use vestibule::base::clock::Timestamp;
use vestibule::store::sql::ephemeral::EmbeddedStore;

use super::client::Browser;
use super::codes::Codes;
use super::gateway::{Gateway, PASSWORD};
use super::html;
use super::servers::damage_embedded_session;
use super::wire::Answer;

/// The cookie of a finished session.
pub(crate) const SESSION: &str = "__Host-vestibule";
/// The cookie of a login in progress.
pub(crate) const PENDING: &str = "__Host-vestibule-login";

/// An account and what its owner holds.
#[derive(Debug)]
pub(crate) struct Person {
    /// The login name.
    pub(crate) name: String,
    /// The authenticator, once enrolled.
    pub(crate) codes: Codes,
    /// The recovery codes that are left.
    pub(crate) recovery: Vec<String>,
}

/// How far a visitor got.
#[derive(Debug)]
pub(crate) enum Visitor {
    /// Nothing proved.
    Anonymous(Browser),
    /// The password proved; an account that is not enrolled yet.
    Pending(Browser),
    /// Both factors proved, a moment ago.
    Full(Browser),
    /// Both factors proved, longer ago than counts as fresh.
    Stale(Browser),
}

impl Visitor {
    /// Somebody new.
    pub(crate) fn anonymous(gateway: &Gateway) -> Self {
        Self::Anonymous(Browser::new(gateway))
    }

    /// Adds an account and proves its password.
    pub(crate) async fn pending(gateway: &Gateway, name: &str) -> Self {
        gateway.add_user(name);
        let mut browser = Browser::new(gateway);
        prove_password(&mut browser, name).await;
        Self::Pending(browser)
    }

    /// Adds an account, enrols its authenticator and keeps its recovery codes.
    pub(crate) async fn full(gateway: &Gateway, name: &str) -> Self {
        gateway.add_user(name);
        Self::Full(join(Browser::new(gateway), name).await.0)
    }

    /// The same as [`Visitor::full`], six minutes later.
    pub(crate) async fn stale(gateway: &Gateway, name: &str) -> Self {
        gateway.add_user(name);
        let browser = join(Browser::new(gateway), name).await.0;
        let_proofs_age(gateway, &browser).await;
        Self::Stale(browser)
    }

    /// The browser.
    pub(crate) fn browser(&mut self) -> &mut Browser {
        match self {
            Self::Anonymous(browser)
            | Self::Pending(browser)
            | Self::Full(browser)
            | Self::Stale(browser) => browser,
        }
    }
}

/// Adds an account and signs it in: browser and person of [`Visitor::full`].
pub(crate) async fn signed_in(gateway: &Gateway, name: &str) -> (Browser, Person) {
    gateway.add_user(name);
    join(Browser::new(gateway), name).await
}

/// Makes the proofs of a browser's session six minutes older, in the embedded store of a gateway.
pub(crate) async fn let_proofs_age(gateway: &Gateway, browser: &Browser) {
    let data = gateway.config.parent().unwrap().join("data");
    let store = EmbeddedStore::open(&data.join("sessions.db")).await.unwrap();
    let_proofs_age_in(&store, &data.join("keys.toml"), browser).await;
}

/// The same in another store, under the keys of that file.
pub(crate) async fn let_proofs_age_in(store: &dyn Sessions, keys: &Path, browser: &Browser) {
    let before = |at: Timestamp| Timestamp::from_millis(at.as_millis() - 6 * 60 * 1000);
    let older = |session: Session| Session {
        second_factor_at: before(session.second_factor_at),
        password_at: before(session.password_at),
        ..session
    };
    change_session(store, keys, browser, older).await;
}

/// The token of a browser's session.
fn held(keys: &Path, browser: &Browser) -> PlainToken<SessionToken> {
    let keys = vestibule::config::keys::load(keys).unwrap();
    PlainToken::parse(&browser.jar[SESSION], &KeyRing::new(&keys).unwrap()).unwrap()
}

/// A browser's session as stored.
pub(crate) async fn stored_session(
    store: &dyn Sessions,
    keys: &Path,
    browser: &Browser,
) -> Session {
    SessionLookup::load(store, held(keys, browser).hashed()).await.unwrap().unwrap()
}

/// Makes the record of a browser's session unreadable in the embedded store of a gateway.
pub(crate) async fn damage_session(gateway: &Gateway, browser: &Browser) {
    let data = gateway.config.parent().unwrap().join("data");
    let held = held(&data.join("keys.toml"), browser);
    damage_embedded_session(&data.join("sessions.db"), &held.hashed().to_hex()).await;
}

/// Changes a browser's session in the store, which keeps it for half an hour.
pub(crate) async fn change_session(
    store: &dyn Sessions,
    keys: &Path,
    browser: &Browser,
    change: impl FnOnce(Session) -> Session,
) {
    let held = held(keys, browser);
    let session = change(stored_session(store, keys, browser).await);
    let ttl = Duration::from_mins(30);
    assert!(store.renew(held.hashed(), held.hashed(), &session, None, ttl).await.unwrap());
}

/// Proves the password; the answer that leads on.
pub(crate) async fn prove_password(browser: &mut Browser, name: &str) -> Answer {
    let form = [("username", name), ("password", PASSWORD)];
    let answer = browser.submit("/_auth/login", &form).await;
    assert_eq!(answer.status, 303, "password of {name}: {}", answer.text());
    assert!(browser.jar.contains_key(PENDING), "no login cookie: {:?}", answer.fields);
    answer
}

/// First sign-in of an account that exists, with enrolment.
pub(crate) async fn join(mut browser: Browser, name: &str) -> (Browser, Person) {
    prove_password(&mut browser, name).await;
    let (codes, answer) = enrol(&mut browser).await;
    let recovery = keep_recovery_codes(&mut browser, &answer).await.0;
    (browser, Person { name: name.to_owned(), codes, recovery })
}

/// Enrols: reads the secret, types the first code. The authenticator and the answer.
pub(crate) async fn enrol(browser: &mut Browser) -> (Codes, Answer) {
    let page = browser.get("/_auth/enroll").await;
    let text = page.text();
    let secret = html::by_id(&text, "totp-secret").unwrap_or_else(|| panic!("no secret: {text}"));
    let mut codes = Codes::new(&secret);
    let code = codes.next().await;
    let answer = browser.submit_from(&page, "/_auth/enroll", &[("code", &code)]).await;
    assert_eq!(answer.status, 303, "enrolment: {}", answer.text());
    assert!(browser.jar.contains_key(SESSION), "no session cookie: {:?}", answer.fields);
    (codes, answer)
}

/// Follows the answer to an enrolment to the recovery codes and says to have kept them.
pub(crate) async fn keep_recovery_codes(
    browser: &mut Browser,
    enrolled: &Answer,
) -> (Vec<String>, Answer) {
    let target = enrolled.location().to_owned();
    assert!(target.starts_with("/_auth/recovery-codes"), "led to {target}");
    let page = browser.get(&target).await;
    let codes = html::recovery_codes(&page.text());
    assert_eq!(codes.len(), 10, "recovery codes: {}", page.text());
    let kept = browser.submit_from(&page, &target, &[("confirm", &codes[0])]).await;
    assert_eq!(kept.status, 303, "keeping the codes: {}", kept.text());
    (codes, kept)
}

/// Proves the second factor again, by a recovery code, which gives the session a new token.
pub(crate) async fn step_up(browser: &mut Browser, person: &mut Person) {
    let (former, code) = (browser.jar[SESSION].clone(), person.recovery.remove(0));
    let page = "/_auth/step-up?with=recovery&return_to=%2Fapp";
    let done = browser.submit(page, &[("code", &code)]).await;
    assert_eq!((done.status, done.location()), (303, "/app"), "{}", done.text());
    assert_ne!(browser.jar[SESSION], former);
}

/// A later sign-in with password and code; the answer to the code.
pub(crate) async fn sign_in(browser: &mut Browser, person: &mut Person) -> Answer {
    let answer = prove_password(browser, &person.name).await;
    assert!(answer.location().starts_with("/_auth/otp"), "led to {}", answer.location());
    let code = person.codes.next().await;
    browser.submit("/_auth/otp", &[("code", &code)]).await
}
