//! Resolution of apps.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::{answers, app_headers, dialect, host, portal, rules, tokens, upstream};
use crate::config::key_path::KeyPath;
use crate::config::raw::RawApp;
use crate::config::reader::Reader;
use crate::proxy::settings::{AppSettings, ForwardedBy, HostPattern, Icon};

/// Maximum characters in an app name.
const NAME_MAX: usize = 64;

/// Resolves the apps. `has_portal` is true if the configuration has a portal.
pub(super) fn apps(raw: &[RawApp], has_portal: bool, r: &mut Reader<'_>) -> Vec<AppSettings> {
    let at = KeyPath::of("apps");
    if raw.is_empty() {
        r.fail(&at, "there is no app: add [[apps]] with a name, hosts and upstreams");
    }
    let mut hosts = HashMap::new();
    let mut apps: Vec<AppSettings> = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let at = at.index(i);
        let mut app = app(raw, &at, &mut hosts, r);
        app.portal = portal::is_below(raw, &app, has_portal, &at, r);
        if raw.icon.is_some() && !app.portal {
            r.warn(&at.key("icon"), "is not shown: the app does not sign in at a portal");
        }
        if !app.name.is_empty() && apps.iter().any(|other| other.name == app.name) {
            r.fail(
                &at.key("name"),
                format!("{:?} is the name of another app: give each its own", app.name),
            );
        }
        apps.push(app);
    }
    warn_of_names(&apps, &at, r);
    apps
}

/// Warns about rules by login name in an app that provisions accounts, because users choose their
/// names in the app and may take a name that a rule uses.
fn warn_of_names(apps: &[AppSettings], at: &KeyPath, r: &mut Reader<'_>) {
    let mut rules = apps.iter().flat_map(|app| app.policy.rules());
    let Some(rule) = rules.find(|rule| !rule.users.is_empty()) else { return };
    for (i, app) in apps.iter().enumerate() {
        if app.first_factor.is_some_and(|policy| policy.provision) {
            let why = format!(
                "creates accounts under names that the app's users choose, and rules (such as \
                 {:?}) match names: names used in rules are never provisioned, but accounts created \
                 before keep theirs. Check each name (`vestibule user show NAME`), or use groups",
                rule.name
            );
            r.warn(&at.index(i).key("provision"), &why);
        }
    }
}

fn app(
    raw: &RawApp,
    at: &KeyPath,
    taken: &mut HashMap<HostPattern, String>,
    r: &mut Reader<'_>,
) -> AppSettings {
    let name = name(raw.name.as_deref(), &at.key("name"), r);
    let title = raw.title.clone().unwrap_or_else(|| name.clone());
    if title.trim().is_empty() && !name.is_empty() || title.chars().any(char::is_control) {
        r.fail(&at.key("title"), "must not be empty or contain control characters");
    }
    let icon = raw.icon.as_ref().and_then(|file| {
        let icon = icon(&r.path(file));
        icon.map_err(|why| r.fail(&at.key("icon"), why)).ok()
    });
    let written = raw.methods.as_deref().unwrap_or_default();
    let extra_methods = rules::extra_methods(written, &at.key("methods"), r);
    let hosts = hosts(raw.hosts.as_deref(), &name, &at.key("hosts"), taken, r);
    let context = rules::AppContext { hosts: &hosts, methods: &extra_methods };
    let policy = rules::policy(&raw.rules, &context, &at.key("rules"), r);
    let dialect = dialect::dialect(raw, at, r);
    let first_factor = dialect::first_factor(raw, dialect.is_some(), at, r);
    let tokens = tokens::tokens(raw, &context, dialect.as_ref(), &at.key("tokens"), r);
    AppSettings {
        first_factor,
        tokens,
        dialect: dialect.map(Arc::new),
        hosts,
        answers: answers::answers(raw, at, r),
        forwarded_by: forwarded_by(raw, at, r),
        upstream: upstream::upstream(raw, at, r),
        max_requests: raw
            .max_requests
            .map(|most| r.number(&at.key("max_requests"), Some(most), 1_000_000, &(2..=1_000_000))),
        websocket: raw.websocket.unwrap_or(true),
        service_workers: raw.service_workers.unwrap_or(false),
        identity_headers: app_headers::identity_headers(raw.identity_headers.as_ref(), at, r),
        assertion: app_headers::assertion(raw, &name, at, r),
        strip_headers: app_headers::strip_headers(
            raw.strip_headers.as_deref(),
            &at.key("strip_headers"),
            r,
        ),
        parks: raw.parked.as_ref().and_then(|parked| parked.enabled).unwrap_or(true),
        passive: answers::globs(raw.passive.as_deref(), &at.key("passive"), r),
        policy,
        extra_methods,
        portal: false,
        related_origins_at: None,
        name,
        title,
        icon: icon.map(Arc::new),
    }
}

/// Resolves `forward_auth`. What Vestibule changes in requests and answers of a dialect, another proxy
/// cannot do.
fn forwarded_by(raw: &RawApp, at: &KeyPath, r: &mut Reader<'_>) -> ForwardedBy {
    if !raw.forward_auth.unwrap_or(false) {
        return ForwardedBy::Vestibule;
    }
    if raw.dialect.is_some() {
        r.fail(
            &at.key("forward_auth"),
            "cannot be combined with a dialect: Vestibule has to forward the app's requests itself",
        );
    }
    let has_upstreams = raw.upstreams.as_ref().is_some_and(|upstreams| !upstreams.is_empty());
    if has_upstreams { ForwardedBy::Both } else { ForwardedBy::Others }
}

fn name(raw: Option<&str>, key: &KeyPath, r: &mut Reader<'_>) -> String {
    let Some(name) = raw else {
        r.fail(key, "is missing: write a short name such as name = \"wiki\"");
        return String::new();
    };
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(allowed) {
        r.fail(
            key,
            format!("{name:?} is not a name: 1 to 64 lower-case letters, digits, `-` and `_`"),
        );
    }
    name.to_owned()
}

/// Reads an icon, and no more of the file than an icon may have.
fn icon(file: &Path) -> Result<Icon, String> {
    const ACCEPTED: &str = "a PNG, JPEG, WebP, GIF or SVG file of at most 64 KiB";
    let name = file.display();
    let mut content = Vec::new();
    let opened = File::open(file);
    opened
        .and_then(|file| file.take(Icon::MAX_BYTES + 1).read_to_end(&mut content))
        .map_err(|e| format!("{name} cannot be read ({e}): name {ACCEPTED}"))?;
    Icon::new(content).ok_or_else(|| format!("{name} is not an icon: name {ACCEPTED}"))
}

fn hosts(
    raw: Option<&[String]>,
    app: &str,
    at: &KeyPath,
    taken: &mut HashMap<HostPattern, String>,
    r: &mut Reader<'_>,
) -> Vec<HostPattern> {
    let written = raw.unwrap_or_default();
    if written.is_empty() {
        r.fail(at, "is missing: write hosts = [\"app.example.com\"]");
    }
    let mut hosts = Vec::new();
    for (i, text) in written.iter().enumerate() {
        match host::pattern(text) {
            Err(why) => r.fail(&at.index(i), why),
            Ok(host) => {
                if let Some(other) = taken.insert(host.clone(), app.to_owned()) {
                    let why = format!(
                        "{text:?} belongs to the app {other:?}: each host belongs to one app"
                    );
                    r.fail(&at.index(i), why);
                }
                hosts.push(host);
            }
        }
    }
    hosts
}
