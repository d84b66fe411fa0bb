//! This node among the others of its cluster: reports while it runs, and a comparison for
//! `check --online`.

use std::sync::Arc;

use super::base::Base;
use super::error::AppError;
use super::here;
use super::stores::{Stores, recorded_nodes};
use crate::auth::database_clock::DatabaseClock;
use crate::auth::keys::KeyRing;
use crate::auth::nodes::{self, Drift, Node, REPORT_INTERVAL, Roster};
use crate::base::clock::{Clock, SystemClock};
use crate::config::keys::{self, KeyFileError};
use crate::config::settings::Settings;

/// Creates the roster of a gateway.
pub(super) fn roster(
    settings: &Settings,
    base: &Base,
    stores: &Stores,
) -> Result<Arc<Roster>, AppError> {
    let name = settings.audit.node.clone().unwrap_or_else(here::node);
    let roster = Roster::new(
        Arc::clone(&stores.nodes),
        Arc::clone(&base.keys),
        Arc::clone(&base.clock),
        &*base.random,
        (name, settings.hash(), &settings.sessions),
        Arc::clone(&base.database_clock),
    );
    roster.map(Arc::new).map_err(|error| AppError::Other(error.to_string()))
}

/// Reports this node at an interval, and when its clock was set, forever.
pub(super) async fn report_for_ever(roster: Arc<Roster>, clock: Arc<DatabaseClock>) {
    let mut ticks = tokio::time::interval(REPORT_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = clock.was_set() => {}
        }
        roster.report().await;
    }
}

/// Returns an error if the database was written with other keys than those of `base`. Whatever is
/// written with them, no other node can read, and they read nothing of what is there. A database
/// that does not answer is no error here: the gateway waits for it and reports differences then, and
/// every other command needs it for its own work.
pub(super) async fn check_keys(
    settings: &Settings,
    base: &Base,
    stores: &Stores,
) -> Result<(), AppError> {
    let Ok(recorded) = stores.nodes.recorded(base.clock.now()).await else { return Ok(()) };
    let Some(used) = nodes::foreign(&base.keys.marks(), &recorded.key_uses) else {
        return Ok(());
    };
    Err(AppError::Other(format!(
        "the key file {} does not belong to the database: it holds none of the data keys that the \
         database was written with ({used}). Copy the key file of a running node, or restore it \
         from its backup",
        settings.keys_file.display()
    )))
}

/// Compares the key file and the settings with those of running nodes. Returns the differences, and
/// sentences about former token keys: none while there is no key file yet, which is allowed before
/// the first start.
pub(super) async fn compare(settings: &Settings) -> Result<(Drift, Vec<String>), AppError> {
    let material = match keys::load(&settings.keys_file) {
        Err(KeyFileError::Missing(_)) if settings.keys_may_be_made => return Ok(Default::default()),
        found => found?,
    };
    // If the database does not answer, `accounts` says so already.
    let now = SystemClock::new().now();
    let Ok(Some(recorded)) = recorded_nodes(settings, now).await else {
        return Ok(Default::default());
    };
    let own = Node {
        instance: String::new(),
        name: here::node(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config: settings.hash(),
        keys: KeyRing::new(&material)?.marks(),
        seen_at: now,
    };
    let live = nodes::sessions_live(&settings.sessions);
    let former = nodes::former_token_keys(&own.keys, &recorded.key_uses, now, live);
    Ok((Drift::between(&own, &recorded, live), former))
}
