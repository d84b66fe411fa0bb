//! Structured logs on standard error: text for people, JSON for machines.

use std::io;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged of our own; libraries are logged from `warn` on.
    pub level: tracing::Level,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: tracing::Level::INFO }
    }
}

/// Sends everything that is traced, and what libraries log, to standard error. A second call
/// changes nothing.
pub fn init(settings: LogSettings) {
    // Pingora logs every client that goes away as an error; what matters of it we log ourselves.
    let filter = format!(
        "warn,vestibule={},pingora_core=off,pingora_proxy=off,pingora_load_balancing=warn",
        settings.level
    );
    let filter = EnvFilter::from_str(&filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
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
    if result.is_err() {
        tracing::debug!("logging was set up before");
    }
}
