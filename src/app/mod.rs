//! The composition root: settings in, running services out. The only place that picks
//! implementations.

mod demo;
mod dumps;
mod here;
mod limits;
mod online;
mod outlets;
mod reload;
mod sample;
mod serve;
mod stores;

use std::path::Path;
use std::sync::Arc;

pub use self::demo::{DemoOptions, ListenOn, NotAHostAndPort, demo};
pub use self::online::{Online, check_online};
pub use self::outlets::Outlets;
use self::outlets::Process;
pub use self::sample::serve as serve_sample;
pub use self::serve::serve;
use self::stores::{ACCOUNTS_FILE, Stores};
use crate::auth::admin::{AccountAdmin, AdminDeps};
use crate::auth::audit::Trail;
use crate::auth::keys::{KeyMaterial, KeyRing, SealError};
use crate::auth::password::PasswordPool;
use crate::auth::ports::{Refusals, StoreError};
use crate::auth::ticket::TicketPrinter;
use crate::base::clock::{Clock, SystemClock};
use crate::base::random::{OsRandom, Random};
use crate::config::keys::{self, KeyFileError};
use crate::config::settings::Settings;
use crate::proxy::ProxyError;

/// Why the product does not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The key ring.
    #[error(transparent)]
    Keys(#[from] SealError),
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A directory or socket.
    #[error("{what}: {error}")]
    Io {
        /// What was tried, with the path or address.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// Anything else, in one plain sentence.
    #[error("{0}")]
    Other(String),
}

impl AppError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// What every part of the product shares.
struct Base {
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    passwords: Arc<PasswordPool>,
}

impl Base {
    /// Makes the data directory and, where all stores are embedded, the key file; reads the keys.
    fn open(settings: &Settings) -> Result<Self, AppError> {
        if let Some(dir) = &settings.data_dir {
            make_private_dir(dir)?;
        }
        let keys = Arc::new(KeyRing::new(&read_keys(settings)?)?);
        let random: Arc<dyn Random> = Arc::new(OsRandom::new());
        let passwords =
            PasswordPool::new(settings.passwords, Arc::clone(&keys), Arc::clone(&random))
                .refusing(service_names(settings));
        let passwords = Arc::new(passwords);
        Ok(Self { keys, clock: Arc::new(SystemClock::new()), random, passwords })
    }
}

/// The keys; new ones where all stores are embedded and there are none yet. Never beside accounts of
/// old ones: nobody's password would be right then, nor any code.
fn read_keys(settings: &Settings) -> Result<KeyMaterial, AppError> {
    let file = &settings.keys_file;
    if !settings.keys_may_be_made {
        return Ok(keys::load(file)?);
    }
    // Looked for first: where it is there, its keys were made before it.
    let accounts = settings.data_dir.as_ref().map(|dir| dir.join(ACCOUNTS_FILE));
    let accounts = accounts.filter(|accounts| accounts.exists());
    match (keys::load(file), accounts) {
        (Err(KeyFileError::Missing(_)), Some(accounts)) => Err(AppError::Other(format!(
            "the key file {} is missing, and {} holds accounts that cannot be read without it: put \
             the key file back. To begin anew, move the data directory away",
            file.display(),
            accounts.display()
        ))),
        _ => Ok(keys::load_or_init(file)?),
    }
}

/// What nobody's password may contain: what everybody sees on the sign-in page.
fn service_names(settings: &Settings) -> Vec<String> {
    let titles = settings.proxy.apps.iter().map(|app| app.title.clone());
    titles.chain(settings.issuer.clone()).chain(["Vestibule".to_owned()]).collect()
}

/// Makes a directory that only its owner may look into. One that is there already stays as it is:
/// it may hold more than ours.
fn make_private_dir(dir: &Path) -> Result<(), AppError> {
    use std::os::unix::fs::DirBuilderExt;
    let what = format!("cannot make the data directory {}", dir.display());
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(AppError::io(what))
}

/// What was kept of refused requests.
pub async fn open_refusals(settings: &Settings) -> Result<Arc<dyn Refusals>, AppError> {
    // Whatever makes the stores makes the keys first.
    Base::open(settings)?;
    Ok(Stores::open(settings).await?.refusals)
}

/// What the command line does with accounts and sessions.
pub async fn open_admin(settings: &Settings) -> Result<(AccountAdmin, Outlets), AppError> {
    let base = Base::open(settings)?;
    let stores = Stores::open(settings).await?;
    let outlets = Outlets::open(settings, &base, &stores, Process::Command)?;
    let admin = AccountAdmin::new(AdminDeps {
        accounts: stores.accounts,
        app_accounts: stores.app_accounts,
        factors: stores.factors,
        guesses: stores.guesses,
        tickets: stores.tickets,
        access_tokens: stores.access_tokens,
        sessions: stores.sessions,
        passwords: base.passwords,
        printer: TicketPrinter {
            keys: base.keys,
            public_url: settings.public_url.clone(),
            app_urls: settings.app_urls(),
            lifetime: settings.ticket_lifetime,
        },
        enrolment: settings.enrolment,
        clock: base.clock,
        random: base.random,
        trail: Arc::clone(&outlets.trail),
        operator: here::operator(),
    });
    Ok((admin, outlets))
}

/// The audit trail, to be read.
pub async fn open_trail(settings: &Settings) -> Result<Arc<Trail>, AppError> {
    let base = Base::open(settings)?;
    let stores = Stores::open(settings).await?;
    Ok(Outlets::open(settings, &base, &stores, Process::Command)?.trail)
}
