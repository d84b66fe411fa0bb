//! How an app is signed in to by its own clients: where its sign-in is, what it says, and where its
//! credentials can be. A description, not code: another app is another description.

mod answer;
mod credentials;
mod form;

use std::time::Duration;

use http::Method;

pub use self::answer::Verdict;
pub use self::credentials::{Credentials, MOST_CREDENTIALS};
pub use self::form::{SignInForm, Unreadable};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// `application/json`
    Json,
    /// `application/x-www-form-urlencoded`
    Form,
}

impl BodyKind {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }
}

/// The app's sign-in: always a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// Its path.
    pub path: String,
    /// The bodies that the app takes; the first is what we send from our own page.
    pub bodies: Vec<BodyKind>,
    /// The field of the name.
    pub username: String,
    /// The field of the password.
    pub password: String,
    /// The field of the one-time code.
    pub code: String,
}

/// What the app says when a sign-in is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    /// The status.
    pub status: u16,
    /// The field with the app's own id of the person.
    pub subject: String,
    /// The field with the token, where there is one.
    pub token: Option<String>,
}

/// What is said when a one-time code is missing: by the app, and in its words by us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeWanted {
    /// The status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// The body, to the byte.
    pub body: String,
    /// The field with the sentence, and what in it tells that a code is wanted.
    pub error: String,
    /// What that field then holds.
    pub says: String,
}

/// Where the app's credentials can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The cookie of the session token.
    pub cookie: Option<String>,
    /// `Authorization`, as `Bearer` or any other scheme.
    pub authorization: bool,
    /// The parameter of the query.
    pub query: Option<String>,
    /// What a long-lived token begins with.
    pub long_lived: Option<String>,
}

/// The description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// What it is called.
    pub name: String,
    /// The sign-in.
    pub sign_in: SignIn,
    /// What the app says when it is right.
    pub success: Success,
    /// What is said when a code is missing.
    pub code_wanted: CodeWanted,
    /// The path that a POST signs out at.
    pub sign_out: Option<String>,
    /// Where credentials can be.
    pub places: Places,
}

/// Most bytes in a sign-in, and in the app's answer to one.
pub const MOST_BYTES: usize = 16 * 1024;
/// For a whole sign-in to be sent by the client.
pub const READ_TIME: Duration = Duration::from_secs(30);

/// Whether a path is a given one, or one that a lenient app might take for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// To the byte.
    Same,
    /// In another spelling.
    Resembles,
    /// Neither.
    Other,
}

/// How like `raw` is to `path`, which is in its plain form.
pub fn likeness(raw: &[u8], path: &str) -> Likeness {
    if raw == path.as_bytes() {
        return Likeness::Same;
    }
    // Nearly every other path is told apart by its length alone: no spelling is shorter, but for
    // slashes and dots, which a plain path has none of.
    if raw.len() < path.len() {
        return Likeness::Other;
    }
    if plain(raw) == plain(path.as_bytes()) { Likeness::Resembles } else { Likeness::Other }
}

/// What the most lenient of apps would take a path for: decoded as often as it can be, in lower case,
/// without parameters, empty segments and dots.
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

/// Decodes every `%XX`; what is none stays as it is.
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

/// What a request is to an app that is signed in to by its own clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInWay {
    /// No sign-in.
    Other,
    /// A sign-in, which is taken over.
    Here,
    /// What the app might take for a sign-in, and we would not answer as one.
    Nowhere,
}

impl Dialect {
    /// What a request is, whose raw target is `raw`; `denied` where a rule closes it.
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

    /// How like a path is to the sign-in.
    pub fn sign_in_likeness(&self, path: &[u8]) -> Likeness {
        likeness(path, &self.sign_in.path)
    }

    /// Whether a POST to this path signs out.
    pub fn is_sign_out(&self, path: &[u8]) -> bool {
        self.sign_out.as_deref().is_some_and(|out| likeness(path, out) != Likeness::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_the_sign_in_are_known_for_what_they_are() {
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
