//! The request target, parsed once into the form that is both judged and forwarded.
//!
//! Where an app has no rules by path, nothing depends on the path and the target goes through byte
//! for byte. Where it has rules, there is one canonical form (RFC 3986 §6.2.2), and whatever two
//! servers could read in two ways is refused: dot segments, empty segments, encoded slashes,
//! backslashes, `;` parameters, control characters, double encodings, broken UTF-8.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use memchr::memchr;

/// Most bytes in a target.
pub const MAX_TARGET: usize = 8 * 1024;

/// Where our own pages live.
pub const OWN_PREFIX: &str = "/_auth";

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

/// Whether `path` lies under [`OWN_PREFIX`].
pub fn is_own_path(path: &str) -> bool {
    path.strip_prefix(OWN_PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn split(raw: &[u8]) -> Result<(&str, Option<&str>), BadTarget> {
    if raw.len() > MAX_TARGET {
        return Err(BadTarget::TooLong);
    }
    if raw.first() != Some(&b'/') {
        return Err(BadTarget::NotAPath);
    }
    // Without a way out before the end, and in bytes, many are looked at at once.
    let bad = |b: u8| u8::from(b <= b' ' || b == 0x7f || b == b'#');
    if raw.iter().fold(0, |any, b| any | bad(*b)) > 0 {
        return Err(BadTarget::Character);
    }
    let text = std::str::from_utf8(raw).map_err(|_not_utf8| BadTarget::Character)?;
    Ok(match memchr(b'?', raw).and_then(|at| text.split_at_checked(at)) {
        Some((path, query)) => (path, query.strip_prefix('?')),
        None => (text, None),
    })
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
    let twice =
        |w: &[u8]| matches!(w, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    if decoded.windows(3).any(twice) {
        return Err(BadTarget::Ambiguous);
    }
    let text = std::str::from_utf8(&decoded).map_err(|_overlong| BadTarget::Ambiguous)?;
    if text.chars().any(char::is_control) {
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
        assert_eq!(canonical("/é").unwrap(), "/%C3%A9");
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
            "/a\\b",
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
    fn what_is_no_path_is_refused_even_verbatim() {
        for bad in ["*", "", "admin", "http://gw.test/", "/a#b", "/a b", "/a\u{7f}", "\\a"] {
            assert!(CanonicalTarget::verbatim(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(CanonicalTarget::verbatim(&[b'/'; MAX_TARGET + 1]).is_err());
    }

    #[test]
    fn verbatim_means_byte_for_byte() {
        let raw = "/A/%2F//x/../y;z/%zz?q=%&r";
        let target = CanonicalTarget::verbatim(raw.as_bytes()).unwrap();
        assert_eq!(target.rewritten(), None);
        assert_eq!(target.path(), "/A/%2F//x/../y;z/%zz");
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
