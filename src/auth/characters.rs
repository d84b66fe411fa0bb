//! Characters that cannot be seen, by the properties that Unicode gives them.

use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Characters without ink that Unicode does not list as ignorable: a blank in Braille, a note
/// without a head, a filler of Khitan.
const BLANK: [char; 3] = ['\u{2800}', '\u{1d159}', '\u{16fe4}'];

/// Returns true if a character has no form of its own: zero width, direction controls, variation
/// selectors, fillers, tags.
pub(super) fn is_invisible(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || c.general_category() == GeneralCategory::Format
        || BLANK.contains(&c)
}

/// Returns true if Unicode gives a character no form: it is invisible, white space, a control
/// character, not assigned or for private use.
pub(super) fn is_formless(c: char) -> bool {
    let category = c.general_category();
    let unknown = matches!(category, GeneralCategory::Unassigned | GeneralCategory::PrivateUse);
    unknown || is_invisible(c) || c.is_whitespace() || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_marks_and_symbols_are_visible() {
        for c in "aß9@.-_+'éе\u{5d0}\u{301}ا\u{94d}한가\u{e33}😀".chars() {
            assert!(!is_formless(c), "{c:?}");
        }
    }

    #[test]
    fn characters_without_a_form_are_known() {
        let invisible = "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{180b}\u{180e}\
             \u{200b}\u{200c}\u{200d}\u{200e}\u{202a}\u{202e}\u{2060}\u{2065}\
             \u{2066}\u{2069}\u{2800}\u{3164}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\
             \u{fff9}\u{1bca0}\u{1d173}\u{e0001}\u{e0041}\u{e007f}\u{e0100}";
        for c in invisible.chars() {
            assert!(is_invisible(c) && is_formless(c), "{c:?}");
        }
        for c in ['\u{a0}', '\u{3000}', '\u{85}', '\u{2028}', '\u{e000}', '\u{378}', '\u{ffff}'] {
            assert!(is_formless(c), "{c:?}");
        }
    }
}
