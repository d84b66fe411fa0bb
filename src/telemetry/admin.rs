//! The admin listener: liveness, readiness and metrics.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, Uri, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::error::Elapsed;

use super::logs::dropped_lines;
use crate::auth::nodes::Roster;
use crate::auth::ports::{StoreHealth, Stored};

/// Time within which a store must answer a readiness check.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Maximum simultaneous admin connections.
const MOST_CONNECTIONS: usize = 32;
/// Maximum of them from one address, so that one client can't keep the balancer's checks out.
const MOST_OF_ONE: usize = 16;
/// Maximum lifetime of an admin connection, which carries one request.
const LIFETIME: Duration = Duration::from_secs(15);

/// Everything that readiness and metrics depend on.
#[derive(Clone)]
pub struct Health {
    /// The account store.
    pub accounts: Arc<dyn StoreHealth>,
    /// The session store.
    pub sessions: Arc<dyn StoreHealth>,
    /// True once the node should get no more new work.
    pub leaving: Arc<AtomicBool>,
    /// This node among the others.
    pub roster: Arc<Roster>,
    /// Handle that renders the metrics.
    pub metrics: PrometheusHandle,
    /// Renders further metrics in the text format of Prometheus.
    pub proxy_metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Health")
    }
}

/// The result of one readiness check.
struct Check {
    name: &'static str,
    /// The reason for failure, if it failed.
    problem: Option<String>,
}

impl Health {
    /// Checks that this node should get traffic, whatever the stores do.
    fn serving(&self) -> Check {
        let leaving = self.leaving.load(Ordering::Acquire);
        let problem = leaving.then(|| "draining: this node is shutting down".to_owned());
        Check { name: "serving", problem }
    }

    /// Runs all readiness checks. A store is checked by a write and caches the result for a second,
    /// so frequent polling adds no load.
    async fn checks(&self) -> Vec<Check> {
        let (accounts, sessions) = tokio::join!(
            tokio::time::timeout(PATIENCE, self.accounts.ping()),
            tokio::time::timeout(PATIENCE, self.sessions.ping()),
        );
        let store = |name, answer: Result<Stored<()>, Elapsed>| {
            let problem = match answer {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_elapsed) => Some(format!("the {name} store does not answer")),
            };
            Check { name, problem }
        };
        vec![self.serving(), store("accounts", accounts), store("sessions", sessions)]
    }
}

impl Health {
    /// Compares this node with the others. Differences do not make it unready: a node with wrong
    /// keys must not take the right ones out.
    async fn agreement(&self) -> [Check; 3] {
        let sentences =
            |sentences: Vec<String>| (!sentences.is_empty()).then(|| sentences.join("; "));
        let (keys, settings, clock) =
            match tokio::time::timeout(PATIENCE, self.roster.drift()).await {
                Ok(Ok(drift)) => (sentences(drift.keys), sentences(drift.settings), drift.clock),
                Ok(Err(error)) => {
                    let said = error.to_string();
                    (Some(said.clone()), Some(said.clone()), Some(said))
                }
                Err(_elapsed) => {
                    let slow = "the account database does not answer".to_owned();
                    (Some(slow.clone()), Some(slow.clone()), Some(slow))
                }
            };
        [
            Check { name: "keys", problem: keys },
            Check { name: "nodes", problem: settings },
            Check { name: "clock", problem: clock },
        ]
    }
}

async fn livez() -> &'static str {
    "alive\n"
}

async fn nodez(State(health): State<Health>) -> Response {
    match health.serving().problem {
        None => "serving\n".into_response(),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

async fn readyz(State(health): State<Health>, uri: Uri) -> Response {
    let checks = health.checks().await;
    let problems: Vec<&str> = checks.iter().filter_map(|c| c.problem.as_deref()).collect();
    let ready = problems.is_empty();
    metrics::gauge!("vestibule_ready").set(if ready { 1.0 } else { 0.0 });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let later = (!ready).then_some([(header::RETRY_AFTER, "5")]);
    let verbose = uri.query().is_some_and(|query| {
        form_urlencoded::parse(query.as_bytes()).any(|(name, _value)| name == "verbose")
    });
    if verbose {
        let line = |check: &Check| {
            let (ok, reason) = (check.problem.is_none(), check.problem.as_deref());
            serde_json::json!({ "name": check.name, "ok": ok, "reason": reason })
        };
        let mut lines: Vec<_> = checks.iter().map(line).collect();
        lines.extend(health.agreement().await.iter().map(line));
        return (status, later, Json(serde_json::json!({ "ready": ready, "checks": lines })))
            .into_response();
    }
    let body =
        if ready { "ready\n".to_owned() } else { format!("not ready\n{}\n", problems.join("\n")) };
    (status, later, body).into_response()
}

/// Renders all metrics. Readiness is as of now, whether or not anything asks for it otherwise.
async fn metrics_page(State(health): State<Health>) -> impl IntoResponse {
    let ready = health.checks().await.iter().all(|check| check.problem.is_none());
    metrics::gauge!("vestibule_ready").set(if ready { 1.0 } else { 0.0 });
    metrics::counter!("vestibule_log_lines_dropped_total").absolute(dropped_lines());
    health.metrics.run_upkeep();
    let page = format!(
        "{}{}# HELP vestibule_config_info The hash of the settings in effect.\n\
         # TYPE vestibule_config_info gauge\nvestibule_config_info{{hash=\"{}\"}} 1\n",
        health.metrics.render(),
        (health.proxy_metrics)(),
        health.roster.config(),
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page)
}

/// The connections in use, by address. Monitors need few; the remaining descriptors are reserved for
/// clients.
#[derive(Default)]
struct Places(Mutex<HashMap<IpAddr, usize>>);

/// A connection in use. Dropping it frees its place.
struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

impl Places {
    fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut held = self.0.lock();
        let (all, of_peer) = (held.values().sum::<usize>(), held.get(&peer).copied());
        let of_peer = of_peer.unwrap_or_default();
        if all >= MOST_CONNECTIONS || of_peer >= MOST_OF_ONE {
            return None;
        }
        held.insert(peer, of_peer + 1);
        Some(Place { places: Arc::clone(self), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.0.lock();
        if let Some(of_peer) = held.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                held.remove(&self.peer);
            }
        }
    }
}

/// Serves the admin endpoints until the process ends.
pub async fn serve(listener: TcpListener, health: Health) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/nodez", get(nodez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .with_state(health);
    let places = Arc::new(Places::default());
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Some(place) = places.take(peer.ip()) else { continue };
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    match tokio::time::timeout(LIFETIME, one(stream, service)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%error, "admin connection failed"),
                        Err(Elapsed { .. }) => tracing::debug!("admin connection took too long"),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept admin connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn one(
    stream: tokio::net::TcpStream,
    service: TowerToHyperService<Router>,
) -> io::Result<()> {
    // HTTP/2 has no limit for connections without requests.
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .keep_alive(false);
    builder.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}
