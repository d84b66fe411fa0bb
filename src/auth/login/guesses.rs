//! Limits on attempts at passwords.
//!
//! A known browser has an attempt budget of its own, and so has a network from which the account
//! has signed in. All other clients share budgets per network and per name, so strangers slow down
//! strangers and never the owner.

use std::sync::Arc;
use std::time::Duration;

use super::LoginError;
use super::deps::LoginDeps;
use super::events::{Journal, once};
use crate::auth::account::{Account, LoginName, TypedName};
use crate::auth::audit::{Caller, Context, Event};
use crate::auth::browser::KnownBrowser;
use crate::auth::throttle::{AttemptKey, NetworkDigest, Pace, Verdict};
use crate::auth::token::{HashedToken, TicketToken};
use crate::auth::turns::Asker;
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// The decision on a password attempt.
pub(super) enum MayTry {
    /// The attempt is allowed and was counted.
    Yes(Tried),
    /// The attempt is refused until the wait is over.
    Wait { wait: Duration, keys: Vec<AttemptKey> },
}

/// The counters of an allowed attempt.
pub(super) struct Tried {
    /// Keys of this attempt only: taking it back under these also removes the backoff it caused.
    pub(super) keys: Vec<AttemptKey>,
    /// Kind of caller, for the hashing queue.
    pub(super) asker: Asker,
}

impl Tried {
    /// Returns the same counters without the backoff, for an attempt that was not completed: the
    /// next one is not allowed any sooner.
    pub(super) fn counters(&self) -> Vec<AttemptKey> {
        self.keys.iter().map(AttemptKey::by_any).collect()
    }
}

/// Limits on attempts at passwords.
pub(super) struct PasswordLimits {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
}

impl PasswordLimits {
    /// Counts an attempt at a first factor before the check. A browser whose own budget is exhausted
    /// counts as a stranger. `sheds` is true if strangers are refused at the moment.
    pub(super) async fn may_try_first(
        &self,
        caller: &Caller,
        name: &TypedName,
        sheds: bool,
    ) -> Result<MayTry, LoginError> {
        let of_name = (AttemptKey::name(&self.deps.keys, name.folded()), self.deps.budgets().name);
        self.may_try(caller, name, (Some(of_name), sheds)).await
    }

    /// Counts a recovery code in place of the password. It is too long to be guessed, so there is
    /// no limit per name: an attacker cannot keep the owner from recovery.
    pub(super) async fn may_try_forgotten(
        &self,
        caller: &Caller,
        name: &TypedName,
    ) -> Result<MayTry, LoginError> {
        self.may_try(caller, name, (None, self.deps.passwords.sheds_strangers())).await
    }

    /// Counts a password attempt with a ticket. Its holder is not a stranger and has a budget of
    /// their own.
    pub(super) async fn may_try_with_ticket(
        &self,
        ticket: &HashedToken<TicketToken>,
    ) -> Result<MayTry, LoginError> {
        let key = AttemptKey::behind_ticket(ticket);
        let own = [(key.clone(), self.deps.budgets().device)];
        Ok(match self.deps.attempts.count(&own, self.deps.now()).await? {
            Verdict::Go => MayTry::Yes(Tried { keys: vec![key], asker: Asker::Known }),
            Verdict::Wait(wait) => MayTry::Wait { wait, keys: vec![key] },
        })
    }

