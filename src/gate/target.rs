//! The request target, parsed once into the form that is both judged and forwarded.
//!
//! Where an app has no rules by path, nothing depends on the path and the target goes through byte
//! for byte. Where it has rules, there is one canonical form (RFC 3986 §6.2.2), and whatever two
//! servers could read in two ways is refused: dot segments, empty segments, encoded slashes,
//! backslashes, `;` parameters, control characters, double encodings, broken UTF-8, and characters
//! that an app may normalise to a separator or a dot segment.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use memchr::memchr;
use unicode_normalization::UnicodeNormalization;

/// Most bytes in a target.
pub const MAX_TARGET: usize = 8 * 1024;

/// Where our own pages live.
pub const OWN_PREFIX: &str = "/_auth";

/// Where password managers look for the page that changes a password (W3C, "A Well-Known URL for
/// Changing Passwords").
pub const CHANGE_PASSWORD: &str = "/.well-known/change-password";

/// A target that may be judged and forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalTarget<'a> {
    path: Cow<'a, str>,
    query: Option<&'a str>,
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// More than [`MAX_TARGET`] bytes.
    #[error("the request target is too long")]
    TooLong,
    /// Not a path from the root: `*`, `host:port`, an absolute address.
    #[error("the request target must be a path that starts with a slash")]
    NotAPath,
    /// A character that no target may hold.
    #[error("the request target holds a character that may not be there")]
    Character,
    /// It could be read in two ways.
    #[error("the request path can be read in more than one way")]
    Ambiguous,
}

impl<'a> CanonicalTarget<'a> {
    /// A target that goes through byte for byte.
    pub fn verbatim(raw: &'a [u8]) -> Result<Self, BadTarget> {
        let (path, query) = split(raw)?;
        Ok(Self { path: Cow::Borrowed(path), query })
    }

    /// The same for a target that was read as a URI's: such a one holds no other characters, and
    /// where its query begins is known.
    pub fn verbatim_uri(uri: &'a PathAndQuery) -> Result<Self, BadTarget> {
        let text = uri.as_str();
        if text.len() > MAX_TARGET {
            return Err(BadTarget::TooLong);
        }
        if !text.starts_with('/') {
            return Err(BadTarget::NotAPath);
        }
        characters(uri.path().as_bytes(), uri.query().unwrap_or_default().as_bytes())?;
        Ok(Self { path: Cow::Borrowed(uri.path()), query: uri.query() })
    }

    /// A target in its one canonical form.
    pub fn canonical(raw: &'a [u8]) -> Result<Self, BadTarget> {
        let (path, query) = split(raw)?;
        Ok(Self { path: canonical_path(path)?, query })
    }

    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query, without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.query
    }

    /// The path, when it is no longer what the client sent.
    pub fn rewritten(&self) -> Option<String> {
        match (&self.path, self.query) {
            (Cow::Borrowed(_), _) => None,
            (Cow::Owned(path), None) => Some(path.clone()),
            (Cow::Owned(path), Some(query)) => Some(format!("{path}?{query}")),
        }
    }

    /// Whether this is one of our own pages.
    pub fn is_own(&self) -> bool {
        is_own_path(&self.path)
    }
}

/// Returns true if `path` lies under [`OWN_PREFIX`] or is [`CHANGE_PASSWORD`].
pub fn is_own_path(path: &str) -> bool {
    path.strip_prefix(OWN_PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || path == CHANGE_PASSWORD
}

fn split(raw: &[u8]) -> Result<(&str, Option<&str>), BadTarget> {
    if raw.len() > MAX_TARGET {
        return Err(BadTarget::TooLong);
    }
    if raw.first() != Some(&b'/') {
        return Err(BadTarget::NotAPath);
    }
    let text = std::str::from_utf8(raw).map_err(|_not_utf8| BadTarget::Character)?;
    let (path, query) = match memchr(b'?', raw).and_then(|at| text.split_at_checked(at)) {
        Some((path, query)) => (path, query.strip_prefix('?')),
        None => (text, None),
    };
    characters(path.as_bytes(), query.unwrap_or_default().as_bytes())?;
    Ok((path, query))
}

/// RFC 3986 leaves out more than is refused here: what browsers send as it is (`|` and `^`, in a query
/// also braces, backslashes and backticks) passes.
fn characters(path: &[u8], query: &[u8]) -> Result<(), BadTarget> {
    // Without a way out before the end, and in bytes, many are looked at at once.
    let bad = |b: u8| {
        u8::from(b <= b' ' || b >= 0x7f)
            | u8::from(b == b'#' || b == b'"' || b == b'<' || b == b'>')
    };
    let bad_in_path = |b: u8| bad(b) | u8::from(b == b'`' || b == b'{' || b == b'}' || b == b'\\');
    let found = path.iter().fold(0, |any, b| any | bad_in_path(*b))
        | query.iter().fold(0, |any, b| any | bad(*b));
    if found > 0 { Err(BadTarget::Character) } else { Ok(()) }
}

/// Characters that stand for themselves in a path segment (RFC 3986 §3.3, `pchar`).
fn stands_for_itself(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte)
}

