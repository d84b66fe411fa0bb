//! Tokens of sessions, pending logins and browsers, and access tokens. None is accepted that no key made.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vestibule::auth::access_token;
use vestibule::auth::browser::KnownBrowser;
use vestibule::auth::keys::{Key, KeyMaterial, KeyRing};
use vestibule::auth::token::{PendingToken, PlainToken, SessionToken};

static KEYS: LazyLock<KeyRing> = LazyLock::new(|| {
    let key = || vec![Key { id: "k".to_owned(), bytes: [7; 32].into() }];
    let material = KeyMaterial { token: key(), data: key(), pepper: key(), assertion: Vec::new() };
    KeyRing::new(&material).expect("keys")
});

fuzz_target!(|text: &str| {
    assert!(PlainToken::<SessionToken>::parse(text, &KEYS).is_none());
    assert!(PlainToken::<PendingToken>::parse(text, &KEYS).is_none());
    assert!(access_token::parse(text, &KEYS).is_none());
    assert!(KnownBrowser::parse(text, &KEYS).is_none());
    assert!(!KEYS.csrf_matches("state", text));
});
