//! Passwords that Vestibule stores.

use std::sync::Arc;

use async_trait::async_trait;

use super::method::{Accepted, FirstAnswer, FirstFactorMethod, NotChecked, ProvedUser};
use crate::auth::account::{Account, TypedName};
use crate::auth::app_sign_in::{Held, Relayed, Typed};
use crate::auth::audit::Caller;
use crate::auth::factor::FirstFactorKind;
use crate::auth::password::{PasswordPool, PasswordVerdict};
use crate::auth::ports::Accounts;
use crate::auth::turns::Asker;
use crate::base::secret::Secret;

/// Checks passwords against the account database.
pub(super) struct PasswordMethod {
    accounts: Arc<dyn Accounts>,
    passwords: Arc<PasswordPool>,
}

impl PasswordMethod {
    pub(super) fn new(accounts: Arc<dyn Accounts>, passwords: Arc<PasswordPool>) -> Self {
        Self { accounts, passwords }
    }

    /// Rehashes a verified password with the current parameters.
    async fn rehash(&self, account: &Account, password: &Secret) -> Result<(), NotChecked> {
        let Some(old) = &account.password else { return Ok(()) };
        let new = self.passwords.hash(password).await?;
        Ok(self.accounts.rehash_password(account.id(), old, &new).await?)
    }
}

#[async_trait]
impl FirstFactorMethod for PasswordMethod {
    fn kind(&self) -> FirstFactorKind {
        FirstFactorKind::Password
    }

    fn sheds_strangers(&self) -> bool {
        self.passwords.sheds_strangers()
    }

    /// Unknown, disabled and known accounts take the same path at the same cost.
    async fn check(
        &self,
        _app: &str,
        typed: Typed,
        _caller: &Caller,
        asker: Asker,
    ) -> Result<FirstAnswer, NotChecked> {
        let account = match TypedName::new(&typed.name).login() {
            Some(name) => self.accounts.by_name(name).await?,
            None => None,
        };
        let stored = account.as_ref().and_then(|a| a.password.as_ref());
        let verdict = self.passwords.verify(&typed.password, stored, asker).await?;
        match (account, verdict) {
            (Some(account), PasswordVerdict::Right { outdated }) if !account.disabled => {
                if outdated {
                    self.rehash(&account, &typed.password).await?;
                }
                Ok(FirstAnswer::Accepted(Box::new(Accepted {
                    user: ProvedUser::Account(Box::new(account)),
                    code_taken: false,
                    held: Held::default(),
                    answer: Relayed::default(),
                })))
            }
            (account, _) => Ok(FirstAnswer::Refused {
                known: account.map(|account| Box::new(account.identity)),
                answer: Relayed::default(),
            }),
        }
    }
}