fn canonical_path(path: &str) -> Result<Cow<'_, str>, BadTarget> {
    let is_canonical = path.bytes().all(|b| b == b'/' || stands_for_itself(b));
    let canonical = if is_canonical { Cow::Borrowed(path) } else { Cow::Owned(recode(path)?) };
    let rest = canonical.strip_prefix('/').ok_or(BadTarget::NotAPath)?;
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if segment == "." || segment == ".." || (segment.is_empty() && !last) {
            return Err(BadTarget::Ambiguous);
        }
    }
    // What only becomes one of our pages by decoding was not meant to be one.
    if is_own_path(&canonical) && !is_own_path(path) {
        return Err(BadTarget::Ambiguous);
    }
    Ok(canonical)
}

/// Decodes what stands for itself and encodes what does not, with upper-case digits.
pub(super) fn recode(path: &str) -> Result<String, BadTarget> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let value = match byte {
            b'%' => {
                let value = hex(bytes.next())? << 4 | hex(bytes.next())?;
                if matches!(value, b'/' | b'\\' | b';' | b'?' | b'#') || value < b' ' {
                    return Err(BadTarget::Ambiguous);
                }
                value
            }
            b'\\' | b';' => return Err(BadTarget::Ambiguous),
            other => other,
        };
        if value == 0x7f {
            return Err(BadTarget::Ambiguous);
        }
        decoded.push(value);
    }
    // What could be decoded once more is not in its last form.
    if decoded.windows(3).any(is_encoded) {
        return Err(BadTarget::Ambiguous);
    }
    let text = std::str::from_utf8(&decoded).map_err(|_overlong| BadTarget::Ambiguous)?;
    if text.chars().any(char::is_control) || (!text.is_ascii() && reads_otherwise(text)) {
        return Err(BadTarget::Ambiguous);
    }
    let mut out = String::with_capacity(path.len());
    for byte in text.bytes() {
        if byte == b'/' || stands_for_itself(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(digit(byte >> 4));
            out.push(digit(byte & 0xf));
        }
    }
    Ok(out)
}

/// Returns true if the compatibility form (NFKC) of a decoded path is another path: if it has other
/// separators, dot segments, or something to decode once more.
fn reads_otherwise(path: &str) -> bool {
    let folded: String = path.nfkc().collect();
    let separators = |text: &str| text.bytes().filter(|b| b"/\\;?#".contains(b)).count();
    separators(&folded) != separators(path)
        || folded.split('/').any(|segment| matches!(segment, "." | ".."))
        || folded.as_bytes().windows(3).any(is_encoded)
}

