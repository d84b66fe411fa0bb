//! The checks of `check --online`: stores, certificates and upstreams. They change nothing.

use super::stores::{check_accounts, check_sessions, unknown_users};
use crate::base::clock::{Clock, SystemClock};
use crate::config::settings::Settings;
use crate::proxy::{out_of_date, try_connect};

/// Results of the checks, one sentence each.
#[derive(Debug, Default)]
pub struct Online {
    /// Remarks that need no action before the start.
    pub notes: Vec<String>,
    /// Errors.
    pub problems: Vec<String>,
}

/// Checks stores, certificates and upstreams once. Creates neither files nor tables.
pub async fn check_online(settings: &Settings) -> Online {
    let mut online = Online::default();
    for checked in [check_accounts(settings).await, check_sessions(settings).await] {
        match checked {
            Ok(note) => online.notes.extend(note),
            Err(error) => online.problems.push(error.to_string()),
        }
    }
    // A database error is reported above.
    for name in unknown_users(settings).await.unwrap_or_default() {
        online.notes.push(format!(
            "apps.tokens: there is no user {name}, so the token is rejected: add the user with \
             `vestibule user add {name}`"
        ));
    }
    let now = SystemClock::new().now();
    online.problems.extend(out_of_date(&settings.proxy.certificates, now));
    for app in &settings.proxy.apps {
        online.problems.extend(try_connect(app).await);
    }
    online
}
