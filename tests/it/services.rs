//! The use cases over embedded stores in a directory, wired as the program wires them, on a clock that
//! the test moves. For tests that look at the stores, or that cover more time than a program can wait.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use vestibule::auth::admin::{Admin, AdminDeps};
use vestibule::auth::app_sign_in::NoAppSignIn;
use vestibule::auth::audit::Trail;
use vestibule::auth::database_clock::DatabaseClock;
use vestibule::auth::keys::{KEY_LEN, Key, KeyMaterial, KeyRing};
use vestibule::auth::login::{LoginDeps, Services};
use vestibule::auth::password::{Cost, PasswordPool, PasswordSettings};
use vestibule::auth::ports::{Accounts, Sessions};
use vestibule::auth::session::SessionLimits;
use vestibule::auth::throttle::Budgets;
use vestibule::auth::ticket::{FirstEnrolment, TicketPrinter};
use vestibule::auth::webauthn::relying_party::KeySettings;
use vestibule::base::clock::{Clock, ManualClock};
use vestibule::base::random::{OsRandom, Random};
use vestibule::store::sql::ephemeral::EmbeddedStore;
use vestibule::store::sql::{SqlStore, SqlTarget};
use zeroize::Zeroizing;

/// Base of one-time links.
pub(crate) const PUBLIC_URL: &str = "https://gw.test";

/// Cheap hashes, so that a test can make many.
pub(crate) const CHEAP: PasswordSettings = PasswordSettings {
    cost: Cost { memory_kib: 8, passes: 1, lanes: 1 },
    min_length: 8,
    threads: 2,
    queue: 8,
};

/// One node: its services, and its connections to the stores.
pub(crate) struct Node {
    pub(crate) login: Arc<Services>,
    pub(crate) admin: Admin,
    pub(crate) trail: Arc<Trail>,
    pub(crate) durable: Arc<SqlStore>,
    pub(crate) short: Arc<EmbeddedStore>,
    pub(crate) passwords: Arc<PasswordPool>,
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

fn printer(keys: &Arc<KeyRing>) -> TicketPrinter {
    TicketPrinter {
        keys: Arc::clone(keys),
        public_url: PUBLIC_URL.to_owned(),
        app_urls: BTreeMap::new(),
        lifetime: Duration::from_hours(24),
    }
}

/// Creates the administration over the stores of a node.
fn admin(node: &LoginDeps, printer: TicketPrinter) -> Admin {
    Admin::new(AdminDeps {
        accounts: Arc::<dyn Accounts>::clone(&node.accounts),
        health: Arc::<dyn Accounts>::clone(&node.accounts),
        list: Arc::<dyn Accounts>::clone(&node.accounts),
        management: Arc::<dyn Accounts>::clone(&node.accounts),
        app_accounts: Arc::clone(&node.app_accounts),
        authenticators: Arc::clone(&node.authenticators),
        recovery: Arc::clone(&node.recovery),
        guesses: Arc::clone(&node.guesses),
        access_tokens: Arc::clone(&node.access_tokens),
        tickets: Arc::clone(&node.tickets),
        overview: Arc::<dyn Sessions>::clone(&node.sessions),
        sessions: Arc::<dyn Sessions>::clone(&node.sessions),
        passwords: Arc::clone(&node.passwords),
        printer,
        enrolment: node.enrolment,
        clock: Arc::clone(&node.clock),
        random: Arc::clone(&node.random),
        trail: Arc::clone(&node.trail),
        operator: "ops".to_owned(),
    })
}

impl Node {
    /// Opens the stores in `dir`, which several nodes can share.
    pub(crate) async fn open(
        node: &str,
        dir: &Path,
        clock: &Arc<ManualClock>,
        keys: &Arc<KeyRing>,
        hashing: PasswordSettings,
        budgets: Budgets,
    ) -> Self {
        let accounts = SqlTarget::Embedded(dir.join("accounts.db"));
        Self::over((node, accounts), dir, clock, keys, hashing, budgets).await
    }

    /// Opens an account database anywhere, and the sessions in `dir`.
    pub(crate) async fn over(
        (node, accounts): (&str, SqlTarget),
        dir: &Path,
        clock: &Arc<ManualClock>,
        keys: &Arc<KeyRing>,
        hashing: PasswordSettings,
        budgets: Budgets,
    ) -> Self {
        let sql = Arc::new(SqlStore::open(accounts).await.unwrap());
        let short = Arc::new(EmbeddedStore::open(&dir.join("sessions.db")).await.unwrap());
        let random: Arc<dyn Random> = Arc::new(OsRandom::new());
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
        let passwords = PasswordPool::new(hashing, Arc::clone(keys), Arc::clone(&random));
        let passwords = Arc::new(passwords);
        let trail = Arc::new(Trail::new(
            Arc::<SqlStore>::clone(&sql),
            Arc::clone(keys),
            Arc::clone(&time),
            node.to_owned(),
            Vec::new(),
        ));
        let database_clock = DatabaseClock::new(Arc::clone(&time));
        let deps = LoginDeps {
            database_clock: Arc::new(database_clock),
            nodes: Arc::<SqlStore>::clone(&sql),
            accounts: Arc::<SqlStore>::clone(&sql),
            app_accounts: Arc::<SqlStore>::clone(&sql),
            authenticators: Arc::<SqlStore>::clone(&sql),
            recovery: Arc::<SqlStore>::clone(&sql),
            guesses: Arc::<SqlStore>::clone(&sql),
            tickets: Arc::<SqlStore>::clone(&sql),
            resets: Arc::<SqlStore>::clone(&sql),
            pending: Arc::<EmbeddedStore>::clone(&short),
            sessions: Arc::<EmbeddedStore>::clone(&short),
            attempts: Arc::<EmbeddedStore>::clone(&short),
            networks: Arc::<EmbeddedStore>::clone(&short),
            app_tokens: Arc::<EmbeddedStore>::clone(&short),
            access_tokens: Arc::<SqlStore>::clone(&sql),
            apps: Arc::new(NoAppSignIn),
            reserved: Arc::default(),
            trail: Arc::clone(&trail),
            passwords: Arc::clone(&passwords),
            keys: Arc::clone(keys),
            clock: time,
            random,
            enrolment: FirstEnrolment::FirstLogin,
            limits: SessionLimits::default(),
            budgets: Arc::new(ArcSwap::from_pointee(budgets)),
            challenges: Arc::<EmbeddedStore>::clone(&short),
            parked: Arc::<EmbeddedStore>::clone(&short),
            used_challenges: Arc::<SqlStore>::clone(&sql),
            hand_overs: Arc::<EmbeddedStore>::clone(&short),
            key_settings: KeySettings::default(),
        };
        let admin = admin(&deps, printer(keys));
        let login = Arc::new(Services::new(deps));
        Self { login, admin, trail, durable: sql, short, passwords }
    }
}
