//! Forged proofs, on every page that takes a proof.

use std::collections::BTreeSet;

use serde_json::json;

use super::corpus::{credential_id, der, numbers, part, put, signature};
use super::{Change, Door, Sent, Signed, Stage};
use crate::support::authenticator::{
    ATTESTED, BACKED_UP, ELIGIBLE, EXTENSIONS, PRESENT, PrivateKey, cbor,
};

/// Origins that are not the page's, each made from it.
const ORIGINS: &[fn(&str) -> String] = &[
    |here| format!("{here}.evil.example"),
    |here| format!("{here}:443"),
    |here| format!("{here}:8443"),
    |here| format!("{here}/"),
    |here| format!("{here}."),
    |here| format!("{here}@evil.example"),
    |here| format!(" {here}"),
    |here| format!("{here}\0"),
    |here| here.to_ascii_uppercase(),
    |here| here.replace("https", "http"),
    |here| here.replace("https://", "wss://"),
    |here| here.replace("https://", "https://evil-"),
    |here| here.replace("https://", "https://www."),
    |here| here.replace("https://gw.", "https://"),
    |here| here.replace("gw", "xn--gw-fka"),
    |here| here.replace("gw", "g\u{175}"),
    |here| here.replace("gw", "\u{ff47}w"),
    |_| "https://xn--gw-rl0a.test".to_owned(),
    |_| "android:apk-key-hash:c2lnbmF0dXJl".to_owned(),
    |_| "null".to_owned(),
    |_| String::new(),
];

/// Client data that is not the JSON of the specification. `CHALLENGE` and `ORIGIN` are the right ones.
const CLIENT_DATA: &[&str] = &[
    "",
    "[]",
    "null",
    r#"{"type":"webauthn.get","challenge":"CHALLENGE","origin":"ORIGIN""#,
    r#"{"type":"webauthn.get","challenge":"CHALLENGE","origin":"ORIGIN"}}"#,
    r#"{"type":"webauthn.get","challenge":"CHALLENGE"}"#,
    r#"{"type":"webauthn.get","origin":"ORIGIN"}"#,
    r#"{"challenge":"CHALLENGE","origin":"ORIGIN"}"#,
    r#"{"type":"webauthn.get","challenge":"CHALLENGE","origin":["ORIGIN"]}"#,
    r#"{"type":"webauthn.get","challenge":"CHALLENGE","origin":"ORIGIN","crossOrigin":"false"}"#,
    r#"{"type":"webauthn.get","challenge":"x","challenge":"CHALLENGE","origin":"ORIGIN"}"#,
    r#"{"type":"webauthn.get","challenge":"CHALLENGE","origin":"https://evil.example","origin":"ORIGIN"}"#,
    r#"{"type":"webauthn.create","type":"webauthn.get","challenge":"CHALLENGE","origin":"ORIGIN"}"#,
];

