//! Validates the raw configuration and builds the settings: every check that involves more than the
//! form of one value.

mod addresses;
mod answers;
mod app;
mod app_headers;
mod audit;
mod certificates;
mod dialect;
mod health;
mod host;
mod limits;
mod listeners;
mod loops;
mod mail;
mod portal;
mod related_origins;
mod rules;
mod session_store;
mod store_url;
mod stores;
mod tokens;
mod upstream;
mod webauthn;

use std::time::Duration;

use super::key_path::KeyPath;
use super::raw::{RawConfig, RawLog, RawSecondFactor, RawServer};
use super::reader::Reader;
use super::settings::{LogFormat, LogSettings, Settings};
use crate::auth::ticket::FirstEnrolment;
use crate::proxy::settings::{
    AppSettings, HostPattern, ListenerKind, ListenerSettings, NetworkSettings, PortalSettings,
    ProxySettings, WebOrigin,
};

/// Maximum worker threads.
const WORKERS_MAX: usize = 1024;

/// Builds the settings from `raw`. They are valid only if `r` recorded no error.
pub(super) fn settings(raw: &RawConfig, r: &mut Reader<'_>) -> Settings {
    let listeners = listeners::listeners(&raw.listeners, r);
    let admin = listeners::admin(raw.admin.as_ref(), &listeners, r);
    let network = listeners::network(&raw.network.clone().unwrap_or_default(), &listeners, r);
    let mut apps = app::apps(&raw.apps, raw.portal.is_some(), r);
    let portal = portal::portal(raw.portal.as_ref(), &apps, r);
    let hosts = certificates::Hosts { apps: &apps, portal: portal.as_ref() };
    let certificates = certificates::certificates(&raw.certificates, &listeners, &hosts, r);
    let stores = stores::stores(raw, r);
    let (workers, drain_notice, drain) = server(&raw.server.clone().unwrap_or_default(), r);
    loops::Gateway { listeners: &listeners, admin, apps: &apps, portal: portal.as_ref() }
        .check_upstreams(&raw.apps, r);
    let public = public(raw.public_url.as_deref(), portal.as_ref(), &apps, r);
    let public_url = match (&raw.public_url, &public) {
        (Some(_), Some(set)) => set.to_string(),
        (Some(_), None) => String::new(),
        (None, _) => public_url(portal.as_ref(), &apps, &listeners, r),
    };
    app_headers::settle(&mut apps, public.as_ref(), &stores, r);
    warn_of_questions(&apps, &network, r);
    let issuer = issuer(&raw.second_factor.clone().unwrap_or_default(), r);
    let service = issuer.clone().unwrap_or_else(|| service(portal.as_ref(), &apps));
    let keys = raw.second_factor.as_ref().and_then(|second| second.webauthn.clone());
    let keys = webauthn::keys(&keys.unwrap_or_default(), &apps, portal.as_ref(), r);
    related_origins::serve(&keys, &mut apps, portal.as_ref(), r);
    let mail = raw.mail.as_ref().and_then(|raw| mail::mail(raw, service, &public_url, r));
    Settings {
        source: std::path::PathBuf::new(),
        data_dir: stores.data_dir,
        public_url,
        proxy: ProxySettings {
            listeners,
            certificates,
            network,
            public,
            portal,
            apps,
            workers,
            drain_notice,
            drain,
        },
        admin,
        keys_file: stores.keys_file,
        keys_may_be_made: stores.keys_may_be_made,
        sessions: limits::sessions(&raw.sessions.clone().unwrap_or_default(), r),
        session_store: stores.session_store,
        database: stores.database,
        pool: stores.pool,
        enrolment: enrolment(&raw.second_factor.clone().unwrap_or_default(), r),
        issuer,
        webauthn: keys,
        ticket_lifetime: limits::tickets(&raw.tickets.clone().unwrap_or_default(), r),
        passwords: limits::passwords(&raw.passwords.clone().unwrap_or_default(), r),
        budgets: limits::budgets(&raw.throttle.clone().unwrap_or_default(), r),
        audit: audit::audit(&raw.audit.clone().unwrap_or_default(), r),
        mail,
        log: log(&raw.log.clone().unwrap_or_default(), r),
        effective: Vec::new(),
        warnings: Vec::new(),
        weakenings: Vec::new(),
    }
}

/// Returns the name of the whole service: the title of the portal or of the first app.
fn service(portal: Option<&PortalSettings>, apps: &[AppSettings]) -> String {
    let title = portal.map(|portal| portal.title.clone());
    title.or_else(|| apps.first().map(|app| app.title.clone())).unwrap_or_default()
}

