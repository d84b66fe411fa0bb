//! Dialects: the way an app's own clients sign in. A dialect describes the app's sign-in request,
//! its responses and the places of its credentials. It is data, so that another app needs no code.

mod answer;
mod credentials;
mod form;

use std::time::Duration;

use http::Method;

use super::fold::{folded, percent_decoded};

pub use self::answer::Verdict;
pub use self::credentials::{Credentials, MOST_CREDENTIALS};
pub use self::form::{SignInForm, Unreadable};

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// `application/json`
    Json,
    /// `application/x-www-form-urlencoded`
    Form,
}

impl BodyKind {
    /// Returns its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }
}

/// The app's sign-in request, always a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// Its path.
    pub path: String,
    /// Bodies that the app accepts. Vestibule's own page sends the first.
    pub bodies: Vec<BodyKind>,
    /// Field with the user name.
    pub username: String,
    /// Field with the password.
    pub password: String,
    /// Field with the one-time code.
    pub code: String,
}

/// The app's response to a successful sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    /// Its status.
    pub status: u16,
    /// Field with the app's id of the user.
    pub subject: String,
    /// Field with the session token, if there is one.
    pub token: Option<String>,
}

/// The response for a missing one-time code. The app sends it, and so does Vestibule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeWanted {
    /// Its status.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: String,
    /// Its exact body.
    pub body: String,
    /// Field with the message that says that a code is required.
    pub error: String,
    /// Value of that field.
    pub says: String,
}

/// Places of the app's credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Name of the cookie with the session token.
    pub cookie: Option<String>,
    /// True if the app reads `Authorization`, as `Bearer` or with any other scheme.
    pub authorization: bool,
    /// Query parameter.
    pub query: Option<String>,
    /// Prefix of long-lived tokens.
    pub long_lived: Option<String>,
}

/// A dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Its name.
    pub name: String,
    /// The sign-in request.
    pub sign_in: SignIn,
    /// The response to a successful sign-in.
    pub success: Success,
    /// The response to a sign-in by an app client that sent no second-factor code.
    pub code_wanted: CodeWanted,
    /// Path whose POST signs out.
    pub sign_out: Option<String>,
    /// Places of the app's credentials.
    pub places: Places,
}

/// Maximum bytes of a sign-in request and of the app's response.
pub const MOST_BYTES: usize = 16 * 1024;
/// Time limit for receiving a whole sign-in request.
pub const READ_TIME: Duration = Duration::from_secs(30);

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

/// Compares `raw` with `path`, which must be in its plain form.
pub fn likeness(raw: &[u8], path: &str) -> Likeness {
    if raw == path.as_bytes() {
        return Likeness::Same;
    }
    // The length alone tells most other paths apart: apart from slashes and dots, which a plain
    // path has none of to spare, no spelling in ASCII is shorter.
    if raw.len() < path.len() && raw.is_ascii() {
        return Likeness::Other;
    }
    let wanted = plain(path.as_bytes());
    let decoded = decoded_by(raw, percent_decoded);
    let alike = plain(&decoded) == wanted
        || !decoded.is_ascii() && plain(&decoded_by(raw, decoded_and_folded)) == wanted;
    if alike { Likeness::Resembles } else { Likeness::Other }
}

/// Decodes a path repeatedly.
fn decoded_by(path: &[u8], decode: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    (0..3).fold(path.to_vec(), |path, _| decode(&path))
}

/// Decodes a path once, and folds what lies between its zero bytes, which may end it.
fn decoded_and_folded(path: &[u8]) -> Vec<u8> {
    let decoded = percent_decoded(path);
    let parts: Vec<String> = decoded.split(|byte| *byte == 0).map(folded).collect();
    parts.join("\0").into_bytes()
}

/// Normalizes a decoded path as the most lenient app would: in lower case, without parameters, empty
/// segments and dots.
fn plain(decoded: &[u8]) -> Vec<Vec<u8>> {
    let mut segments: Vec<Vec<u8>> = Vec::new();
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

/// The relation of a request to an app's sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInWay {
    /// Not a sign-in.
    Other,
    /// A sign-in that Vestibule handles.
    Here,
    /// A request that the app might accept as a sign-in, but that Vestibule does not handle as one.
    Nowhere,
}

impl Dialect {
    /// Classifies a request by its raw target. `denied` is true if a rule denies it to everyone.
    pub fn sign_in_way(&self, method: &Method, raw: &[u8], denied: bool) -> SignInWay {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return SignInWay::Other;
        }
        let path = raw.split(|byte| *byte == b'?').next().unwrap_or(raw);
        match self.sign_in_likeness(path) {
            Likeness::Other => SignInWay::Other,
            Likeness::Same if *method == Method::POST && !denied => SignInWay::Here,
            Likeness::Same | Likeness::Resembles => SignInWay::Nowhere,
        }
    }

    /// Compares a path with the sign-in path.
    pub fn sign_in_likeness(&self, path: &[u8]) -> Likeness {
        likeness(path, &self.sign_in.path)
    }

    /// Returns true if a POST to this path signs out.
    pub fn is_sign_out(&self, path: &[u8]) -> bool {
        self.sign_out.as_deref().is_some_and(|out| likeness(path, out) != Likeness::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