/// The reason in the log, and the change. They stand on every page that takes a proof.
const TABLE: &[(&str, Change)] = &[
    ("cross_origin", Signed(|parts, _| parts.client["crossOrigin"] = json!(true))),
    (
        "cross_origin",
        Signed(|parts, _| {
            parts.client["crossOrigin"] = json!(true);
            parts.client["topOrigin"] = json!("https://evil.example");
        }),
    ),
    (
        "cross_origin",
        Signed(|parts, here| parts.client["topOrigin"] = json!(format!("{here}.evil.example"))),
    ),
    ("client_data_type", Signed(|parts, _| parts.client["type"] = json!("webauthn.create"))),
    ("client_data_type", Signed(|parts, _| parts.client["type"] = json!("payment.get"))),
    ("client_data_type", Signed(|parts, _| parts.client["type"] = json!(""))),
    (
        "challenge_unknown_or_used",
        Signed(|parts, _| {
            let right = parts.client["challenge"].as_str().unwrap().as_bytes();
            let mut never = data_encoding::BASE64URL_NOPAD.decode(right).unwrap();
            never[0] ^= 1;
            parts.client["challenge"] = json!(data_encoding::BASE64URL_NOPAD.encode(&never));
        }),
    ),
    ("challenge_unknown_or_used", Signed(|parts, _| parts.client["challenge"] = json!(""))),
    (
        "challenge_unknown_or_used",
        Signed(|parts, _| {
            let right = parts.client["challenge"].as_str().unwrap();
            parts.client["challenge"] = json!(format!("{right}="));
        }),
    ),
    ("credential_too_long", Signed(|parts, _| parts.client["more"] = json!("x".repeat(4096)))),
    ("rp_id_hash", Signed(|parts, _| "evil.example".clone_into(&mut parts.rp_id))),
    ("rp_id_hash", Signed(|parts, _| "test".clone_into(&mut parts.rp_id))),
    ("rp_id_hash", Signed(|parts, _| "www.gw.test".clone_into(&mut parts.rp_id))),
    ("rp_id_hash", Signed(|parts, _| "https://gw.test".clone_into(&mut parts.rp_id))),
    ("rp_id_hash", Signed(|parts, _| parts.rp_id.clear())),
    ("user_not_present", Signed(|parts, _| parts.flags &= !PRESENT)),
    ("user_not_present", Signed(|parts, _| parts.flags = 0)),
    ("backup_flags", Signed(|parts, _| parts.flags |= BACKED_UP)),
    ("backup_flags", Signed(|parts, _| parts.flags |= ELIGIBLE)),
    ("backup_flags", Signed(|parts, _| parts.flags |= ELIGIBLE | BACKED_UP)),
    // A whole new credential within a proof, or half of one.
    (
        "authenticator_data_malformed",
        Signed(|parts, _| {
            parts.flags |= ATTESTED;
            parts.cose = PrivateKey::es256().cose();
        }),
    ),
    (
        "authenticator_data_malformed",
        Signed(|parts, _| {
            parts.raw.authenticator_data = Some(parts.authenticator_data());
            parts.raw.authenticator_data.as_mut().unwrap()[32] |= ATTESTED;
        }),
    ),
    ("authenticator_data_malformed", Signed(|parts, _| parts.tail = vec![0])),
    (
        "authenticator_data_malformed",
        Signed(|parts, _| {
            parts.flags |= EXTENSIONS;
            parts.tail = [cbor::head(5, 0), vec![0]].concat();
        }),
    ),
    (
        "authenticator_data_malformed",
        Signed(|parts, _| parts.raw.authenticator_data = Some(Vec::new())),
    ),
    (
        "authenticator_data_malformed",
        Signed(|parts, _| {
            parts.raw.authenticator_data = Some(parts.authenticator_data()[..36].to_vec());
        }),
    ),
    ("cbor", Signed(|parts, _| parts.flags |= EXTENSIONS)),
    (
        "cbor",
        Signed(|parts, _| {
            parts.flags |= EXTENSIONS;
            parts.tail = [vec![0x81; 2000], vec![0]].concat();
        }),
    ),
    (
        "credential_too_long",
        Signed(|parts, _| {
            parts.flags |= EXTENSIONS;
            parts.tail = [cbor::head(5, 1), cbor::text("x"), cbor::bytes(&[0; 4100])].concat();
        }),
    ),
    ("credential_unknown", Signed(|parts, _| parts.id = vec![7; 32])),
    ("credential_unknown", Signed(|parts, _| parts.id.push(0))),
    ("credential_unknown", Signed(|parts, _| parts.id.truncate(31))),
    ("credential_id", Signed(|parts, _| parts.id.clear())),
    ("credential_id", Signed(|parts, _| parts.id = vec![7; 1024])),
    ("credential_id", Sent(|answer| answer["rawId"] = json!("AAAA"))),
    ("credential_id", Sent(|answer| answer["id"] = json!("AAAA"))),
    ("user_handle", Signed(|parts, _| parts.user_handle = Some(vec![1; 16]))),
    ("user_handle", Signed(|parts, _| parts.user_handle = Some(Vec::new()))),
    ("user_handle", Signed(|parts, _| parts.user_handle.as_mut().unwrap().push(0))),
    ("credential_too_long", Signed(|parts, _| parts.user_handle = Some(vec![1; 65]))),
    // Signatures: of something else, by another key, and in other forms.
    ("signature", Sent(|answer| signature(answer, Vec::clear))),
    ("signature", Sent(|answer| signature(answer, |s| s.truncate(8)))),
    ("signature", Sent(|answer| signature(answer, |s| *s.last_mut().unwrap() ^= 1))),
    ("signature", Sent(|answer| signature(answer, |s| s.push(0)))),
    ("signature", Sent(|answer| signature(answer, |s| *s = der(&[0; 32], &[0; 32], 0)))),
    ("signature", Sent(|answer| signature(answer, |s| *s = der(&[1], &[1], 0)))),
    (
        "signature",
        Sent(|answer| {
            signature(answer, |s| {
                let (first, second) = numbers(s);
                *s = [first, second].concat();
            });
        }),
    ),
    (
        "signature",
        Sent(|answer| {
            signature(answer, |s| {
                let (first, second) = numbers(s);
                *s = der(&first, &second, 1);
            });
        }),
    ),
    (
        "signature",
        // The length in its long form, which DER does not allow for a short one.
        Sent(|answer| signature(answer, |s| s.insert(1, 0x81))),
    ),
    (
        "signature",
        Sent(|answer| {
            let other = PrivateKey::es256();
            let data = part(answer, "authenticatorData");
            let client =
                ring::digest::digest(&ring::digest::SHA256, &part(answer, "clientDataJSON"));
            let signed = other.sign(&[data.as_slice(), client.as_ref()].concat());
            put(answer, "signature", &signed);
        }),
    ),
    // Another algorithm than that of the stored key.
    (
        "signature",
        Sent(|answer| {
            let other = PrivateKey::eddsa();
            put(answer, "signature", &other.sign(&part(answer, "authenticatorData")));
        }),
    ),
    (
        "signature",
        Sent(|answer| {
            // Other flags than those that were signed.
            let mut data = part(answer, "authenticatorData");
            data[32] |= 0b0010_0000;
            put(answer, "authenticatorData", &data);
        }),
    ),
    (
        "signature",
        Sent(|answer| {
            let mut client = part(answer, "clientDataJSON");
            client.push(b' ');
            put(answer, "clientDataJSON", &client);
        }),
    ),
    ("credential_too_long", Sent(|answer| put(answer, "signature", &[1; 513]))),
    // The envelope.
    ("credential_malformed", Sent(|answer| *answer = json!(null))),
    ("credential_malformed", Sent(|answer| *answer = json!([answer.clone()]))),
    ("credential_malformed", Sent(|answer| *answer = json!({}))),
    ("credential_malformed", Sent(|answer| answer["type"] = json!("password"))),
    ("credential_malformed", Sent(|answer| answer["response"] = json!(null))),
    ("credential_malformed", Sent(|answer| answer["response"]["signature"] = json!(1))),
    ("credential_malformed", Sent(|answer| answer["response"]["signature"] = json!("****"))),
    (
        "credential_malformed",
        Sent(|answer| {
            let padded = format!("{}==", answer["response"]["signature"].as_str().unwrap());
            answer["response"]["signature"] = json!(padded);
        }),
    ),
    (
        "credential_malformed",
        Sent(|answer| {
            let standard = data_encoding::BASE64.encode(&[0xff; 37]);
            answer["response"]["authenticatorData"] = json!(standard);
        }),
    ),
    ("credential_id", Sent(|answer| credential_id(answer, &[]))),
];

