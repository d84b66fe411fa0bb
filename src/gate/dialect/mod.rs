//! Dialects: the way an app's own clients sign in. A dialect describes the app's sign-in request,
//! its responses and the places of its credentials. It is data, so that another app needs no code.

mod answer;
mod credentials;
mod form;
mod likeness;

use std::time::Duration;

use http::Method;

pub use self::answer::Verdict;
pub use self::credentials::{Credentials, MOST_CREDENTIALS};
pub use self::form::{SignInForm, Unreadable};
pub use self::likeness::{Likeness, RawPath};

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
    /// Classifies a request by its path. `denied` is true if a rule denies it to everyone.
    pub fn sign_in_way(&self, method: &Method, path: &RawPath<'_>, denied: bool) -> SignInWay {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return SignInWay::Other;
        }
        match path.likeness(&self.sign_in.path) {
            Likeness::Other => SignInWay::Other,
            Likeness::Same if *method == Method::POST && !denied => SignInWay::Here,
            Likeness::Same | Likeness::Resembles => SignInWay::Nowhere,
        }
    }

    /// Returns true if this is exactly the sign-in path.
    pub fn is_sign_in(&self, path: &[u8]) -> bool {
        path == self.sign_in.path.as_bytes()
    }

    /// Returns true if a POST to this path signs out.
    pub fn is_sign_out(&self, path: &RawPath<'_>) -> bool {
        self.sign_out.as_deref().is_some_and(|out| path.likeness(out) != Likeness::Other)
    }
}
