//! Access tokens: created and revoked by operators.

use std::time::Duration;

use super::{AccountAdmin, AdminError};
use crate::auth::access_token::{AccessRecord, LONGEST, Limits, NewAccess, text};
use crate::auth::account::{Identity, LoginName};
use crate::auth::audit::{Event, TokenEvent};
use crate::auth::token::{AccessToken, PlainToken};
use crate::base::id::TokenId;
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

impl AccountAdmin {
    /// Creates a token. Returns its record and its text, which is not stored anywhere.
    pub async fn make_token(
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
        let who = self.find(name).await?.identity;
        let (now, random) = (self.deps.clock.now(), &*self.deps.random);
        let token = PlainToken::<AccessToken>::generate(&self.deps.printer.keys, random)?;
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
        self.may_open().await?;
        if !self.deps.access_tokens.file_token(&new).await? {
            let account = self.find(name).await?;
            return Err(AdminError::Disabled(account.identity.name));
        }
        let NewAccess { record, hash: _ } = new;
        let (app, expires_at) = (record.app.clone(), record.expires_at);
        let event = TokenEvent::Made { token: record.id, app, expires_at };
        let revoke = self.deps.access_tokens.revoke_token(record.id, None);
        let close = async { revoke.await.map(|revoked| revoked.is_some()) };
        self.record_opened(Event::Token(event), &who, close).await?;
        Ok((record, text(&token)))
    }

    /// Returns the tokens of one account or of all with their users, newest first.
    pub async fn tokens(
        &self,
        name: Option<&LoginName>,
    ) -> Result<Vec<(LoginName, AccessRecord)>, AdminError> {
        let accounts = match name {
            Some(name) => vec![self.find(name).await?],
            None => self.deps.accounts.list().await?,
        };
        let of = name.and(accounts.first()).map(crate::auth::account::Account::id);
        let tokens = self.deps.access_tokens.tokens(of).await?;
        let owner = |token: &AccessRecord| {
            let account = accounts.iter().find(|account| account.id() == token.account)?;
            Some(account.identity.name.clone())
        };
        Ok(tokens.into_iter().filter_map(|token| Some((owner(&token)?, token))).collect())
    }

    /// Revokes a token. Every node rejects it within a second.
    pub async fn revoke_token(&self, id: TokenId) -> Result<AccessRecord, AdminError> {
        let revoked = self.deps.access_tokens.revoke_token(id, None).await?;
        let record = revoked.ok_or(AdminError::NoSuchToken(id))?;
        // The token is revoked, even if its user cannot be looked up.
        let account = self.deps.accounts.by_id(record.account).await.ok().flatten();
        let who: Option<Identity> = account.map(|account| account.identity);
        let event = TokenEvent::Revoked { token: id, app: record.app.clone() };
        self.record(Event::Token(event), who.as_ref()).await?;
        Ok(record)
    }
}
