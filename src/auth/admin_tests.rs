//! The administration over stores in memory.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::super::account::{Account, Identity, IdentityChange, LoginName, NewAccount, NewName};
use super::super::app_sign_in::Subject;
use super::super::audit::{Checkpoint, Head, NewRecord, Record, Trail, chain};
use super::super::authenticator::{
    Authenticator, AuthenticatorKind, AuthenticatorUse, NewAuthenticator,
};
use super::super::keys::KeyRing;
use super::super::keys::testing::material;
use super::super::password::{Cost, PasswordPool, PasswordRecord, PasswordSettings};
use super::super::ports::{
    AccountList, AccountLookup, AccountManagement, Added, Audit, AuditQuery, AuthenticatorAdded,
    AuthenticatorRemoved, Authenticators, LinkEnded, Pruned, RecoveryCodes, RemovedBy,
    SessionManagement, SessionOverview, StoreHealth, Stored, Tickets,
};
use super::super::recovery::{NewRecoverySet, RecoveryHash, RecoverySet};
use super::super::session::Session;
use super::super::ticket::{FirstEnrolment, NewTicket, Rights, Ticket, TicketPrinter};
use super::super::token::{HashedToken, TicketToken};
use super::{Admin, AdminDeps, AdminError, NewUser};
use crate::base::clock::{Clock, ManualClock, Timestamp};
use crate::base::id::{AccountId, FactorId, SessionId};
use crate::base::random::{OsRandom, Random};
use crate::base::secret::Secret;

/// Accounts in a list, the number of sessions, and the order of calls.
#[derive(Default)]
struct Memory {
    accounts: Mutex<Vec<Account>>,
    tickets: Mutex<Vec<NewTicket>>,
    links: Mutex<Vec<(String, Subject)>>,
    done: Mutex<Vec<&'static str>>,
    rows: Mutex<Vec<NewRecord>>,
    sessions_down: bool,
}

impl Memory {
    fn change(&self, id: AccountId, what: &'static str, f: impl FnOnce(&mut Account)) -> bool {
        self.done.lock().push(what);
        self.accounts.lock().iter_mut().find(|a| a.id() == id).map(f).is_some()
    }
}

#[async_trait]
impl AccountLookup for Memory {
    async fn by_name(&self, name: &LoginName) -> Stored<Option<Account>> {
        Ok(self.accounts.lock().iter().find(|a| a.identity.name == *name).cloned())
    }
    async fn by_id(&self, id: AccountId) -> Stored<Option<Account>> {
        Ok(self.accounts.lock().iter().find(|a| a.id() == id).cloned())
    }
    async fn of_login(&self, id: AccountId, started_at: Timestamp) -> Stored<Option<Account>> {
        let account = self.by_id(id).await?;
        Ok(account.filter(|a| !a.disabled && started_at >= a.sessions_valid_from))
    }
}

#[async_trait]
impl AccountList for Memory {
    async fn list(&self) -> Stored<Vec<Account>> {
        Ok(self.accounts.lock().clone())
    }
}

#[async_trait]
impl AccountManagement for Memory {
    async fn add(&self, new: &NewAccount) -> Stored<Added> {
        let mut accounts = self.accounts.lock();
        if accounts.iter().any(|a| a.identity.name == new.identity.name) {
            return Ok(Added::NameTaken);
        }
        accounts.push(Account {
            identity: new.identity.clone(),
            password: new.password.clone(),
            password_set_at: None,
            disabled: false,
            ever_enrolled: false,
            sessions_valid_from: Timestamp::EPOCH,
            devices_valid_from: Timestamp::EPOCH,
            created_at: new.created_at,
        });
        Ok(Added::Yes)
    }
    async fn set_password(
        &self,
        id: AccountId,
        password: &PasswordRecord,
        from: Option<Timestamp>,
    ) -> Stored<Option<LinkEnded>> {
        let changed = self.change(id, "set_password", |a| {
            a.password = Some(password.clone());
            a.sessions_valid_from = from.unwrap_or(a.sessions_valid_from);
        });
        Ok(changed.then_some(LinkEnded(self.tickets.lock().drain(..).count() > 0)))
    }
    async fn set_disabled(&self, id: AccountId, disabled: bool, _: Timestamp) -> Stored<bool> {
        Ok(self.change(id, "set_disabled", |a| a.disabled = disabled))
    }
    async fn forget_devices(&self, id: AccountId, now: Timestamp) -> Stored<bool> {
        Ok(self.change(id, "forget_devices", |a| a.devices_valid_from = now))
    }
    async fn change_identity(
        &self,
        id: AccountId,
        change: &IdentityChange,
    ) -> Stored<Option<(Identity, Identity)>> {
        let mut changed = None;
        self.change(id, "change_identity", |a| {
            let before = a.identity.clone();
            a.identity = change.apply(&before);
            changed = Some((before, a.identity.clone()));
        });
        Ok(changed)
    }
    async fn remove(&self, id: AccountId) -> Stored<bool> {
        let existed = self.change(id, "remove", |_| {});
        self.accounts.lock().retain(|a| a.id() != id);
        Ok(existed)
    }
}

