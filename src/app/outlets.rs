//! The audit trail of this process and what hears of its events.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::stores::Stores;
use super::{AppError, Base, here};
use crate::auth::audit::{Observer, Trail};
use crate::config::settings::Settings;
use crate::notice::Notices;
use crate::telemetry::lines::{JsonLines, LinesTarget};

/// How often old rows are looked for.
const PRUNING: Duration = Duration::from_hours(1);
/// How long the lines may take to be written at the end.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a mail server may take when a gateway stops.
const MAIL_AT_THE_END: Duration = Duration::from_secs(5);
/// How long a command waits for a mail server: nobody else will send its notices.
const MAIL_OF_A_COMMAND: Duration = Duration::from_secs(15);

/// What runs for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// A gateway.
    Gateway,
    /// A command, whose standard output belongs to whoever typed it.
    Command,
}

/// The trail, and what has to be brought to an end with the process.
pub struct Outlets {
    pub(super) trail: Arc<Trail>,
    lines: Option<Arc<JsonLines>>,
    notices: Option<Arc<Notices>>,
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
        let start = |mail| Notices::start(mail, Arc::clone(&stores.audit));
        let notices = settings.mail.as_ref().map(start).transpose().map_err(AppError::Other)?;
        let notices = notices.map(Arc::new);
        if let Some(notices) = &notices {
            observers.push(Arc::<Notices>::clone(notices));
        }
        let trail = Trail::new(
            Arc::clone(&stores.audit),
            Arc::clone(&base.keys),
            Arc::clone(&base.clock),
            settings.audit.node.clone().unwrap_or_else(here::node),
            observers,
        );
        Ok(Self { trail: Arc::new(trail), lines, notices, process })
    }

    /// Lets what is under way be finished. How many notices could not be sent.
    pub async fn close(&self) -> usize {
        if let Some(lines) = self.lines.clone() {
            // The runtime is about to end: if this fails there is nothing left to be done.
            drop(tokio::task::spawn_blocking(move || lines.flush(PATIENCE)).await);
        }
        match &self.notices {
            None => 0,
            Some(notices) => {
                let command = self.process == Process::Command;
                notices.close(if command { MAIL_OF_A_COMMAND } else { MAIL_AT_THE_END }).await
            }
        }
    }
}

fn start_lines(target: LinesTarget) -> Result<Arc<JsonLines>, AppError> {
    let what = match &target {
        LinesTarget::Stdout => "cannot write the audit trail to standard output".to_owned(),
        LinesTarget::File(path) => format!("cannot write the audit trail to {}", path.display()),
    };
    Ok(Arc::new(JsonLines::start(target).map_err(AppError::io(what))?))
}

/// Removes rows that are too old, now and then.
pub(super) async fn prune_for_ever(trail: Arc<Trail>, retention: Duration) {
    let mut ticks = tokio::time::interval(PRUNING);
    loop {
        ticks.tick().await;
        if let Err(error) = trail.prune(retention).await {
            tracing::warn!(%error, "old rows of the audit trail could not be removed");
        }
    }
}
