//! `vestibule check`: the settings in effect, with secrets as `***`.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::args::CheckArgs;
use super::failure::Failure;
use super::table::visible;
use super::{Streams, input, meta};
use crate::app::{self, Online, Tried};
use crate::auth::ticket::FirstEnrolment;
use crate::config::settings::{Database, LinesTarget, LogFormat, SessionStore, Settings};
use crate::gate::glob::PathGlob;
use crate::gate::rule::{Access, Rule};
use crate::proxy::settings::{AppSettings, ListenerKind, Preflight, UpstreamAddress};

/// Checks the configuration and prints the settings in effect.
pub(super) fn check(arguments: &CheckArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let settings = input::configured(arguments.config.config.as_deref())?;
    for warning in &settings.warnings {
        writeln!(streams.errors, "warning: {warning}")?;
    }
    for weakening in &settings.weakenings {
        writeln!(streams.errors, "weakening: {weakening}")?;
    }
    if !arguments.json {
        print(&settings, streams.output)?;
    }
    if !arguments.online {
        return Ok(());
    }
    let online = input::runtime(1)?.block_on(Box::pin(app::check_online(&settings)));
    if arguments.json {
        meta::json(&online_json(&online), streams.output)?;
    } else {
        print_online(&online, streams)?;
    }
    if online.works() {
        return Ok(());
    }
    Err(Failure::failed("the online check found problems", None))
}

fn print_online(online: &Online, streams: &mut Streams<'_>) -> io::Result<()> {
    writeln!(streams.output)?;
    for tried in &online.0 {
        let name = visible(&tried.name);
        for note in &tried.notes {
            writeln!(streams.output, "online: {name}: {}", visible(note))?;
        }
        for problem in &tried.problems {
            writeln!(streams.errors, "online: {}", visible(problem))?;
        }
        if tried.problems.is_empty() {
            writeln!(streams.output, "online: {name}: ok")?;
        }
    }
    if online.works() {
        writeln!(streams.output, "online: everything answers")?;
    }
    Ok(())
}

fn online_json(online: &Online) -> Value {
    let one = |tried: &Tried| {
        let ok = tried.problems.is_empty();
        json!({ "name": tried.name, "ok": ok, "notes": tried.notes, "problems": tried.problems })
    };
    let checks: Vec<Value> = online.0.iter().map(one).collect();
    json!({ "ok": online.works(), "checks": checks })
}

fn print(settings: &Settings, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} is valid", settings.source.display())?;
    writeln!(out)?;
    listeners(settings, out)?;
    stores(settings, out)?;
    limits(settings, out)?;
    for app in &settings.proxy.apps {
        writeln!(out)?;
        print_app(app, out)?;
    }
    Ok(())
}

fn line(out: &mut dyn Write, key: &str, value: &str) -> io::Result<()> {
    writeln!(out, "{key:<24} {}", visible(value))
}

fn listeners(settings: &Settings, out: &mut dyn Write) -> io::Result<()> {
    let proxy = &settings.proxy;
    for listener in &proxy.listeners {
        let kind = match listener.kind {
            ListenerKind::Https => "https",
            ListenerKind::Http => "http",
            ListenerKind::Redirect => "redirect",
        };
        line(out, "listener", &format!("{} {kind}", listener.address))?;
    }
    for certificate in &proxy.certificates {
        line(out, "certificate", &certificate.cert.display().to_string())?;
    }
    let admin = settings.admin.map_or_else(|| "off".to_owned(), |a| a.to_string());
    line(out, "admin.address", &admin)?;
    let implied = if settings.proxy.public.is_none() {
        " (host of the first app and port of the first https listener; set public_url if browsers \
         use others)"
    } else {
        ""
    };
    line(out, "public_url", &format!("{}{implied}", settings.public_url))?;
    line(out, "trusted_proxies", &list(&proxy.network.trusted_proxies))?;
    let most = proxy.network.max_connections;
    let most = most.map_or_else(|| "from the descriptor limit".to_owned(), |most| most.to_string());
    line(out, "max_connections", &most)?;
    line(out, "connections_per_address", &proxy.network.connections_per_address.to_string())?;
    let body_idle = proxy.network.body_idle;
    let (strangers, signed_in) = (time(body_idle.strangers), time(body_idle.signed_in));
    line(out, "body_idle", &format!("{strangers}, signed in {signed_in}"))?;
    line(out, "requests_per_address", &proxy.network.requests_per_address.to_string())?;
    line(out, "server.workers", &proxy.workers.to_string())?;
    line(out, "server.drain", &time(proxy.drain))
}

