//! What `check --online` tries, without changing anything: stores, certificates and upstreams.

use super::stores::{look_at_accounts, look_at_sessions, unknown_people};
use crate::base::clock::{Clock, SystemClock};
use crate::config::settings::Settings;
use crate::proxy::{out_of_date, try_connect};

/// What was found, a sentence each.
#[derive(Debug, Default)]
pub struct Online {
    /// What is as it may be, and to be known.
    pub notes: Vec<String>,
    /// What does not work.
    pub problems: Vec<String>,
}

/// Tries stores, certificates and upstreams once. No file is made and no table.
pub async fn check_online(settings: &Settings) -> Online {
    let mut online = Online::default();
    for looked in [look_at_accounts(settings).await, look_at_sessions(settings).await] {
        match looked {
            Ok(note) => online.notes.extend(note),
            Err(error) => online.problems.push(error.to_string()),
        }
    }
    // A database that does not answer is told of above.
    for name in unknown_people(settings).await.unwrap_or_default() {
        online.notes.push(format!(
            "apps.tokens: there is no user {name}, so that the token is refused: add one with \
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