#[async_trait]
impl StoreHealth for Memory {
    async fn ping(&self) -> Stored<()> {
        Ok(())
    }
}

#[path = "admin_guesses_tests.rs"]
mod guesses;
#[path = "admin_tokens_tests.rs"]
mod tokens;
use guesses::down;

#[async_trait]
impl Authenticators for Memory {
    async fn authenticators(&self, _: AccountId) -> Stored<Vec<Authenticator>> {
        Ok(Vec::new())
    }
    async fn enrol_first(&self, _: &NewAuthenticator, _: Timestamp) -> Stored<bool> {
        down()
    }
    async fn replace_authenticator(
        &self,
        _: &NewAuthenticator,
        _: &NewRecoverySet,
        _: Timestamp,
    ) -> Stored<Option<LinkEnded>> {
        down()
    }
    async fn authenticator_by(&self, _: &str) -> Stored<Option<Authenticator>> {
        down()
    }
    async fn add_authenticator(
        &self,
        _: &NewAuthenticator,
        _: u32,
        _: Timestamp,
    ) -> Stored<AuthenticatorAdded> {
        down()
    }
    async fn rename_authenticator(
        &self,
        _: AccountId,
        _: (AuthenticatorKind, FactorId),
        _: &str,
    ) -> Stored<bool> {
        down()
    }
    async fn remove_authenticator(
        &self,
        _: AccountId,
        _: (AuthenticatorKind, FactorId),
        _: Option<RemovedBy<'_>>,
        _: Timestamp,
    ) -> Stored<AuthenticatorRemoved> {
        down()
    }
    async fn use_authenticator(&self, _: &AuthenticatorUse) -> Stored<bool> {
        down()
    }
}

#[async_trait]
impl RecoveryCodes for Memory {
    async fn confirm_recovery_by(
        &self,
        _: AccountId,
        _: &RecoveryHash,
        _: Timestamp,
    ) -> Stored<bool> {
        down()
    }
    async fn recovery_set(&self, _: AccountId) -> Stored<Option<RecoverySet>> {
        Ok(None)
    }
    async fn replace_recovery(&self, _: &NewRecoverySet, _: Timestamp) -> Stored<bool> {
        down()
    }
    async fn file_recovery(
        &self,
        _: &NewRecoverySet,
        _: Option<&str>,
        _: Timestamp,
    ) -> Stored<bool> {
        down()
    }
    async fn consume_recovery(
        &self,
        _: AccountId,
        _: &RecoveryHash,
        _: Timestamp,
    ) -> Stored<Option<u32>> {
        down()
    }
    async fn recovery_was_used(&self, _: AccountId, _: &RecoveryHash) -> Stored<bool> {
        down()
    }
    async fn untold_recovery(&self, _: AccountId, _: Timestamp) -> Stored<Option<Timestamp>> {
        down()
    }
    async fn recovery_told(&self, _: AccountId, _: Timestamp) -> Stored<()> {
        down()
    }
}

#[async_trait]
impl Tickets for Memory {
    async fn issue(&self, new: &NewTicket) -> Stored<bool> {
        self.tickets.lock().push(*new);
        Ok(true)
    }
    async fn by_token(&self, _: &HashedToken<TicketToken>, _: Timestamp) -> Stored<Option<Ticket>> {
        down()
    }
    async fn of_account(&self, id: AccountId, _: Timestamp) -> Stored<Option<Ticket>> {
        let tickets = self.tickets.lock();
        Ok(tickets.iter().rev().map(|new| new.ticket).find(|t| t.account == id))
    }
    async fn redeem_password(
        &self,
        _: &HashedToken<TicketToken>,
        _: &PasswordRecord,
        _: Timestamp,
    ) -> Stored<Option<AccountId>> {
        down()
    }
    async fn redeem_enrolment(
        &self,
        _: &HashedToken<TicketToken>,
        _: &NewAuthenticator,
        _: Timestamp,
    ) -> Stored<bool> {
        down()
    }
    async fn reset_second_factor(&self, new: &NewTicket) -> Stored<bool> {
        self.tickets.lock().push(*new);
        Ok(self.change(new.ticket.account, "reset_second_factor", |_| {}))
    }
    async fn remove_links(&self, _: Option<AccountId>) -> Stored<u64> {
        Ok(self.tickets.lock().drain(..).count().try_into().unwrap())
    }
}

