//! An account, two nodes that share its stores, a clock that is moved by hand, and what its owner, or
//! a thief, holds of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use vestibule::auth::account::{LoginName, NewName};
use vestibule::auth::admin::{Admin, NewUser};
use vestibule::auth::audit::{Caller, Report};
use vestibule::auth::fresh::FreshSecondFactor;
use vestibule::auth::keys::KeyRing;
use vestibule::auth::login::{AppRef, DueCodes, KeptCodes, SecondFactor, Services};
use vestibule::auth::recovery::RecoveryCode;
use vestibule::auth::session::{Device, Session};
use vestibule::auth::throttle::Budgets;
use vestibule::auth::token::{PlainToken, SessionToken};
use vestibule::auth::totp::Code;
use vestibule::base::address::ClientIp;
use vestibule::base::clock::{Clock, ManualClock, Timestamp};
use vestibule::base::id::{AccountId, RequestId};
use vestibule::base::random::OsRandom;
use vestibule::store::sql::{SqlStore, SqlTarget};

use super::super::services::{self, CHEAP, Node};
use super::super::support::authenticator::Authenticator;
use super::super::support::codes::Codes;
use super::keys::Key;

pub(super) const APP: AppRef<'static> = AppRef { name: "app", issuer: "App", party: None };
const START: u64 = 1_800_000_000_000;
pub(super) const DAY: Duration = Duration::from_hours(24);

/// What its owner, or a thief, holds of the account.
#[derive(Default)]
pub(super) struct Known {
    pub(super) password: String,
    pub(super) former_passwords: Vec<String>,
    pub(super) app: Option<Codes>,
    pub(super) used_step: u64,
    pub(super) former_apps: Vec<Codes>,
    pub(super) keys: Vec<Key>,
    pub(super) former_keys: Vec<Authenticator>,
    /// The next one-time link is used to register a key.
    pub(super) enrols_by_key: bool,
    pub(super) recovery: Vec<String>,
    pub(super) used_recovery: Vec<String>,
    pub(super) open: Vec<PlainToken<SessionToken>>,
    pub(super) over: Vec<PlainToken<SessionToken>>,
    pub(super) used_links: Vec<String>,
    /// When wrong codes were compared since the last right one.
    pub(super) wrong: Vec<Timestamp>,
    /// The authenticator no longer counts.
    pub(super) suspended: bool,
    pub(super) ever_enrolled: bool,
    pub(super) passwords_made: u32,
}

pub(super) struct Life {
    pub(super) known: Known,
    pub(super) clock: Arc<ManualClock>,
    latest: Timestamp,
    nodes: [Node; 2],
    /// Says which node is asked next.
    turns: AtomicU64,
    pub(super) durable: SqlStore,
    pub(super) keys: Arc<KeyRing>,
    random: OsRandom,
    pub(super) account: AccountId,
    _dir: TempDir,
}

pub(super) fn name() -> LoginName {
    LoginName::parse("alice").unwrap()
}

