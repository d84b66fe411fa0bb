//! Ends WebSocket tunnels with their session.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::tunnel::Tunnel;
use crate::base::clock::Timestamp;
use crate::gate::admission::Visitor;
use crate::gate::machine::KnownMachine;
use crate::proxy::admit::site::Site;
use crate::proxy::app::CurrentApps;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;

/// Interval between two checks of a tunnel's session.
const TUNNEL_WATCH: Duration = Duration::from_secs(2);

/// Returns true if the app still accepts a long-lived token.
fn stands(apps: &CurrentApps, site: &Site, known: &KnownMachine, now: Timestamp) -> bool {
    let apps = apps.load();
    apps.by_host(site.name()).is_some_and(|app| known.stands(&app.tokens, now))
}

/// Ends a tunnel within seconds after the session or token that opened it.
pub(in crate::proxy) fn watch(gateway: &Gateway, state: &mut RequestState) {
    let visitor = state.admission.as_ref().map_or(Visitor::Anonymous, |a| a.visitor().clone());
    let (Some(connection), Some(site)) = (state.connection.clone(), state.site.clone()) else {
        return;
    };
    if matches!(visitor, Visitor::Anonymous) {
        return;
    }
    let tunnel = Arc::new(Tunnel::default());
    state.tunnel = Some(Arc::clone(&tunnel));
    let (sessions, logins) = (Arc::clone(&gateway.sessions), Arc::clone(&gateway.logins));
    let (machines, clock) = (Arc::clone(&gateway.machines), Arc::clone(&gateway.clock));
    let apps = Arc::clone(&gateway.apps);
    let id = state.id;
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(TUNNEL_WATCH);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if tunnel.over.load(Ordering::Acquire) {
                return;
            }
            let lives = match &visitor {
                Visitor::Full(known) => sessions.still_lives(known).await,
                Visitor::Machine(known) if !stands(&apps, &site, known, clock.now()) => Ok(false),
                Visitor::Machine(known) => machines.still_lives(known, clock.now()).await,
                Visitor::Password(known) => logins.still_lives(known).await,
                Visitor::Anonymous => return,
            };
            if !lives.unwrap_or(false) {
                tracing::info!(%id, "tunnel closed: its session has ended");
                connection.close();
                return;
            }
        }
    });
}
