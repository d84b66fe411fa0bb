//! Spellings in Unicode that apps take for ASCII: other case and width, accents, invisible characters.

use memchr::memchr_iter;
use unicode_normalization::UnicodeNormalization;

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

/// Stands for characters that fold to something other than ASCII. Folding keeps it.
const OTHER: char = '\u{e000}';

/// Returns true for the two ligatures of a whole phrase, with 18 and 8 characters in their compatibility
/// form, none of them ASCII. No other character has a form longer than its encoding in a path.
fn is_phrase(c: char) -> bool {
    matches!(c, '\u{fdfa}' | '\u{fdfb}')
}

/// Returns the characters of a decoded path, with one in place of each phrase.
fn shortened(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|c| if is_phrase(c) { OTHER } else { c })
}

/// Returns the compatibility form (NFKC) of a decoded path, without the letters of phrases. It is no
/// longer than the encoded path.
pub(super) fn compatible(text: &str) -> String {
    shortened(text).nfkc().collect()
}

/// Folds a decoded text as login names are folded for throttling. Bytes that are not UTF-8 are left out.
fn folded_chars(text: &str) -> impl Iterator<Item = char> {
    #[cfg(test)]
    work::add(text);
    pieces(text).flat_map(|(ascii, rest)| {
        let plain = ascii.chars().filter(char::is_ascii_graphic).map(|c| c.to_ascii_lowercase());
        plain.chain(account::fold(shortened(rest)).filter(|c| *c != char::REPLACEMENT_CHARACTER))
    })
}

/// Splits a text into pairs of ASCII and of what has to be folded: characters that are not ASCII, after
/// the one that they may be marks of.
fn pieces(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut left = text;
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        let Some(first) = left.bytes().position(|byte| !byte.is_ascii()) else {
            return Some((std::mem::take(&mut left), ""));
        };
        let (ascii, rest) = left.split_at_checked(first.saturating_sub(1))?;
        let after = rest.bytes().skip(1).position(|byte| byte.is_ascii());
        let (rest, next) = rest.split_at_checked(after.map_or(rest.len(), |at| at + 1))?;
        left = next;
        Some((ascii, rest))
    })
}

/// Folds an encoded segment of a path: compatibility form, case, no accents, no white space, nothing
/// invisible. `None` if the result is not ASCII.
pub(super) fn folded_segment(segment: &str) -> Option<String> {
    let decoded = percent_decoded(segment.as_bytes());
    let text = String::from_utf8_lossy(&decoded);
    folded_chars(&text).map(|c| c.is_ascii().then_some(c)).collect()
}

/// Folds a decoded text as [`folded_segment`] does. Characters that do not fold to ASCII become one
/// that is not ASCII either.
pub(super) fn folded(decoded: &[u8]) -> String {
    let text = String::from_utf8_lossy(decoded);
    let mut folded = String::with_capacity(text.len());
    for c in folded_chars(&text) {
        if c.is_ascii() {
            folded.push(c);
        } else if !folded.ends_with(OTHER) {
            folded.push(OTHER);
        }
    }
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

/// The work of folding, for tests.
#[cfg(test)]
pub(super) mod work {
    use std::cell::Cell;

    thread_local! {
        static CHARACTERS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn add(text: &str) {
        CHARACTERS.set(CHARACTERS.get() + text.chars().count());
    }

    /// Returns the number of characters that this thread folds in `task`.
    pub(in crate::gate) fn of(task: impl FnOnce()) -> usize {
        let before = CHARACTERS.get();
        task();
        CHARACTERS.get() - before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        ] {
            assert_eq!(folded_segment(spelling).as_deref(), Some(plain), "{spelling}");
            assert_eq!(folded(&percent_decoded(spelling.as_bytes())), plain, "{spelling}");
        }
    }

    #[test]
    fn characters_that_are_not_spellings_of_ascii_become_one() {
        for (spelling, marked) in [
            ("%D1%95ecret", "\u{e000}ecret"),
            ("a%EF%B7%BAb", "a\u{e000}b"),
            ("%E7%A7%98%E5%AF%86%EE%80%80/%EF%B7%BB", "\u{e000}/\u{e000}"),
        ] {
            assert_eq!(folded_segment(spelling), None, "{spelling}");
            let once = folded(&percent_decoded(spelling.as_bytes()));
            assert_eq!(once, marked, "{spelling}");
            assert_eq!(folded(once.as_bytes()), once, "{spelling}");
        }
    }

    #[test]
    fn no_form_of_a_character_is_longer_than_its_encoding_in_a_path() {
        for c in (char::MIN..=char::MAX).filter(|c| !c.is_ascii()) {
            let text = c.to_string();
            let compatible = compatible(&text);
            let upper = compatible.to_uppercase();
            let decomposed = upper.to_lowercase().nfkd().collect();
            let lengths = [compatible, upper, decomposed].map(|form| form.chars().count());
            let longest = lengths.into_iter().max().unwrap();
            let encoded = 3 * text.len();
            assert!(longest < encoded, "{c:?} has {longest} characters for {encoded} bytes");
            let whole = text.nfkc().collect::<String>();
            assert!(!is_phrase(c) || !whole.contains(|c: char| c.is_ascii_graphic()), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_folded_in_pieces_as_in_one(text in "([ -~]|\\PC|[ıſİﷺ\u{301}\u{307}\u{345}\u{ad}]){0,12}") {
            let whole = account::fold(shortened(&text));
            let whole: String = whole.filter(|c| *c != char::REPLACEMENT_CHARACTER).collect();
            prop_assert_eq!(folded_chars(&text).collect::<String>(), whole);
        }
    }

    #[test]
    fn a_folded_character_stays_as_it_is() {
        for c in char::MIN..=char::MAX {
            let once = folded(c.to_string().as_bytes());
            assert_eq!(folded(once.as_bytes()), once, "{c:?}");
        }
    }
}
