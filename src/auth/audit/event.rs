//! What can happen. `docs/audit.md` lists the same for operators; a test holds the two together.

use serde_json::{Map, Value, json};

use super::account_change::AccountChange;
use super::kind::Kind;
use super::token_event::TokenEvent;
use crate::auth::stage::Factor;
use crate::base::clock::Timestamp;
use crate::base::id::{FactorId, SessionId};

/// Whether what was asked for was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was.
    Done,
    /// It was refused.
    Refused,
}

impl Outcome {
    /// "done" or "refused".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// What was guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// A password.
    Password,
    /// A second factor.
    SecondFactor,
    /// A recovery code in place of the password.
    Recovery,
    /// A fresh proof for a change.
    StepUp,
    /// A one-time link.
    Ticket,
}

impl Guess {
    /// Its name in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::SecondFactor => "second_factor",
            Self::Recovery => "recovery",
            Self::StepUp => "step_up",
            Self::Ticket => "ticket",
        }
    }
}

/// What a ticket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To set a password.
    Password,
    /// To set up a second factor.
    SecondFactor,
    /// Both.
    Both,
}

impl Asked {
    /// Its name in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::SecondFactor => "second_factor",
            Self::Both => "password_and_second_factor",
        }
    }
}

/// Why a session ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its person signed out.
    SignedOut,
    /// The same browser signed in anew.
    Replaced,
    /// Its person ended it from another one.
    ByPerson,
    /// An operator ended it.
    ByOperator,
    /// Too many wrong proofs were given in it.
    TooManyTries,
}

impl Ended {
    /// Its name in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Replaced => "replaced",
            Self::ByPerson => "by_person",
            Self::ByOperator => "by_operator",
            Self::TooManyTries => "too_many_tries",
        }
    }
}

