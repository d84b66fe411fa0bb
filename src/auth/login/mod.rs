//! The use cases of signing in and out. Each returns an enum that the pages render in one `match`.
//! A store failure is a [`LoginError`] and never looks like a wrong guess.

mod app_again;
mod by_app;
mod change;
mod enrol;
mod events;
mod first;
mod first_codes;
mod forgot;
mod guesses;
mod known;
mod machine;
mod omitted_rows;
mod replace;
mod second;
mod second_post;
mod service;
mod setup;
mod step_up;

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

pub use self::by_app::{APP_TOKENS, AppAttempt, ByApp};
pub use self::change::{PasswordChange, PasswordChanged};
pub use self::first::FirstFactorAttempt;
pub use self::first_codes::DueCodes;
pub use self::forgot::{ForgotAttempt, NewPasswordSet};
pub use self::replace::{KeptCodes, OfferedCodes, Replaced};
pub use self::second_post::GoneOn;
pub use self::service::{LoginDeps, LoginService};
pub use self::setup::{Elsewhere, Redeemed, TicketView};
pub use self::step_up::{StepUp, TypedCode};
use super::access_token::AccessRecord;
use super::account::{Account, LoginName};
use super::app_sign_in::NoAnswer;
use super::audit::Record;
use super::keys::SealError;
use super::password::HashError;
use super::ports::StoreError;
use super::recovery::RecoverySet;
use super::session::Session;
use super::token::{PendingToken, PlainToken, SessionToken};
use super::totp::TotpFactor;
use crate::base::random::RandomError;
use crate::base::secret::Secret;

/// A use case could not be carried out. The answer is 503, never "wrong" or "signed out".
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many passwords are being checked; retry in a few seconds.
    #[error("too many passwords are being checked")]
    Busy,
    /// The app that checks the password did not answer.
    #[error("{0}")]
    AppSilent(String),
    /// An internal error: details are for the log, not for the user.
    #[error("{0}")]
    Broken(String),
}

impl From<HashError> for LoginError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Random(_) | HashError::Broken(_) => Self::Broken(error.to_string()),
        }
    }
}

impl From<NoAnswer> for LoginError {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Busy => Self::Busy,
            NoAnswer::Silent { .. } => Self::AppSilent(none.to_string()),
        }
    }
}

impl From<RandomError> for LoginError {
    fn from(error: RandomError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<SealError> for LoginError {
    fn from(error: SealError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// The app of a sign-in.
#[derive(Clone, Copy, Debug)]
pub struct AppRef<'a> {
    /// Name of the app, to which sessions are bound.
    pub name: &'a str,
    /// Issuer, as shown by authenticator apps.
    pub issuer: &'a str,
}

/// The result of a first factor.
#[derive(Debug)]
#[must_use]
pub enum FirstFactor {
    /// The first factor is correct. The second factor is required, or enrolment if `enrol`.
    Begun {
        /// Token of the pending login.
        token: PlainToken<PendingToken>,
        /// Lifetime of the pending login.
        lives: Duration,
        /// True if the account was never enrolled: continue with enrolment.
        enrol: bool,
    },
    /// The name or the password is wrong, or the account is disabled: one answer for every cause.
    Wrong,
    /// Too many attempts: the remaining wait.
    Wait(Duration),
    /// The app accepted the password with a code of its own that counts. A session has begun.
    SignedIn(Box<SignedIn>),
    /// The app that checks the password also requires a code of its own.
    AppCodeWanted,
    /// The app that checks the password knows this user, but there is no account.
    Stranger,
    /// The app that checks the password knows this user, but the account is disabled.
    Disabled,
}

/// The result of a second factor.
#[derive(Debug)]
#[must_use]
pub enum SecondFactor {
    /// The second factor is correct and a session has begun.
    SignedIn(SignedIn),
    /// The second factor is correct, in a login that a recovery code began: a new password is
    /// required first.
    NewPasswordOwed,
    /// The code is wrong, was used before, or belongs to another account.
    Wrong {
        /// Attempts left in this login before the password is required again.
        tries_left: u32,
        /// True if the code was correct but has been used.
        used_up: bool,
        /// Clock error of the phone, if that is the cause.
        clock: Option<ClockOff>,
    },
    /// The factor is suspended after too many failures.
    Suspended,
    /// Too many attempts for this account: the remaining wait.
    Wait(Duration),
    /// The login has expired, was finished elsewhere, or is used up. Start again.
    StartAgain,
}

/// The approximate clock error of a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockOff {
    /// The clock is ahead.
    Fast(Duration),
    /// The clock is behind.
    Slow(Duration),
}

/// A new session.
#[derive(Debug)]
pub struct SignedIn {
    /// Token, for the cookie.
    pub token: PlainToken<SessionToken>,
    /// Path and query on this host that the user requested.
    pub return_to: String,
    /// True if new recovery codes must be shown and confirmed first.
    pub recovery_codes_due: bool,
    /// Cookie that makes this browser known.
    pub browser: Option<DeviceCookie>,
    /// True if there are notices to show first.
    pub has_notices: bool,
    /// Values of the `Set-Cookie` lines that the app issued at its own sign-in.
    pub app_cookies: Vec<Secret>,
}

/// The cookie of a known browser.
#[derive(Debug)]
pub struct DeviceCookie {
    /// Value of the cookie.
    pub text: String,
    /// Lifetime of the cookie.
    pub lives: Duration,
}

/// A session that continues after a change that ended every other session and made all other
/// browsers unknown.
#[derive(Debug)]
pub struct Changed {
    /// Token, for the cookie.
    pub token: PlainToken<SessionToken>,
    /// Cookie that makes this browser known.
    pub browser: Option<DeviceCookie>,
}

/// A session that continues under a new id.
#[derive(Debug)]
pub struct Renewed {
    /// Token, for the cookie.
    pub token: PlainToken<SessionToken>,
    /// Record of the renewed session.
    pub session: Session,
}

/// The content of the enrolment page.
pub struct Enrolment {
    /// Secret in base32, for typing.
    pub secret: Zeroizing<String>,
    /// `otpauth:` URI, for the QR code and the link.
    pub uri: Zeroizing<String>,
    /// Login name.
    pub name: LoginName,
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enrolment(***)")
    }
}

/// The next step of a pending login, to choose the page.
#[derive(Debug)]
pub enum Owed {
    /// A code from the authenticator.
    SecondFactor {
        /// Login name.
        name: LoginName,
    },
    /// Enrolment: the account never had a second factor, or a ticket grants the right to a new one.
    Enrolment {
        /// Login name.
        name: LoginName,
    },
    /// A new password: a recovery code replaced the forgotten one, and the second factor is
    /// verified.
    NewPassword {
        /// Login name.
        name: LoginName,
    },
    /// The authenticator is suspended after too many wrong codes.
    Suspended {
        /// Login name.
        name: LoginName,
        /// True if there are recovery codes, which are still accepted.
        recovery: bool,
    },
    /// No step is possible: the account has no second factor, and the password alone does not grant
    /// the right to enrol one. An administrator has to help.
    Help {
        /// Login name.
        name: LoginName,
    },
}

/// The state of an account, for its profile page.
#[derive(Debug)]
pub struct Profile {
    /// The account.
    pub account: Account,
    /// Authenticator, if any.
    pub totp: Option<TotpFactor>,
    /// Recovery codes, if any.
    pub recovery: Option<RecoverySet>,
    /// Sessions, newest first.
    pub sessions: Vec<Session>,
    /// Access tokens, newest first.
    pub tokens: Vec<AccessRecord>,
    /// Recent audit events, newest first.
    pub events: Vec<Record>,
}