fn stores(settings: &Settings, out: &mut dyn Write) -> io::Result<()> {
    let sessions = match &settings.session_store {
        SessionStore::Embedded(dir) => format!("embedded in {}", dir.display()),
        SessionStore::Redis { url: _secret, ca: _, key_prefix } => {
            format!("redis ***, key_prefix {key_prefix}")
        }
    };
    let database = match &settings.database {
        Database::Embedded(dir) => format!("embedded in {}", dir.display()),
        Database::Postgres(_secret) => "postgres ***".to_owned(),
    };
    let made = if settings.keys_may_be_made { " (created at first start)" } else { "" };
    line(out, "sessions.store", &sessions)?;
    line(out, "accounts.database", &database)?;
    line(out, "keys.file", &format!("{}{made}", settings.keys_file.display()))?;
    let audit = &settings.audit;
    line(out, "audit.retention", &time(audit.retention))?;
    let lines = match &audit.lines {
        None => "off".to_owned(),
        Some(LinesTarget::Stdout) => "stdout".to_owned(),
        Some(LinesTarget::File(path)) => path.display().to_string(),
    };
    line(out, "audit.file", &lines)?;
    line(out, "audit.node", audit.node.as_deref().unwrap_or("host name"))?;
    let mail = settings.mail.as_ref().map_or_else(
        || "off".to_owned(),
        |mail| format!("{}:{}, from {}", mail.host, mail.port, mail.from),
    );
    line(out, "mail", &mail)?;
    let format = match settings.log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    line(out, "log", &format!("{format}, {}", settings.log.level.as_str().to_lowercase()))
}

fn limits(settings: &Settings, out: &mut dyn Write) -> io::Result<()> {
    let sessions = &settings.sessions;
    line(out, "sessions.idle", &time(sessions.idle))?;
    line(out, "sessions.absolute", &time(sessions.absolute))?;
    line(out, "sessions.pending", &time(sessions.pending))?;
    let passwords = &settings.passwords;
    line(out, "passwords.min_length", &passwords.min_length.to_string())?;
    let cost = passwords.cost;
    let hashing = format!(
        "argon2id {} KiB, {} passes, {} lanes, {} at once, {} waiting",
        cost.memory_kib, cost.passes, cost.lanes, passwords.threads, passwords.queue
    );
    line(out, "passwords", &hashing)?;
    let budgets = &settings.budgets;
    for (key, pace) in
        [("throttle.per_address", budgets.address), ("throttle.per_name", budgets.name)]
    {
        let (first, longest) = (time(pace.first), time(pace.longest));
        let backoff = format!("{}, then backoff of {first} to {longest}", pace.free);
        line(out, key, &format!("{backoff}, reset after {}", time(pace.forget)))?;
    }
    for (key, budget) in
        [("throttle.per_device", budgets.device), ("throttle.spray", budgets.spray)]
    {
        line(out, key, &format!("{} in {}", budget.tries, time(budget.window)))?;
    }
    line(out, "throttle.device_lives", &time(budgets.device_lives))?;
    let ladder = budgets.second_factor;
    let (short, long) = (time(ladder.short), time(ladder.long));
    let backoff = format!(
        "backoff of {short} after every {} failures, of {long} from {} on",
        ladder.every, ladder.long_after
    );
    line(out, "throttle.second_factor", &format!("{backoff}, suspended after {}", ladder.most))?;
    line(out, "throttle.per_login", &budgets.login.to_string())?;
    let enrolment = match settings.enrolment {
        FirstEnrolment::FirstLogin => "first_login",
        FirstEnrolment::Ticket => "ticket",
    };
    line(out, "second_factor.enrolment", enrolment)?;
    line(out, "tickets.lifetime", &time(settings.ticket_lifetime))?;
    line(out, "totp.issuer", settings.issuer.as_deref().unwrap_or("the app's title"))
}

fn print_app(app: &AppSettings, out: &mut dyn Write) -> io::Result<()> {
    line(out, "app", &format!("{} ({})", app.name, app.title))?;
    line(out, "  hosts", &list(&app.hosts))?;
    let upstream = &app.upstream;
    let addresses: Vec<String> = upstream.addresses.iter().map(address).collect();
    line(out, "  upstreams", &list(&addresses))?;
    if let Some(name) = &upstream.name {
        line(out, "  upstream_host", &format!("{name} (in Host and certificate)"))?;
    }
    let version = if upstream.http2 { "HTTP/2" } else { "HTTP/1.1" };
    let connect = time(upstream.connect_timeout);
    let read = time(upstream.read_timeout);
    let idle = time(upstream.idle);
    let connection = format!("{version}, connect {connect}, read {read}, idle {idle}");
    line(out, "  connection", &connection)?;
    if upstream.retry_unanswered {
        line(out, "  retry_unanswered", "any method")?;
    }
    line(out, "  websocket", if app.websocket { "forwarded" } else { "refused" })?;
    if !app.extra_methods.is_empty() {
        line(out, "  extra_methods", &list(&app.extra_methods))?;
    }
    signing_in(app, out)?;
    let answers = &app.answers;
    if !answers.api_paths.is_empty() {
        let paths: Vec<&str> = answers.api_paths.iter().map(PathGlob::as_str).collect();
        line(out, "  api_paths", &list(&paths))?;
    }
    if !answers.cors_origins.is_empty() {
        line(out, "  cors_origins", &list(&answers.cors_origins))?;
    }
    if answers.preflight == Preflight::Pass {
        line(out, "  cors_preflight", "pass (weakening: OPTIONS without sign-in)")?;
    }
    for rule in app.policy.rules() {
        line(out, "  rule", &describe_rule(rule))?;
    }
    line(out, "  otherwise", Access::TwoFactor.as_str())
}

