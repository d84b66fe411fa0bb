//! Hostile answers. Each is refused for a reason of its own, and none panics.

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::assertion::{self, Handle};
use super::authenticator::{
    ATTESTED, Authenticator, BACKED_UP, ELIGIBLE, EXTENSIONS, PRESENT, Parts, PrivateKey, VERIFIED,
    cbor,
};
use super::credential::Credential;
use super::response::{AssertionResponse, MOST, RegistrationResponse};
use super::tests::{HANDLE, ORIGIN, creation, party, prove, register, request};
use super::{Refusal, UserVerification};

/// Registers with changed parts, and returns the refusal.
fn created(change: impl FnOnce(&mut Parts)) -> Option<Refusal> {
    register(&Authenticator::default().create_with(&creation(&[]), ORIGIN, change)).err()
}

fn enrolled() -> (Authenticator, Credential) {
    let mut authenticator = Authenticator::default();
    let answer = authenticator.create(&creation(&[]), ORIGIN);
    (authenticator, register(&answer).unwrap().credential)
}

/// Proves a key with changed parts, which are signed as they are, and returns the refusal.
fn signed(change: impl FnOnce(&mut Parts)) -> Option<Refusal> {
    let (mut authenticator, credential) = enrolled();
    let answer = authenticator.get_with(&request(&[]), ORIGIN, change);
    prove(&answer, &credential, UserVerification::Required).err()
}

/// Proves a key with an answer that is changed after it was signed, and returns the refusal.
fn tampered(change: impl FnOnce(&mut Value)) -> Option<Refusal> {
    let (mut authenticator, credential) = enrolled();
    let mut answer = authenticator.get(&request(&[]), ORIGIN);
    change(&mut answer);
    prove(&answer, &credential, UserVerification::Required).err()
}

fn part(answer: &Value, name: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(answer["response"][name].as_str().unwrap().as_bytes()).unwrap()
}

fn put(answer: &mut Value, name: &str, bytes: &[u8]) {
    answer["response"][name] = json!(BASE64URL_NOPAD.encode(bytes));
}

#[test]
fn an_answer_from_another_page_is_refused() {
    for origin in [
        "https://gw.test",
        "https://gw.test:443",
        "https://gw.test:8444",
        "http://gw.test:8443",
        "https://evil.gw.test:8443",
        "https://gw.test:8443.evil.example",
        "https://gw.test.evil.example:8443",
        "https://evilgw.test:8443",
        "https://xn--gw-fka.test:8443",
        "https://GW.test:8443",
        "https://gw.test:8443/",
        "android:apk-key-hash:AAAA",
        "null",
        "",
    ] {
        let elsewhere = |parts: &mut Parts| parts.client["origin"] = json!(origin);
        assert_eq!(created(elsewhere), Some(Refusal::Origin), "{origin}");
        assert_eq!(signed(elsewhere), Some(Refusal::Origin), "{origin}");
    }
}

#[test]
fn an_answer_from_a_frame_of_another_page_is_refused() {
    let framed = |parts: &mut Parts| parts.client["crossOrigin"] = json!(true);
    assert_eq!(
        (created(framed), signed(framed)),
        (Some(Refusal::CrossOrigin), Some(Refusal::CrossOrigin))
    );
    let below = |parts: &mut Parts| parts.client["topOrigin"] = json!("https://evil.example");
    assert_eq!(
        (created(below), signed(below)),
        (Some(Refusal::CrossOrigin), Some(Refusal::CrossOrigin))
    );
    let odd = |parts: &mut Parts| parts.client["crossOrigin"] = json!("false");
    assert_eq!((created(odd), signed(odd)), (Some(Refusal::ClientData), Some(Refusal::ClientData)));
}

#[test]
fn an_answer_of_another_relying_party_is_refused() {
    for id in ["test", "evil.example", "gw.test.", "GW.test", ""] {
        let of = |parts: &mut Parts| parts.rp_id = id.to_owned();
        assert_eq!(created(of), Some(Refusal::RelyingParty), "{id}");
        assert_eq!(signed(of), Some(Refusal::RelyingParty), "{id}");
    }
}

