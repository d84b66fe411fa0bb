//! Assertions: the identity of a user, signed for one app (a JSON Web Token, RFC 7519).
//!
//! An assertion is made once and sent with every request of the session for half of its lifetime. It
//! is kept with the session as the gate knows it, so it goes when the session ends, and it is made
//! anew when the identity changes, or the keys or the apps by a reload.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::HeaderValue;
use ring::digest::{Context, SHA256};
use serde::Serialize;

use super::admission::Visitor;
use super::last_assertion::{LastAssertion, Made};
use crate::auth::account::Identity;
use crate::auth::keys::{AssertionSigner, SigningAlgorithm};
use crate::base::clock::{Clock, Timestamp};

/// Lifetime of an assertion, in seconds.
const LIFETIME: u64 = 60;
/// Age at which a new one is made.
const RENEW_AFTER: Duration = Duration::from_secs(30);
/// Bytes of a session hash.
const HASH_LEN: usize = 16;

/// The settings of an app's assertions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionSettings {
    /// `iss`: the public URL of the gateway.
    pub issuer: String,
    /// `aud`: the name of the app.
    pub audience: String,
    /// The algorithm of the signature.
    pub algorithm: SigningAlgorithm,
}

/// No key of the key file signs with the algorithm of the app.
#[derive(Debug, thiserror::Error)]
#[error("the key file has no key that signs assertions with {0}")]
pub struct NoSigningKey(&'static str);

/// Makes the assertions for one app.
#[derive(Debug)]
pub struct Asserter {
    settings: AssertionSettings,
    /// The keys of the reload that the settings are from, so that both change together.
    signer: AssertionSigner,
    /// Tells the asserters of this process apart, so that an assertion for one app is never sent to
    /// another, nor one by former keys again.
    serial: u64,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    name: &'a str,
    preferred_username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    groups: &'a [String],
    /// Authentication methods (RFC 8176).
    amr: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
    sid: String,
    iat: u64,
    exp: u64,
}

/// The sign-in of a visitor, as far as an assertion states it.
struct SignIn<'a> {
    identity: &'a Identity,
    amr: Vec<&'static str>,
    at: Option<Timestamp>,
    /// Identifies the session, the pending login or the token.
    id: String,
}

impl<'a> SignIn<'a> {
    /// Returns the sign-in of a visitor. Returns `None` if the visitor is anonymous.
    fn of(visitor: &'a Visitor) -> Option<Self> {
        Some(match visitor {
            Visitor::Anonymous => return None,
            Visitor::Password(known) => Self {
                identity: &known.identity,
                amr: vec!["pwd"],
                at: Some(known.login.first_factor_at()),
                id: known.token().to_hex(),
            },
            Visitor::Full(known) => Self {
                identity: &known.session.identity,
                amr: known.session.methods(),
                at: Some(known.session.signed_in_at()),
                id: known.session.id.to_string(),
            },
            Visitor::Machine(known) => {
                Self { identity: known.identity(), amr: vec!["token"], at: None, id: known.id() }
            }
        })
    }
}

impl Asserter {
    /// Creates the asserter of an app, with the keys that sign.
    pub fn new(settings: AssertionSettings, signer: AssertionSigner) -> Self {
        static SERIALS: AtomicU64 = AtomicU64::new(0);
        Self { settings, signer, serial: SERIALS.fetch_add(1, Ordering::Relaxed) }
    }

    /// Returns the assertion about `visitor` at the monotonic time `at`: the `last` one, or a new
    /// one. Returns `None` for an anonymous visitor.
    pub fn value(
        &self,
        visitor: &Visitor,
        last: &LastAssertion,
        clock: &dyn Clock,
        at: Duration,
    ) -> Result<Option<HeaderValue>, NoSigningKey> {
        let mut last = last.0.lock();
        if let Some(made) = last.as_ref()
            && self.is_good(made, at)
        {
            return Ok(Some(made.value.clone()));
        }
        let Some(sign_in) = SignIn::of(visitor) else { return Ok(None) };
        let claims = self.claims(&sign_in, clock.now().as_secs());
        let algorithm = self.settings.algorithm;
        let token = self.signer.sign(algorithm, &claims);
        let value = token.and_then(|token| HeaderValue::from_maybe_shared(Bytes::from(token)).ok());
        let value = value.ok_or(NoSigningKey(algorithm.as_str()))?;
        *last = Some(Made { value: value.clone(), serial: self.serial, at });
        Ok(Some(value))
    }

    /// Returns true if an assertion may be sent again.
    fn is_good(&self, made: &Made, at: Duration) -> bool {
        made.serial == self.serial && at.saturating_sub(made.at) < RENEW_AFTER
    }

    fn claims(&self, sign_in: &SignIn<'_>, now: u64) -> String {
        let SignIn { identity, amr, at, id } = sign_in;
        let claims = Claims {
            iss: &self.settings.issuer,
            aud: &self.settings.audience,
            sub: identity.account.to_string(),
            name: &identity.display_name,
            preferred_username: identity.name.as_str(),
            email: identity.email.as_deref(),
            groups: &identity.groups,
            amr: amr.clone(),
            auth_time: at.map(Timestamp::as_secs),
            sid: self.session_hash(id),
            iat: now,
            exp: now + LIFETIME,
        };
        serde_json::to_string(&claims).unwrap_or_default()
    }

    /// Returns the hash of a session id for this app. Apps cannot compare theirs.
    fn session_hash(&self, id: &str) -> String {
        let mut context = Context::new(&SHA256);
        for part in ["vestibule sid", &self.settings.audience, id] {
            context.update(part.as_bytes());
            context.update(b"\0");
        }
        let hash = context.finish();
        BASE64URL_NOPAD.encode(hash.as_ref().get(..HASH_LEN).unwrap_or_default())
    }
}

#[cfg(test)]
#[path = "assertion_tests.rs"]
mod tests;
