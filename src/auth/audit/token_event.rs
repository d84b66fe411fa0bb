//! Events about access tokens.

use serde_json::{Value, json};

use super::fields::Outcome;
use super::kind::Kind;
use crate::base::clock::Timestamp;
use crate::base::id::TokenId;

/// An event about an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenEvent {
    /// An operator created a token.
    Made {
        /// Id of the token.
        token: TokenId,
        /// Name of the app.
        app: String,
        /// Time of expiry.
        expires_at: Timestamp,
    },
    /// A token was revoked.
    Revoked {
        /// Id of the token.
        token: TokenId,
        /// Name of the app.
        app: String,
    },
    /// A token was accepted.
    Used {
        /// Id of the token.
        token: TokenId,
        /// Name of the app.
        app: String,
    },
    /// A token was rejected.
    Refused {
        /// Name of the app.
        app: String,
        /// Reason.
        why: &'static str,
    },
}

impl TokenEvent {
    /// Returns the kind of the event.
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
