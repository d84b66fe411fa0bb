//! Forged registrations: at the enrolment and on the account page.

use std::collections::BTreeSet;

use serde_json::json;

use super::corpus::{credential_id, part, put};
use super::{Change, Door, Sent, Signed, Stage};
use crate::keys::{enrolled, options, origin};
use crate::support::authenticator::{
    ATTESTED, Authenticator, BACKED_UP, EXTENSIONS, PRESENT, Parts, cbor,
};
use crate::support::client::Browser;
use crate::support::visitor::{self, SESSION};

/// Replaces the public key. Each entry is a label with its value in CBOR.
fn cose(parts: &mut Parts, entries: &[(i64, Vec<u8>)]) {
    let entries: Vec<_> =
        entries.iter().map(|(label, value)| [cbor::int(*label), value.clone()].concat()).collect();
    parts.cose = [cbor::head(5, entries.len()), entries.concat()].concat();
}

/// An elliptic curve key with this algorithm and curve.
fn curve(parts: &mut Parts, algorithm: i64, curve: i64) {
    let point = cbor::bytes(&[1; 32]);
    cose(
        parts,
        &[
            (1, cbor::int(2)),
            (3, cbor::int(algorithm)),
            (-1, cbor::int(curve)),
            (-2, point.clone()),
            (-3, point),
        ],
    );
}

fn rsa(parts: &mut Parts, modulus: &[u8], exponent: &[u8]) {
    cose(
        parts,
        &[
            (1, cbor::int(3)),
            (3, cbor::int(-257)),
            (-1, cbor::bytes(modulus)),
            (-2, cbor::bytes(exponent)),
        ],
    );
}

fn object(parts: &mut Parts, entries: &[Vec<u8>]) {
    let object = [cbor::head(5, entries.len()), entries.concat()].concat();
    parts.raw.attestation_object = Some(object);
}

fn format() -> Vec<u8> {
    [cbor::text("fmt"), cbor::text("none")].concat()
}

fn statement() -> Vec<u8> {
    [cbor::text("attStmt"), cbor::head(5, 0)].concat()
}

fn data(parts: &Parts) -> Vec<u8> {
    [cbor::text("authData"), cbor::bytes(&parts.authenticator_data())].concat()
}

/// Replaces the attestation object by these bytes.
fn raw(parts: &mut Parts, bytes: &[u8]) {
    parts.raw.attestation_object = Some(bytes.to_vec());
}