async fn forged_proofs_are_refused_at(door: Door) {
    let mut stage = Stage::start("").await;
    let held = stage.held().await;
    let mut said = BTreeSet::new();
    let mut wrong = Vec::new();
    for (number, (expected, change)) in TABLE.iter().enumerate() {
        let (reason, page) = stage.refused(door, change).await;
        if reason != *expected {
            wrong.push(format!("row {number}: {reason}, not {expected}"));
        }
        said.insert(page);
    }
    assert!(wrong.is_empty(), "{door:?}: {}", wrong.join("\n"));
    assert_eq!(said.len(), 1, "{door:?}: one sentence for every cause: {said:?}");
    stage.end(held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_second_factors_are_refused() {
    forged_proofs_are_refused_at(Door::SecondFactor).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_sign_ins_by_passkey_are_refused() {
    forged_proofs_are_refused_at(Door::Passkey).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_proofs_in_a_session_are_refused() {
    forged_proofs_are_refused_at(Door::StepUp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_of_any_other_origin_is_refused() {
    let mut stage = Stage::start("").await;
    let held = stage.held().await;
    for make in ORIGINS {
        let mut browser = stage.browser(Door::Passkey);
        let open = Stage::open(Door::Passkey, &mut browser).await;
        let other = make(&open.origin);
        assert_ne!(other, open.origin);
        let claim = |parts: &mut super::Parts| parts.client["origin"] = json!(other);
        let answer = stage.key.get_with(&open.options, &open.origin, claim).to_string();
        let refused = stage.refused_text(Door::Passkey, &mut browser, &open, &answer).await;
        assert_eq!(refused.0, "origin", "{other:?}");
    }
    stage.end(held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_data_that_two_parsers_may_read_in_two_ways_is_refused() {
    let mut stage = Stage::start("").await;
    let held = stage.held().await;
    for text in CLIENT_DATA {
        let mut browser = stage.browser(Door::Passkey);
        let open = Stage::open(Door::Passkey, &mut browser).await;
        let challenge = open.options["publicKey"]["challenge"].as_str().unwrap().to_owned();
        let text = text.replace("CHALLENGE", &challenge).replace("ORIGIN", &open.origin);
        let claim = |parts: &mut super::Parts| parts.raw.client = Some(text.clone().into_bytes());
        let answer = stage.key.get_with(&open.options, &open.origin, claim).to_string();
        let refused = stage.refused_text(Door::Passkey, &mut browser, &open, &answer).await;
        assert_eq!(refused.0, "client_data_malformed", "{text}");
    }
    stage.end(held).await;
}

/// The page of a passkey alone needs what the other pages do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passkey_alone_verifies_its_user_and_says_whose_it_is() {
    let mut stage = Stage::start("").await;
    let held = stage.held().await;
    let unverified = Signed(|parts, _| parts.flags = PRESENT);
    assert_eq!(stage.refused(Door::Passkey, &unverified).await.0, "user_not_verified");
    let nobody = Signed(|parts, _| parts.user_handle = None);
    assert_eq!(stage.refused(Door::Passkey, &nobody).await.0, "user_handle");
    stage.end(held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_user_verification_is_required_a_touch_is_not_enough_anywhere() {
    let required = "[second_factor.webauthn]\nuser_verification = \"required\"\n";
    let mut stage = Stage::start(required).await;
    let held = stage.held().await;
    let touched = Signed(|parts, _| parts.flags &= !crate::support::authenticator::VERIFIED);
    for door in [Door::SecondFactor, Door::Passkey, Door::StepUp, Door::Add] {
        assert_eq!(stage.refused(door, &touched).await.0, "user_not_verified", "{door:?}");
    }
    stage.end(held).await;
}
