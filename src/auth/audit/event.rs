//! The security events. `docs/audit.md` lists them for operators; a test compares the two.

use serde_json::{Map, Value, json};

use super::account_change::AccountChange;
use super::fields::{Ended, Guess, Outcome, TicketPurpose};
use super::kind::Kind;
use super::token_event::TokenEvent;
use crate::auth::stage::Factor;
use crate::base::clock::Timestamp;
use crate::base::id::{FactorId, SessionId};

/// A security event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Name and password were correct; the second factor is required.
    PasswordRight,
    /// Name or password was wrong, or the account is disabled. Equal names have equal digests, and
    /// no name can be read from a digest.
    PasswordWrong {
        /// Keyed digest of the name as typed.
        name_digest: String,
    },
    /// The password was correct, but the second factor was wrong.
    SecondFactorWrong {
        /// Factor of the attempt.
        factor: Factor,
        /// Attempts left in this login.
        tries_left: u32,
    },
    /// Attempts are refused for a while. Only the first refusal is recorded; the others are
    /// counted.
    Throttled {
        /// Credential of the attempts.
        guess: Guess,
        /// Length of the wait, in seconds.
        seconds: u64,
        /// Keyed digest of the name as typed, if any.
        name_digest: Option<String>,
    },
    /// Unknown browsers had too many wrong passwords, over all names. Recorded once per window.
    PasswordSpray {
        /// Number of wrong passwords.
        wrong: u32,
        /// Length of the window, in seconds.
        seconds: u64,
    },
    /// Too many rows of one event type: further ones are counted instead of written.
    RowsLeftOut {
        /// Name of the event type.
        event: &'static str,
        /// Seconds until rows are written again; 0 in the row with the number of omitted rows.
        seconds: u64,
        /// Rows omitted by this process since the last such row; 0 in the row at the beginning.
        rows: u64,
    },
    /// Both factors were verified and a session began.
    SignedIn {
        /// Id of the session.
        session: SessionId,
        /// Second factor.
        factor: Factor,
        /// Name of the app.
        app: String,
        /// True if the browser was unknown to the account. False for the very first sign-in.
        new_browser: bool,
    },
    /// A session ended early.
    SessionEnded {
        /// Id of the session.
        session: SessionId,
        /// Reason.
        why: Ended,
    },
    /// All sessions of an account, or all sessions, were ended.
    SessionsEnded {
        /// Number of sessions.
        sessions: u64,
        /// Reason.
        why: Ended,
    },
    /// The first second factor was confirmed.
    SecondFactorEnrolled {
        /// Id of the factor.
        factor: FactorId,
    },
    /// A new second factor was confirmed in place of the former one.
    SecondFactorReplaced {
        /// Id of the factor.
        factor: FactorId,
    },
    /// An operator removed the second factor.
    SecondFactorReset {
        /// Reason given by the operator.
        reason: String,
    },
    /// The second factor was suspended after too many wrong codes.
    FactorSuspended {
        /// Consecutive failures.
        failures: u64,
    },
    /// A set of recovery codes was generated in place of the former one.
    RecoveryCodesMade,
    /// The user confirmed having saved the recovery codes.
    RecoveryCodesKept,
    /// A recovery code was used.
    RecoveryCodeUsed {
        /// Number of unused codes.
        left: u32,
        /// Factor that the code replaced.
        instead_of: Guess,
    },
    /// A recovery code in place of a password was wrong.
    RecoveryWrong {
        /// Keyed digest of the name as typed.
        name_digest: String,
    },
    /// A fresh proof for a change was verified.
    SteppedUp {
        /// Kind of proof.
        guess: Guess,
    },
    /// A fresh proof for a change was wrong.
    StepUpWrong {
        /// Kind of proof.
        guess: Guess,
    },
    /// The user set a new password.
    PasswordChanged {
        /// Proof that allowed it: the former password, or a recovery code or ticket in its place.
        by: &'static str,
    },
    /// An operator set a new password.
    PasswordSet {
        /// Number of sessions ended.
        sessions: u64,
    },
    /// A one-time link was created.
    TicketMade {
        /// Purpose of the link.
        asked: TicketPurpose,
        /// Time of expiry.
        expires_at: Timestamp,
    },
    /// A one-time link was used.
    TicketUsed {
        /// Purpose of the link.
        asked: TicketPurpose,
    },
    /// A one-time link became invalid, because the user did without it what it was for.
    TicketEnded {
        /// Purpose of the link.
        asked: TicketPurpose,
    },
    /// Rows of the audit log were removed because of their age.
    TrailPruned {
        /// Number of rows.
        rows: u64,
        /// Number of the newest removed row.
        through: u64,
    },
    /// All known browsers of the account became unknown.
    DevicesRevoked,
    /// An operator reset the failure counters of the account's factors and lifted their suspension.
    SuspensionLifted,
    /// The account was added.
    AccountAdded,
    /// The app knows this user, who has no account here.
    AppUserUnknown {
        /// Name of the app.
        app: String,
        /// The app's id of the user.
        subject: String,
    },
    /// An account was added for a user of an app, at the first sign-in.
    AppUserAdded {
        /// Name of the app.
        app: String,
        /// The app's id of the user.
        subject: String,
    },
    /// An operator linked the account to a user of an app.
    AppUserLinked {
        /// Name of the app.
        app: String,
        /// The app's id of the user.
        subject: String,
    },
    /// An operator removed the link of the account to an app.
    AppUserUnlinked {
        /// Name of the app.
        app: String,
    },
    /// An app token was accepted by a rule.
    AppTokenUsed {
        /// Name of the app.
        app: String,
        /// Name of the token in the configuration.
        token: String,
    },
    /// An app token was rejected.
    AppTokenRefused {
        /// Name of the app.
        app: String,
        /// Reason.
        why: &'static str,
    },
    /// An event about an access token.
    Token(TokenEvent),
    /// An operator changed email address, display name or groups.
    AccountChanged(AccountChange),
    /// The account was disabled.
    AccountDisabled {
        /// Number of sessions ended.
        sessions: u64,
    },
    /// The account was enabled.
    AccountEnabled,
    /// The account was removed.
    AccountRemoved {
        /// Number of sessions ended.
        sessions: u64,
    },
}

impl Event {
    /// Returns the name in audit rows, logs and JSON lines.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Returns the kind of the event.
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

    /// Returns the outcome of the event.
    #[expect(clippy::wildcard_enum_match_arm, reason = "few events are refusals")]
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

    /// Returns the factor that was attempted or used, if any.
    #[expect(clippy::wildcard_enum_match_arm, reason = "few events have a factor")]
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

    /// Returns the event's own fields.
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

    /// Returns the fields of events about apps, access tokens, identities and throttling.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other events have their fields above")]
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
