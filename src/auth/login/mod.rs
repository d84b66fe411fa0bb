//! The use cases of signing in and out. Each returns an [`Outcome`]-like value that the pages
//! render in one `match`; a store failure is [`LoginError`] and never looks like a wrong guess.

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
use crate::base::random::NoRandomness;
use crate::base::secret::Secret;

/// Why a use case could not be carried out at all. The answer is 503, never "wrong" and never
/// "signed out".
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// A store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many passwords are being checked at this moment; come back in a few seconds.
    #[error("too many passwords are being checked")]
    Busy,
    /// The app that checks the password was not heard.
    #[error("{0}")]
    AppSilent(String),
    /// Something that must not happen: for the log, not for the person.
    #[error("{0}")]
    Broken(String),
}

impl From<HashError> for LoginError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::NoRandomness(_) | HashError::Broken(_) => Self::Broken(error.to_string()),
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

impl From<NoRandomness> for LoginError {
    fn from(error: NoRandomness) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<SealError> for LoginError {
    fn from(error: SealError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// The app somebody signs in to.
#[derive(Clone, Copy, Debug)]
pub struct AppRef<'a> {
    /// Its name: sessions are bound to it.
    pub name: &'a str,
    /// What authenticator apps show as issuer.
    pub issuer: &'a str,
}

/// What comes of a first factor.
#[derive(Debug)]
#[must_use]
pub enum FirstFactor {
    /// Right. The second factor is owed, or enrolment when `enrol`.
    Begun {
        /// The token of the login in progress.
        token: PlainToken<PendingToken>,
        /// How long it lives.
        lives: Duration,
        /// The account was never enrolled: lead into enrolment.
        enrol: bool,
    },
    /// Wrong name or password, or disabled: one answer for every cause.
    Wrong,
    /// Too many tries.
    Wait(Duration),
    /// Right, says the app that checks it, with a code of its own that counts: a session has begun.
    SignedIn(Box<SignedIn>),
    /// The app that checks it wants a code of its own with it.
    AppCodeWanted,
    /// The app that checks it knows this person, and we do not.
    Stranger,
    /// The app that checks it knows this person, whose account here is disabled.
    Disabled,
}

/// What comes of a second factor.
#[derive(Debug)]
#[must_use]
pub enum SecondFactor {
    /// Right: a session has begun.
    SignedIn(SignedIn),
    /// Right, in a login that a recovery code began: a new password is owed before anything else.
    NewPasswordOwed,
    /// Wrong, used before, or not this account's.
    Wrong {
        /// How many tries this login has left, before the password is asked for again.
        tries_left: u32,
        /// True if the code was right once: it is used up.
        used_up: bool,
        /// Why, where it is the clock of the phone.
        clock: Option<ClockOff>,
    },
    /// The factor had too many wrong guesses and no longer counts.
    Suspended,
    /// Too many tries for this account.
    Wait(Duration),
    /// The login is gone: expired, finished elsewhere, or used up. Start again.
    StartAgain,
}

/// The clock of a phone is wrong, by about so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockOff {
    /// It is ahead.
    Fast(Duration),
    /// It is behind.
    Slow(Duration),
}

/// A session that has just begun.
#[derive(Debug)]
pub struct SignedIn {
    /// Its token, for the cookie.
    pub token: PlainToken<SessionToken>,
    /// Where the person wanted to go: a path and query on this host.
    pub return_to: String,
    /// New recovery codes are to be shown and confirmed first.
    pub recovery_codes_due: bool,
    /// By what this browser is known from now on.
    pub browser: Option<DeviceCookie>,
    /// There is something to be told first.
    pub has_notices: bool,
    /// What the app gave out at its own sign-in: the values of its `Set-Cookie` lines.
    pub app_cookies: Vec<Secret>,
}

/// The cookie by which an account knows a browser.
#[derive(Debug)]
pub struct DeviceCookie {
    /// Its value.
    pub text: String,
    /// For how long it is good.
    pub lives: Duration,
}

/// A session that goes on after a change that ended every other one and made strangers of all
/// browsers but this.
#[derive(Debug)]
pub struct Changed {
    /// Its token, for the cookie.
    pub token: PlainToken<SessionToken>,
    /// By what this browser is known from now on.
    pub browser: Option<DeviceCookie>,
}

/// A session that goes on under a new id.
#[derive(Debug)]
pub struct Renewed {
    /// Its token, for the cookie.
    pub token: PlainToken<SessionToken>,
    /// As it is from now on.
    pub session: Session,
}

/// What enrolment shows.
pub struct Enrolment {
    /// The secret in base32, for typing.
    pub secret: Zeroizing<String>,
    /// The `otpauth:` address, for the QR code and the link.
    pub uri: Zeroizing<String>,
    /// The login name.
    pub name: LoginName,
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enrolment(***)")
    }
}

/// Where a login in progress stands, for choosing the page.
#[derive(Debug)]
pub enum Owed {
    /// A code from the authenticator.
    SecondFactor {
        /// Who is signing in.
        name: LoginName,
    },
    /// Enrolment: the account never had a second factor, or a ticket gives the right to a new one.
    Enrolment {
        /// Who is signing in.
        name: LoginName,
    },
    /// A new password: a recovery code stood in for the forgotten one, and the second factor is
    /// proved.
    NewPassword {
        /// Who is signing in.
        name: LoginName,
    },
    /// The authenticator is suspended after too many wrong codes.
    Suspended {
        /// Who is signing in.
        name: LoginName,
        /// There are recovery codes, which still count.
        recovery: bool,
    },
    /// Nothing can be done here: the account has no second factor, and the password alone does not
    /// give the right to enrol one. An administrator has to help.
    Help {
        /// Who is signing in.
        name: LoginName,
    },
}

/// The state of an account, for its profile page.
#[derive(Debug)]
pub struct Profile {
    /// The account.
    pub account: Account,
    /// Its authenticator.
    pub totp: Option<TotpFactor>,
    /// Its recovery codes.
    pub recovery: Option<RecoverySet>,
    /// Its sessions, newest first.
    pub sessions: Vec<Session>,
    /// Its tokens for programs, newest first.
    pub tokens: Vec<AccessRecord>,
    /// What happened to it lately, newest first.
    pub events: Vec<Record>,
}
