//! Values of the fields of events.

use serde_json::{Map, Value};

/// The fields of an event, as in its row.
pub type Detail = Map<String, Value>;

/// The outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The action was done.
    Done,
    /// The action was refused.
    Refused,
}

impl Outcome {
    /// Returns "done" or "refused".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// The credential that an attempt was made at.
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
    /// Returns the name in audit rows.
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

/// The purpose of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketPurpose {
    /// Sets a password.
    Password,
    /// Enrols a second factor.
    SecondFactor,
    /// Sets a password and enrols a second factor.
    Both,
}

impl TicketPurpose {
    /// Returns the name in audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::SecondFactor => "second_factor",
            Self::Both => "password_and_second_factor",
        }
    }
}

/// The reason for the early end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The user signed out.
    SignedOut,
    /// The same browser signed in again.
    Replaced,
    /// The user ended it from another session.
    ByPerson,
    /// An operator ended it.
    ByOperator,
    /// Too many wrong proofs were given in it.
    TooManyTries,
}

impl Ended {
    /// Returns true if an operator ended the session.
    pub(super) fn is_by_operator(self) -> bool {
        self == Self::ByOperator
    }

    /// Returns the name in audit rows.
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
