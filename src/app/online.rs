//! The checks of `check --online`: stores, keys, certificates and upstreams. They change nothing.

use super::findings::Findings;
use super::peers;
use super::stores::{check_accounts, check_sessions, orphaned_keys, unknown_users};
use crate::auth::ports::Stored;
use crate::base::clock::{Clock, SystemClock};
use crate::config::settings::Settings;
use crate::proxy::{out_of_date, try_connect};

/// The result of one part of the check.
#[derive(Debug)]
pub struct Tried {
    /// "accounts", "sessions", "keys", "certificates", "app NAME", or a part that the doctor examines.
    pub name: String,
    /// Sentences about a state that is allowed but may not be intended.
    pub notes: Vec<String>,
    /// Sentences about faults.
    pub problems: Vec<String>,
}

impl Tried {
    fn new(name: impl Into<String>, problems: Vec<String>) -> Self {
        Self { name: name.into(), notes: Vec::new(), problems }
    }

    /// The result of an examination.
    pub(super) fn of(name: impl Into<String>, found: Findings) -> Self {
        Self { notes: found.notes, ..Self::new(name, found.problems) }
    }

    /// The result of a look at a store.
    fn store(name: &str, looked: Stored<impl IntoIterator<Item = String>>) -> Self {
        match looked {
            Ok(notes) => Self { notes: notes.into_iter().collect(), ..Self::new(name, Vec::new()) },
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
    let rp_id = settings.webauthn.rp_id.as_deref();
    for (other, keys) in
        orphaned_keys(settings, rp_id.unwrap_or_default()).await.unwrap_or_default()
    {
        let mut hosts = settings.proxy.apps.iter().flat_map(|app| &app.hosts);
        let place = match rp_id {
            Some(rp_id) => rp_id,
            None if hosts.any(|host| host.matches(&other)) => continue,
            None => "the host of any app",
        };
        accounts.notes.push(format!(
            "second_factor.webauthn.rp_id: {keys} keys are registered for {other} and do not work for \
             {place}: their users have to add them again"
        ));
    }
    let mut all = vec![accounts, Tried::store("sessions", check_sessions(settings).await)];
    all.push(match peers::compare(settings).await {
        Ok((drift, former)) => {
            let notes = [drift.settings, former].concat();
            Tried { notes, ..Tried::new("keys", drift.keys) }
        }
        Err(error) => Tried::new("keys", vec![error.to_string()]),
    });
    let certificates = &settings.proxy.certificates;
    if !certificates.is_empty() {
        all.push(Tried::new("certificates", out_of_date(certificates, SystemClock::new().now())));
    }
    for app in &settings.proxy.apps {
        all.push(Tried::new(format!("app {}", app.name), try_connect(app).await));
    }
    Online(all)
}
