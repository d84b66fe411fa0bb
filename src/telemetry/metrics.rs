//! The metrics recorder, and the descriptions of all metrics.

pub use metrics_exporter_prometheus::PrometheusHandle;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder};

const COUNTERS: [(&str, &str); 14] = [
    (
        "vestibule_requests_total",
        "Requests by app and outcome: forwarded, failed (the app gave no whole answer) or refused (includes Vestibule's own pages).",
    ),
    (
        "vestibule_connections_shed_total",
        "Connections shed to admit others, by the limit reached: address or all.",
    ),
    (
        "vestibule_connections_refused_total",
        "Connections refused because none could be shed, by the limit reached: address or all.",
    ),
    (
        "vestibule_requests_turned_away_total",
        "Requests answered with 503, by the limit reached: address, app or gateway.",
    ),
    ("vestibule_sign_ins_total", "Finished sign-ins by second factor."),
    (
        "vestibule_sign_in_failures_total",
        "Failed sign-in attempts by kind: password, second_factor, passkey, recovery, ticket, token, throttled, suspended.",
    ),
    (
        "vestibule_keys_refused_total",
        "Answers of passkeys and security keys that were refused, by the failed check.",
    ),
    ("vestibule_security_events_total", "Audit events written by this node, by event and outcome."),
    (
        "vestibule_audit_rows_missing_total",
        "Actions completed although the audit event could not be written, by event.",
    ),
    (
        "vestibule_audit_lines_lost_total",
        "Audit events stored in SQL that could not be written as JSON lines.",
    ),
    (
        "vestibule_log_lines_dropped_total",
        "Log lines dropped because standard error was read too slowly.",
    ),
    ("vestibule_notices_total", "Mail notices by result: sent, retrying, failed, lost."),
    ("vestibule_responses_total", "Responses by app and status class."),
    ("vestibule_store_errors_total", "Failed store operations, by store."),
];

const GAUGES: [(&str, &str); 6] = [
    (
        "vestibule_clock_offset_seconds",
        "Seconds by which the clock of this node is ahead of that of the account database.",
    ),
    ("vestibule_connections", "Open client connections."),
    (
        "vestibule_config_last_reload_successful",
        "1 if the last reload, or the start, took the configuration, else 0.",
    ),
    (
        "vestibule_config_last_reload_success_timestamp_seconds",
        "Time of the last successful reload, or of the start, in Unix time.",
    ),
    ("vestibule_build_info", "The version."),
    ("vestibule_ready", "1 if every store answers and accepts writes, else 0."),
];

/// Installs the metrics recorder. Call once per process.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    for (name, text) in COUNTERS {
        metrics::describe_counter!(name, text);
    }
    for (name, text) in GAUGES {
        metrics::describe_gauge!(name, text);
    }
    metrics::gauge!("vestibule_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}
