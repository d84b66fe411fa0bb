//! Validates the raw configuration and builds the settings: every check that involves more than the
//! form of one value.

mod addresses;
mod answers;
mod app;
mod audit;
mod certificates;
mod dialect;
mod host;
mod limits;
mod listeners;
mod mail;
mod rules;
mod stores;
mod tokens;
mod upstream;

use std::time::Duration;

use super::key_path::KeyPath;
use super::raw::{RawConfig, RawLog, RawSecondFactor, RawServer};
use super::reader::Reader;
use super::settings::{LogFormat, LogSettings, Settings};
use crate::auth::ticket::FirstEnrolment;
use crate::proxy::settings::{
    AppSettings, HostPattern, ListenerKind, ListenerSettings, ProxySettings, WebOrigin,
};

/// Maximum worker threads.
const WORKERS_MAX: usize = 1024;

/// Builds the settings from `raw`. They are valid only if `r` recorded no error.
pub(super) fn settings(raw: &RawConfig, r: &mut Reader<'_>) -> Settings {
    let listeners = listeners::listeners(&raw.listeners, r);
    let admin = listeners::admin(raw.admin.as_ref(), &listeners, r);
    let network = listeners::network(&raw.network.clone().unwrap_or_default(), &listeners, r);
    let apps = app::apps(&raw.apps, r);
    let certificates = certificates::certificates(&raw.certificates, &listeners, &apps, r);
    let stores = stores::stores(raw, r);
    let (workers, drain) = server(&raw.server.clone().unwrap_or_default(), r);
    let public = public(raw.public_url.as_deref(), r);
    let public_url = match (&raw.public_url, &public) {
        (Some(_), Some(set)) => set.to_string(),
        (Some(_), None) => String::new(),
        (None, _) => public_url(&apps, &listeners, r),
    };
    let issuer = issuer(&raw.second_factor.clone().unwrap_or_default(), r);
    let service = issuer.clone().or_else(|| apps.first().map(|app| app.title.clone()));
    let service = service.unwrap_or_default();
    let mail = raw.mail.as_ref().and_then(|raw| mail::mail(raw, service, &public_url, r));
    Settings {
        source: std::path::PathBuf::new(),
        data_dir: stores.data_dir,
        public_url,
        proxy: ProxySettings { listeners, certificates, network, public, apps, workers, drain },
        admin,
        keys_file: stores.keys_file,
        keys_may_be_made: stores.keys_may_be_made,
        sessions: limits::sessions(&raw.sessions.clone().unwrap_or_default(), r),
        session_store: stores.session_store,
        database: stores.database,
        enrolment: enrolment(&raw.second_factor.clone().unwrap_or_default(), r),
        issuer,
        ticket_lifetime: limits::tickets(&raw.tickets.clone().unwrap_or_default(), r),
        passwords: limits::passwords(&raw.passwords.clone().unwrap_or_default(), r),
        budgets: limits::budgets(&raw.throttle.clone().unwrap_or_default(), r),
        audit: audit::audit(&raw.audit.clone().unwrap_or_default(), r),
        mail,
        log: log(&raw.log.clone().unwrap_or_default(), r),
        warnings: Vec::new(),
        weakenings: Vec::new(),
    }
}

/// Returns the number of cores available to this process.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn server(raw: &RawServer, r: &mut Reader<'_>) -> (usize, Duration) {
    let at = KeyPath::of("server");
    let cores = cores().min(WORKERS_MAX);
    let workers = r.number(&at.key("workers"), raw.workers, cores, &(1..=WORKERS_MAX));
    let drain = r.duration(&at.key("drain"), raw.drain.as_deref(), Duration::from_secs(30));
    (workers, drain)
}

/// Resolves `public_url` if it is set.
fn public(raw: Option<&str>, r: &mut Reader<'_>) -> Option<WebOrigin> {
    match upstream::origin(raw?) {
        Ok(url) => WebOrigin::parse(&url.origin().ascii_serialization()),
        Err(why) => {
            let why = format!("{why}: write it like \"https://app.example.com\"");
            r.fail(&KeyPath::of("public_url"), why);
            None
        }
    }
}

/// Returns the default base URL of links: the first app's host with the port of the first https
/// listener.
fn public_url(apps: &[AppSettings], listeners: &[ListenerSettings], r: &mut Reader<'_>) -> String {
    let mut https = listeners.iter().filter(|listener| listener.kind == ListenerKind::Https);
    let port = https.next().map(|listener| listener.address.port()).filter(|port| *port != 0);
    let hosts = apps.first().map(|a| a.hosts.as_slice()).unwrap_or_default();
    let exact = hosts.iter().find_map(|host| match host {
        HostPattern::Exact(name) => Some(WebOrigin::new(true, name, port).to_string()),
        HostPattern::Wildcard(_) => None,
    });
    if exact.is_none() && !hosts.is_empty() {
        let why = "is required, because the first app has no exact host name to derive it from";
        r.fail(&KeyPath::of("public_url"), why);
    }
    exact.unwrap_or_default()
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
