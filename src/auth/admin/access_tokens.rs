//! Access tokens: created and revoked by operators.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::AdminError;
use super::journal::OperatorJournal;
use crate::auth::access_token::{AccessRecord, LONGEST, Limits, NewAccess, text};
use crate::auth::account::{Identity, LoginName};
use crate::auth::audit::Event;
use crate::auth::keys::KeyRing;
use crate::auth::ports::{AccessTokens, AccountList};
use crate::auth::token::{AccessToken, PlainToken};
use crate::base::clock::Clock;
use crate::base::id::TokenId;
use crate::base::random::Random;
use crate::base::secret::Secret;

/// Maximum length of a description, in characters.
const DESCRIPTION_MAX: usize = 256;

/// A request for a new access token. The caller has checked that the app exists and that the limits
/// are valid.
#[derive(Clone, Debug)]
pub struct AccessWish {
    /// App that accepts the token.
    pub app: String,
    /// Description; may be empty.
    pub description: String,
    /// Limits of the token.
    pub limits: Limits,
    /// Lifetime; [`LONGEST`] if not set.
    pub lifetime: Option<Duration>,
}

/// Creates, lists and revokes access tokens.
pub struct TokenAdmin {
    pub(super) journal: Arc<OperatorJournal>,
    pub(super) accounts: Arc<dyn AccountList>,
    pub(super) access_tokens: Arc<dyn AccessTokens>,
    pub(super) keys: Arc<KeyRing>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

impl fmt::Debug for TokenAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenAdmin(…)")
    }
}

impl TokenAdmin {
    /// Creates a token. Returns its record and its text, which is not stored anywhere.
    pub async fn make(
        &self,
        name: &LoginName,
        wish: AccessWish,
    ) -> Result<(AccessRecord, Secret), AdminError> {
        let lifetime = wish.lifetime.unwrap_or(LONGEST);
        if lifetime.is_zero() || lifetime > LONGEST {
            let rule = "more than zero and at most a year";
            return Err(AdminError::BadField { field: "lifetime", rule });
        }
        let description = wish.description.trim();
        let plain = description.chars().count() <= DESCRIPTION_MAX
            && !description.chars().any(char::is_control);
        if !plain {
            let rule = "at most 256 characters, on one line";
            return Err(AdminError::BadField { field: "description", rule });
        }
        let who = self.journal.find(name).await?.identity;
        let (now, random) = (self.clock.now(), &*self.random);
        let token = PlainToken::<AccessToken>::generate(&self.keys, random)?;
        let record = AccessRecord {
            id: TokenId::random(random)?,
            account: who.account,
            app: wish.app,
            description: description.to_owned(),
            limits: wish.limits,
            made_at: now,
            expires_at: now.plus(lifetime),
            last_used_at: None,
        };
        let new = NewAccess { hash: *token.hashed(), record };
        self.journal.may_open().await?;
        if !self.access_tokens.file_token(&new).await? {
            let account = self.journal.find(name).await?;
            return Err(AdminError::Disabled(account.identity.name));
        }
        let NewAccess { record, hash: _ } = new;
        let (app, expires_at) = (record.app.clone(), record.expires_at);
        let event = Event::TokenMade { token: record.id, app, expires_at };
        let revoke = self.access_tokens.revoke_token(record.id, None);
        let close = async { revoke.await.map(|revoked| revoked.is_some()) };
        self.journal.record_opened(event, &who, close).await?;
        Ok((record, text(&token)))
    }

    /// Returns the tokens of one account or of all with their users, newest first.
    pub async fn list(
        &self,
        name: Option<&LoginName>,
    ) -> Result<Vec<(LoginName, AccessRecord)>, AdminError> {
        let accounts = match name {
            Some(name) => vec![self.journal.find(name).await?],
            None => self.accounts.list().await?,
        };
        let of = name.and(accounts.first()).map(crate::auth::account::Account::id);
        let tokens = self.access_tokens.tokens(of).await?;
        let owner = |token: &AccessRecord| {
            let account = accounts.iter().find(|account| account.id() == token.account)?;
            Some(account.identity.name.clone())
        };
        Ok(tokens.into_iter().filter_map(|token| Some((owner(&token)?, token))).collect())
    }

    /// Revokes a token. Every node rejects it within a second.
    pub async fn revoke(&self, id: TokenId) -> Result<AccessRecord, AdminError> {
        let revoked = self.access_tokens.revoke_token(id, None).await?;
        let record = revoked.ok_or(AdminError::NoSuchToken(id))?;
        // The token is revoked, even if its user cannot be looked up.
        let account = self.journal.accounts.by_id(record.account).await.ok().flatten();
        let who: Option<Identity> = account.map(|account| account.identity);
        let event = Event::TokenRevoked { token: id, app: record.app.clone() };
        self.journal.record(event, who.as_ref()).await?;
        Ok(record)
    }
}