fn is_encoded(three: &[u8]) -> bool {
    matches!(three, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

fn hex(digit: Option<u8>) -> Result<u8, BadTarget> {
    let value = digit.and_then(|d| char::from(d).to_digit(16)).ok_or(BadTarget::Ambiguous)?;
    u8::try_from(value).map_err(|_large| BadTarget::Ambiguous)
}

fn digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(raw: &str) -> Result<String, BadTarget> {
        CanonicalTarget::canonical(raw.as_bytes()).map(|t| t.path().to_owned())
    }

    #[test]
    fn spellings_of_one_path_become_one() {
        assert_eq!(canonical("/public/a").unwrap(), "/public/a");
        assert_eq!(canonical("/%70ublic/%61").unwrap(), "/public/a");
        assert_eq!(canonical("/a%20b").unwrap(), "/a%20b");
        assert_eq!(canonical("/%c3%a9").unwrap(), "/%C3%A9");
        assert_eq!(canonical("/a%40b|c").unwrap(), "/a@b%7Cc");
        assert_eq!(canonical("/100%25").unwrap(), "/100%25");
        assert_eq!(canonical("/a/").unwrap(), "/a/");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for bad in [
            "/public/../admin",
            "/public/%2e%2e/admin",
            "/public/.%2e/admin",
            "/a/./b",
            "/a//b",
            "//a",
            "/a%2fb",
            "/a%5cb",
            "/a;b",
            "/a%3bb",
            "/a%00",
            "/a%0d%0ab",
            "/%252e%252e/",
            "/public/%25%32e%25%32e/admin",
            "/public/%252%65%252%65/admin",
            "/public/x%25%32fadmin",
            "/%c0%ae%c0%ae/",
            "/a%",
            "/a%4",
            "/a%zz",
            "/%u002e",
            "/%5fauth/login",
        ] {
            assert_eq!(canonical(bad), Err(BadTarget::Ambiguous), "{bad}");
        }
    }

    #[test]
    fn what_is_another_path_in_its_compatibility_form_is_refused() {
        for bad in [
            "/public%EF%BC%8Fadmin",            // fullwidth solidus
            "/public/%EF%BC%8E%EF%BC%8E/admin", // fullwidth full stops
            "/public/%E2%80%A5/admin",          // two dot leader
            "/public/%E2%80%A4%E2%80%A4/a",     // one dot leaders
            "/public/%E2%80%A4./a",
            "/public/%EF%B9%92/a",       // small full stop
            "/a%EF%BC%BCb",              // fullwidth reverse solidus
            "/a%EF%B9%A8b",              // small reverse solidus
            "/a%EF%BC%9Bb",              // fullwidth semicolon
            "/a%CD%BEb",                 // Greek question mark
            "/a%EF%BC%9Fb",              // fullwidth question mark
            "/a%EF%BC%83b",              // fullwidth number sign
            "/%E2%84%80",                // a/c in one character
            "/%EF%BC%852e%EF%BC%852e/a", // fullwidth percent signs
            "/%25%EF%BC%92%EF%BC%A6",    // a percent sign before fullwidth digits
        ] {
            assert_eq!(canonical(bad), Err(BadTarget::Ambiguous), "{bad}");
        }
        for good in [
            "/caf%C3%A9",
            "/cafe%CC%81",
            "/%E2%91%A0",     // a circled digit
            "/more%E2%80%A6", // an ellipsis in a name
            "/100%EF%BC%85",
            "/%EF%BD%81.txt",
            "/1%E2%81%842", // a fraction slash, which stays one
            "/v1%E2%80%A40",
        ] {
            assert_eq!(canonical(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn what_is_no_path_is_refused_even_verbatim() {
        for bad in [
            "*",
            "",
            "admin",
            "http://gw.test/",
            "/a#b",
            "/a b",
            "/a\u{7f}",
            "\\a",
            "/\u{e9}",
            "/?\u{e9}",
            "/a\tb",
            "/?a b",
            "/\"",
            "/?\"",
            "/<",
            "/?>",
            "/`",
            "/{a}",
            "/a\\b",
        ] {
            assert!(CanonicalTarget::verbatim(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(CanonicalTarget::verbatim(&[b'/'; MAX_TARGET + 1]).is_err());
    }

    #[test]
    fn verbatim_means_byte_for_byte() {
        let raw = "/A/%2F//x/../y;z/%zz|^[]?q=%&r[]={a}\\`^|";
        let target = CanonicalTarget::verbatim(raw.as_bytes()).unwrap();
        assert_eq!(target.rewritten(), None);
        assert_eq!(target.path(), "/A/%2F//x/../y;z/%zz|^[]");
    }

    /// Where a URI holds these very bytes, both readings say the same.
    fn reads_alike(raw: &[u8]) -> bool {
        let Ok(uri) = PathAndQuery::try_from(raw) else { return true };
        uri.as_str().as_bytes() != raw
            || CanonicalTarget::verbatim_uri(&uri) == CanonicalTarget::verbatim(raw)
    }

    #[test]
    fn each_byte_of_a_uri_is_read_as_in_any_target() {
        for byte in 0..=u8::MAX {
            for raw in [&[b'/', byte][..], &[byte, b'/'], &[b'/', b'?', byte], &[b'/', byte, b'?']]
            {
                assert!(reads_alike(raw), "{raw:?}");
            }
        }
        assert!(reads_alike(format!("/{}", "a".repeat(MAX_TARGET - 1)).as_bytes()));
        assert!(reads_alike(format!("/{}", "a".repeat(MAX_TARGET)).as_bytes()));
    }

    proptest! {
        #[test]
        fn any_uri_is_read_as_any_target(raw in "/(\\PC|[\x00-\x7f]){0,40}") {
            prop_assert!(reads_alike(raw.as_bytes()));
        }

        #[test]
        fn the_canonical_form_of_a_canonical_form_is_itself(raw in "/[ -~]{0,40}") {
            if let Ok(once) = canonical(&raw) {
                prop_assert!(canonical(&once).is_ok_and(|twice| twice == once));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(CanonicalTarget::canonical(&raw).is_err() || CanonicalTarget::verbatim(&raw).is_ok());
        }
    }
}