#[test]
fn an_answer_of_the_other_ceremony_is_refused() {
    for (create, get) in [("webauthn.get", "webauthn.create"), ("payment.get", ""), ("", "x")] {
        assert_eq!(created(|parts| parts.client["type"] = json!(create)), Some(Refusal::Type));
        assert_eq!(signed(|parts| parts.client["type"] = json!(get)), Some(Refusal::Type));
    }
    // A registration is no proof, and a proof no registration.
    let (mut authenticator, credential) = enrolled();
    let answer = authenticator.get(&request(&[]), ORIGIN);
    assert_eq!(register(&answer).err(), Some(Refusal::Malformed));
    let answer = authenticator.create(&creation(&[]), ORIGIN);
    let proven = prove(&answer, &credential, UserVerification::Required);
    assert_eq!(proven.err(), Some(Refusal::Malformed));
}

#[test]
fn a_challenge_of_another_length_is_refused() {
    for challenge in [json!(""), json!("AAAA"), json!("not base64!"), json!("A".repeat(44))] {
        let with = |parts: &mut Parts| parts.client["challenge"] = challenge.clone();
        assert_eq!(
            (created(with), signed(with)),
            (Some(Refusal::Challenge), Some(Refusal::Challenge))
        );
    }
    let none = |parts: &mut Parts| parts.client["challenge"] = json!(null);
    assert_eq!(
        (created(none), signed(none)),
        (Some(Refusal::ClientData), Some(Refusal::ClientData))
    );
}

#[test]
fn an_answer_without_the_user_is_refused() {
    let absent = |parts: &mut Parts| parts.flags &= !PRESENT;
    assert_eq!(
        (created(absent), signed(absent)),
        (Some(Refusal::UserPresence), Some(Refusal::UserPresence))
    );
    assert_eq!(signed(|parts| parts.flags &= !VERIFIED), Some(Refusal::UserVerification));
    assert_eq!(
        signed(|parts| parts.user_handle = Some(b"mallory".to_vec())),
        Some(Refusal::UserHandle)
    );
    assert_eq!(signed(|parts| parts.user_handle = Some(Vec::new())), Some(Refusal::UserHandle));
    assert_eq!(signed(|parts| parts.user_handle = Some(vec![0; 65])), Some(Refusal::TooLong));
}

#[test]
fn contradictory_backup_flags_are_refused() {
    let backed_up = |parts: &mut Parts| parts.flags |= BACKED_UP;
    assert_eq!(
        (created(backed_up), signed(backed_up)),
        (Some(Refusal::Backup), Some(Refusal::Backup))
    );
    assert_eq!(signed(|parts| parts.flags |= ELIGIBLE), Some(Refusal::Backup), "it changed");
}

#[test]
fn authenticator_data_of_another_length_is_refused() {
    let longer = |parts: &mut Parts| parts.tail = vec![0];
    let both = (created(longer), signed(longer));
    assert_eq!(both, (Some(Refusal::AuthenticatorData), Some(Refusal::AuthenticatorData)));
    let claimed = |parts: &mut Parts| parts.flags |= EXTENSIONS;
    assert_eq!((created(claimed), signed(claimed)), (Some(Refusal::Cbor), Some(Refusal::Cbor)));
    let long = |parts: &mut Parts| parts.tail = vec![0; 5000];
    assert_eq!((created(long), signed(long)), (Some(Refusal::TooLong), Some(Refusal::TooLong)));
    assert_eq!(created(|parts| parts.flags &= !ATTESTED), Some(Refusal::AuthenticatorData));
    assert_eq!(
        signed(|parts| {
            parts.flags |= ATTESTED;
            parts.cose = PrivateKey::es256().cose();
        }),
        Some(Refusal::AuthenticatorData)
    );
    for short in [0, 1, 31, 32, 36] {
        let cut = |answer: &mut Value| {
            let data = part(answer, "authenticatorData");
            put(answer, "authenticatorData", &data[..short]);
        };
        assert_eq!(tampered(cut), Some(Refusal::AuthenticatorData), "{short} bytes");
    }
}

