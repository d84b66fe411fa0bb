//! Keys on the account page: list, add, rename, remove. Each change needs a fresh proof.

use std::fmt;
use std::sync::Arc;

use super::enrol::tidy_name;
use super::{KeyAnswer, KeyPage, log_refusal};
use crate::auth::audit::{Caller, Context, Event};
use crate::auth::authenticator::AuthenticatorKind;
use crate::auth::fresh::{FreshFactors, FreshSecondFactor};
use crate::auth::login::deps::LoginDeps;
use crate::auth::login::events::Journal;
use crate::auth::login::key::Keys;
use crate::auth::login::new_sessions::{Branches, NewSessions};
use crate::auth::login::step_up::StepUps;
use crate::auth::login::{AppRef, Changed, LoginError};
use crate::auth::ports::{AuthenticatorAdded, AuthenticatorRemoved, RemovedBy};
use crate::auth::session::Session;
use crate::auth::token::{PlainToken, SessionToken};
use crate::auth::webauthn::Refusal;
use crate::auth::webauthn::challenge::{Holder, Purpose};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId};

/// Page to continue to after the recovery codes that a first key makes due.
const KEYS_PAGE: &str = "/_auth/account/keys";

/// A key, as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyView {
    /// Id.
    pub id: FactorId,
    /// Name that its user gave it.
    pub name: String,
    /// Time of registration.
    pub created_at: Timestamp,
    /// Time of last use.
    pub last_used_at: Option<Timestamp>,
    /// True if it is a passkey that is copied to other devices.
    pub synced: bool,
    /// Relying party that it was registered with.
    pub rp_id: String,
}

/// The content of the page that adds a key.
#[derive(Debug)]
#[must_use]
pub enum AddKey {
    /// Creation options, as JSON that is safe within a `<script>` element.
    Options(String),
    /// The account has as many keys as it may have.
    TooMany,
    /// The account has a key, and the session was last proved by a code.
    NeedsKey,
    /// The session has ended.
    Ended,
}

/// The result of adding a key.
#[derive(Debug)]
#[must_use]
pub enum KeyAdded {
    /// The key was added.
    Done,
    /// The key is the first second factor of the account. This session continues, and recovery codes
    /// are due.
    First(PlainToken<SessionToken>),
    /// The answer of the key was refused.
    Refused,
    /// The key is registered already.
    Registered,
    /// The account has as many keys as it may have.
    TooMany,
    /// The account has a key, and the session was last proved by a code.
    NeedsKey,
    /// The session has ended.
    Ended,
}

/// The result of removing a key.
#[derive(Debug)]
#[must_use]
pub enum KeyRemoved {
    /// The key was removed. This session continues, every other session has ended.
    Done(Changed),
    /// The account has no such key.
    Unknown,
    /// The key is the last second factor that works, which can only be replaced.
    Last,
    /// The account has a key, and the session was last proved by a code.
    NeedsKey,
    /// The session has ended.
    Ended,
}

/// The passkeys and security keys of a signed-in user.
pub struct OwnKeys {
    pub(in crate::auth::login) deps: Arc<LoginDeps>,
    pub(in crate::auth::login) journal: Arc<Journal>,
    pub(in crate::auth::login) keys: Arc<Keys>,
    pub(in crate::auth::login) new_sessions: Arc<NewSessions>,
    pub(in crate::auth::login) step_ups: Arc<StepUps>,
}

impl fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnKeys(…)")
    }
}

impl OwnKeys {
    /// Returns the keys of an account, oldest first.
    pub async fn keys_of(&self, account: AccountId) -> Result<Vec<KeyView>, LoginError> {
        let all = self.deps.authenticators.authenticators(account).await?;
        let keys = all.into_iter().filter(|one| one.kind == AuthenticatorKind::Webauthn);
        keys.map(|row| {
            let key = self.keys.open_key(row)?;
            Ok(KeyView {
                id: key.row.id,
                name: key.row.name,
                created_at: key.row.created_at,
                last_used_at: key.row.last_used_at,
                synced: key.credential.is_backed_up(),
                rp_id: key.row.rp_id.unwrap_or_default(),
            })
        })
        .collect()
    }

    /// Returns creation options for a further key.
    pub async fn add_key_options(
        &self,
        app: AppRef<'_>,
        fresh: FreshFactors<'_>,
        page: &KeyPage,
    ) -> Result<AddKey, LoginError> {
        let Some(account) = self.step_ups.owner(fresh.session()).await? else {
            return Ok(AddKey::Ended);
        };
        if self.keys.owes_key(fresh.session()).await? {
            return Ok(AddKey::NeedsKey);
        }
        let all = self.deps.authenticators.authenticators(account.id()).await?;
        let keys = all.iter().filter(|one| one.kind == AuthenticatorKind::Webauthn).count();
        if u32::try_from(keys).is_ok_and(|keys| keys < self.deps.key_settings.max_credentials) {
            let asks = (Purpose::AddKey, Holder::Session(fresh.session().id));
            let options = self.keys.creation_options(app, &account, page, asks).await?;
            return Ok(AddKey::Options(options));
        }
        Ok(AddKey::TooMany)
    }

