//! Records to store, and a way to do one thing many times at once.

use std::future::Future;
use std::sync::Arc;

use vestibule::auth::account::{Identity, LoginName, NewAccount};
use vestibule::auth::authenticator::{AuthenticatorKind, NewAuthenticator};
use vestibule::auth::keys::{KEY_LEN, Key, KeyMaterial, KeyRing};
use vestibule::auth::password::PasswordRecord;
use vestibule::auth::recovery::{NewRecoverySet, RecoveryHash};
use vestibule::auth::session::{
    BegunWith, Device, Offers, PendingLogin, ProvisionalSecret, Session, SessionMark,
};
use vestibule::auth::stage::Factor;
use vestibule::auth::token::{HashedToken, Kind, PlainToken};
use vestibule::base::address::ClientIp;
use vestibule::base::clock::Timestamp;
use vestibule::base::id::{AccountId, FactorId, SessionId, TreeId};
use vestibule::base::random::OsRandom;
use zeroize::Zeroizing;

/// When all these tests begin.
pub(crate) const START: u64 = 1_800_000_000_000;

pub(crate) fn start() -> Timestamp {
    Timestamp::from_millis(START)
}

pub(crate) fn account_id() -> AccountId {
    AccountId::random(&OsRandom::new()).unwrap()
}

pub(crate) fn factor_id() -> FactorId {
    FactorId::random(&OsRandom::new()).unwrap()
}

pub(crate) fn password(phc: &str) -> PasswordRecord {
    PasswordRecord { phc: phc.to_owned(), pepper_id: "p1".to_owned() }
}

pub(crate) fn identity(name: &str) -> Identity {
    Identity {
        account: account_id(),
        name: LoginName::parse(name).unwrap(),
        display_name: format!("Dr. {name} Müller"),
        email: Some(format!("{name}@example.com")),
        groups: vec!["physics".to_owned(), "a \"group\" of many".to_owned()],
    }
}

pub(crate) fn account(name: &str) -> NewAccount {
    NewAccount { identity: identity(name), password: Some(password("$one")), created_at: start() }
}

/// An authenticator app, confirmed by the code of a time step.
pub(crate) fn factor(account: AccountId, step: u64) -> NewAuthenticator {
    NewAuthenticator {
        account,
        id: factor_id(),
        kind: AuthenticatorKind::Totp,
        name: String::new(),
        sealed: "v1.k1.sealed".to_owned(),
        lookup: None,
        rp_id: None,
        counter: step,
        created_at: start(),
    }
}

pub(crate) fn code(number: usize) -> RecoveryHash {
    RecoveryHash::from_stored(format!("{number:064x}"))
}

pub(crate) fn recovery(account: AccountId, salt: &str) -> NewRecoverySet {
    NewRecoverySet {
        account,
        salt: salt.to_owned(),
        pepper_id: "p1".to_owned(),
        hashes: (0..10).map(code).collect(),
        created_at: start(),
        confirmed_at: None,
    }
}

pub(crate) fn keys() -> KeyRing {
    let key = |n: u8| Key { id: format!("k{n}"), bytes: Zeroizing::new([n; KEY_LEN]) };
    KeyRing::new(&KeyMaterial {
        token: vec![key(1)],
        data: vec![key(2)],
        pepper: vec![key(3)],
        assertion: vec![],
    })
    .unwrap()
}

/// Those of another key file.
pub(crate) fn other_keys() -> KeyRing {
    let key = |n: u8| Key { id: format!("k{n}"), bytes: Zeroizing::new([n; KEY_LEN]) };
    KeyRing::new(&KeyMaterial {
        token: vec![key(7)],
        data: vec![key(8)],
        pepper: vec![key(9)],
        assertion: vec![],
    })
    .unwrap()
}

pub(crate) fn plain_token<K: Kind>() -> PlainToken<K> {
    PlainToken::generate(&keys(), &OsRandom::new()).unwrap()
}

pub(crate) fn token<K: Kind>() -> HashedToken<K> {
    *plain_token().hashed()
}

pub(crate) fn login(account: AccountId, now: Timestamp) -> PendingLogin {
    PendingLogin {
        account,
        app: "cellengine".to_owned(),
        begun_with: BegunWith::Password,
        started_at: now,
        expires_at: now.plus(std::time::Duration::from_mins(10)),
        return_to: "/experiments?open=7".to_owned(),
        enrolment: None,
        typed_name: None,
        held: None,
        spent: false,
    }
}

pub(crate) fn provisional(sealed: &str) -> ProvisionalSecret {
    ProvisionalSecret { factor: factor_id(), sealed: sealed.to_owned() }
}

pub(crate) fn session(identity: Identity, now: Timestamp) -> Session {
    Session {
        id: SessionId::random(&OsRandom::new()).unwrap(),
        identity,
        app: "cellengine".to_owned(),
        method: Factor::TOTP,
        key: None,
        alone: false,
        started_at: now,
        renewed_since: None,
        second_factor_at: now,
        password_at: now,
        last_seen_at: now,
        expires_at: now.plus(std::time::Duration::from_hours(12)),
        device: Device {
            address: ClientIp::new("192.0.2.7".parse().unwrap()),
            user_agent: "Mozilla/5.0 (\"test\")".to_owned(),
        },
        recovery_codes_due: Some("/experiments".to_owned()),
        offers: Offers::default(),
        notices: Vec::new(),
        identity_changes: 0,
        tree: Some(TreeId::random(&OsRandom::new()).unwrap()),
        branch: None,
        apps: Vec::new(),
    }
}

/// A session of which the durable store knows nothing.
pub(crate) fn unseen() -> SessionMark {
    session(identity("nobody"), start()).mark(&token())
}

/// The connections of two stores: more operations would queue, and a store gives a queue 1.5 seconds.
const ROOM: usize = 20;

/// Starts one operation `times` times at the same moment, and returns what each returned.
pub(crate) async fn at_once<T, F>(times: usize, one: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let gate = Arc::new(tokio::sync::Barrier::new(times));
    let room = Arc::new(tokio::sync::Semaphore::new(ROOM));
    let tasks: Vec<_> = (0..times)
        .map(|i| {
            let (gate, room, work) = (Arc::clone(&gate), Arc::clone(&room), one(i));
            tokio::spawn(async move {
                gate.wait().await;
                let _place = room.acquire().await.unwrap();
                work.await
            })
        })
        .collect();
    let mut results = Vec::with_capacity(times);
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}