#[test]
fn truncated_huge_and_ambiguous_cbor_is_refused() {
    let cose = || PrivateKey::es256().cose();
    assert_eq!(created(|parts| parts.cose.truncate(40)), Some(Refusal::Cbor));
    assert_eq!(created(|parts| parts.cose = Vec::new()), Some(Refusal::Cbor));
    let huge = [&[0xbb][..], &[0xff; 8]].concat();
    assert_eq!(created(|parts| parts.cose = huge), Some(Refusal::Cbor));
    let nested = [vec![0x81; 2000], vec![0]].concat();
    assert_eq!(created(|parts| parts.statement = nested), Some(Refusal::Cbor));
    let duplicate = |parts: &mut Parts| {
        parts.cose = [&[0xa6][..], &cose()[1..], &[0x01, 0x02]].concat();
    };
    assert_eq!(created(duplicate), Some(Refusal::Cbor));
    let long_number = |parts: &mut Parts| {
        parts.cose = [&[0xa5, 0x01, 0x18, 0x02], &cose()[3..]].concat();
    };
    assert_eq!(created(long_number), Some(Refusal::Cbor));
    let unordered = |parts: &mut Parts| {
        let cose = cose();
        parts.cose = [&cose[..1], &cose[3..5], &cose[1..3], &cose[5..]].concat();
    };
    assert_eq!(created(unordered), Some(Refusal::Cbor));
    let trailing = |parts: &mut Parts| parts.statement = [cbor::head(5, 0), vec![0]].concat();
    assert_eq!(created(trailing), Some(Refusal::Cbor));
}

#[test]
fn any_attestation_but_none_is_refused() {
    for format in ["packed", "fido-u2f", "apple", "tpm", "None", "none ", ""] {
        let with = |parts: &mut Parts| parts.format = cbor::text(format);
        assert_eq!(created(with), Some(Refusal::AttestationFormat), "{format}");
    }
    let statement = [cbor::head(5, 1), cbor::text("alg"), cbor::int(-7)].concat();
    assert_eq!(created(|parts| parts.statement = statement), Some(Refusal::Attestation));
    assert_eq!(created(|parts| parts.statement = cbor::text("")), Some(Refusal::Attestation));
    assert_eq!(created(|parts| parts.format = cbor::int(0)), Some(Refusal::Attestation));
}

/// A self attestation is as good as none, if the new key signed it.
#[test]
fn a_self_attestation_is_verified() {
    let sealed = |change: fn(&mut Vec<u8>), algorithm: i64| {
        move |parts: &mut Parts, key: &PrivateKey| {
            let client = digest(&SHA256, &parts.client_data());
            let mut signed = [&parts.authenticator_data(), client.as_ref()].concat();
            change(&mut signed);
            parts.format = cbor::text("packed");
            parts.statement = [
                cbor::head(5, 2),
                [cbor::text("alg"), cbor::int(algorithm)].concat(),
                [cbor::text("sig"), cbor::bytes(&key.sign(&signed))].concat(),
            ]
            .concat();
        }
    };
    let made = |with: &dyn Fn(&mut Parts, &PrivateKey)| {
        let key = PrivateKey::eddsa();
        let mut authenticator = Authenticator::default();
        let answer = authenticator.create_with(&creation(&[]), ORIGIN, |parts| {
            parts.cose = key.cose();
            with(parts, &key);
        });
        register(&answer).err()
    };
    assert_eq!(made(&sealed(|_| (), -8)), None);
    assert_eq!(made(&sealed(|signed| signed[0] ^= 1, -8)), Some(Refusal::Attestation));
    assert_eq!(made(&sealed(|_| (), -7)), Some(Refusal::Attestation), "another algorithm");
    assert_eq!(
        made(&|parts: &mut Parts, _: &PrivateKey| {
            sealed(|_| (), -8)(parts, &PrivateKey::eddsa());
        }),
        Some(Refusal::Attestation),
        "another key"
    );
    let certified = |parts: &mut Parts, key: &PrivateKey| {
        sealed(|_| (), -8)(parts, key);
        parts.statement[0] = cbor::head(5, 3)[0];
        parts.statement.extend([cbor::text("x5c"), cbor::head(4, 0)].concat());
    };
    assert_eq!(made(&certified), Some(Refusal::AttestationFormat));
}

