//! Prints the demo user's one-time codes on the terminal, for users without a phone at hand. The
//! codes are those of the authenticator that the enrolment page offers, and of the enrolled one
//! later.
//!
//! The gateway is unaware of this: its store of pending logins is wrapped in one that remembers the
//! last offer.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::app::error::AppError;
use crate::app::stores::Stores;
use crate::auth::account::LoginName;
use crate::auth::authenticator::app_of;
use crate::auth::keys::KeyRing;
use crate::auth::ports::{AccountLookup, Authenticators, PendingLogins, Stored};
use crate::auth::session::{PendingLogin, ProvisionalSecret};
use crate::auth::token::{HashedToken, PendingToken};
use crate::auth::totp::{PERIOD, TimeStep, TotpSecret};
use crate::base::clock::{Clock as _, SystemClock, Timestamp};
use crate::base::id::AccountId;

type Offered = Option<ProvisionalSecret>;

/// A store of pending logins that remembers the last authenticator offered.
struct OfferWatch {
    store: Arc<dyn PendingLogins>,
    offered: watch::Sender<Offered>,
}

/// Wraps the store of pending logins.
pub(super) fn watch_offers(stores: &mut Stores) -> watch::Receiver<Offered> {
    let (offered, seen) = watch::channel(None);
    let store = Arc::clone(&stores.pending);
    stores.pending = Arc::new(OfferWatch { store, offered });
    seen
}

#[async_trait]
impl PendingLogins for OfferWatch {
    async fn begin(
        &self,
        id: &HashedToken<PendingToken>,
        login: &PendingLogin,
        now: Timestamp,
    ) -> Stored<()> {
        self.store.begin(id, login, now).await
    }

    async fn load(
        &self,
        id: &HashedToken<PendingToken>,
        now: Timestamp,
    ) -> Stored<Option<PendingLogin>> {
        let login = self.store.load(id, now).await?;
        if let Some(offer) = login.as_ref().and_then(|login| login.enrolment.clone()) {
            self.offered.send_replace(Some(offer));
        }
        Ok(login)
    }

    async fn count_guess(
        &self,
        id: &HashedToken<PendingToken>,
        limit: u32,
        now: Timestamp,
    ) -> Stored<Option<u32>> {
        self.store.count_guess(id, limit, now).await
    }

    async fn offer_enrolment(
        &self,
        id: &HashedToken<PendingToken>,
        new: &ProvisionalSecret,
        now: Timestamp,
    ) -> Stored<Option<ProvisionalSecret>> {
        let current = self.store.offer_enrolment(id, new, now).await?;
        if let Some(offer) = &current {
            self.offered.send_replace(Some(offer.clone()));
        }
        Ok(current)
    }

    async fn end(&self, id: &HashedToken<PendingToken>) -> Stored<()> {
        self.store.end(id).await
    }
}

/// Prints the one-time codes.
pub(super) struct CodePrinter {
    /// Login name of the demo user.
    pub(super) user: &'static str,
    pub(super) keys: Arc<KeyRing>,
    pub(super) accounts: Arc<dyn AccountLookup>,
    pub(super) authenticators: Arc<dyn Authenticators>,
    pub(super) offered: watch::Receiver<Offered>,
}

impl CodePrinter {
    /// Prints the current code whenever it changes, until the future is dropped.
    pub(super) async fn run(mut self, out: &mut (dyn Write + Send)) -> AppError {
        let clock = SystemClock::new();
        let mut printed = String::new();
        loop {
            let now = clock.now();
            match self.code(now).await {
                Ok(Some(code)) if code != printed => {
                    let left = PERIOD.as_secs() - now.as_secs() % PERIOD.as_secs();
                    let said = writeln!(out, "  code      {code}   for {left} s")
                        .and_then(|()| out.flush());
                    if let Err(error) = said {
                        return AppError::io("failed to write to standard output")(error);
                    }
                    printed = code;
                }
                Ok(_) => {}
                Err(error) => return error,
            }
            let next = Duration::from_millis(1000 - now.as_millis() % 1000);
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                Ok(()) = self.offered.changed() => {}
            }
        }
    }

    async fn code(&mut self, now: Timestamp) -> Result<Option<String>, AppError> {
        let name = LoginName::parse(self.user).map_err(|e| AppError::Other(e.to_string()))?;
        let Some(account) = self.accounts.by_name(&name).await? else { return Ok(None) };
        let id = account.id();
        let enrolled = self.authenticators.authenticators(id).await?;
        let secret = match app_of(&enrolled) {
            Some(app) => TotpSecret::open(&self.keys, id, app.id, &app.sealed)?,
            None => match self.secret_offered(id) {
                Some(secret) => secret,
                None => return Ok(None),
            },
        };
        Ok(Some(secret.code(TimeStep::at(now)).to_string()))
    }

    fn secret_offered(&mut self, account: AccountId) -> Option<TotpSecret> {
        let offered = self.offered.borrow_and_update().clone()?;
        // The secret of another account cannot be opened.
        TotpSecret::open(&self.keys, account, offered.factor, &offered.sealed).ok()
    }
}
