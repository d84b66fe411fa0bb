//! The composition root.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::auth::admin::AccountAdmin;
use crate::config::settings::Settings;

/// Why the gateway did not start or stopped.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AppError(String);

/// How the demonstration is run.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// Where its data is kept; a fresh directory that goes away at the end where it is not set.
    pub dir: Option<PathBuf>,
    /// Where it listens.
    pub listen: Option<SocketAddr>,
}

fn not_linked<T>() -> Result<T, AppError> {
    Err(AppError("not linked".to_owned()))
}

/// Runs the gateway until it is told to stop.
pub async fn serve(_settings: Settings) -> Result<(), AppError> {
    not_linked()
}

/// Runs the demonstration until it is told to stop.
pub async fn demo(_options: DemoOptions) -> Result<(), AppError> {
    not_linked()
}

/// Opens the stores for an operator's command.
pub async fn open_admin(_settings: &Settings) -> Result<AccountAdmin, AppError> {
    not_linked()
}

/// Tries stores, certificates and upstreams; what does not work, a sentence each.
pub async fn check_online(_settings: &Settings) -> Vec<String> {
    Vec::new()
}