impl Life {
    /// A person who was enrolled by a one-time link.
    pub(super) async fn begin() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(START)));
        let keys = Arc::new(services::keys());
        let open = |node| {
            let (dir, clock, keys) = (dir.path(), &clock, &keys);
            Node::open(node, dir, clock, keys, CHEAP, Budgets::default())
        };
        let (one, two) = (open("one").await, open("two").await);
        let added = one
            .admin
            .accounts
            .add(NewUser {
                name: NewName::of(name()).unwrap(),
                display_name: None,
                email: None,
                groups: Vec::new(),
                password: None,
            })
            .await
            .unwrap();
        let durable = SqlTarget::Embedded(dir.path().join("accounts.db"));
        let mut life = Self {
            known: Known::default(),
            latest: clock.now(),
            clock,
            nodes: [one, two],
            turns: AtomicU64::new(0),
            durable: SqlStore::open(durable).await.unwrap(),
            keys,
            random: OsRandom::new(),
            account: added.identity.account,
            _dir: dir,
        };
        assert!(life.open_link(&added.link.unwrap()).await, "the first enrolment");
        life
    }

    /// Which nodes are asked from now on depends on this.
    pub(super) fn shuffle(&self, seed: u64) {
        self.turns.store(seed, Ordering::Relaxed);
    }

    /// The node whose turn it is.
    fn node(&self) -> &Node {
        // The next number of a simple sequence without apparent order (Knuth's MMIX).
        let next = |n: u64| {
            n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
        };
        let turn = self.turns.load(Ordering::Relaxed);
        self.turns.store(next(turn), Ordering::Relaxed);
        &self.nodes[usize::from(next(turn) >> 63 == 1)]
    }

    pub(super) fn service(&self) -> &Services {
        &self.node().login
    }

    pub(super) fn admin(&self) -> &Admin {
        &self.node().admin
    }

    /// What a look at the whole trail finds.
    pub(super) async fn trail(&self) -> Report {
        self.node().trail.verify(None).await.unwrap()
    }
    pub(super) fn caller(&self) -> Caller {
        Caller {
            browser: None,
            device: Device {
                address: ClientIp::new([192, 0, 2, 7].into()),
                user_agent: "test".to_owned(),
            },
            reference: RequestId::random(&self.random).unwrap(),
            host: None,
            parked: None,
        }
    }

    /// Somebody in a network where the account never signed in.
    pub(super) fn stranger(&self) -> Caller {
        let mut caller = self.caller();
        caller.device.address = ClientIp::new([198, 51, 100, 9].into());
        caller
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        self.latest = self.latest.max(self.clock.now());
    }

    /// Whether the clock shows no time that was already.
    pub(super) fn on_time(&self) -> bool {
        self.clock.now() >= self.latest
    }

    pub(super) fn new_password(&mut self) -> String {
        self.known.passwords_made += 1;
        format!("owl {} paints a quiet fence", self.known.passwords_made)
    }

    pub(super) fn password_is_now(&mut self, new: String) {
        let former = std::mem::replace(&mut self.known.password, new);
        self.known.former_passwords.push(former);
    }

    pub(super) fn all_over(&mut self) {
        let open = std::mem::take(&mut self.known.open);
        self.known.over.extend(open);
    }

    /// A code of the app that was not used yet.
    pub(super) fn fresh_code(&mut self) -> (Code, u64) {
        let step = |life: &Self| life.clock.now().as_secs() / 30;
        while step(self) <= self.known.used_step {
            self.pass(Duration::from_secs(30));
        }
        let step = step(self);
        let text = self.known.app.as_ref().unwrap().of_step(step);
        (Code::parse(&text).unwrap(), step)
    }

    pub(super) async fn session(&self, token: &PlainToken<SessionToken>) -> Option<Session> {
        self.service().sessions.session(APP.name, token).await.unwrap()
    }

    /// Whether a second factor let somebody in; keeps the session, and the codes that are due.
    pub(super) async fn got_in(&mut self, outcome: SecondFactor) -> bool {
        match outcome {
            SecondFactor::SignedIn(done) => {
                if let Some(session) = self.session(&done.token).await {
                    assert_eq!(session.identity.account, self.account);
                    if done.recovery_codes_due {
                        self.keep_codes(&done.token, &session).await;
                    }
                } else {
                    assert!(!self.on_time(), "a session was over before it began");
                }
                self.known.open.push(done.token);
                true
            }
            SecondFactor::Wait(wait) => {
                self.pass(wait + Duration::from_secs(1));
                false
            }
            SecondFactor::Suspended => {
                assert!(self.known.suspended, "suspended before its time");
                false
            }
            SecondFactor::Wrong { .. }
            | SecondFactor::StartAgain
            | SecondFactor::NewPasswordOwed => false,
        }
    }

    pub(super) async fn keep_codes(&mut self, token: &PlainToken<SessionToken>, session: &Session) {
        let caller = self.caller();
        let service = self.service();
        let fresh = FreshSecondFactor::of(session, service.now()).unwrap();
        let due = service.codes.due_codes(token, fresh, true, &caller).await.unwrap();
        if matches!(due, DueCodes::NeedsKey) {
            assert!(!self.known.keys.is_empty(), "a key is wanted of an account without one");
            return;
        }
        let DueCodes::Shown(offer) = due else { panic!("due, and not shown: {due:?}") };
        let codes: Vec<_> = offer.codes.iter().map(|code| String::clone(code)).collect();
        let first = RecoveryCode::parse(&codes[0]).unwrap();
        self.codes_are_now(codes);
        let session = self.session(token).await.unwrap();
        let service = self.service();
        let kept = service.codes.confirm_due_codes(token, &session, &first, &caller).await.unwrap();
        assert_eq!(kept, KeptCodes::Done);
        let session = self.session(token).await.unwrap();
        let again =
            service.codes.confirm_due_codes(token, &session, &first, &caller).await.unwrap();
        assert_eq!(again, KeptCodes::NothingOffered, "kept once");
    }

    pub(super) fn codes_are_now(&mut self, codes: Vec<String>) {
        let former = std::mem::replace(&mut self.known.recovery, codes);
        self.known.used_recovery.extend(former);
    }

    pub(super) async fn is_refused(&mut self, outcome: SecondFactor, what: &str) {
        assert!(!self.got_in(outcome).await, "{what} let somebody in");
    }
}
