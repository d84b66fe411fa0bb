//! Spellings in Unicode that apps take for ASCII: other case and width, accents, invisible characters.

use memchr::memchr_iter;

use crate::auth::account;

/// Returns true if a path has a character that is not ASCII, encoded or not.
pub(super) fn has_unicode(path: &[u8]) -> bool {
    let encoded = |at: usize| path.get(at.saturating_add(1)).is_some_and(|b| is_high_digit(*b));
    memchr_iter(b'%', path).any(encoded) || !path.is_ascii()
}

/// Returns true if a byte encoded with this first digit is not ASCII.
fn is_high_digit(digit: u8) -> bool {
    matches!(digit, b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F')
}

/// Folds an encoded segment of a path, as [`folded`] does.
pub(super) fn folded_segment(segment: &str) -> String {
    folded(&percent_decoded(segment.as_bytes()))
}

/// Folds a decoded text as login names are folded for throttling: compatibility form, case, no accents,
/// no white space, nothing invisible. Bytes that are not UTF-8 are left out.
pub(super) fn folded(decoded: &[u8]) -> String {
    let text = String::from_utf8_lossy(decoded);
    let mut folded = account::folded(&text);
    folded.retain(|c| c != char::REPLACEMENT_CHARACTER);
    folded
}

/// Decodes every `%XX`. Anything else stays as it is.
pub(super) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let hex = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let pair = hex(after.first()).zip(hex(after.get(1)));
        match pair.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_ascii_is_told_from_one_in_unicode() {
        for path in ["/", "/a/b", "/a%20b", "/100%25", "/a%7Cb%", "/%7f"] {
            assert!(!has_unicode(path.as_bytes()), "{path}");
        }
        for path in ["/%80", "/a%9f", "/a/%C5%BF", "/%fF", "/é"] {
            assert!(has_unicode(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn spellings_of_ascii_become_ascii() {
        for (spelling, plain) in [
            ("%C5%BFecret", "secret"),
            ("%E2%84%AAey", "key"),
            ("adm%C4%B1n", "admin"),
            ("ADM%C4%B0N", "admin"),
            ("admi%CC%87n", "admin"),
            ("%EF%BC%A1%EF%BC%A4min", "admin"),
            ("se%C2%ADcret%E2%80%8C", "secret"),
            ("s%CD%8Fecret%EF%BB%BF", "secret"),
            ("secre%CC%81t", "secret"),
            ("%EF%AC%81le", "file"),
            ("stra%C3%9Fe", "strasse"),
            ("secret%FF", "secret"),
            ("%E2%80%8B", ""),
            ("%D1%95ecret", "ѕecret"),
        ] {
            assert_eq!(folded_segment(spelling), plain, "{spelling}");
        }
    }
}
