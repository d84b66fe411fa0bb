//! Ceremonies of an honest authenticator, and round trips of what is stored.

use serde_json::Value;

use super::assertion::{self, Assertion, Handle};
use super::authenticator::{
    Authenticator, BACKED_UP, ELIGIBLE, EXTENSIONS, PRESENT, PrivateKey, VERIFIED, cbor,
};
use super::challenge::Challenge;
use super::credential::Credential;
use super::options::{Creation, KeyUser, Request};
use super::registration::{self, Registration};
use super::relying_party::{KeySettings, RelyingParty};
use super::response::{AssertionResponse, RegistrationResponse};
use super::{Algorithm, Refusal, UserVerification};
use crate::base::random::OsRandom;

pub(super) const ORIGIN: &str = "https://gw.test:8443";
pub(super) const HANDLE: &[u8] = b"a handle that says nothing";
/// 2048 bits, of no use elsewhere.
const RSA: &[u8] = include_bytes!("../../../tests/corpus/authenticator_rsa.der");

pub(super) fn party() -> RelyingParty {
    RelyingParty::of(&KeySettings::default(), "gw.test", ORIGIN).unwrap()
}

pub(super) fn creation(registered: &[Credential]) -> Value {
    let challenge = Challenge::generate(&OsRandom::new()).unwrap();
    let user = KeyUser { handle: HANDLE, name: "alice", display_name: "</script>Alice & co" };
    let options = Creation {
        challenge: &challenge,
        party: &party(),
        title: "Lab",
        user,
        registered,
        discoverable: true,
        verification: UserVerification::Preferred,
    };
    let json = options.to_json();
    assert!(!json.contains('<') && json.contains(&challenge.encoded()));
    serde_json::from_str(&json).unwrap()
}

pub(super) fn request(allowed: &[Credential]) -> Value {
    let challenge = Challenge::generate(&OsRandom::new()).unwrap();
    let options = Request {
        challenge: &challenge,
        party: &party(),
        allowed,
        verification: UserVerification::Preferred,
    };
    serde_json::from_str(&options.to_json()).unwrap()
}

pub(super) fn register(answer: &Value) -> Result<Registration, Refusal> {
    let response = RegistrationResponse::parse(&answer.to_string())?;
    registration::verify(&response, &party(), UserVerification::Preferred)
}

pub(super) fn prove(
    answer: &Value,
    credential: &Credential,
    verification: UserVerification,
) -> Result<Assertion, Refusal> {
    let response = AssertionResponse::parse(&answer.to_string())?;
    assertion::verify(&response, credential, Handle::IfPresent(HANDLE), &party(), verification)
}

#[test]
fn a_key_of_each_algorithm_registers_and_proves_itself() {
    for (key, algorithm) in [
        (PrivateKey::es256(), Algorithm::Es256),
        (PrivateKey::eddsa(), Algorithm::EdDsa),
        (PrivateKey::rs256(RSA), Algorithm::Rs256),
    ] {
        let mut authenticator = Authenticator { keys: vec![key], ..Authenticator::default() };
        let registration = register(&authenticator.create(&creation(&[]), ORIGIN)).unwrap();
        assert_eq!((registration.counter, registration.user_verified), (1, true));
        let stored = registration.credential.to_record();
        let credential = Credential::from_record(&stored).unwrap();
        assert_eq!(credential, registration.credential);
        assert_eq!(credential.algorithm(), algorithm);
        assert_eq!(credential.transports(), ["hybrid", "internal"]);
        let options = request(std::slice::from_ref(&credential));
        let answer = authenticator.get(&options, ORIGIN);
        let assertion = prove(&answer, &credential, UserVerification::Required).unwrap();
        assert_eq!((assertion.counter, assertion.user_verified), (2, true));
    }
}

#[test]
fn a_security_key_without_a_pin_is_enough_as_a_second_factor() {
    let mut authenticator = Authenticator { flags: PRESENT, ..Authenticator::default() };
    let registration = register(&authenticator.create(&creation(&[]), ORIGIN)).unwrap();
    assert!(!registration.user_verified);
    let answer = authenticator.get(&request(&[]), ORIGIN);
    let proven = |verification| prove(&answer, &registration.credential, verification);
    assert!(proven(UserVerification::Preferred).is_ok_and(|assertion| !assertion.user_verified));
    assert!(proven(UserVerification::Discouraged).is_ok());
    assert_eq!(proven(UserVerification::Required), Err(Refusal::UserVerification));
}

#[test]
fn a_synced_passkey_is_recognised_by_its_backup_state() {
    let flags = PRESENT | VERIFIED | ELIGIBLE;
    let mut authenticator = Authenticator { flags, counter: 0, ..Authenticator::default() };
    let credential = register(&authenticator.create(&creation(&[]), ORIGIN)).unwrap().credential;
    assert!(credential.is_backup_eligible() && !credential.is_backed_up());
    authenticator.flags |= BACKED_UP;
    let answer = authenticator.get(&request(&[]), ORIGIN);
    let assertion = prove(&answer, &credential, UserVerification::Required).unwrap();
    assert!(assertion.backed_up);
    let credential = credential.with_backup_state(assertion.backed_up);
    assert!(Credential::from_record(&credential.to_record()).unwrap().is_backed_up());
}

#[test]
fn a_key_that_sends_no_user_handle_is_enough_only_where_the_account_is_known() {
    let mut authenticator = Authenticator::default();
    let credential = register(&authenticator.create(&creation(&[]), ORIGIN)).unwrap().credential;
    let answer = authenticator.get_with(&request(&[]), ORIGIN, |parts| parts.user_handle = None);
    let response = AssertionResponse::parse(&answer.to_string()).unwrap();
    let with = |handle| {
        assertion::verify(&response, &credential, handle, &party(), UserVerification::Required)
    };
    assert!(with(Handle::IfPresent(HANDLE)).is_ok());
    assert_eq!(with(Handle::Required(HANDLE)).err(), Some(Refusal::UserHandle));
}

#[test]
fn extensions_that_nobody_asked_for_are_ignored() {
    let extension = [cbor::head(5, 1), cbor::text("credProtect"), cbor::int(2)].concat();
    let mut authenticator = Authenticator::default();
    let answer = authenticator.create_with(&creation(&[]), ORIGIN, |parts| {
        parts.flags |= EXTENSIONS;
        parts.tail = extension;
    });
    assert!(register(&answer).is_ok());
}

#[test]
fn registered_keys_are_excluded_and_allowed_by_name() {
    let mut authenticator = Authenticator::default();
    let credential = register(&authenticator.create(&creation(&[]), ORIGIN)).unwrap().credential;
    let held = std::slice::from_ref(&credential);
    let id = data_encoding::BASE64URL_NOPAD.encode(credential.id());
    assert_eq!(creation(held)["publicKey"]["excludeCredentials"][0]["id"], id);
    assert_eq!(request(held)["publicKey"]["allowCredentials"][0]["id"], id);
    assert_eq!(request(held)["publicKey"]["rpId"], "gw.test");
    assert_eq!(creation(&[])["publicKey"]["attestation"], "none");
}
