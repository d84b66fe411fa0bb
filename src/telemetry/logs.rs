//! Structured logs on standard error, as text or JSON. The number of lines from one place is capped
//! ([`super::caps`]).

use std::io;
use std::str::FromStr;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::caps::Caps;
use crate::base::clock::SystemClock;

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Log settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Format of the lines.
    pub format: LogFormat,
    /// Minimum level of Vestibule's own lines. Libraries log from `warn`.
    pub level: tracing::Level,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: tracing::Level::INFO }
    }
}

/// Starts logging to standard error, including lines from libraries, and reports lines suppressed
/// by the caps. A second call has no effect. Must be called within the Tokio runtime.
pub fn init(settings: LogSettings) {
    // Pingora logs every client that disconnects as an error. Vestibule logs the relevant cases
    // itself.
    let filter = format!(
        "warn,vestibule={},pingora_core=off,pingora_proxy=off,pingora_load_balancing=warn",
        settings.level
    );
    let filter = EnvFilter::from_str(&filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let caps = Caps::new(Arc::new(SystemClock::new()));
    let registry = tracing_subscriber::registry().with(filter).with(caps.clone());
    let result = match settings.format {
        LogFormat::Text => registry
            .with(fmt::layer().with_writer(io::stderr).with_target(false).with_ansi(false))
            .try_init(),
        LogFormat::Json => registry
            .with(
                fmt::layer().json().flatten_event(true).with_target(false).with_writer(io::stderr),
            )
            .try_init(),
    };
    match result {
        Ok(()) => drop(tokio::spawn(caps.report_suppressed())),
        Err(_again) => tracing::debug!("logging already initialized"),
    }
}
