//! The composition root: wires settings into running services. The only place that picks
//! implementations.

mod backup;
mod base;
mod demo;
mod doctor;
mod dumps;
mod error;
mod findings;
mod here;
mod limits;
mod online;
mod outlets;
mod peers;
mod reload;
mod sample;
mod serve;
mod signals;
mod stores;
mod systemd;
mod warnings;

use std::sync::Arc;

pub use self::backup::{Manifest, Restored, back_up, restore};
use self::base::Base;
pub use self::demo::{DemoOptions, ListenOn, NotAHostAndPort, demo};
pub use self::doctor::{Examination, examine};
pub use self::error::AppError;
pub use self::online::{Online, Tried, check_online};
pub use self::outlets::Outlets;
use self::outlets::Process;
pub use self::sample::serve as serve_sample;
pub use self::serve::serve;
use self::stores::Stores;
use crate::auth::admin::{Admin, AdminDeps};
use crate::auth::audit::Trail;
use crate::auth::ports::{Accounts, Refusals, Sessions};
use crate::auth::ticket::TicketPrinter;
use crate::config::settings::Settings;

/// Opens the store of refusal records.
pub async fn open_refusals(settings: &Settings) -> Result<Arc<dyn Refusals>, AppError> {
    // The key file is always created before the stores.
    let base = Base::open(settings)?;
    Ok(Stores::open(settings, &base).await?.refusals)
}

/// Opens the accounts and sessions for the command line.
pub async fn open_admin(settings: &Settings) -> Result<(Admin, Outlets), AppError> {
    let base = Base::open(settings)?;
    let stores = Stores::open(settings, &base).await?;
    peers::check_keys(settings, &base, &stores).await?;
    let outlets = Outlets::open(settings, &base, &stores, Process::Command)?;
    let admin = Admin::new(AdminDeps {
        accounts: Arc::<dyn Accounts>::clone(&stores.accounts),
        health: Arc::<dyn Accounts>::clone(&stores.accounts),
        list: Arc::<dyn Accounts>::clone(&stores.accounts),
        management: stores.accounts,
        app_accounts: stores.app_accounts,
        authenticators: stores.authenticators,
        recovery: stores.recovery,
        guesses: stores.guesses,
        tickets: stores.tickets,
        access_tokens: stores.access_tokens,
        overview: Arc::<dyn Sessions>::clone(&stores.sessions),
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

/// Opens the audit log for reading.
pub async fn open_trail(settings: &Settings) -> Result<Arc<Trail>, AppError> {
    let base = Base::open(settings)?;
    let stores = Stores::open(settings, &base).await?;
    Ok(Outlets::open(settings, &base, &stores, Process::Command)?.trail)
}
