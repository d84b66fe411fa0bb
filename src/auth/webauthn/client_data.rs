//! Client data (WebAuthn §5.8.1): what the browser says about the ceremony.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::Refusal;
use super::challenge::Challenge;

/// Maximum length.
pub(super) const MOST: usize = 4096;

/// A ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ceremony {
    /// Registration of a credential.
    Create,
    /// Proof of a credential.
    Get,
}

impl Ceremony {
    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "webauthn.create",
            Self::Get => "webauthn.get",
        }
    }
}

/// The members that matter. Others are ignored, as the specification demands. A member that occurs
/// twice is an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    #[serde(default)]
    top_origin: Option<String>,
}

/// Client data of the right ceremony, not yet verified otherwise.
#[derive(Clone, Debug)]
pub(super) struct ClientData {
    pub(super) challenge: Challenge,
    origin: String,
    framed: bool,
}

impl ClientData {
    /// Decodes the client data of a ceremony.
    pub(super) fn parse(json: &[u8], ceremony: Ceremony) -> Result<Self, Refusal> {
        if json.len() > MOST {
            return Err(Refusal::TooLong);
        }
        let members: Members =
            serde_json::from_slice(json).map_err(|_not_the_json| Refusal::ClientData)?;
        if members.r#type != ceremony.as_str() {
            return Err(Refusal::Type);
        }
        // A challenge of another form was never issued.
        let challenge = BASE64URL_NOPAD.decode(members.challenge.as_bytes()).ok();
        let challenge = challenge.and_then(|c| Challenge::from_bytes(&c));
        Ok(Self {
            challenge: challenge.ok_or(Refusal::Challenge)?,
            origin: members.origin,
            framed: members.cross_origin || members.top_origin.is_some(),
        })
    }

    /// Verifies that the answer was made in a page of exactly this origin, not in a frame of another.
    pub(super) fn check_origin(&self, origin: &str) -> Result<(), Refusal> {
        if self.origin != origin {
            return Err(Refusal::Origin);
        }
        if self.framed {
            return Err(Refusal::CrossOrigin);
        }
        Ok(())
    }
}