/// A security event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Name and password were right; the second factor is owed.
    PasswordRight,
    /// Name or password was wrong, or the account is disabled. The digest stands for the name as
    /// typed: equal names have equal digests, and nobody can read a name from one.
    PasswordWrong {
        /// Keyed digest of the name.
        name_digest: String,
    },
    /// Right password, wrong second factor.
    SecondFactorWrong {
        /// What was tried.
        factor: Factor,
        /// Tries left in this login.
        tries_left: u32,
    },
    /// Guesses are refused unseen for a while. The first refusal only; the rest is counted.
    Throttled {
        /// Guesses at what.
        guess: Guess,
        /// For how many seconds.
        seconds: u64,
        /// Keyed digest of the name as typed, where one was.
        name_digest: Option<String>,
    },
    /// Unknown browsers had so many wrong passwords, over all names. Told once until it is over.
    PasswordSpray {
        /// How many.
        wrong: u32,
        /// In how many seconds.
        seconds: u64,
    },
    /// So many rows of one event were written that the next are left out, and only counted.
    RowsLeftOut {
        /// The event.
        event: &'static str,
        /// Seconds until rows may be written again; 0 in the row that tells how many there were.
        seconds: u64,
        /// Rows left out by this process since the last such row; 0 in the row that begins it.
        rows: u64,
    },
    /// Both proofs were given; a session began.
    SignedIn {
        /// The session.
        session: SessionId,
        /// The second factor.
        factor: Factor,
        /// The app.
        app: String,
        /// The account did not know the browser. Not said of the very first sign-in.
        new_browser: bool,
    },
    /// A session ended before its time.
    SessionEnded {
        /// Which.
        session: SessionId,
        /// Why.
        why: Ended,
    },
    /// All sessions of an account, or all there are, were ended.
    SessionsEnded {
        /// How many.
        sessions: u64,
        /// Why.
        why: Ended,
    },
    /// The first second factor was confirmed.
    SecondFactorEnrolled {
        /// Which.
        factor: FactorId,
    },
    /// A new second factor was confirmed in place of the former one.
    SecondFactorReplaced {
        /// Which.
        factor: FactorId,
    },
    /// An operator took the second factor away.
    SecondFactorReset {
        /// Why, in the operator's words.
        reason: String,
    },
    /// After too many wrong codes the second factor no longer counts.
    FactorSuspended {
        /// Consecutive failures.
        failures: u64,
    },
    /// A set of recovery codes was made in place of the former one.
    RecoveryCodesMade,
    /// The person has kept the recovery codes.
    RecoveryCodesKept,
    /// A recovery code was used up.
    RecoveryCodeUsed {
        /// How many are left.
        left: u32,
        /// What it stood in for.
        instead_of: Guess,
    },
    /// A recovery code given in place of a password was wrong. The digest is as for passwords.
    RecoveryWrong {
        /// Keyed digest of the name.
        name_digest: String,
    },
    /// A fresh proof was given for a change.
    SteppedUp {
        /// By what.
        guess: Guess,
    },
    /// A fresh proof was wrong.
    StepUpWrong {
        /// What was tried.
        guess: Guess,
    },
    /// The person chose a new password.
    PasswordChanged {
        /// By what right: the former password, or a recovery code or ticket in its place.
        by: &'static str,
    },
    /// An operator set a new password.
    PasswordSet {
        /// Sessions that ended with it.
        sessions: u64,
    },
    /// A one-time link was made.
    TicketMade {
        /// For what.
        asked: Asked,
        /// Until when.
        expires_at: Timestamp,
    },
    /// A one-time link was used up.
    TicketUsed {
        /// For what.
        asked: Asked,
    },
    /// A one-time link is worth nothing any more for what its person did without it.
    TicketEnded {
        /// For what.
        asked: Asked,
    },
    /// Rows of the trail were removed because of their age.
    TrailPruned {
        /// How many.
        rows: u64,
        /// The newest of them.
        through: u64,
    },
    /// No browser is known to the account any more.
    DevicesRevoked,
    /// The wrong guesses at its factors were forgotten by an operator; none is suspended any more.
    SuspensionLifted,
    /// The account was added.
    AccountAdded,
    /// The app knows this person, who has no account here.
    AppUserUnknown {
        /// Which app.
        app: String,
        /// The app's id of the person.
        subject: String,
    },
    /// An account was added for a person of an app, at the first sign-in.
    AppUserAdded {
        /// Which app.
        app: String,
        /// The app's id of the person.
        subject: String,
    },
    /// An operator linked the account to a person of an app.
    AppUserLinked {
        /// Which app.
        app: String,
        /// The app's id of the person.
        subject: String,
    },
    /// An operator took such a link back.
    AppUserUnlinked {
        /// Which app.
        app: String,
    },
    /// A long-lived token of the app's was let through by a rule.
    AppTokenUsed {
        /// Which app.
        app: String,
        /// What the rule calls it.
        token: String,
    },
    /// A long-lived token of the app's was not let through.
    AppTokenRefused {
        /// Which app.
        app: String,
        /// Why.
        why: &'static str,
    },
    /// Something happened to a token of ours.
    Token(TokenEvent),
    /// An operator changed email address, display name or groups.
    AccountChanged(AccountChange),
    /// The account was disabled.
    AccountDisabled {
        /// Sessions that ended with it.
        sessions: u64,
    },
    /// The account was enabled.
    AccountEnabled,
    /// The account was removed.
    AccountRemoved {
        /// Sessions that ended with it.
        sessions: u64,
    },
}

