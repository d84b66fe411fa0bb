//! The shared part of administrative actions: finding the account, and writing the audit row.

use std::sync::Arc;

use super::error::AdminError;
use crate::auth::account::{Account, Identity, LoginName};
use crate::auth::audit::{Context, Event, Trail};
use crate::auth::ports::{AccountLookup, SessionManagement, StoreError, StoreHealth};

/// Finds accounts, and records what an operator does to them.
pub(super) struct OperatorJournal {
    pub(super) accounts: Arc<dyn AccountLookup>,
    pub(super) health: Arc<dyn StoreHealth>,
    pub(super) sessions: Arc<dyn SessionManagement>,
    pub(super) trail: Arc<Trail>,
    pub(super) operator: String,
}

impl OperatorJournal {
    /// Returns the account with this name.
    pub(super) async fn find(&self, name: &LoginName) -> Result<Account, AdminError> {
        let account = self.accounts.by_name(name).await?;
        account.ok_or_else(|| AdminError::NoSuchUser(name.clone()))
    }

    /// Writes an event to the audit log.
    pub(super) async fn record(
        &self,
        event: Event,
        who: Option<&Identity>,
    ) -> Result<(), AdminError> {
        let context = self.context(who);
        self.trail.record(event, &context).await.map_err(AdminError::NotRecorded)
    }

    /// Checks that the audit log accepts rows, before an action that grants access.
    pub(super) async fn may_open(&self) -> Result<(), AdminError> {
        Ok(self.health.ping().await?)
    }

    /// Writes the event of an action that grants access. If that fails, `close` undoes the action.
    pub(super) async fn record_opened(
        &self,
        event: Event,
        who: &Identity,
        close: impl Future<Output = Result<bool, StoreError>> + Send,
    ) -> Result<(), AdminError> {
        let context = self.context(Some(who));
        let Err(unwritten) = self.trail.record(event, &context).await else { return Ok(()) };
        match close.await {
            Ok(_closed) => Err(AdminError::Undone(unwritten)),
            Err(_open) => Err(AdminError::NotRecorded(unwritten)),
        }
    }

    /// Ends the sessions of an account after the action `done`. `changed` is true if the action
    /// took effect.
    pub(super) async fn end_after(
        &self,
        changed: bool,
        who: &Identity,
        done: &'static str,
        event: impl FnOnce(u64) -> Event,
    ) -> Result<u64, AdminError> {
        if !changed {
            return Err(AdminError::NoSuchUser(who.name.clone()));
        }
        let ended = self.sessions.end_account(who.account).await;
        let row = self.record(event(*ended.as_ref().unwrap_or(&0)), Some(who)).await;
        match ended {
            Ok(ended) => row.map(|()| ended),
            Err(source) => {
                let (name, recorded) = (who.name.clone(), row.is_ok());
                Err(AdminError::SessionsLeft { name, done, recorded, source })
            }
        }
    }

    /// Returns the context of a row about `who`.
    pub(super) fn context(&self, who: Option<&Identity>) -> Context {
        Context::operator(&self.operator, who)
    }
}