#[test]
fn a_point_beside_its_curve_is_refused() {
    let beside = |parts: &mut Parts| {
        parts.cose = PrivateKey::es256().cose();
        *parts.cose.last_mut().unwrap() ^= 1;
    };
    assert_eq!(created(beside), Some(Refusal::PublicKey));
}

#[test]
fn algorithms_that_were_not_offered_or_do_not_fit_the_key_are_refused() {
    let es256 = |at: usize, byte: u8| {
        move |parts: &mut Parts| {
            parts.cose = PrivateKey::es256().cose();
            parts.cose[at] = byte;
        }
    };
    // In order: map, kty, 2, alg, -7, crv, 1, x.
    let minus = |n: u8| 0x20 + n - 1;
    assert_eq!(created(es256(4, minus(9))), Some(Refusal::Algorithm), "unknown");
    assert_eq!(
        created(es256(4, minus(8))),
        Some(Refusal::PublicKey),
        "EdDSA with a point of P-256"
    );
    assert_eq!(created(es256(2, 1)), Some(Refusal::PublicKey), "another key type");
    assert_eq!(created(es256(6, 2)), Some(Refusal::PublicKey), "another curve");
    let more = |parts: &mut Parts| {
        parts.cose = [&[0xa6][..], &PrivateKey::es256().cose()[1..], &[0x23, 0x00]].concat();
    };
    assert_eq!(created(more), Some(Refusal::PublicKey), "another parameter");
    let rsa = |n: usize, e: &'static [u8]| {
        move |parts: &mut Parts| {
            parts.cose = [
                cbor::head(5, 4),
                [cbor::int(1), cbor::int(3), cbor::int(3), cbor::int(-257)].concat(),
                [cbor::int(-1), cbor::bytes(&vec![0xff; n])].concat(),
                [cbor::int(-2), cbor::bytes(e)].concat(),
            ]
            .concat();
        }
    };
    assert_eq!(created(rsa(256, &[1, 0, 1])), None);
    assert_eq!(created(rsa(128, &[1, 0, 1])), Some(Refusal::PublicKey), "1024 bits");
    assert_eq!(created(rsa(256, &[3])), Some(Refusal::PublicKey), "exponent 3");
    assert_eq!(created(rsa(1024, &[1, 0, 1])), Some(Refusal::TooLong), "8192 bits");
}

#[test]
fn credential_ids_that_are_empty_too_long_or_differ_are_refused() {
    assert_eq!(created(|parts| parts.id = vec![7; 1023]), None);
    assert_eq!(created(|parts| parts.id = vec![7; 1024]), Some(Refusal::CredentialId));
    assert_eq!(created(|parts| parts.id = Vec::new()), Some(Refusal::CredentialId));
    assert_eq!(tampered(|answer| answer["id"] = json!("AAAA")), Some(Refusal::CredentialId));
    let other = |answer: &mut Value| {
        answer["id"] = json!("AAAA");
        answer["rawId"] = json!("AAAA");
    };
    assert_eq!(tampered(other), Some(Refusal::CredentialId), "of another key");
    let mut answer = Authenticator::default().create(&creation(&[]), ORIGIN);
    other(&mut answer);
    assert_eq!(register(&answer).err(), Some(Refusal::CredentialId), "not the attested one");
}

#[test]
fn a_signature_that_does_not_verify_is_refused() {
    let (mut authenticator, _) = enrolled();
    let (_, other) = enrolled();
    let answer = authenticator.get(&request(&[]), ORIGIN);
    let mut response = AssertionResponse::parse(&answer.to_string()).unwrap();
    response.id = other.id().to_vec();
    let required = UserVerification::Required;
    let proven =
        assertion::verify(&response, &other, Handle::IfPresent(HANDLE), &party(), required);
    assert_eq!(proven.err(), Some(Refusal::Signature), "by another key");
    for name in ["clientDataJSON", "authenticatorData", "signature"] {
        let changed = |answer: &mut Value| {
            let mut bytes = part(answer, name);
            // White space in the client data; the counter in the authenticator data.
            match name {
                "clientDataJSON" => bytes.push(b' '),
                _ => *bytes.last_mut().unwrap() ^= 1,
            }
            put(answer, name, &bytes);
        };
        assert_eq!(tampered(changed), Some(Refusal::Signature), "{name}");
    }
    assert_eq!(tampered(|answer| put(answer, "signature", &[])), Some(Refusal::Signature));
    assert_eq!(tampered(|answer| put(answer, "signature", &[0; 513])), Some(Refusal::TooLong));
}

