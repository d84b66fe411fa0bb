//! The admin listener: liveness, readiness and metrics.

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

/// Time within which a store must answer a readiness check.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Maximum simultaneous admin connections.
const MOST_CONNECTIONS: usize = 32;

/// Installs the metrics recorder. Call once per process.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    metrics::describe_counter!(
        "vestibule_requests_total",
        "Requests by app and outcome: forwarded or refused (refused includes Vestibule's own pages)."
    );
    metrics::describe_gauge!("vestibule_connections", "Open client connections.");
    metrics::describe_counter!(
        "vestibule_connections_shed_total",
        "Connections shed to admit others, by the limit reached: address or all."
    );
    metrics::describe_counter!(
        "vestibule_connections_refused_total",
        "Connections refused because none could be shed, by the limit reached: address or all."
    );
    metrics::describe_counter!(
        "vestibule_requests_turned_away_total",
        "Requests answered with 503, by the limit reached: address, app or gateway."
    );
    metrics::describe_counter!("vestibule_sign_ins_total", "Finished sign-ins by second factor.");
    metrics::describe_counter!(
        "vestibule_sign_in_failures_total",
        "Failed attempts by reason: password, second_factor, throttled."
    );
    metrics::describe_counter!(
        "vestibule_security_events_total",
        "Audit events written by this node, by event and outcome."
    );
    metrics::describe_counter!(
        "vestibule_audit_rows_missing_total",
        "Actions completed although the audit event could not be written, by event."
    );
    metrics::describe_counter!(
        "vestibule_audit_lines_lost_total",
        "Audit events stored in SQL that could not be written as JSON lines."
    );
    metrics::describe_counter!(
        "vestibule_notices_total",
        "Mail notices by result: sent, retrying, failed, lost."
    );
    metrics::describe_gauge!(
        "vestibule_ready",
        "1 if every store answers and accepts writes, else 0."
    );
    Ok(handle)
}

/// Everything that readiness and metrics depend on.
#[derive(Clone)]
pub struct Health {
    /// The account store.
    pub accounts: Arc<dyn Accounts>,
    /// The session store.
    pub sessions: Arc<dyn Sessions>,
    /// True once draining has begun.
    pub draining: Arc<AtomicBool>,
    /// Handle that renders the metrics.
    pub metrics: PrometheusHandle,
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
    /// Runs all readiness checks. A store is checked by a write and caches the result for a second,
    /// so frequent polling adds no load.
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
                Err(_elapsed) => Some(format!("the {name} store does not answer")),
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

/// Serves the admin endpoints until the process ends.
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
                // Monitors need few connections. The remaining descriptors are reserved for
                // clients.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    if let Err(error) = one(stream, service).await {
                        tracing::debug!(%error, "admin connection failed");
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
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    builder.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}
