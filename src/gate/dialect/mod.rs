//! Dialects: the way an app's own clients sign in. A dialect describes the app's sign-in request,
//! its responses and the places of its credentials. It is data, so that another app needs no code.

mod answer;
mod credentials;
mod form;

use std::time::Duration;

use http::Method;

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
    // path has none of to spare, no spelling is shorter.
    if raw.len() < path.len() {
        return Likeness::Other;
    }
    if plain(raw) == plain(path.as_bytes()) { Likeness::Resembles } else { Likeness::Other }
}

/// Normalizes a path as the most lenient app would: decoded repeatedly, in lower case, without
/// parameters, empty segments and dots.
fn plain(path: &[u8]) -> Vec<Vec<u8>> {
    let mut decoded = path.to_vec();
    for _ in 0..3 {
        decoded = percent_decoded(&decoded);
    }
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
        ] {
            assert_eq!(likeness(alike.as_bytes(), path), Likeness::Resembles, "{alike}");
        }
        for other in ["/api/v1/signins", "/api/v1/signout", "/api/v1", "/api/v1/experiments"] {
            assert_eq!(likeness(other.as_bytes(), path), Likeness::Other, "{other}");
        }
    }
}
