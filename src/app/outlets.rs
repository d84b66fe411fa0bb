//! The audit log of this process and the observers of its events.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::base::Base;
use super::error::AppError;
use super::here;
use super::stores::Stores;
use crate::auth::audit::{Observer, Trail};
use crate::config::settings::Settings;
use crate::notice::{Delivery, Notices};
use crate::telemetry::lines::{JsonLines, LinesTarget};

/// Interval between removals of old rows.
const PRUNE_INTERVAL: Duration = Duration::from_hours(1);
/// Maximum time to write the remaining JSON lines at shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum time to send the remaining mail when a gateway stops.
const GATEWAY_MAIL_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time to send the mail of a command. No other process sends it later.
const COMMAND_MAIL_TIMEOUT: Duration = Duration::from_secs(15);

/// The kind of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// A gateway.
    Gateway,
    /// A command. Standard output holds its result, so no audit lines go there.
    Command,
}

/// The audit log, and the outputs to flush at shutdown.
pub struct Outlets {
    pub(super) trail: Arc<Trail>,
    lines: Option<Arc<JsonLines>>,
    notices: Arc<Notices>,
    process: Process,
}

impl fmt::Debug for Outlets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlets")
    }
}

impl Outlets {
    pub(super) fn open(
        settings: &Settings,
        base: &Base,
        stores: &Stores,
        process: Process,
    ) -> Result<Self, AppError> {
        let target = settings.audit.lines.clone();
        let target = target.filter(|t| process == Process::Gateway || *t != LinesTarget::Stdout);
        let lines = target.map(start_lines).transpose()?;
        let mut observers: Vec<Arc<dyn Observer>> = Vec::new();
        if let Some(lines) = &lines {
            observers.push(Arc::<JsonLines>::clone(lines));
        }
        let delivery = settings.mail.as_ref().map(Delivery::new).transpose();
        let delivery = delivery.map_err(AppError::Other)?;
        let notices = Arc::new(Notices::start(delivery, Arc::clone(&stores.audit)));
        observers.push(Arc::<Notices>::clone(&notices));
        let trail = Trail::new(
            Arc::clone(&stores.audit),
            Arc::clone(&base.keys),
            Arc::clone(&base.clock),
            settings.audit.node.clone().unwrap_or_else(here::node),
            observers,
        );
        Ok(Self { trail: Arc::new(trail), lines, notices, process })
    }

    /// Finishes pending output. Returns the number of notices that were not sent.
    pub async fn close(&self) -> usize {
        if let Some(lines) = self.lines.clone() {
            // The runtime is about to end, so a failure cannot be handled.
            drop(tokio::task::spawn_blocking(move || lines.flush(FLUSH_TIMEOUT)).await);
        }
        let command = self.process == Process::Command;
        self.notices.close(if command { COMMAND_MAIL_TIMEOUT } else { GATEWAY_MAIL_TIMEOUT }).await
    }

    /// Returns the outlet of mail, which a reload changes.
    pub(super) fn notices(&self) -> Arc<Notices> {
        Arc::clone(&self.notices)
    }
}

fn start_lines(target: LinesTarget) -> Result<Arc<JsonLines>, AppError> {
    let what = match &target {
        LinesTarget::Stdout => "failed to write the audit log to standard output".to_owned(),
        LinesTarget::File(path) => format!("failed to write the audit log to {}", path.display()),
    };
    Ok(Arc::new(JsonLines::start(target).map_err(AppError::io(what))?))
}

/// Removes expired rows at an interval, forever.
pub(super) async fn prune_for_ever(trail: Arc<Trail>, retention: Duration) {
    let mut ticks = tokio::time::interval(PRUNE_INTERVAL);
    loop {
        ticks.tick().await;
        if let Err(error) = trail.prune(retention).await {
            tracing::warn!(%error, "failed to remove expired audit rows");
        }
    }
}
