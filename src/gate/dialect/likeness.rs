//! Comparison of request paths with the paths of a dialect, as the most lenient app would read them.

use std::cell::OnceCell;

use crate::gate::fold::{folded, percent_decoded};
use crate::gate::target::is_encoded;

/// The similarity of a path to a given path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// Identical bytes.
    Same,
    /// A different spelling that a lenient app might accept.
    Resembles,
    /// Neither.
    Other,
}

/// The path of a request as the client sent it. Each way to read it is tried when it is first needed,
/// and only once.
#[derive(Clone, Debug)]
pub struct RawPath<'a> {
    target: &'a [u8],
    readings: OnceCell<Readings>,
}

/// A path as lenient apps read it.
#[derive(Clone, Debug)]
struct Readings {
    decoded: Segments,
    /// Set if the decoded path is not ASCII.
    folded: Option<Segments>,
}

type Segments = Vec<Vec<u8>>;

/// Maximum number of times that a path is decoded.
const ROUNDS: usize = 3;

impl<'a> From<&'a [u8]> for RawPath<'a> {
    fn from(target: &'a [u8]) -> Self {
        Self { target, readings: OnceCell::new() }
    }
}

impl RawPath<'_> {
    /// Returns the target, which is the path with its query.
    pub fn target(&self) -> &[u8] {
        self.target
    }

    /// Compares the path with another, which must be in its plain form.
    pub fn likeness(&self, path: &str) -> Likeness {
        let raw = self.target.split(|byte| *byte == b'?').next().unwrap_or_default();
        if raw == path.as_bytes() {
            return Likeness::Same;
        }
        // The length alone tells most other paths apart: apart from slashes and dots, which a plain
        // path has none of to spare, no spelling in ASCII is shorter.
        if raw.len() < path.len() && raw.is_ascii() {
            return Likeness::Other;
        }
        let Readings { decoded, folded } = self.readings.get_or_init(|| Readings::of(raw));
        let wanted = plain(path.as_bytes());
        let alike = *decoded == wanted || folded.as_ref() == Some(&wanted);
        if alike { Likeness::Resembles } else { Likeness::Other }
    }
}

impl Readings {
    fn of(raw: &[u8]) -> Self {
        let decoded = decoded_by(raw, percent_decoded);
        let folded = (!decoded.is_ascii()).then(|| plain(&decoded_by(raw, decoded_and_folded)));
        Self { decoded: plain(&decoded), folded }
    }
}

/// Decodes a path, and again while something is left to decode.
fn decoded_by(path: &[u8], decode: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut decoded = decode(path);
    for _ in 1..ROUNDS {
        if !decoded.windows(3).any(is_encoded) {
            break;
        }
        decoded = decode(&decoded);
    }
    decoded
}

/// Decodes a path once, and folds what lies between its zero bytes, which may end it.
fn decoded_and_folded(path: &[u8]) -> Vec<u8> {
    let decoded = percent_decoded(path);
    let parts: Vec<String> = decoded.split(|byte| *byte == 0).map(folded).collect();
    parts.join("\0").into_bytes()
}

/// Normalizes a decoded path as the most lenient app would: in lower case, without parameters, empty
/// segments and dots.
fn plain(decoded: &[u8]) -> Segments {
    let mut segments: Segments = Vec::new();
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let bare = segment.split(|byte| matches!(byte, b';' | b'?' | b'#' | 0)).next();
        match bare.unwrap_or_default().trim_ascii() {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            other => segments.push(other.to_ascii_lowercase()),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fold::work;

    fn likeness(raw: &[u8], path: &str) -> Likeness {
        RawPath::from(raw).likeness(path)
    }

    #[test]
    fn a_path_is_folded_once_for_all_comparisons() {
        for (raw, rounds) in [
            (format!("/{}", "%EF%B7%BA".repeat(900)), 1),
            (format!("/{}%25%32%35", "%E3%8C%96".repeat(900)), 3),
            (format!("/{}%", "%C5%BF".repeat(1300)), 1),
            ("/a".repeat(4000), 0),
        ] {
            let folded = work::of(|| {
                let path = RawPath::from(raw.as_bytes());
                for other in ["/api/v1/signin", "/api/v1/signout", "/a"] {
                    assert_eq!(path.likeness(other), Likeness::Other, "{raw}");
                }
            });
            assert!(folded <= rounds * raw.len() / 3, "{folded} characters of {raw}");
            assert_eq!(folded == 0, rounds == 0, "{raw}");
        }
    }

    #[test]
    fn other_spellings_of_the_sign_in_path_are_recognized() {
        let path = "/api/v1/signin";
        assert_eq!(likeness(b"/api/v1/signin", path), Likeness::Same);
        for alike in [
            "/api/v1/signin/",
            "/API/v1/SignIn",
            "//api/v1/signin",
            "/api/v1/%73ignin",
            "/api/v1/%2573ignin",
            "/api/v1/signin;x=1",
            "/api/v1/x/../signin",
            "/./api/v1/signin",
            "/api\\v1/signin/",
            "/api/v1/signin%00",
            "/api/v1/signin%20",
            "/api/v1/%C5%BFignin",
            "/api/v1/s%C4%B1gnin",
            "/api/v1/S%C4%B0GNIN",
            "/api/v1/%EF%BD%93ignin",
            "/api/v1/sign%C2%ADin",
            "/api/v1/sign%E2%80%8Cin",
            "/api/v1/%25C5%25BFignin",
            "/api/v1%EF%BC%8Fsignin",
            "/api/v1/%EF%BC%8E%EF%BC%8E/v1/signin",
            "/api/v1/%EF%BC%8573ignin",
            "/api/v1/signin%C2%A0",
            "/api/v1/signin%FF",
            "/api/v1/signin%00%C5%BF",
            "/api/v1/%C5%BFignin%00x",
            "/api/v1/signin;%C5%BF",
        ] {
            assert_eq!(likeness(alike.as_bytes(), path), Likeness::Resembles, "{alike}");
        }
        for other in [
            "/api/v1/signins",
            "/api/v1/signout",
            "/api/v1",
            "/api/v1/experiments",
            "/api/v1/%D1%95ignin",
        ] {
            assert_eq!(likeness(other.as_bytes(), path), Likeness::Other, "{other}");
        }
    }
}
