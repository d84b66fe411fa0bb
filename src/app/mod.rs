//! The composition root: wires settings into running services. The only place that picks
//! implementations.

mod base;
mod demo;
mod dumps;
mod error;
mod here;
mod limits;
mod online;
mod outlets;
mod reload;
mod sample;
mod serve;
mod stores;
mod warnings;

use std::sync::Arc;

use self::base::Base;
pub use self::demo::{DemoOptions, ListenOn, NotAHostAndPort, demo};
pub use self::error::AppError;
pub use self::online::{Online, Tried, check_online};
pub use self::outlets::Outlets;
use self::outlets::Process;
pub use self::sample::serve as serve_sample;
pub use self::serve::serve;
use self::stores::Stores;
use crate::auth::admin::{AccountAdmin, AdminDeps};
use crate::auth::audit::Trail;
use crate::auth::ports::Refusals;
use crate::auth::ticket::TicketPrinter;
use crate::config::settings::Settings;

/// Opens the store of refusal records.
pub async fn open_refusals(settings: &Settings) -> Result<Arc<dyn Refusals>, AppError> {
    // The key file is always created before the stores.
    Base::open(settings)?;
    Ok(Stores::open(settings).await?.refusals)
}

/// Opens the accounts and sessions for the command line.
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

/// Opens the audit log for reading.
pub async fn open_trail(settings: &Settings) -> Result<Arc<Trail>, AppError> {
    let base = Base::open(settings)?;
    let stores = Stores::open(settings).await?;
    Ok(Outlets::open(settings, &base, &stores, Process::Command)?.trail)
}
