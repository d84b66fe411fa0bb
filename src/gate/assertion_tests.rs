//! Tests of assertions: the claims, and the reuse of the last one.

use serde_json::Value;

use super::*;
use crate::auth::keys::testing::material;
use crate::auth::keys::{KeyMaterial, KeyRing};
use crate::auth::session::Session;
use crate::auth::session::testing::session;
use crate::auth::token::{HashedToken, PlainToken, SessionToken};
use crate::base::clock::ManualClock;
use crate::base::random::OsRandom;
use crate::gate::sessions::KnownSession;

fn asserter(audience: &str) -> Asserter {
    asserter_by(audience, &material())
}

fn asserter_by(audience: &str, material: &KeyMaterial) -> Asserter {
    let settings = AssertionSettings {
        issuer: "https://gw.test".to_owned(),
        audience: audience.to_owned(),
        algorithm: SigningAlgorithm::Es256,
    };
    Asserter::new(settings, KeyRing::new(material).unwrap().assertion_signer())
}

struct Scene {
    clock: ManualClock,
    last: LastAssertion,
    token: HashedToken<SessionToken>,
}

impl Scene {
    fn new() -> Self {
        let keys = KeyRing::new(&material()).unwrap();
        let token = *PlainToken::generate(&keys, &OsRandom::new()).unwrap().hashed();
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000_500));
        Self { clock, last: LastAssertion::default(), token }
    }

    fn value(&self, asserter: &Asserter, session: &Session, seconds: u64) -> HeaderValue {
        let visitor = Visitor::Full(KnownSession::loaded(session.clone(), self.token));
        let at = Duration::from_secs(seconds);
        asserter.value(&visitor, &self.last, &self.clock, at).unwrap().unwrap()
    }
}

fn claims(value: &HeaderValue) -> Value {
    let claims = value.to_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap()
}

#[test]
fn an_assertion_states_who_signed_in_and_how_for_one_app_and_one_minute() {
    let scene = Scene::new();
    let mut session = session();
    session.identity.groups = vec!["staff".to_owned(), "ops, night".to_owned()];
    let said = claims(&scene.value(&asserter("wiki"), &session, 0));
    assert_eq!(said["iss"], "https://gw.test");
    assert_eq!(said["aud"], "wiki");
    assert_eq!(said["sub"], session.identity.account.to_string());
    assert_eq!(said["name"], session.identity.display_name.as_str());
    assert_eq!(said["preferred_username"], session.identity.name.as_str());
    assert_eq!(said["groups"], serde_json::json!(["staff", "ops, night"]));
    assert_eq!(said["amr"], serde_json::json!(session.methods()));
    assert_eq!(said["auth_time"], session.signed_in_at().as_secs());
    assert_eq!((&said["iat"], &said["exp"]), (&1_000_000.into(), &1_000_060.into()));
    let elsewhere = claims(&scene.value(&asserter("files"), &session, 0));
    assert_ne!(said["sid"], elsewhere["sid"]);
    assert!(!said.to_string().contains(&session.id.to_string()));
}

#[test]
fn the_last_one_is_sent_for_half_its_life_by_its_own_app_and_keys_only() {
    let scene = Scene::new();
    let (wiki, session) = (asserter("wiki"), session());
    let first = scene.value(&wiki, &session, 100);
    assert_eq!(scene.value(&wiki, &session, 129), first);
    assert_eq!(scene.value(&wiki, &session, 99), first, "a request that began before it was made");
    let second = scene.value(&wiki, &session, 130);
    assert_ne!(second, first);
    let reloaded = asserter("wiki");
    assert_ne!(scene.value(&reloaded, &session, 130), second);
    let other = scene.value(&asserter("files"), &session, 130);
    assert_eq!(claims(&other)["aud"], "files");
}

#[test]
fn many_requests_at_once_make_one_assertion() {
    let scene = Scene::new();
    let (wiki, session) = (asserter("wiki"), session());
    let values: Vec<HeaderValue> = std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..8).map(|_| scope.spawn(|| scene.value(&wiki, &session, 0))).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(values.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn nothing_is_asserted_about_a_stranger_or_without_a_key() {
    let scene = Scene::new();
    let value = |visitor, keys: &KeyMaterial| {
        let asserter = asserter_by("wiki", keys);
        asserter.value(&visitor, &scene.last, &scene.clock, Duration::ZERO)
    };
    assert!(value(Visitor::Anonymous, &material()).unwrap().is_none());
    let mut keyless = material();
    keyless.assertion.clear();
    let known = Visitor::Full(KnownSession::loaded(session(), scene.token));
    assert!(value(known, &keyless).is_err());
}
