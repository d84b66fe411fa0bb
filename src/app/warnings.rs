//! Logs the warnings and weakenings of a configuration.

use crate::config::settings::Settings;

/// Logs the warnings and weakenings of a configuration.
pub(super) fn log_warnings(settings: &Settings) {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    for weakening in &settings.weakenings {
        tracing::warn!("weakening: {weakening}");
    }
}
