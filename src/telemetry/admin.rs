//! The admin listener: is it alive, is it ready, what does it count.

use std::fmt;
use std::io;
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
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::error::Elapsed;

use crate::auth::ports::{Accounts, Sessions, Stored};

/// A store that does not answer within this time is down.
const PATIENCE: Duration = Duration::from_secs(2);
/// After a failed accept, before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Admin connections at once.
const MOST_CONNECTIONS: usize = 32;

/// Starts counting. Once a process.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    metrics::describe_counter!(
        "vestibule_requests_total",
        "Requests by app and outcome: forwarded, or refused (which includes our own pages)."
    );
    metrics::describe_gauge!("vestibule_connections", "Open client connections.");
    metrics::describe_counter!(
        "vestibule_connections_shed_total",
        "Connections closed to let others in, by the limit that was reached: address or all."
    );
    metrics::describe_counter!(
        "vestibule_connections_refused_total",
        "Connections refused because none could be shed, by the limit: address or all."
    );
    metrics::describe_counter!(
        "vestibule_requests_turned_away_total",
        "Requests answered with 503 by the limit that was reached: address, app or gateway."
    );
    metrics::describe_counter!("vestibule_sign_ins_total", "Finished sign-ins by second factor.");
    metrics::describe_counter!(
        "vestibule_sign_in_failures_total",
        "Refused guesses by what was wrong: password, second_factor, throttled."
    );
    metrics::describe_counter!(
        "vestibule_security_events_total",
        "Rows of the audit trail written by this node, by event and outcome."
    );
    metrics::describe_counter!(
        "vestibule_audit_rows_missing_total",
        "What was done although its row of the audit trail could not be written, by event."
    );
    metrics::describe_counter!(
        "vestibule_audit_lines_lost_total",
        "Rows of the audit trail that are in SQL but could not be written as JSON lines."
    );
    metrics::describe_counter!(
        "vestibule_notices_total",
        "Notices by mail by result: sent, put_off (to be tried again), failed, lost."
    );
    metrics::describe_gauge!(
        "vestibule_ready",
        "1 while every store answers and takes writes, else 0."
    );
    Ok(handle)
}

/// What readiness is asked of.
#[derive(Clone)]
pub struct Health {
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Sessions.
    pub sessions: Arc<dyn Sessions>,
    /// Set once draining has begun.
    pub draining: Arc<AtomicBool>,
    /// What is counted.
    pub metrics: PrometheusHandle,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Health")
    }
}

/// The outcome of one thing that readiness depends on.
struct Check {
    name: &'static str,
    /// Why it fails.
    problem: Option<String>,
}

impl Health {
    /// What readiness depends on. A store is tried by a write, and keeps its answer for a second, so
    /// it does not matter how often this is asked.
    async fn checks(&self) -> Vec<Check> {
        let draining = self.draining.load(Ordering::Acquire);
        let draining = draining.then(|| "draining: this node is shutting down".to_owned());
        let (accounts, sessions) = tokio::join!(
            tokio::time::timeout(PATIENCE, self.accounts.ping()),
            tokio::time::timeout(PATIENCE, self.sessions.ping()),
        );
        let store = |name, answer: Result<Stored<()>, Elapsed>| {
            let problem = match answer {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_elapsed) => Some(format!("the store of {name} does not answer")),
            };
            Check { name, problem }
        };
        vec![
            Check { name: "serving", problem: draining },
            store("accounts", accounts),
            store("sessions", sessions),
        ]
    }
}

async fn livez() -> &'static str {
    "alive\n"
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
        let lines: Vec<_> = checks.iter().map(line).collect();
        return (status, later, Json(serde_json::json!({ "ready": ready, "checks": lines })))
            .into_response();
    }
    let body =
        if ready { "ready\n".to_owned() } else { format!("not ready\n{}\n", problems.join("\n")) };
    (status, later, body).into_response()
}

async fn metrics_page(State(health): State<Health>) -> impl IntoResponse {
    health.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], health.metrics.render())
}

/// Serves the admin pages for ever.
pub async fn serve(listener: TcpListener, health: Health) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .with_state(health);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                // Monitors need few; the rest of the descriptors is for others.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    if let Err(error) = one(stream, service).await {
                        tracing::debug!(%error, "an admin connection broke");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn one(
    stream: tokio::net::TcpStream,
    service: TowerToHyperService<Router>,
) -> io::Result<()> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    builder.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}
