//! The use cases of signing in and out. Each returns an enum that the pages render in one `match`.
//! A store failure is a [`LoginError`] and never looks like a wrong guess.
//!
//! [`Services`] holds one service per use case, over one bundle of stores ([`LoginDeps`]). A service names
//! the services that it calls, and none of them calls it back: the journal is at the bottom, then limits
//! and checks, pending logins and sessions, then the steps of a sign-in, then the account pages.

mod app_passwords;
mod by_app;
mod by_code;
mod by_recovery_code;
mod change;
mod deps;
mod enrol;
mod events;
mod factor_limits;
mod first;
mod first_again;
mod first_codes;
mod forgot;
mod guesses;
mod hand_overs;
mod key;
mod known;
mod logins;
mod machine;
mod new_sessions;
mod offered_codes;
mod omitted_rows;
mod parked;
mod prove;
mod replace;
mod second;
mod second_post;
mod services;
mod sessions;
mod setup;
mod step_up;

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

pub use self::app_passwords::APP_TOKENS;
pub use self::by_app::{AppAttempt, ByApp};
pub use self::change::{OwnAccount, PasswordChange, PasswordChanged};
pub use self::deps::LoginDeps;
pub use self::enrol::Enrolments;
pub use self::events::Journal;
pub use self::first::{FirstFactorAttempt, SignIn};
pub use self::first_codes::DueCodes;
pub use self::forgot::{ForgotAttempt, ForgottenPasswords, NewPasswordSet};
pub use self::hand_overs::{AppHandOvers, Destination, HandedOver, ShownTicket};
pub use self::key::{
    AddKey, ByPasskey, EnrolKey, KEY_NAME_MOST, KeyAdded, KeyAnswer, KeyEnrolled, KeyPage,
    KeyRemoved, KeyView, Keys, OwnKeys, PasskeyAttempt, Passkeys,
};
pub use self::logins::Logins;
pub use self::machine::TokenUses;
pub use self::offered_codes::{KeptCodes, Offered, OfferedCodes, OwnCodes};
pub use self::parked::Parking;
pub use self::prove::FactorResponse;
pub use self::replace::{OwnAuthenticators, Replaced};
pub use self::second::SecondFactors;
pub use self::second_post::GoneOn;
pub use self::services::Services;
pub use self::sessions::OpenSessions;
pub use self::setup::{Elsewhere, OneTimeLinks, Redeemed, TicketView};
pub use self::step_up::{StepUp, StepUps};
use super::access_token::AccessRecord;
use super::account::{Account, LoginName};
use super::app_sign_in::{NoAnswer, Relayed};
use super::audit::Record;
use super::authenticator::{Authenticator, AuthenticatorKind};
use super::first_factor::NotChecked;
use super::keys::SealError;
use super::password::HashError;
use super::ports::StoreError;
use super::recovery::RecoverySet;
use super::session::Session;
use super::token::{PendingToken, PlainToken, SessionToken};
use super::webauthn::relying_party::RelyingParty;
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
    /// The clock of this node differs too much from that of the account database.
    #[error("the clock of this node is more than 30 seconds off that of the account database")]
    WrongClock,
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

impl From<NotChecked> for LoginError {
    fn from(error: NotChecked) -> Self {
        match error {
            NotChecked::Store(error) => error.into(),
            NotChecked::Hash(error) => error.into(),
            NotChecked::NoAnswer(none) => none.into(),
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

impl LoginError {
    /// Returns the error for an answer of an app that decides nothing.
    fn undecided(answer: &Relayed) -> Self {
        Self::AppSilent(format!("unexpected answer with status {}", answer.status))
    }
}

/// The app of a sign-in.
#[derive(Clone, Copy, Debug)]
pub struct AppRef<'a> {
    /// Name of the app, to which sessions are bound.
    pub name: &'a str,
    /// Issuer, as shown by authenticator apps.
    pub issuer: &'a str,
    /// Relying party of the page, where keys work.
    pub party: Option<&'a RelyingParty>,
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

/// The session that a completed sign-in created.
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
    /// True if the browser holds a request that its user was sending when a session ended.
    pub resend: bool,
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
    /// A response of the second factor.
    SecondFactor {
        /// Login name.
        name: LoginName,
        /// Kinds of authenticator that the account can use here. Suspended ones do not count, nor
        /// keys of another relying party.
        kinds: Vec<AuthenticatorKind>,
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
    /// All authenticators are suspended, after too many wrong codes.
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
    /// Authenticators, oldest first.
    pub authenticators: Vec<Authenticator>,
    /// Recovery codes, if any.
    pub recovery: Option<RecoverySet>,
    /// Sessions, newest first.
    pub sessions: Vec<Session>,
    /// Access tokens, newest first.
    pub tokens: Vec<AccessRecord>,
    /// Recent audit events, newest first.
    pub events: Vec<Record>,
}