    /// Adds a key to the account of this session.
    pub async fn add_key(
        &self,
        token: &PlainToken<SessionToken>,
        fresh: FreshFactors<'_>,
        (answer, name): (&KeyAnswer, &str),
        caller: &Caller,
    ) -> Result<KeyAdded, LoginError> {
        let session = fresh.session();
        let Some(account) = self.step_ups.owner(session).await? else { return Ok(KeyAdded::Ended) };
        if self.keys.owes_key(session).await? {
            return Ok(KeyAdded::NeedsKey);
        }
        let made = match self.keys.registered(&account, answer).await? {
            Ok(made) => made,
            Err(refusal) => {
                log_refusal(refusal, Some(account.id()), caller);
                let known = refusal == Refusal::Registered;
                return Ok(if known { KeyAdded::Registered } else { KeyAdded::Refused });
            }
        };
        let (new, _) = self.keys.new_key(&account, made, answer, name)?;
        self.journal.may_record().await?;
        let most = self.deps.key_settings.max_credentials;
        let added = self.deps.authenticators.add_authenticator(&new, most, session.started_at);
        Ok(match added.await? {
            AuthenticatorAdded::Yes => {
                let event = Event::KeyAdded { key: new.id, name: new.name };
                self.journal.record_done(event, &Context::person(caller, &account.identity)).await;
                if account.ever_enrolled {
                    return Ok(KeyAdded::Done);
                }
                let due =
                    Session { recovery_codes_due: Some(KEYS_PAGE.to_owned()), ..session.clone() };
                let now = self.deps.now().max(session.started_at);
                let renewed =
                    self.new_sessions.renew(token, &due, None, Branches::End, now).await?;
                renewed.map_or(KeyAdded::Ended, |renewed| KeyAdded::First(renewed.token))
            }
            AuthenticatorAdded::Registered => KeyAdded::Registered,
            AuthenticatorAdded::TooMany => KeyAdded::TooMany,
            AuthenticatorAdded::Ended => KeyAdded::Ended,
        })
    }

    /// Renames a key. Returns false if the account has no such key, or the name is empty.
    pub async fn rename_key(
        &self,
        fresh: FreshSecondFactor<'_>,
        id: FactorId,
        name: &str,
        caller: &Caller,
    ) -> Result<bool, LoginError> {
        let Some(name) = tidy_name(name) else { return Ok(false) };
        let identity = &fresh.session().identity;
        let (account, kind) = (identity.account, AuthenticatorKind::Webauthn);
        self.journal.may_record().await?;
        let renamed =
            self.deps.authenticators.rename_authenticator(account, (kind, id), &name).await?;
        if renamed {
            let event = Event::KeyRenamed { key: id, name };
            self.journal.record_done(event, &Context::person(caller, identity)).await;
        }
        Ok(renamed)
    }

    /// Removes a key, and ends every other session of the account.
    pub async fn remove_key(
        &self,
        token: &PlainToken<SessionToken>,
        fresh: FreshFactors<'_>,
        id: FactorId,
        caller: &Caller,
    ) -> Result<KeyRemoved, LoginError> {
        let session = fresh.session();
        let identity = &session.identity;
        let (account, since) = (identity.account, session.started_at);
        if self.keys.owes_key(session).await? {
            return Ok(KeyRemoved::NeedsKey);
        }
        self.journal.may_record().await?;
        let now = self.deps.now().max(since);
        let which = (AuthenticatorKind::Webauthn, id);
        let settings = &self.deps.key_settings;
        let by = RemovedBy { since, keys: settings.enabled, rp_id: settings.rp_id.as_deref() };
        let removed =
            self.deps.authenticators.remove_authenticator(account, which, Some(by), now).await?;
        let name = match removed {
            AuthenticatorRemoved::Yes { name } => name,
            AuthenticatorRemoved::Unknown => return Ok(KeyRemoved::Unknown),
            AuthenticatorRemoved::Last => return Ok(KeyRemoved::Last),
            AuthenticatorRemoved::Ended => return Ok(KeyRemoved::Ended),
        };
        let event = Event::KeyRemoved { key: id, name, reason: None };
        self.journal.record_done(event, &Context::person(caller, identity)).await;
        let Some(renewed) =
            self.new_sessions.renew(token, session, None, Branches::End, now).await?
        else {
            return Ok(KeyRemoved::Ended);
        };
        self.deps.sessions.end_others(account, renewed.token.hashed()).await?;
        let browser = self.new_sessions.make_known(identity, caller, now)?;
        Ok(KeyRemoved::Done(Changed { token: renewed.token, browser }))
    }
}