/// Returns the number of cores available to this process.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn server(raw: &RawServer, r: &mut Reader<'_>) -> (usize, Duration, Duration) {
    let at = KeyPath::of("server");
    let cores = cores().min(WORKERS_MAX);
    let workers_key = at.key("workers");
    let workers = r.number(&workers_key, raw.workers, cores, &(1..=WORKERS_MAX));
    r.show(&workers_key, workers);
    let notice = raw.drain_notice.as_deref();
    let notice = r.duration(&at.key("drain_notice"), notice, Duration::ZERO);
    let drain = r.duration(&at.key("drain"), raw.drain.as_deref(), Duration::from_secs(30));
    (workers, notice, drain)
}

/// Warns about apps with `forward_auth` if no proxy is trusted to ask.
fn warn_of_questions(apps: &[AppSettings], network: &NetworkSettings, r: &mut Reader<'_>) {
    for (i, app) in apps.iter().enumerate() {
        if app.forwarded_by.includes_others() && network.trusted_proxies.is_empty() {
            let at = KeyPath::of("apps").index(i).key("forward_auth");
            let why = "no proxy may ask: write its address into network.trusted_proxies";
            r.warn(&at, why);
        }
    }
}

/// Resolves `public_url` if it is set.
fn public(
    raw: Option<&str>,
    portal: Option<&PortalSettings>,
    apps: &[AppSettings],
    r: &mut Reader<'_>,
) -> Option<WebOrigin> {
    let key = KeyPath::of("public_url");
    let origin = match upstream::origin(raw?) {
        Ok(url) => WebOrigin::parse(&url.origin().ascii_serialization())?,
        Err(why) => {
            r.fail(&key, format!("{why}: write it like \"https://app.example.com\""));
            return None;
        }
    };
    if !origin.is_https() && !origin.is_loopback() {
        let why = "is plain http: one-time links could be read on the way, and browsers keep no \
                   cookies of Vestibule. Write https://";
        r.warn(&key, why);
    }
    let of_app = apps.iter().any(|app| app.hosts.iter().any(|host| host.matches(origin.name())));
    if !of_app && portal.is_none_or(|portal| portal.host != origin.name()) {
        let why = "is the host of no app and not the portal: one-time links would lead to a host \
                   that Vestibule does not serve";
        r.warn(&key, why);
    }
    Some(origin)
}

/// Returns the default base URL of links: the host of the portal or of the first app, with the port
/// of the first https listener.
fn public_url(
    portal: Option<&PortalSettings>,
    apps: &[AppSettings],
    listeners: &[ListenerSettings],
    r: &mut Reader<'_>,
) -> String {
    let mut https = listeners.iter().filter(|listener| listener.kind == ListenerKind::Https);
    let port = https.next().map(|listener| listener.address.port()).filter(|port| *port != 0);
    let of_portal = portal.map(|portal| [HostPattern::Exact(portal.host.clone())]);
    let of_app = apps.first().map(|a| a.hosts.as_slice()).unwrap_or_default();
    let hosts = of_portal.as_ref().map_or(of_app, |host| host);
    let exact = hosts.iter().find_map(|host| match host {
        HostPattern::Exact(name) => Some(WebOrigin::new(true, name, port).to_string()),
        HostPattern::Wildcard(_) => None,
    });
    if exact.is_none() && !hosts.is_empty() {
        let why = "is required, because the first app has no exact host name to derive it from";
        r.fail(&KeyPath::of("public_url"), why);
    }
    let url = exact.unwrap_or_default();
    let whose = if portal.is_some() { "the portal" } else { "the first app" };
    let why = format!(
        "host of {whose} and port of the first https listener; set public_url if browsers use others"
    );
    r.show(&KeyPath::of("public_url"), format_args!("{url} ({why})"));
    url
}

fn enrolment(raw: &RawSecondFactor, r: &mut Reader<'_>) -> FirstEnrolment {
    let key = KeyPath::of("second_factor.enrolment");
    let choices = [("first_login", FirstEnrolment::FirstLogin), ("ticket", FirstEnrolment::Ticket)];
    let word = raw.enrolment.as_deref().or(Some("first_login"));
    r.choice(&key, word, &choices).unwrap_or_default()
}

fn issuer(raw: &RawSecondFactor, r: &mut Reader<'_>) -> Option<String> {
    let at = KeyPath::of("second_factor");
    let issuer = raw.totp.as_ref().and_then(|t| t.issuer.clone())?;
    let bad = issuer.trim().is_empty() || issuer.chars().any(|c| c == ':' || c.is_control());
    if bad {
        let key = at.key("totp").key("issuer");
        r.fail(&key, "must not be empty or contain a colon: write the name that users know you by");
    }
    Some(issuer)
}

fn log(raw: &RawLog, r: &mut Reader<'_>) -> LogSettings {
    use tracing::Level;
    let at = KeyPath::of("log");
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    let format = raw.format.as_deref().or(Some("text"));
    let level = raw.level.as_deref().or(Some("info"));
    LogSettings {
        format: r.choice(&at.key("format"), format, &formats).unwrap_or(LogFormat::Text),
        level: r.choice(&at.key("level"), level, &levels).unwrap_or(Level::INFO),
    }
}