#[async_trait]
impl SessionOverview for Memory {
    async fn list(&self, _: Option<AccountId>, _: Timestamp) -> Stored<Vec<Session>> {
        Ok(Vec::new())
    }
    async fn end_by_id(&self, _: SessionId, _: Option<AccountId>) -> Stored<bool> {
        Ok(false)
    }
}

#[async_trait]
impl SessionManagement for Memory {
    async fn identity_changed(&self, _: AccountId) -> Stored<()> {
        self.done.lock().push("identity_changed");
        if self.sessions_down { down() } else { Ok(()) }
    }
    async fn end_account(&self, _: AccountId) -> Stored<u64> {
        self.done.lock().push("end_account");
        if self.sessions_down { down() } else { Ok(2) }
    }
    async fn end_all(&self) -> Stored<u64> {
        Ok(3)
    }
}

#[async_trait]
impl Audit for Memory {
    async fn append(&self, record: &NewRecord, keys: &KeyRing) -> Stored<Record> {
        self.rows.lock().push(record.clone());
        Ok(chain::append(keys, &Head::default(), record).0)
    }
    async fn find(&self, _: &AuditQuery) -> Stored<Vec<Record>> {
        down()
    }
    async fn rows_after(&self, _: u64, _: u32) -> Stored<Vec<Record>> {
        down()
    }
    async fn head(&self) -> Stored<Head> {
        down()
    }
    async fn checkpoints(&self) -> Stored<Vec<Checkpoint>> {
        down()
    }
    async fn prune(&self, _: Timestamp, _: &KeyRing) -> Stored<Option<Pruned>> {
        down()
    }
}

const NOW: u64 = 1_767_225_600_000;

fn admin(sessions_down: bool) -> (Arc<Memory>, Admin) {
    let memory = Arc::new(Memory { sessions_down, ..Memory::default() });
    let keys = Arc::new(KeyRing::new(&material()).unwrap());
    let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
    let settings = PasswordSettings { cost, min_length: 8, threads: 1, queue: 1 };
    let random: Arc<dyn Random> = Arc::new(OsRandom::new());
    let pool = PasswordPool::new(settings, Arc::clone(&keys), Arc::clone(&random));
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_millis(NOW)));
    let trail = Trail::new(
        Arc::<Memory>::clone(&memory),
        Arc::clone(&keys),
        Arc::clone(&clock),
        "node-1".to_owned(),
        Vec::new(),
    );
    let printer = TicketPrinter {
        keys,
        public_url: "https://gw.test".to_owned(),
        app_urls: [("kept".to_owned(), "https://kept.test".to_owned())].into(),
        lifetime: crate::auth::ticket::LIFETIME,
    };
    let admin = Admin::new(AdminDeps {
        accounts: Arc::<Memory>::clone(&memory),
        health: Arc::<Memory>::clone(&memory),
        list: Arc::<Memory>::clone(&memory),
        management: Arc::<Memory>::clone(&memory),
        app_accounts: Arc::<Memory>::clone(&memory),
        authenticators: Arc::<Memory>::clone(&memory),
        recovery: Arc::<Memory>::clone(&memory),
        guesses: Arc::<Memory>::clone(&memory),
        tickets: Arc::<Memory>::clone(&memory),
        access_tokens: Arc::<Memory>::clone(&memory),
        overview: Arc::<Memory>::clone(&memory),
        sessions: Arc::<Memory>::clone(&memory),
        passwords: Arc::new(pool),
        printer,
        enrolment: FirstEnrolment::FirstLogin,
        clock,
        random,
        trail: Arc::new(trail),
        operator: "ops".to_owned(),
    });
    (memory, admin)
}

fn name() -> LoginName {
    LoginName::parse("alice").unwrap()
}

fn alice() -> NewUser {
    NewUser {
        name: NewName::of(name()).unwrap(),
        display_name: None,
        email: Some("alice@example.com".to_owned()),
        groups: vec!["staff".to_owned()],
        password: Some(Secret::new("correct horse".to_owned())),
    }
}

