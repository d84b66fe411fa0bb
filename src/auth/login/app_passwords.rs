//! The check of a password at the app that keeps it, and what the app issued with its answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::deps::LoginDeps;
use super::events::{Journal, rows};
use super::second_post::KeptAnswer;
use super::{AppRef, LoginError};
use crate::auth::account::{Account, Identity, LoginName, NewAccount, NewName};
use crate::auth::app_sign_in::{AppPolicy, Held, Subject};
use crate::auth::audit::{Caller, Context, Event};
use crate::auth::session::{PendingLogin, Session};
use crate::auth::token::{HashedToken, PendingToken, SessionToken};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// Maximum number of app tokens kept for one session. The oldest are dropped first, except the one
/// issued at sign-in.
pub const APP_TOKENS: u32 = 64;

/// Digits of the account id in a name that is made of one that cannot be given.
const ID_IN_NAME: usize = 8;

/// The content of the sealed field of a pending login.
#[derive(Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed {
    #[serde(flatten)]
    pub(super) held: Held,
    #[serde(default)]
    pub(super) kept: Option<KeptAnswer>,
}

pub(super) fn held_context(login: &HashedToken<PendingToken>) -> Vec<u8> {
    format!("held answer {}", login.to_hex()).into_bytes()
}

/// Checks passwords at the apps that keep them, and holds what an app issued.
pub(super) struct AppPasswords {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
}

impl AppPasswords {
    /// Returns the policy for an app that checks passwords itself, or `None` if Vestibule checks
    /// them.
    pub(super) fn app_policy(&self, app: &str) -> Option<AppPolicy> {
        self.deps.apps.policy(app)
    }

    /// Returns the account of a user of the app. Adds one if `provision` is set. An unlinked
    /// account of the same name may belong to someone else, and so may a name in the configuration:
    /// neither is linked.
    pub(super) async fn account_at(
        &self,
        app: AppRef<'_>,
        policy: AppPolicy,
        subject: &Subject,
        typed: Option<&LoginName>,
        caller: &Caller,
    ) -> Result<Option<Account>, LoginError> {
        let known = self.deps.app_accounts.by_subject(app.name, subject).await?;
        if let Some(account) = known {
            return Ok(Some(account));
        }
        if !policy.provision {
            let event =
                Event::AppUserUnknown { app: app.name.to_owned(), subject: subject.to_string() };
            let budgets = rows(event.name());
            self.journal.record_within(&budgets, event, &Context::unknown(caller)).await?;
            return Ok(None);
        }
        let at_app = format!("{subject}@{}", app.name);
        let derived = [subject.as_str(), &at_app];
        let derived = derived.into_iter().filter_map(|name| LoginName::parse(name).ok());
        let free = |name: &LoginName| !self.deps.reserved.contains(name);
        let names = typed.cloned().into_iter().chain(derived);
        let names = names.filter_map(|name| NewName::of(name).ok());
        // Of those, none may be a name, or each may be taken. This one is no other user's: the account
        // id is random.
        let account = AccountId::random(self.deps.random())?;
        let id: String = account.to_string().chars().take(ID_IN_NAME).collect();
        let base = typed.map_or(subject.as_str(), LoginName::as_str);
        let made = NewName::made_of(base, &format!("-{id}@{}", app.name)).ok();
        for name in names.chain(made).map(NewName::into_login).filter(free) {
            let identity = Identity {
                account,
                display_name: name.to_string(),
                name,
                email: None,
                groups: Vec::new(),
            };
            let id = identity.account;
            let new = NewAccount { identity, password: None, created_at: self.deps.now() };
            let there = self.deps.app_accounts.link_or_add(app.name, subject, &new).await?;
            let Some(account) = there else { continue };
            if account.id() == id {
                let event =
                    Event::AppUserAdded { app: app.name.to_owned(), subject: subject.to_string() };
                self.journal.record(event, &Context::person(caller, &account.identity)).await?;
            }
            return Ok(Some(account));
        }
        Err(LoginError::Broken(format!("no free login name for a new user of {}", app.name)))
    }

    pub(super) fn seal_held(
        &self,
        login: &HashedToken<PendingToken>,
        sealed: &Sealed,
    ) -> Result<String, LoginError> {
        let text = zeroize::Zeroizing::new(serde_json::json!(sealed).to_string());
        Ok(self.deps.keys.seal(self.deps.random(), &held_context(login), text.as_bytes())?)
    }

    /// Returns the credentials that the app issued at the beginning of a login.
    pub(super) fn held_in(
        &self,
        login: &PendingLogin,
        id: &HashedToken<PendingToken>,
    ) -> Result<Held, LoginError> {
        Ok(self.sealed_in(login, id)?.held)
    }

    /// Returns the answer stored for the second request of a client.
    pub(super) fn kept_in(
        &self,
        login: &PendingLogin,
        id: &HashedToken<PendingToken>,
    ) -> Result<Option<KeptAnswer>, LoginError> {
        Ok(self.sealed_in(login, id)?.kept)
    }

    pub(super) fn sealed_in(
        &self,
        login: &PendingLogin,
        id: &HashedToken<PendingToken>,
    ) -> Result<Sealed, LoginError> {
        let Some(sealed) = &login.held else { return Ok(Sealed::default()) };
        let open = self.deps.keys.open(&held_context(id), sealed)?;
        serde_json::from_slice(&open)
            .map_err(|_json| LoginError::Broken("invalid stored answer of the app".to_owned()))
    }

    /// Binds the credentials that an app issued to the new session.
    pub(super) async fn bind_held(
        &self,
        held: &Held,
        id: &HashedToken<SessionToken>,
        session: &Session,
        now: Timestamp,
    ) -> Result<(), LoginError> {
        for token in &held.tokens {
            let text = token.as_bytes();
            let Some(hashed) = HashedToken::of_app(&self.deps.keys, &session.app, text).next()
            else {
                continue;
            };
            let lives = session.expires_at.since(now);
            if !self.deps.app_tokens.bind(id, &hashed, APP_TOKENS, lives).await? {
                let reason = "the app issued a token that belongs to another user".to_owned();
                return Err(LoginError::Broken(reason));
            }
        }
        Ok(())
    }

    /// Signs out at the app with unused tokens. A token of a live session stays: some apps issue
    /// the same token at several sign-ins of a user.
    pub(super) async fn give_up(&self, app: &str, mut held: Held) {
        let mut unused = Vec::new();
        for token in std::mem::take(&mut held.tokens) {
            let mut in_use = false;
            for hashed in HashedToken::of_app(&self.deps.keys, app, token.as_bytes()) {
                in_use |= !matches!(self.deps.app_tokens.session_of(&hashed).await, Ok(None));
            }
            if !in_use {
                unused.push(token);
            }
        }
        held.tokens = unused;
        self.deps.apps.give_up(app, held);
    }
}