/// Prints the dialect, the first factor and the app tokens of an app that has its own sign-in.
fn signing_in(app: &AppSettings, out: &mut dyn Write) -> io::Result<()> {
    let Some(dialect) = &app.dialect else { return Ok(()) };
    line(out, "  dialect", &dialect.name)?;
    let accounts = |provision| if provision { "created at sign-in" } else { "linked by operators" };
    let first = app.first_factor.map_or_else(
        || "password".to_owned(),
        |policy| format!("app; accounts {}", accounts(policy.provision)),
    );
    line(out, "  first_factor", &first)?;
    if app.first_factor.is_some_and(|policy| policy.code_counts) {
        line(
            out,
            "  app_second_factor",
            "counts (weakening: Vestibule does not verify that code)",
        )?;
    }
    for token in &app.tokens {
        let mut about = vec![format!("for {}", token.user)];
        if !token.networks.is_empty() {
            about.push(format!("network {}", list(&token.networks)));
        }
        if !token.methods.named.is_empty() {
            about.push(format!("method {}", list(&token.methods.named)));
        }
        if token.methods.websocket && !token.methods.named.is_empty() {
            about.push("WebSockets".to_owned());
        }
        if let Some(end) = token.expires {
            about.push(format!("until {}", end.rfc3339()));
        }
        let about = about.join(", ");
        line(out, "  token", &format!("{:?}: {about} (weakening: no second factor)", token.name))?;
    }
    Ok(())
}

/// Formats a rule on one line.
pub(super) fn describe_rule(rule: &Rule) -> String {
    let path = rule.path.as_ref().map_or("every path", |path| path.as_str());
    let mut about = vec![path.to_owned()];
    let mut limit = |what: &str, items: String, given: bool| {
        if given {
            about.push(format!("{what} {items}"));
        }
    };
    limit("method", list(&rule.methods), !rule.methods.is_empty());
    limit("host", list(&rule.hosts), !rule.hosts.is_empty());
    limit("network", list(&rule.networks), !rule.networks.is_empty());
    limit("user", list(&rule.users), !rule.users.is_empty());
    limit("group", list(&rule.groups), !rule.groups.is_empty());
    let age = rule.max_age.map(|age| format!(", second factor at most {} ago", time(age)));
    let age = age.unwrap_or_default();
    let weak = match rule.access {
        Access::Password => " (weakening: no second factor)",
        Access::Public | Access::TwoFactor | Access::Deny => "",
    };
    let idle = if rule.report_only { " (report only: not enforced)" } else { "" };
    let (about, access) = (about.join("; "), rule.access.as_str());
    format!("{:?}: {about}: {access}{age}{weak}{idle}", rule.name)
}

fn address(address: &UpstreamAddress) -> String {
    let scheme = if address.tls { "https" } else { "http" };
    let host = if address.host.contains(':') {
        format!("[{}]", address.host)
    } else {
        address.host.clone()
    };
    format!("{scheme}://{host}:{}", address.port)
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// Formats a duration in the largest unit that divides it, such as 30m or 90days.
fn time(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] =
        [(86_400_000, "days"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let millis = duration.as_millis();
    let fits = |(unit, name): &(u128, &str)| {
        // 24h and 48h are clearer than 1days and 2days.
        let enough = *name != "days" || millis > 2 * unit;
        millis > 0 && millis.is_multiple_of(*unit) && enough
    };
    let unit = UNITS.iter().find(|unit| fits(unit));
    unit.map_or_else(|| "0s".to_owned(), |(unit, name)| format!("{}{name}", millis / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_in_their_largest_whole_unit() {
        for (seconds, written) in [
            (0, "0s"),
            (1, "1s"),
            (90, "90s"),
            (1800, "30m"),
            (43_200, "12h"),
            (86_400, "24h"),
            (604_800, "7days"),
            (31_536_000, "365days"),
        ] {
            assert_eq!(time(Duration::from_secs(seconds)), written);
        }
        assert_eq!(time(Duration::from_millis(250)), "250ms");
    }
}
