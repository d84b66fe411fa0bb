//! Tunnels (WebSocket): they end with the session they were opened in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::request::RequestState;
use crate::gate::admission::Admission;
use crate::gate::sessions::CachedSessions;

/// How often a tunnel's session is looked at.
const TUNNEL_WATCH: Duration = Duration::from_secs(2);

/// A tunnel's side of the watch over its session.
#[derive(Debug, Default)]
pub(super) struct Tunnel {
    pub(super) used: AtomicBool,
    pub(super) over: AtomicBool,
}

/// Ends a tunnel within seconds of its session.
pub(super) fn watch(sessions: &Arc<CachedSessions>, state: &mut RequestState) {
    let person = state.admission.as_ref().and_then(Admission::person_shared);
    let (Some(person), Some(connection), Some(site)) =
        (person, state.connection.clone(), state.site.clone())
    else {
        return;
    };
    let tunnel = Arc::new(Tunnel::default());
    state.tunnel = Some(Arc::clone(&tunnel));
    let sessions = Arc::clone(sessions);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(TUNNEL_WATCH);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if tunnel.over.load(Ordering::Acquire) {
                return;
            }
            let used = tunnel.used.swap(false, Ordering::Relaxed);
            let lives = sessions.still_lives(site.app.name(), &person, used).await;
            if !lives.unwrap_or(false) {
                tracing::info!(session = %person.session.id, "a tunnel ends with its session");
                connection.close();
                return;
            }
        }
    });
}
