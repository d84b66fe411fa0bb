//! The request target, parsed once into the form that is both evaluated and forwarded.
//!
//! If an app has no rules by path, nothing depends on the path and the target is forwarded byte for
//! byte. Otherwise there is one canonical form (RFC 3986 §6.2.2), and a target that two servers
//! could read in two ways is rejected: dot segments, empty segments, encoded slashes, backslashes,
//! `;` parameters, control characters, double encodings, invalid UTF-8, and characters that an app
//! may normalize to a separator or a dot segment.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use memchr::memchr;

use super::fold::compatible;
use super::path::RulePath;

/// Maximum bytes of a target.
pub const MAX_TARGET: usize = 8 * 1024;

/// Path prefix of Vestibule's own pages.
pub const OWN_PREFIX: &str = "/_auth";

/// Path where password managers look for the page that changes a password (W3C, "A Well-Known URL
/// for Changing Passwords").
pub const CHANGE_PASSWORD: &str = "/.well-known/change-password";

/// Path at the host of an RP ID where browsers look for its related origins (Web Authentication
/// Level 3, §5.11).
pub const RELATED_ORIGINS: &str = "/.well-known/webauthn";

/// A target that may be evaluated and forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalTarget<'a> {
    path: RulePath<'a>,
    query: Option<&'a str>,
}

/// The reason why a target is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// More than [`MAX_TARGET`] bytes.
    #[error("the request target is too long")]
    TooLong,
    /// Not a path from the root, but for example `*`, `host:port` or an absolute URL.
    #[error("the request target must be a path that starts with a slash")]
    NotAPath,
    /// A character that is not allowed in a target.
    #[error("the request target contains a character that is not allowed")]
    Character,
    /// A target that can be read in two ways.
    #[error("the request path can be read in more than one way")]
    Ambiguous,
}

impl<'a> CanonicalTarget<'a> {
    /// Parses a target to be forwarded byte for byte.
    pub fn verbatim(raw: &'a [u8]) -> Result<Self, BadTarget> {
        let (path, query) = split(raw)?;
        Ok(Self { path: RulePath::borrowed(path), query })
    }

    /// Like [`Self::verbatim`], for a target already parsed as a URI, whose characters are valid
    /// and whose query is located.
    pub fn verbatim_uri(uri: &'a PathAndQuery) -> Result<Self, BadTarget> {
        let text = uri.as_str();
        if text.len() > MAX_TARGET {
            return Err(BadTarget::TooLong);
        }
        if !text.starts_with('/') {
            return Err(BadTarget::NotAPath);
        }
        characters(uri.path().as_bytes(), uri.query().unwrap_or_default().as_bytes())?;
        Ok(Self { path: RulePath::borrowed(uri.path()), query: uri.query() })
    }

    /// Parses a target into its canonical form.
    pub fn canonical(raw: &'a [u8]) -> Result<Self, BadTarget> {
        let (path, query) = split(raw)?;
        Ok(Self { path: canonical_path(path)?.into(), query })
    }

    /// Returns the path.
    pub fn path(&self) -> &str {
        self.path.as_str()
    }

    /// Returns the path for rules.
    pub fn rule_path(&self) -> &RulePath<'a> {
        &self.path
    }

    /// Returns the query without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.query
    }

    /// Returns the path if it differs from what the client sent.
    pub fn rewritten(&self) -> Option<String> {
        if self.path.is_borrowed() {
            return None;
        }
        let path = self.path();
        Some(self.query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
    }

    /// Returns true if this is one of Vestibule's own pages.
    pub fn is_own(&self) -> bool {
        is_own_path(self.path())
    }

    /// Returns true if the widest scope of a service worker with its script here, which is the
    /// directory, covers Vestibule's pages.
    pub fn covers_own_pages(&self) -> bool {
        self.path().rfind('/').is_none_or(|at| at == 0)
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

/// Checks the characters. Accepts more than RFC 3986: the characters that browsers send unencoded
/// (`|` and `^`, in a query also braces, backslashes and backticks).
fn characters(path: &[u8], query: &[u8]) -> Result<(), BadTarget> {
    let class = |byte: &u8| CLASSES.get(usize::from(*byte)).copied().unwrap_or(NOWHERE);
    let in_path = path.iter().fold(0, |all, byte| all | class(byte));
    let in_query = query.iter().fold(0, |all, byte| all | class(byte));
    if in_path != 0 || in_query & NOWHERE != 0 { Err(BadTarget::Character) } else { Ok(()) }
}

/// Class of a byte that is not allowed in a path.
const NOT_IN_PATH: u8 = 1;
/// Class of a byte that is not allowed in a target.
const NOWHERE: u8 = 2;

/// The class of each byte. Most targets are shorter than a few vectors, so a table is faster than
/// comparisons.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let (mut byte, mut rest) = (0_u8, classes.as_mut_slice());
    while let Some((class, after)) = rest.split_first_mut() {
        *class = match byte {
            0..=b' ' | 0x7f..=0xff | b'#' | b'"' | b'<' | b'>' => NOWHERE,
            b'`' | b'{' | b'}' | b'\\' => NOT_IN_PATH,
            _ => 0,
        };
        (byte, rest) = (byte.wrapping_add(1), after);
    }
    classes
};

/// Returns true if a byte may appear unencoded in a path segment (RFC 3986 §3.3, `pchar`).
fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte)
}