#[tokio::test]
async fn a_name_is_given_once() {
    let (_, admin) = admin(false);
    assert_eq!(admin.accounts.add(alice()).await.unwrap().identity.display_name, "alice");
    assert!(matches!(admin.accounts.add(alice()).await, Err(AdminError::NameTaken(_))));
    assert_eq!(admin.directory.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_stand_in_an_identity_header_is_refused() {
    let (_, admin) = admin(false);
    for user in [
        NewUser { display_name: Some("a\r\nb".to_owned()), ..alice() },
        NewUser { display_name: Some(" ".to_owned()), ..alice() },
        NewUser { email: Some("alice".to_owned()), ..alice() },
        NewUser { email: Some("a@b, c@d".to_owned()), ..alice() },
        NewUser { groups: vec!["a,admins".to_owned()], ..alice() },
        NewUser { groups: vec![String::new()], ..alice() },
    ] {
        assert!(matches!(admin.accounts.add(user).await, Err(AdminError::BadField { .. })));
    }
}

#[tokio::test]
async fn a_short_password_is_refused_before_anything_is_stored() {
    let (memory, admin) = admin(false);
    let short = NewUser { password: Some(Secret::new("short".to_owned())), ..alice() };
    assert!(matches!(admin.accounts.add(short).await, Err(AdminError::Password(_))));
    assert!(memory.accounts.lock().is_empty());
}

#[tokio::test]
async fn the_account_is_changed_before_its_sessions_are_ended() {
    let (memory, admin) = admin(false);
    admin.accounts.add(alice()).await.unwrap();
    assert_eq!(admin.accounts.disable(&name()).await.unwrap(), 2);
    let password = Secret::new("battery staple".to_owned());
    assert_eq!(admin.accounts.set_password(&name(), &password).await.unwrap().sessions_ended, 2);
    let account = admin.directory.show(&name()).await.unwrap().account;
    assert_eq!(account.sessions_valid_from, Timestamp::from_millis(NOW));
    assert!(account.disabled);
    assert_eq!(admin.accounts.remove(&name()).await.unwrap(), 2);
    assert_eq!(
        *memory.done.lock(),
        ["set_disabled", "end_account", "set_password", "end_account", "remove", "end_account"]
    );
}

#[tokio::test]
async fn a_disabled_account_stays_so_when_the_session_store_is_down() {
    let (memory, admin) = admin(true);
    admin.accounts.add(alice()).await.unwrap();
    let error = admin.accounts.disable(&name()).await.unwrap_err();
    assert!(matches!(error, AdminError::SessionsLeft { .. }), "{error}");
    assert!(memory.accounts.lock().first().unwrap().disabled);
    assert_eq!(memory.rows.lock().last().unwrap().event, "account_disabled");
}

#[tokio::test]
async fn what_an_operator_does_is_written_down_with_the_operators_name() {
    let (memory, admin) = admin(false);
    let account = admin.accounts.add(alice()).await.unwrap().identity.account;
    admin.accounts.disable(&name()).await.unwrap();
    admin.accounts.enable(&name()).await.unwrap();
    admin.recovery.ticket(&name(), Rights::PASSWORD, None).await.unwrap();
    let password = Secret::new("battery staple".to_owned());
    let set = admin.accounts.set_password(&name(), &password).await.unwrap();
    assert_eq!((set.sessions_ended, set.link), (2, LinkEnded(true)));
    assert!(admin.recovery.lift_suspension(&name()).await.unwrap());
    admin.sessions.end_of(&name()).await.unwrap();
    admin.accounts.remove(&name()).await.unwrap();
    admin.sessions.end_all().await.unwrap();
    assert_eq!(admin.sessions.end_all_and_links().await.unwrap(), (3, 0));
    let rows = memory.rows.lock();
    let events: Vec<_> = rows.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(
        events,
        [
            "account_added",
            "account_disabled",
            "account_enabled",
            "ticket_made",
            "password_set",
            "ticket_ended",
            "suspension_lifted",
            "devices_revoked",
            "sessions_ended",
            "account_removed",
            "sessions_ended",
            "tickets_removed",
            "sessions_ended"
        ]
    );
    for row in rows.iter().take(10) {
        assert_eq!(row.account.as_deref(), Some(account.to_string().as_str()));
        assert_eq!(row.name.as_deref(), Some("alice"));
        assert_eq!((row.actor.as_str(), row.operator.as_deref()), ("operator", Some("ops")));
        assert_eq!(row.node, "node-1");
    }
    assert!(rows.last().unwrap().account.is_none());
}

#[tokio::test]
async fn who_and_what_is_not_there_is_said_to_be_so() {
    let (_, admin) = admin(false);
    assert!(matches!(admin.accounts.enable(&name()).await, Err(AdminError::NoSuchUser(_))));
    assert!(matches!(admin.sessions.end_of(&name()).await, Err(AdminError::NoSuchUser(_))));
    let id = SessionId::random(&OsRandom::new()).unwrap();
    assert!(matches!(admin.sessions.end(id).await, Err(AdminError::NoSuchSession(_))));
}

#[path = "admin_tickets_tests.rs"]
mod tickets;
