//! Validates return addresses: a path and query on the same host, outside the gateway's own pages.
//! An address that is not known to be safe becomes `/`.

use std::fmt;

/// Maximum length of a return address after percent-encoding, in bytes. Browsers send the encoded form
/// twice, as the request target and in `Referer`. Both must fit into the header block together with
/// the app's cookies.
const MAX_ENCODED: usize = 4600;
/// Maximum number of nested percent-encodings that are resolved.
const MAX_DECODINGS: usize = 5;

/// A path and query on this host, safe to write into `Location`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// Returns the start page of the app.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Keeps `text` byte for byte if it is a safe path and query on this host, short enough and not
    /// under `/_auth`. Anything else becomes `/`.
    pub fn parse(text: &str) -> Self {
        if is_safe(text) { Self(text.to_owned()) } else { Self::root() }
    }

    /// Returns the address: printable ASCII that starts with exactly one slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the address as an owned string.
    pub(super) fn into_string(self) -> String {
        self.0
    }

    /// Returns true for `/`.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns true if an address exceeds the maximum length.
pub(super) fn is_too_long(text: &str) -> bool {
    text.len() > MAX_ENCODED
        || form_urlencoded::byte_serialize(text.as_bytes()).map(str::len).sum::<usize>()
            > MAX_ENCODED
}

fn is_safe(text: &str) -> bool {
    let printable = |b: u8| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>' | b'#');
    if is_too_long(text) || !text.bytes().all(printable) || hides_a_control(text) {
        return false;
    }
    let path = text.split('?').next().unwrap_or_default();
    fully_decoded(path).is_some_and(|decoded| {
        starts_once_with_a_slash(path.as_bytes())
            && starts_once_with_a_slash(&decoded)
            && !decoded.iter().any(|b| b.is_ascii_control() || *b == b'\\')
            && !has_dot_segment(&decoded)
            && !is_ours(&decoded)
    })
}

/// Returns true if the path starts with exactly one slash. Browsers read a backslash as a slash.
fn starts_once_with_a_slash(path: &[u8]) -> bool {
    path.first() == Some(&b'/') && !matches!(path.get(1), Some(b'/' | b'\\'))
}

/// Returns true if the text contains an encoded line end, tab, NUL or backslash, also in the query.
fn hides_a_control(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["%00", "%09", "%0a", "%0d", "%5c"].iter().any(|bad| lower.contains(bad))
}

fn has_dot_segment(path: &[u8]) -> bool {
    // Some servers read `/..;x/` as a dot segment.
    path.split(|b| *b == b'/')
        .map(|segment| segment.split(|b| *b == b';').next().unwrap_or_default())
        .any(|name| matches!(name, b"." | b".."))
}

fn is_ours(path: &[u8]) -> bool {
    path.split(|b| matches!(b, b'/' | b';'))
        .find(|part| !part.is_empty())
        .is_some_and(|part| part.eq_ignore_ascii_case(b"_auth"))
}

/// Removes every layer of percent-encoding. Returns `None` if an escape is malformed or there are too
/// many layers.
fn fully_decoded(path: &str) -> Option<Vec<u8>> {
    let mut now = path.as_bytes().to_vec();
    for layer in 0..MAX_DECODINGS {
        if !now.contains(&b'%') {
            return Some(now);
        }
        match decoded_once(&now) {
            Some(next) => now = next,
            // A decoded literal percent sign (`%25`) starts no escape.
            None if layer > 0 => return Some(now),
            None => return None,
        }
    }
    None
}

fn decoded_once(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    /// Decodes the `\xNN \t \n \r \\` escapes of a corpus line.
    fn unescaped(line: &str) -> String {
        let mut out = Vec::new();
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            if c != '\\' {
                out.extend(c.to_string().bytes());
                continue;
            }
            match chars.next() {
                Some('t') => out.push(b'\t'),
                Some('n') => out.push(b'\n'),
                Some('r') => out.push(b'\r'),
                Some('\\') => out.push(b'\\'),
                Some('x') => {
                    let hex: String = chars.by_ref().take(2).collect();
                    out.push(u8::from_str_radix(&hex, 16).unwrap());
                }
                other => panic!("unknown escape {other:?} in {line}"),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn lines(file: &str) -> Vec<String> {
        file.lines().filter(|l| !l.starts_with("# ")).map(unescaped).collect()
    }

    /// Asserts that a browser would stay on this host and outside the gateway's pages.
    fn assert_stays(text: &str) {
        let kept = ReturnTo::parse(text);
        let base = Url::parse("https://gw.test/_auth/login").unwrap();
        let target = base.join(kept.as_str()).unwrap();
        assert_eq!(target.origin(), base.origin(), "{text:?} → {kept}");
        assert!(target.username().is_empty() && target.password().is_none());
        let first = target.path().split('/').nth(1).unwrap_or_default();
        assert!(!first.eq_ignore_ascii_case("_auth"), "{text:?} → {kept}");
        assert!(!target.path().starts_with("//"), "{text:?} → {kept}");
        assert!(kept.as_str().bytes().all(|b| b.is_ascii_graphic()));
    }

    #[test]
    fn no_known_trick_leads_off_the_host_or_to_the_gateways_pages() {
        let tricks = lines(include_str!("../../tests/corpus/redirects.txt"));
        assert!(tricks.len() > 150);
        for trick in tricks {
            assert_stays(&trick);
        }
    }

    #[test]
    fn honest_addresses_are_kept_byte_for_byte() {
        for honest in lines(include_str!("../../tests/corpus/redirects_ok.txt")) {
            assert_eq!(ReturnTo::parse(&honest).as_str(), honest);
        }
        for honest in
            ["/caf%C3%A9/%E2%9C%93?q=%25", "/a//b", "/100%25", "/a.b/..c/d..", "/_authors"]
        {
            assert_eq!(ReturnTo::parse(honest).as_str(), honest);
        }
    }

    #[test]
    fn encoded_own_pages_and_dot_segments_become_the_start_page() {
        for bad in [
            "",
            "_auth",
            "/_auth",
            "/_AUTH/login",
            "/%5fauth/logout",
            "/%255Fauth/",
            "/_auth;x/logout",
            "/_auth?x",
            "/a/%2e%2e/b",
            "/a/.%252e/b",
            "/..;/b",
            "/.",
            "/%2f/evil.example",
            "/%2Fevil.example",
            "/a?q=%0d%0a",
            "/a%zz",
            "/a%",
            "/%2525252525252f",
        ] {
            assert!(ReturnTo::parse(bad).is_root(), "{bad}");
        }
        let long = format!("/{}", "x".repeat(MAX_ENCODED));
        assert!(ReturnTo::parse(&long).is_root());
    }

    proptest! {
        #[test]
        fn no_text_leads_off_the_host(text in ".*") {
            assert_stays(&text);
        }

        #[test]
        fn no_combination_of_attack_fragments_leads_off_the_host(
            pieces in proptest::collection::vec(
                prop::sample::select(vec![
                    "/", "\\", "//", "..", ".", "%2e", "%2f", "%5c", "%5C", "%25", "_auth", "%5f",
                    "auth", "evil.example", "@", ":", "https:", "?", "#", "\t", "\n", "\r", "\0",
                    " ", ";", "a", "%0a", "%09", "%00", "。", "%",
                ]),
                0..9,
            )
        ) {
            assert_stays(&pieces.concat());
            assert_stays(&format!("/{}", pieces.concat()));
        }
    }
}
