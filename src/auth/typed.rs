//! Normalisation of typed and pasted codes, in one place and before any check.
//!
//! Digits of every script and full-width letters become ASCII. Format characters (zero width,
//! direction), quotes and marks are removed. Spaces and dashes of every kind join their neighbours;
//! any other sign separates them.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use zeroize::Zeroizing;

/// Maximum number of characters read. A code with a label and a list number is far shorter.
const MOST: usize = 256;
/// Characters of other categories that keyboards and typography use as dashes.
const LIKE_DASHES: [char; 10] = [
    '\u{b7}', '\u{2d7}', '\u{2043}', '\u{207b}', '\u{208b}', '\u{2212}', '\u{2500}', '\u{2796}',
    '\u{30fc}', '\u{ff70}',
];
const LIKE_QUOTES: [char; 8] =
    ['"', '\'', '`', '\u{b4}', '\u{201a}', '\u{201e}', '\u{2032}', '\u{ff02}'];
/// Distance between a full-width character and its ASCII equivalent.
const FULL_WIDTH: u32 = 0xff01 - 0x21;

/// A folded character.
enum Sign {
    /// An upper-case ASCII letter or an ASCII digit.
    Plain(char),
    /// A letter of another script.
    Letter,
    /// A space or a dash.
    Joint,
    /// Any other character that is not removed.
    Break,
}

/// Returns a decimal digit as ASCII. The digits of a script have consecutive code points from zero
/// on.
fn decimal(c: char) -> char {
    let is_digit = |code| {
        char::from_u32(code).is_some_and(|c| c.general_category() == GeneralCategory::DecimalNumber)
    };
    let before = (0..u32::from(c)).rev().take_while(|code| is_digit(*code)).take(64).count();
    u32::try_from(before % 10).ok().and_then(|d| char::from_digit(d, 10)).unwrap_or('0')
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other categories separate")]
fn sign(c: char) -> Option<Sign> {
    let plain = match u32::from(c) {
        code @ 0xff01..=0xff5e => char::from_u32(code - FULL_WIDTH).unwrap_or(c),
        _ => c,
    };
    if plain.is_ascii_alphanumeric() {
        return Some(Sign::Plain(plain.to_ascii_uppercase()));
    }
    if LIKE_QUOTES.contains(&c) {
        return None;
    }
    if c.is_whitespace() || LIKE_DASHES.contains(&c) {
        return Some(Sign::Joint);
    }
    match c.general_category() {
        GeneralCategory::DecimalNumber => Some(Sign::Plain(decimal(c))),
        GeneralCategory::DashPunctuation => Some(Sign::Joint),
        GeneralCategory::Format
        | GeneralCategory::Control
        | GeneralCategory::NonspacingMark
        | GeneralCategory::EnclosingMark
        | GeneralCategory::InitialPunctuation
        | GeneralCategory::FinalPunctuation => None,
        _ if c.is_alphanumeric() => Some(Sign::Letter),
        _ => Some(Sign::Break),
    }
}

fn signs(typed: &str) -> impl Iterator<Item = Sign> {
    typed.chars().take(MOST).filter_map(sign)
}

/// Returns the only group of exactly `count` digits in a typed text. Digits next to a letter do not
/// form a group: they belong to a word or to another kind of code.
pub(super) fn digits(typed: &str, count: usize) -> Option<Zeroizing<String>> {
    let mut folded = Zeroizing::new(String::with_capacity(MOST));
    folded.extend(signs(typed).map(|sign| match sign {
        Sign::Plain(c) => c,
        Sign::Letter => 'X',
        Sign::Joint => ' ',
        Sign::Break => '.',
    }));
    let mut found: Option<Zeroizing<String>> = None;
    for part in folded.split('.') {
        let mut group = Zeroizing::new(String::with_capacity(MOST));
        for word in part.split_ascii_whitespace().chain(["X"]) {
            if word.bytes().all(|b| b.is_ascii_digit()) {
                group.push_str(word);
                continue;
            }
            if group.len() == count {
                let other = found.replace(group.clone());
                if other.is_some() {
                    return None;
                }
            }
            group.clear();
        }
    }
    found
}

/// Returns all ASCII letters, in upper case, and digits of a typed text.
pub(super) fn letters_and_digits(typed: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(MOST));
    text.extend(signs(typed).filter_map(|sign| match sign {
        Sign::Plain(c) => Some(c),
        Sign::Letter | Sign::Joint | Sign::Break => None,
    }));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn six_digits_are_found_however_they_are_written() {
        for typed in [
            "116082",
            " 116 082 ",
            "116-082",
            "116\u{2011}082",
            "116\u{2013}082",
            "116\u{2014}082",
            "116\u{2212}082",
            "116\u{30fc}082",
            "116\u{200b}082",
            "\u{feff}116082\u{200e}",
            "\u{202a}116082\u{202c}",
            "116\u{a0}082",
            "116\u{202f}082",
            "１１６０８２",
            "١١٦٠٨٢",
            "۱۱۶۰۸۲",
            "११६०८२",
            "𝟏𝟏𝟔𝟎𝟖𝟐",
            "𝟷𝟷𝟼𝟶𝟾𝟸",
            "1\u{fe0f}\u{20e3}1\u{fe0f}\u{20e3}6082",
            "Code: 116082",
            "code 116082",
            "Код: 116 082",
            "\"116082\"",
            "«116082»",
            "“116 082”",
            "3. 116082",
            "3) 116082",
            "116082.",
            "Your code is 116082, good for 30 s",
            "116082\r\n",
        ] {
            let found = digits(typed, 6);
            assert_eq!(found.as_deref().map(String::as_str), Some("116082"), "{typed:?}");
        }
    }

    #[test]
    fn anything_else_is_no_code_of_six_digits() {
        for typed in [
            "",
            "11608",
            "1160822",
            "11608a",
            "a116082",
            "116082 116083",
            "116082, 116083",
            "116.082",
            "1160-8222",
            "ABCD-1160-82EF-GH123",
            "①①⑥⓪⑧②",
        ] {
            assert!(digits(typed, 6).is_none(), "{typed:?}");
        }
    }

    #[test]
    fn letters_and_digits_are_folded_to_ascii() {
        for typed in [
            "ab3d-\u{2010}efgh",
            "ＡＢ３Ｄ ｅｆｇｈ",
            "\u{201c}AB3D\u{2015}EFGH\u{201d}",
            "AB٣D.EFGH",
        ] {
            assert_eq!(letters_and_digits(typed).as_str(), "AB3DEFGH", "{typed:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_typed_is_folded_without_panic_and_within_bounds(typed in ".*") {
            prop_assert!(digits(&typed, 6).is_none_or(|d| d.len() == 6));
            prop_assert!(letters_and_digits(&typed).chars().count() <= MOST);
        }
    }
}
