//! Encodings that no honest authenticator makes: CBOR, signatures, parts of an answer.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

/// Order of the group of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// A part of the response, decoded.
pub(super) fn part(answer: &Value, name: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(answer["response"][name].as_str().unwrap().as_bytes()).unwrap()
}

/// Replaces a part of the response.
pub(super) fn put(answer: &mut Value, name: &str, bytes: &[u8]) {
    answer["response"][name] = json!(BASE64URL_NOPAD.encode(bytes));
}

/// Changes the bytes of the signature.
pub(super) fn signature(answer: &mut Value, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = part(answer, "signature");
    change(&mut bytes);
    put(answer, "signature", &bytes);
}

/// Names another credential.
pub(super) fn credential_id(answer: &mut Value, id: &[u8]) {
    let id = BASE64URL_NOPAD.encode(id);
    (answer["id"], answer["rawId"]) = (json!(id), json!(id));
}

/// The two numbers of an ECDSA signature in DER.
pub(super) fn numbers(der: &[u8]) -> ([u8; 32], [u8; 32]) {
    let number = |der: &[u8]| {
        let len = usize::from(der[1]);
        let digits = &der[2..2 + len];
        let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
        let mut number = [0; 32];
        number[32 - digits.len()..].copy_from_slice(digits);
        (number, 2 + len)
    };
    let (r, len) = number(&der[2..]);
    (r, number(&der[2 + len..]).0)
}

/// An integer in DER after so many needless zeros.
fn integer(number: &[u8], zeros: usize) -> Vec<u8> {
    let first = number.iter().position(|b| *b != 0).unwrap_or(number.len() - 1);
    let digits = &number[first..];
    let sign = usize::from(digits[0] >= 0x80);
    let digits = [vec![0; sign + zeros], digits.to_vec()].concat();
    [vec![2, u8::try_from(digits.len()).unwrap()], digits].concat()
}

/// A signature in DER with so many needless zeros before the first number.
pub(super) fn der(r: &[u8], s: &[u8], zeros: usize) -> Vec<u8> {
    let body = [integer(r, zeros), integer(s, 0)].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
}

/// The other signature of the same message by the same key: `(r, n - s)`.
pub(super) fn twin(signature: &[u8]) -> Vec<u8> {
    let (r, s) = numbers(signature);
    let (mut other, mut borrow) = ([0; 32], 0);
    for at in (0..32).rev() {
        let mut digit = i32::from(ORDER[at]) - i32::from(s[at]) - borrow;
        borrow = i32::from(digit < 0);
        digit += borrow * 256;
        other[at] = u8::try_from(digit).unwrap();
    }
    der(&r, &other, 0)
}

#[test]
fn a_twin_of_a_twin_is_the_signature() {
    let one = der(&[7; 32], &[0x99; 32], 0);
    assert_ne!(twin(&one), one);
    assert_eq!(twin(&twin(&one)), one);
    assert_eq!(numbers(&one), ([7; 32], [0x99; 32]));
}
