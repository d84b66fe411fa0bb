//! Structured logs on standard error: text for people, JSON for machines. Lines of one kind are
//! capped ([`super::caps`]).

use std::io;
use std::str::FromStr;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::caps::Caps;
use crate::base::clock::SystemClock;

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

/// Sends everything that is traced, and what libraries log, to standard error, and tells what is left
/// out of a flood. A second call changes nothing. To be called within the runtime.
pub fn init(settings: LogSettings) {
    // Pingora logs every client that goes away as an error; what matters of it we log ourselves.
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
        Ok(()) => drop(tokio::spawn(caps.tell_for_ever())),
        Err(_again) => tracing::debug!("logging was set up before"),
    }
}