/// The reason in the log, and the change.
const TABLE: &[(&str, Change)] = &[
    ("client_data_type", Signed(|parts, _| parts.client["type"] = json!("webauthn.get"))),
    ("client_data_malformed", Signed(|parts, _| parts.client["origin"] = json!(null))),
    (
        "challenge_unknown_or_used",
        Signed(|parts, _| {
            parts.client["challenge"] = json!("A".repeat(43));
        }),
    ),
    (
        "origin",
        Signed(|parts, here| parts.client["origin"] = json!(format!("{here}.evil.example"))),
    ),
    ("origin", Signed(|parts, here| parts.client["origin"] = json!(here.replace("https", "http")))),
    ("cross_origin", Signed(|parts, _| parts.client["crossOrigin"] = json!(true))),
    ("rp_id_hash", Signed(|parts, _| "test".clone_into(&mut parts.rp_id))),
    ("user_not_present", Signed(|parts, _| parts.flags &= !PRESENT)),
    ("backup_flags", Signed(|parts, _| parts.flags |= BACKED_UP)),
    ("authenticator_data_malformed", Signed(|parts, _| parts.flags &= !ATTESTED)),
    ("authenticator_data_malformed", Signed(|parts, _| parts.tail = vec![0])),
    ("cbor", Signed(|parts, _| parts.flags |= EXTENSIONS)),
    // The attestation object.
    ("cbor", Signed(|parts, _| raw(parts, b""))),
    ("cbor", Signed(|parts, _| raw(parts, &[0xff]))),
    (
        "cbor",
        Signed(|parts, _| raw(parts, &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
    ),
    (
        "cbor",
        Signed(|parts, _| raw(parts, &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
    ),
    ("cbor", Signed(|parts, _| raw(parts, &[0x9a, 0xff, 0xff, 0xff, 0xff, 0x00]))),
    ("cbor", Signed(|parts, _| raw(parts, &[0x81; 4000]))),
    ("cbor", Signed(|parts, _| raw(parts, &[0xd8; 4000]))),
    (
        "cbor",
        // Of indefinite length.
        Signed(|parts, _| {
            let all = [vec![0xbf], format(), statement(), data(parts), vec![0xff]].concat();
            raw(parts, &all);
        }),
    ),
    (
        "cbor",
        Signed(|parts, _| {
            let mut object = parts.attestation_object();
            object.push(0);
            raw(parts, &object);
        }),
    ),
    (
        "cbor",
        Signed(|parts, _| {
            let object = parts.attestation_object();
            raw(parts, &object[..object.len() - 1]);
        }),
    ),
    (
        "cbor",
        Signed(|parts, _| {
            let all = [format(), format(), statement(), data(parts)];
            object(parts, &all);
        }),
    ),
    ("attestation_malformed", Signed(|parts, _| raw(parts, &cbor::head(5, 0)))),
    (
        "attestation_malformed",
        Signed(|parts, _| {
            let all = [statement(), data(parts)];
            object(parts, &all);
        }),
    ),
    (
        "attestation_malformed",
        Signed(|parts, _| {
            let all = [format(), data(parts)];
            object(parts, &all);
        }),
    ),
    ("attestation_malformed", Signed(|parts, _| object(parts, &[format(), statement()]))),
    (
        "attestation_malformed",
        Signed(|parts, _| {
            let text = [cbor::text("authData"), cbor::text("x")].concat();
            object(parts, &[format(), statement(), text]);
        }),
    ),
    (
        "attestation_malformed",
        Signed(|parts, _| {
            parts.statement = [cbor::head(5, 1), cbor::text("x"), cbor::int(1)].concat();
        }),
    ),
    ("attestation_malformed", Signed(|parts, _| parts.statement = cbor::int(0))),
    ("attestation_malformed", Signed(|parts, _| parts.format = cbor::int(0))),
    ("attestation_format", Signed(|parts, _| parts.format = cbor::text("packed"))),
    ("attestation_format", Signed(|parts, _| parts.format = cbor::text("fido-u2f"))),
    ("attestation_format", Signed(|parts, _| parts.format = cbor::text("android-safetynet"))),
    ("attestation_format", Signed(|parts, _| parts.format = cbor::text("None"))),
    ("attestation_format", Signed(|parts, _| parts.format = cbor::text(""))),
    // The public key: cut off, of no algorithm that was offered, and of one under the name of another.
    ("cbor", Signed(|parts, _| parts.cose.truncate(40))),
    ("cbor", Signed(|parts, _| parts.cose.clear())),
    ("algorithm", Signed(|parts, _| curve(parts, -35, 2))),
    ("algorithm", Signed(|parts, _| curve(parts, -47, 8))),
    ("algorithm", Signed(|parts, _| curve(parts, 0, 1))),
    ("algorithm", Signed(|parts, _| curve(parts, -65535, 1))),
    ("public_key", Signed(|parts, _| curve(parts, -8, 1))),
    ("public_key", Signed(|parts, _| curve(parts, -257, 1))),
    ("public_key", Signed(|parts, _| curve(parts, -7, 8))),
    ("public_key", Signed(|parts, _| curve(parts, -7, 6))),
    (
        "public_key",
        // ES256 by its name, Ed25519 by its shape.
        Signed(|parts, _| {
            let x = cbor::bytes(&[1; 32]);
            cose(parts, &[(1, cbor::int(1)), (3, cbor::int(-7)), (-1, cbor::int(6)), (-2, x)]);
        }),
    ),
    (
        "public_key",
        Signed(|parts, _| {
            let (short, y) = (cbor::bytes(&[1; 31]), cbor::bytes(&[1; 32]));
            let shape = [(1, cbor::int(2)), (3, cbor::int(-7)), (-1, cbor::int(1))];
            cose(parts, &[&shape[..], &[(-2, short), (-3, y)]].concat());
        }),
    ),
    (
        "public_key",
        // A compressed point.
        Signed(|parts, _| {
            let shape = [(1, cbor::int(2)), (3, cbor::int(-7)), (-1, cbor::int(1))];
            cose(parts, &[&shape[..], &[(-2, cbor::bytes(&[1; 32])), (-3, vec![0xf5])]].concat());
        }),
    ),
    (
        "public_key",
        // With a private part.
        Signed(|parts, _| {
            let one = cbor::bytes(&[1; 32]);
            let shape = [(1, cbor::int(2)), (3, cbor::int(-7)), (-1, cbor::int(1))];
            let rest = [(-2, one.clone()), (-3, one.clone()), (-4, one)];
            cose(parts, &[&shape[..], &rest].concat());
        }),
    ),
    ("public_key", Signed(|parts, _| cose(parts, &[(1, cbor::int(2)), (-1, cbor::int(1))]))),
    ("public_key", Signed(|parts, _| rsa(parts, &[0xff; 128], &[1, 0, 1]))),
    ("public_key", Signed(|parts, _| rsa(parts, &[0xff; 256], &[1]))),
    ("public_key", Signed(|parts, _| rsa(parts, &[0xff; 256], &[3]))),
    ("public_key", Signed(|parts, _| rsa(parts, &[0xff; 256], &[0, 1, 0, 1]))),
    (
        "public_key",
        Signed(|parts, _| rsa(parts, &[[0; 1].as_slice(), &[0xff; 256]].concat(), &[1, 0, 1])),
    ),
    ("credential_too_long", Signed(|parts, _| rsa(parts, &[0xff; 1024], &[1, 0, 1]))),
    // The credential id.
    ("credential_id", Signed(|parts, _| parts.id.clear())),
    ("credential_id", Signed(|parts, _| parts.id = vec![7; 1024])),
    ("credential_id", Sent(|answer| credential_id(answer, &[7; 32]))),
    ("credential_id", Sent(|answer| answer["rawId"] = json!("AAAA"))),
    (
        "authenticator_data_malformed",
        // An id that is longer than what is there.
        Signed(|parts, _| {
            let mut short = parts.authenticator_data();
            short.truncate(37 + 16 + 2 + 10);
            parts.raw.authenticator_data = Some(short);
        }),
    ),
    // The envelope.
    ("credential_malformed", Sent(|answer| *answer = json!("x"))),
    ("credential_malformed", Sent(|answer| answer["type"] = json!("webauthn"))),
    ("credential_malformed", Sent(|answer| answer["response"]["attestationObject"] = json!(7))),
    ("credential_malformed", Sent(|answer| answer["response"]["transports"] = json!("usb"))),
    (
        "credential_malformed",
        // A proof in place of a registration.
        Sent(|answer| {
            let data = part(answer, "attestationObject");
            put(answer, "authenticatorData", &data);
            answer["response"].as_object_mut().unwrap().remove("attestationObject");
        }),
    ),
    ("credential_too_long", Sent(|answer| put(answer, "attestationObject", &[0; 4200]))),
];

/// Refusals at the enrolment of one account before it has to wait.
const BEFORE_A_WAIT: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_registrations_add_no_key() {
    let mut stage = Stage::start("").await;
    let held = stage.held().await;
    let (mut said, mut wrong) = (BTreeSet::new(), Vec::new());
    for (number, (expected, change)) in TABLE.iter().enumerate() {
        let (reason, page) = stage.refused(Door::Add, change).await;
        if reason != *expected {
            wrong.push(format!("row {number}: {reason}, not {expected}"));
        }
        said.insert(page);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(said.len(), 1, "one sentence for every cause: {said:?}");
    stage.end(held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_registrations_enrol_no_key() {
    let mut stage = Stage::start("").await;
    let reasons: BTreeSet<_> = TABLE.iter().map(|(reason, _)| *reason).collect();
    let of = |reason| TABLE.iter().find(|(named, _)| named == reason).unwrap();
    let rows: Vec<_> = reasons.iter().map(of).collect();
    for (number, rows) in rows.chunks(BEFORE_A_WAIT).enumerate() {
        let name = format!("newcomer{number}");
        stage.gateway.add_user(&name);
        stage.halfway = Browser::new(&stage.gateway);
        visitor::prove_password(&mut stage.halfway, &name).await;
        let held = stage.held().await;
        for (expected, change) in rows {
            assert_eq!(stage.refused(Door::Enrol, change).await.0, *expected);
        }
        assert_eq!(stage.held().await, held, "a refused answer changed what is stored");
        // Nothing was enrolled: the honest answer is taken.
        let mut browser = stage.browser(Door::Enrol);
        let open = Stage::open(Door::Enrol, &mut browser).await;
        let answer = Authenticator::default().create(&open.options, &open.origin).to_string();
        let form = [("name", "x"), ("credential", answer.as_str())];
        let done = browser.submit_from(&open.page, "/_auth/enroll/key", &form).await;
        assert_eq!(done.status, 303, "{}", done.text());
    }
    let held = stage.held().await;
    stage.end(held).await;
}

/// Every prefix of the authenticator data of a registration, and of its CBOR.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_cut_off_anywhere_add_no_key() {
    let mut stage = Stage::start("").await;
    let held = stage.held().await;
    let mut browser = stage.browser(Door::Add);
    let open = Stage::open(Door::Add, &mut browser).await;
    let whole = Authenticator::default().create(&open.options, &open.origin);
    let whole = part(&whole, "attestationObject").len();
    for len in (0..whole).step_by(7) {
        let mut browser = stage.browser(Door::Add);
        let open = Stage::open(Door::Add, &mut browser).await;
        let mut answer = stage.key.create_with(&open.options, &open.origin, |_| ());
        stage.key.held.pop();
        let object = part(&answer, "attestationObject");
        put(&mut answer, "attestationObject", &object[..len]);
        let answer = answer.to_string();
        let (reason, _) = stage.refused_text(Door::Add, &mut browser, &open, &answer).await;
        assert_eq!(reason, "cbor", "{len} of {whole} bytes");
    }
    stage.end(held).await;
}

/// A credential id belongs to one account of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_id_is_registered_once_over_all_accounts() {
    let mut stage = Stage::start("").await;
    let (mut bobs, _key, _) = enrolled(&stage.gateway, "bob").await;
    stage.gateway.add_user("carol");
    let mut carols = Browser::new(&stage.gateway);
    visitor::prove_password(&mut carols, "carol").await;
    let taken = stage.key.held[0].id.clone();
    let held = stage.held().await;
    let mut owner = stage.owner.clone();
    for (door, browser) in
        [(Door::Add, &mut owner), (Door::Add, &mut bobs), (Door::Enrol, &mut carols)]
    {
        let before = browser.jar.get(SESSION).cloned();
        let (page, form) = door.addresses();
        let page = browser.get(page).await;
        // Another private key under the same id.
        let mut thief = Authenticator::default();
        let (asked, here) = (options(&page.text()), origin(browser));
        let made = thief.create_with(&asked, &here, |parts| parts.id.clone_from(&taken));
        let made = made.to_string();
        let sent = [("name", "x"), ("credential", made.as_str())];
        let refused = browser.submit_from(&page, form, &sent).await;
        assert_eq!(refused.status, 401, "{door:?}: {}", refused.text());
        assert_eq!(browser.jar.get(SESSION), before.as_ref(), "{door:?}");
        assert_eq!(stage.next_reason().await, "credential_registered");
    }
    stage.end(held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_id_of_1023_bytes_is_the_longest() {
    let stage = Stage::start("").await;
    let mut owner = stage.owner.clone();
    let page = owner.get("/_auth/account/keys/new").await;
    let mut key = Authenticator::default();
    let (asked, here) = (options(&page.text()), origin(&owner));
    let made = key.create_with(&asked, &here, |parts| parts.id = vec![7; 1023]).to_string();
    let form = [("name", "Long"), ("credential", made.as_str())];
    let added = owner.submit_from(&page, "/_auth/account/keys/new", &form).await;
    assert_eq!(added.status, 303, "{}", added.text());
    let mut browser = Browser::new(&stage.gateway);
    let done = crate::keys::by_passkey(&mut browser, &mut key).await;
    assert_eq!(done.status, 303, "{}", done.text());
}
