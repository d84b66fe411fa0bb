//! Structured logs on standard error, as text or JSON. The number of lines from one place is capped
//! ([`super::caps`]). A dedicated thread writes the lines, so no request waits for a disk or a pipe.

use std::io;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

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

/// Maximum lines that wait to be written. Lines beyond this are dropped and counted.
const QUEUE: usize = 4096;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Returns the number of lines that were dropped because standard error is read too slowly.
pub(super) fn dropped_lines() -> u64 {
    DROPPED.get().map_or(0, |counter| u64::try_from(counter.dropped_lines()).unwrap_or(u64::MAX))
}

/// The filter in use.
static RELOAD: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

fn filter(level: tracing::Level) -> EnvFilter {
    // Pingora logs every client that disconnects as an error. Vestibule logs the relevant cases
    // itself.
    let filter = format!("warn,vestibule={level},pingora_core=off,pingora_proxy=off");
    EnvFilter::from_str(&filter).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Changes the minimum level of Vestibule's own lines.
pub fn set_level(level: tracing::Level) {
    let Some(reload) = RELOAD.get() else { return };
    if let Err(error) = reload.reload(filter(level)) {
        tracing::error!(%error, "failed to change the log level");
    }
}

/// Running logging. Its end writes the lines that wait, for at most a second.
#[derive(Debug)]
#[must_use]
pub struct Logging {
    _writer: Option<WorkerGuard>,
}

/// Starts logging to standard error, including lines from libraries, and reports lines suppressed
/// by the caps. A second call has no effect. Must be called within the Tokio runtime.
pub fn init(settings: LogSettings) -> Logging {
    let (filter, reload) = reload::Layer::new(filter(settings.level));
    let caps = Caps::new(Arc::new(SystemClock::new()));
    let (stderr, writer) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE)
        .lossy(true)
        .thread_name("log")
        .finish(io::stderr());
    let counter = stderr.error_counter();
    let registry = tracing_subscriber::registry().with(filter).with(caps.clone());
    let result = match settings.format {
        LogFormat::Text => registry
            .with(fmt::layer().with_writer(stderr).with_target(false).with_ansi(false))
            .try_init(),
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_target(false).with_writer(stderr))
            .try_init(),
    };
    match result {
        Ok(()) => {
            // No second call gets here.
            drop(RELOAD.set(reload));
            let counter = DROPPED.get_or_init(|| counter);
            drop(tokio::spawn(caps.report_suppressed(counter.clone())));
            Logging { _writer: Some(writer) }
        }
        Err(_again) => {
            tracing::debug!("logging already initialized");
            Logging { _writer: None }
        }
    }
}