    async fn may_try(
        &self,
        caller: &Caller,
        name: &TypedName,
        (of_name, sheds): (Option<(AttemptKey, Pace)>, bool),
    ) -> Result<MayTry, LoginError> {
        let (budgets, now) = (self.deps.budgets(), self.deps.now());
        let own = match self.budget_of_browser(caller, name.login()).await? {
            Some(key) => Some(key),
            None => self.budget_of_network(caller, name).await?,
        };
        if let Some(key) = own {
            let own = [(key.clone(), budgets.device)];
            if self.deps.attempts.count(&own, now).await? == Verdict::Go {
                return Ok(MayTry::Yes(Tried { keys: vec![key], asker: Asker::Known }));
            }
        }
        // Count nothing for a stranger whose attempt will be shed anyway.
        if sheds {
            return Err(LoginError::Busy);
        }
        let address = AttemptKey::address(&self.deps.keys, caller.device.address);
        let mut paces = vec![(address, budgets.address)];
        paces.extend(of_name);
        let paces: Vec<_> =
            paces.into_iter().map(|(key, pace)| (key.by(caller.reference), pace)).collect();
        let verdict = self.deps.attempts.pace(&paces, now).await?;
        let keys = paces.into_iter().map(|(key, _)| key).collect();
        Ok(match verdict {
            Verdict::Go => MayTry::Yes(Tried { keys, asker: Asker::Stranger }),
            Verdict::Wait(wait) => MayTry::Wait { wait, keys },
        })
    }

    /// Returns the counter of this browser for the account of that name, if the account knows the
    /// browser. Looks up the account only if the cookie contains its name.
    async fn budget_of_browser(
        &self,
        caller: &Caller,
        name: Option<&LoginName>,
    ) -> Result<Option<AttemptKey>, LoginError> {
        let (Some(browser), Some(name)) = (&caller.browser, name) else { return Ok(None) };
        if self.says_known(browser, name).is_none() {
            return Ok(None);
        }
        let account = self.deps.accounts.by_name(name).await?;
        let knows = account.filter(|account| self.knows_browser(account, caller));
        Ok(knows.map(|account| AttemptKey::device(account.id(), browser.id())))
    }

    /// Returns the counter of this network for the account that signs in under that name from it,
    /// if any. Known and unknown names cost the same query.
    async fn budget_of_network(
        &self,
        caller: &Caller,
        name: &TypedName,
    ) -> Result<Option<AttemptKey>, LoginError> {
        // Clients of unknown address share one network, which is never known to an account.
        if !caller.device.address.is_known() {
            return Ok(None);
        }
        let network = NetworkDigest::new(&self.deps.keys, name.folded(), caller.device.address);
        let seen = self.deps.networks.seen_network(&network, self.deps.now()).await?;
        let Some(seen) = seen else { return Ok(None) };
        let account = self.deps.accounts.by_id(seen.account).await?;
        let knows = account.is_some_and(|a| !a.disabled && a.knows_browsers_since(seen.at));
        Ok(knows.then(|| AttemptKey::from_network(seen.account, &network)))
    }

    /// Returns the account of that name in the cookie of the browser, and the time since when it
    /// knows the browser.
    fn says_known(
        &self,
        browser: &KnownBrowser,
        name: &LoginName,
    ) -> Option<(AccountId, Timestamp)> {
        browser.known_to(name, &self.deps.keys, self.deps.now(), self.deps.budgets().device_lives)
    }

    /// Returns true if the account knows the browser: both factors were verified in it.
    pub(super) fn knows_browser(&self, account: &Account, caller: &Caller) -> bool {
        let browser = caller.browser.as_ref();
        let said = browser.and_then(|b| self.says_known(b, &account.identity.name));
        said.is_some_and(|(id, since)| id == account.id() && account.knows_browsers_since(since))
    }

    /// Counts a wrong password of a stranger. Too many over all names are a spray: alert only; no
    /// throttling, as the next stranger may be an owner.
    pub(super) async fn watch_for_spray(
        &self,
        tried: &Tried,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        if tried.asker == Asker::Known {
            return Ok(());
        }
        let budget = self.deps.budgets().spray;
        let key = AttemptKey::spray();
        match self.deps.attempts.count(&[(key.clone(), budget)], self.deps.now()).await? {
            Verdict::Go => Ok(()),
            Verdict::Wait(rest) => {
                let event =
                    Event::PasswordSpray { wrong: budget.tries, seconds: budget.window.as_secs() };
                self.journal
                    .record_within(&[(key.refused(), once(rest))], event, &Context::unknown(caller))
                    .await
            }
        }
    }
}
