//! The checks of `check --online`: stores, certificates and upstreams. They change nothing.

use super::stores::{check_accounts, check_sessions, unknown_users};
use crate::auth::ports::Stored;
use crate::base::clock::{Clock, SystemClock};
use crate::config::settings::Settings;
use crate::proxy::{out_of_date, try_connect};

/// The result of one part of the check.
#[derive(Debug)]
pub struct Tried {
    /// "accounts", "sessions", "certificates" or "app NAME".
    pub name: String,
    /// Sentences about a state that is allowed but worth knowing.
    pub notes: Vec<String>,
    /// Sentences about faults.
    pub problems: Vec<String>,
}

impl Tried {
    fn new(name: impl Into<String>, problems: Vec<String>) -> Self {
        Self { name: name.into(), notes: Vec::new(), problems }
    }

    /// The result of a look at a store.
    fn store(name: &str, looked: Stored<Option<String>>) -> Self {
        match looked {
            Ok(note) => Self { notes: note.into_iter().collect(), ..Self::new(name, Vec::new()) },
            Err(error) => Self::new(name, vec![error.to_string()]),
        }
    }
}

/// The results of all parts.
#[derive(Debug)]
pub struct Online(pub Vec<Tried>);

impl Online {
    /// Returns true if no part has a fault.
    pub fn works(&self) -> bool {
        self.0.iter().all(|tried| tried.problems.is_empty())
    }
}

/// Checks stores, certificates and upstreams once. Creates neither files nor tables.
pub async fn check_online(settings: &Settings) -> Online {
    let mut accounts = Tried::store("accounts", check_accounts(settings).await);
    // If the database does not answer, `accounts` says so already.
    for name in unknown_users(settings).await.unwrap_or_default() {
        accounts.notes.push(format!(
            "apps.tokens: there is no user {name}, so the token is rejected: add the user with \
             `vestibule user add {name}`"
        ));
    }
    let mut all = vec![accounts, Tried::store("sessions", check_sessions(settings).await)];
    let certificates = &settings.proxy.certificates;
    if !certificates.is_empty() {
        all.push(Tried::new("certificates", out_of_date(certificates, SystemClock::new().now())));
    }
    for app in &settings.proxy.apps {
        all.push(Tried::new(format!("app {}", app.name), try_connect(app).await));
    }
    Online(all)
}
