//! Resolution of the portal, and of the apps that sign in there.

use super::host;
use crate::auth::session::PORTAL;
use crate::config::key_path::KeyPath;
use crate::config::raw::{RawApp, RawPortal};
use crate::config::reader::Reader;
use crate::proxy::settings::{AppSettings, HostPattern, PortalSettings};

/// Resolves the portal.
pub(super) fn portal(
    raw: Option<&RawPortal>,
    apps: &[AppSettings],
    r: &mut Reader<'_>,
) -> Option<PortalSettings> {
    let raw = raw?;
    let at = KeyPath::of("portal");
    let host = host_of(raw.host.as_deref(), apps, &at.key("host"), r)?;
    let title = raw.title.clone().unwrap_or_else(|| host.clone());
    if title.trim().is_empty() || title.chars().any(char::is_control) {
        r.fail(&at.key("title"), "must not be empty or contain control characters");
    }
    r.show(&at.key("title"), &title);
    if let Some(i) = apps.iter().position(|app| app.name == PORTAL) {
        let why =
            format!("{PORTAL:?} is reserved for the portal's own sessions: choose another name");
        r.fail(&KeyPath::of("apps").index(i).key("name"), why);
    }
    if !apps.iter().any(|app| app.portal) {
        r.warn(&at, "no app signs in there: see the key portal of [[apps]]");
    }
    Some(PortalSettings { host, title })
}

fn host_of(
    raw: Option<&str>,
    apps: &[AppSettings],
    key: &KeyPath,
    r: &mut Reader<'_>,
) -> Option<String> {
    let Some(text) = raw else {
        r.fail(key, "is missing: write host = \"sign-in.example.com\"");
        return None;
    };
    let name = match host::pattern(text) {
        Ok(HostPattern::Exact(name)) => name,
        Ok(HostPattern::Wildcard(_)) => {
            let why = format!("{text:?} is not a single host: write one name for the portal");
            r.fail(key, why);
            return None;
        }
        Err(why) => {
            r.fail(key, why);
            return None;
        }
    };
    let exact = HostPattern::Exact(name.clone());
    if let Some(app) = apps.iter().find(|app| app.hosts.contains(&exact)) {
        let why = format!(
            "{text:?} is a host of the app {:?}: the portal needs a name of its own, which no app has",
            app.name
        );
        r.fail(key, why);
    } else if let Some(app) = apps.iter().find(|app| app.hosts.iter().any(|h| h.matches(&name))) {
        r.remark(key, format_args!("goes before the wildcard host of the app {:?}", app.name));
    }
    Some(name)
}

/// Returns true if the users of an app sign in at the portal.
pub(super) fn is_below(
    raw: &RawApp,
    app: &AppSettings,
    is_set: bool,
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> bool {
    let key = at.key("portal");
    let by_app = app.first_factor.is_some();
    let below = raw.portal.unwrap_or(is_set && !by_app);
    r.show(&key, below);
    if !below {
        return false;
    }
    if !is_set {
        r.fail(&key, "there is no portal: add [portal] with a host, or leave this key out");
    }
    if by_app {
        let why = "an app with first_factor = \"app\" signs in at its own host, because only the app \
                   can check its passwords: leave this key out";
        r.fail(&key, why);
    }
    if let Some(i) = app.hosts.iter().position(|host| matches!(host, HostPattern::Wildcard(_))) {
        let why = "a wildcard host cannot take over a sign-in from the portal, because it would go to \
                   any name below it: list the hosts, or write portal = false for this app";
        r.fail(&at.key("hosts").index(i), why);
    }
    if app.policy.has_password_only_rule() {
        let why = "a rule has access = \"password\", and the portal signs in with both factors: \
                   write portal = false for this app, or change the rule";
        r.fail(&key, why);
    }
    true
}