impl Event {
    /// Its name in rows, logs and JSON lines.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::PasswordRight => Kind::PasswordRight,
            Self::PasswordWrong { .. } => Kind::PasswordWrong,
            Self::SecondFactorWrong { .. } => Kind::SecondFactorWrong,
            Self::Throttled { .. } => Kind::Throttled,
            Self::PasswordSpray { .. } => Kind::PasswordSpray,
            Self::RowsLeftOut { .. } => Kind::RowsLeftOut,
            Self::SignedIn { .. } => Kind::SignedIn,
            Self::SessionEnded { .. } => Kind::SessionEnded,
            Self::SessionsEnded { .. } => Kind::SessionsEnded,
            Self::SecondFactorEnrolled { .. } => Kind::SecondFactorEnrolled,
            Self::SecondFactorReplaced { .. } => Kind::SecondFactorReplaced,
            Self::SecondFactorReset { .. } => Kind::SecondFactorReset,
            Self::FactorSuspended { .. } => Kind::FactorSuspended,
            Self::RecoveryCodesMade => Kind::RecoveryCodesMade,
            Self::RecoveryCodesKept => Kind::RecoveryCodesKept,
            Self::RecoveryCodeUsed { .. } => Kind::RecoveryCodeUsed,
            Self::RecoveryWrong { .. } => Kind::RecoveryWrong,
            Self::SteppedUp { .. } => Kind::SteppedUp,
            Self::StepUpWrong { .. } => Kind::StepUpWrong,
            Self::PasswordChanged { .. } => Kind::PasswordChanged,
            Self::PasswordSet { .. } => Kind::PasswordSet,
            Self::TicketMade { .. } => Kind::TicketMade,
            Self::TicketUsed { .. } => Kind::TicketUsed,
            Self::TicketEnded { .. } => Kind::TicketEnded,
            Self::TrailPruned { .. } => Kind::TrailPruned,
            Self::DevicesRevoked => Kind::DevicesRevoked,
            Self::SuspensionLifted => Kind::SuspensionLifted,
            Self::AccountAdded => Kind::AccountAdded,
            Self::AppUserUnknown { .. } => Kind::AppUserUnknown,
            Self::AppUserAdded { .. } => Kind::AppUserAdded,
            Self::AppUserLinked { .. } => Kind::AppUserLinked,
            Self::AppUserUnlinked { .. } => Kind::AppUserUnlinked,
            Self::AppTokenUsed { .. } => Kind::AppTokenUsed,
            Self::AppTokenRefused { .. } => Kind::AppTokenRefused,
            Self::Token(event) => event.kind(),
            Self::AccountChanged(_) => Kind::AccountChanged,
            Self::AccountDisabled { .. } => Kind::AccountDisabled,
            Self::AccountEnabled => Kind::AccountEnabled,
            Self::AccountRemoved { .. } => Kind::AccountRemoved,
        }
    }

    /// Whether what was asked for was done.
    #[expect(clippy::wildcard_enum_match_arm, reason = "refusals are few; the rest was done")]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::PasswordWrong { .. }
            | Self::SecondFactorWrong { .. }
            | Self::Throttled { .. }
            | Self::PasswordSpray { .. }
            | Self::RowsLeftOut { .. }
            | Self::RecoveryWrong { .. }
            | Self::StepUpWrong { .. }
            | Self::AppUserUnknown { .. }
            | Self::AppTokenRefused { .. }
            | Self::FactorSuspended { .. } => Outcome::Refused,
            Self::Token(event) => event.outcome(),
            _ => Outcome::Done,
        }
    }

    /// The factor that was tried or used, where there is one.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events have nothing to do with one")]
    pub fn factor(&self) -> Option<&'static str> {
        match self {
            Self::PasswordRight | Self::PasswordWrong { .. } => Some("password"),
            Self::SecondFactorWrong { factor, .. } | Self::SignedIn { factor, .. } => {
                Some(factor.as_str())
            }
            Self::RecoveryCodeUsed { .. } | Self::RecoveryWrong { .. } => {
                Some(Factor::RecoveryCode.as_str())
            }
            Self::SecondFactorEnrolled { .. } | Self::SecondFactorReplaced { .. } => {
                Some(Factor::Totp.as_str())
            }
            Self::SteppedUp { guess } | Self::StepUpWrong { guess } => Some(guess.as_str()),
            _ => None,
        }
    }

    /// The fields of its own.
    pub fn detail(&self) -> Map<String, Value> {
        let fields = match self {
            Self::PasswordRight
            | Self::RecoveryCodesMade
            | Self::RecoveryCodesKept
            | Self::SteppedUp { guess: _ }
            | Self::StepUpWrong { guess: _ }
            | Self::DevicesRevoked
            | Self::SuspensionLifted
            | Self::AccountAdded
            | Self::AccountEnabled => json!({}),
            Self::PasswordWrong { name_digest } | Self::RecoveryWrong { name_digest } => {
                json!({ "name_digest": name_digest })
            }
            Self::SecondFactorWrong { factor: _, tries_left } => {
                json!({ "tries_left": tries_left })
            }
            Self::PasswordSpray { wrong, seconds } => {
                json!({ "wrong": wrong, "seconds": seconds })
            }
            Self::RowsLeftOut { event, seconds, rows } => left_out(event, *seconds, *rows),
            Self::SignedIn { session, factor: _, app, new_browser } => {
                json!({ "session": session, "app": app, "new_browser": new_browser })
            }
            Self::SessionEnded { session, why } => {
                json!({ "session": session, "why": why.as_str() })
            }
            Self::SessionsEnded { sessions, why } => {
                json!({ "sessions": sessions, "why": why.as_str() })
            }
            Self::SecondFactorEnrolled { factor } | Self::SecondFactorReplaced { factor } => {
                json!({ "factor_id": factor })
            }
            Self::SecondFactorReset { reason } => json!({ "reason": reason }),
            Self::FactorSuspended { failures } => json!({ "failures": failures }),
            Self::RecoveryCodeUsed { left, instead_of } => {
                json!({ "left": left, "instead_of": instead_of.as_str() })
            }
            Self::PasswordChanged { by } => json!({ "by": by }),
            Self::TicketMade { asked, expires_at } => {
                json!({ "for": asked.as_str(), "expires_at": expires_at.rfc3339() })
            }
            Self::TicketUsed { asked } | Self::TicketEnded { asked } => {
                json!({ "for": asked.as_str() })
            }
            Self::TrailPruned { rows, through } => json!({ "rows": rows, "through": through }),
            Self::AppUserUnknown { .. }
            | Self::AppUserAdded { .. }
            | Self::AppUserLinked { .. }
            | Self::AppUserUnlinked { .. }
            | Self::AppTokenUsed { .. }
            | Self::AppTokenRefused { .. }
            | Self::Token(_)
            | Self::Throttled { .. }
            | Self::AccountChanged(_) => self.further_detail(),
            Self::PasswordSet { sessions }
            | Self::AccountDisabled { sessions }
            | Self::AccountRemoved { sessions } => json!({ "sessions": sessions }),
        };
        members(fields)
    }

    /// The fields of events about apps, access tokens, identities and throttling.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest has its fields above")]
    fn further_detail(&self) -> Value {
        match self {
            Self::Throttled { guess, seconds, name_digest } => {
                json!({ "guess": guess.as_str(), "seconds": seconds, "name_digest": name_digest })
            }
            Self::Token(event) => event.detail(),
            Self::AccountChanged(change) => change.detail(),
            Self::AppUserUnknown { app, subject }
            | Self::AppUserAdded { app, subject }
            | Self::AppUserLinked { app, subject } => json!({ "app": app, "subject": subject }),
            Self::AppTokenUsed { app, token } => json!({ "app": app, "token": token }),
            Self::AppTokenRefused { app, why } => json!({ "app": app, "why": why }),
            Self::AppUserUnlinked { app } => json!({ "app": app }),
            _ => json!({}),
        }
    }
}

fn members(fields: Value) -> Map<String, Value> {
    match fields {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

fn left_out(event: &str, seconds: u64, rows: u64) -> Value {
    json!({ "event": event, "seconds": seconds, "rows": rows })
}