fn canonical_path(path: &str) -> Result<Cow<'_, str>, BadTarget> {
    let is_canonical = path.bytes().all(|b| b == b'/' || is_pchar(b));
    let canonical = if is_canonical { Cow::Borrowed(path) } else { Cow::Owned(recode(path)?) };
    let rest = canonical.strip_prefix('/').ok_or(BadTarget::NotAPath)?;
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if segment == "." || segment == ".." || (segment.is_empty() && !last) {
            return Err(BadTarget::Ambiguous);
        }
    }
    // A path that becomes one of Vestibule's pages only by decoding was not meant as one.
    if is_own_path(&canonical) && !is_own_path(path) {
        return Err(BadTarget::Ambiguous);
    }
    Ok(canonical)
}

/// Decodes unreserved characters and encodes the others, with upper-case digits.
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
    // A path that could be decoded once more is not in its final form.
    if decoded.windows(3).any(is_encoded) {
        return Err(BadTarget::Ambiguous);
    }
    let text = std::str::from_utf8(&decoded).map_err(|_overlong| BadTarget::Ambiguous)?;
    if text.chars().any(char::is_control) || (!text.is_ascii() && reads_otherwise(text)) {
        return Err(BadTarget::Ambiguous);
    }
    let mut out = String::with_capacity(path.len());
    for byte in text.bytes() {
        if byte == b'/' || is_pchar(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(digit(byte >> 4));
            out.push(digit(byte & 0xf));
        }
    }
    Ok(out)
}

/// Returns true if the compatibility form (NFKC) of a decoded path has other separators or dot
/// segments, or something left to decode.
fn reads_otherwise(path: &str) -> bool {
    let folded = compatible(path);
    let separators = |text: &str| text.bytes().filter(|b| b"/\\;?#".contains(b)).count();
    separators(&folded) != separators(path)
        || folded.split('/').any(|segment| matches!(segment, "." | ".."))
        || folded.as_bytes().windows(3).any(is_encoded)
}

/// Returns true for a percent sign and two digits.
pub(super) fn is_encoded(three: &[u8]) -> bool {
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

    #[test]
    fn a_worker_at_the_root_covers_vestibules_pages_and_one_below_does_not() {
        let covers =
            |path: &str| CanonicalTarget::verbatim(path.as_bytes()).unwrap().covers_own_pages();
        for path in ["/sw.js", "/", "/_auth", "/sw%2ejs", "/sw.js?a/b/c"] {
            assert!(covers(path), "{path}");
        }
        for path in ["/app/sw.js", "/_authors/sw.js", "/static/", "//sw.js"] {
            assert!(!covers(path), "{path}");
        }
    }

    #[test]
    fn each_byte_is_allowed_where_browsers_send_it() {
        let allowed = |raw: &[u8]| CanonicalTarget::verbatim(raw).is_ok();
        for byte in 0..=0xff {
            let nowhere = byte <= b' ' || byte >= 0x7f || b"#\"<>".contains(&byte);
            assert_eq!(allowed(&[b'/', b'?', byte]), !nowhere, "{byte:#x} in a query");
            let in_path = !nowhere && !b"`{}\\".contains(&byte);
            assert_eq!(allowed(&[b'/', byte]), in_path, "{byte:#x} in a path");
        }
    }

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
    fn an_ambiguous_path_is_rejected() {
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
    fn a_path_that_changes_under_nfkc_is_rejected() {
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
            "/%EF%B7%BA", // a phrase in one character
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
    fn a_target_that_is_not_a_path_is_rejected_even_verbatim() {
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

    /// Checks that both parsers agree on targets that a URI keeps byte for byte.
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
