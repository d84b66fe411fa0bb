//! What can happen to a token of ours.

use serde_json::{Value, json};

use super::event::Outcome;
use super::kind::Kind;
use crate::base::clock::Timestamp;
use crate::base::id::TokenId;

/// What happened to a token of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenEvent {
    /// An operator made it.
    Made {
        /// Which.
        token: TokenId,
        /// For which app.
        app: String,
        /// Until when.
        expires_at: Timestamp,
    },
    /// It was revoked.
    Revoked {
        /// Which.
        token: TokenId,
        /// For which app.
        app: String,
    },
    /// It was let through.
    Used {
        /// Which.
        token: TokenId,
        /// At which app.
        app: String,
    },
    /// One was not let through.
    Refused {
        /// At which app.
        app: String,
        /// Why.
        why: &'static str,
    },
}

impl TokenEvent {
    /// Its kind.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Made { .. } => Kind::TokenMade,
            Self::Revoked { .. } => Kind::TokenRevoked,
            Self::Used { .. } => Kind::TokenUsed,
            Self::Refused { .. } => Kind::TokenRefused,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Made { .. } | Self::Revoked { .. } | Self::Used { .. } => Outcome::Done,
            Self::Refused { .. } => Outcome::Refused,
        }
    }

    pub(super) fn detail(&self) -> Value {
        match self {
            Self::Made { token, app, expires_at } => {
                json!({ "app": app, "token": token, "expires_at": expires_at.rfc3339() })
            }
            Self::Revoked { token, app } | Self::Used { token, app } => {
                json!({ "app": app, "token": token })
            }
            Self::Refused { app, why } => json!({ "app": app, "why": why }),
        }
    }
}