#[test]
fn a_signature_has_one_encoding() {
    // Strict DER: no longer lengths, no leading zeros, nothing after the end.
    let reencode: [fn(Vec<u8>) -> Vec<u8>; 3] = [
        |der| [der, vec![0]].concat(),
        |der| [&[0x30, 0x81, der[1]][..], &der[2..]].concat(),
        |der| [&[0x30, der[1] + 1, 0x02, der[3] + 1, 0x00][..], &der[4..]].concat(),
    ];
    for other in reencode {
        let changed = |answer: &mut Value| {
            let der = part(answer, "signature");
            put(answer, "signature", &other(der));
        };
        assert_eq!(tampered(changed), Some(Refusal::Signature));
    }
    // Ed25519: s + L is not reduced.
    let mut authenticator =
        Authenticator { keys: vec![PrivateKey::eddsa()], ..Authenticator::default() };
    let credential = register(&authenticator.create(&creation(&[]), ORIGIN)).unwrap().credential;
    let mut answer = authenticator.get(&request(&[]), ORIGIN);
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10_u8,
    ];
    let (mut signature, mut carry) = (part(&answer, "signature"), 0);
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (u8::try_from(sum & 0xff).unwrap(), sum >> 8);
    }
    put(&mut answer, "signature", &signature);
    let proven = prove(&answer, &credential, UserVerification::Required);
    assert_eq!(proven.err(), Some(Refusal::Signature));
}

#[test]
fn text_that_is_no_answer_is_refused() {
    for text in ["", "{}", "[]", "null", "{\"id\":\"AA\"}", "\u{0}", &"[".repeat(5000)] {
        assert_eq!(RegistrationResponse::parse(text).err(), Some(Refusal::Malformed), "{text}");
        assert_eq!(AssertionResponse::parse(text).err(), Some(Refusal::Malformed), "{text}");
    }
    let long = " ".repeat(MOST + 1);
    assert_eq!(AssertionResponse::parse(&long).err(), Some(Refusal::TooLong));
    assert_eq!(tampered(|answer| answer["type"] = json!("password")), Some(Refusal::Malformed));
    assert_eq!(tampered(|a| a["response"]["signature"] = json!("a+b/")), Some(Refusal::Malformed));
    assert_eq!(tampered(|a| a["response"]["signature"] = json!("AB==")), Some(Refusal::Malformed));
    let twice = |answer: &mut Value| {
        let client = String::from_utf8(part(answer, "clientDataJSON")).unwrap();
        let doubled = client.replacen('{', "{\"origin\":\"https://evil.example\",", 1);
        put(answer, "clientDataJSON", doubled.as_bytes());
    };
    assert_eq!(tampered(twice), Some(Refusal::ClientData), "a member that occurs twice");
}

proptest! {
    #[test]
    fn no_bytes_make_the_verifier_panic(attestation: Vec<u8>, data: Vec<u8>, cose: Vec<u8>) {
        let mut answer = Authenticator::default().create_with(&creation(&[]), ORIGIN, |parts| {
            parts.cose = cose;
        });
        prop_assert!(register(&answer).is_err());
        put(&mut answer, "attestationObject", &attestation);
        prop_assert!(register(&answer).is_err());
        prop_assert!(tampered(|answer| put(answer, "authenticatorData", &data)).is_some());
    }

    #[test]
    fn a_changed_bit_is_never_accepted(bit in 0_usize..8 * 37) {
        let flip = |answer: &mut Value| {
            let mut data = part(answer, "authenticatorData");
            data[bit / 8] ^= 1 << (bit % 8);
            put(answer, "authenticatorData", &data);
        };
        prop_assert!(tampered(flip).is_some());
    }
}
