//! `vestibule check`: the settings in effect, with secrets as `***`.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::args::CheckArgs;
use super::failure::Failure;
use super::table::visible;
use super::{Streams, input, meta};
use crate::app::{self, Online, Tried};
use crate::config::settings::{EffectiveKey, Settings};
use crate::config::units;
use crate::gate::rule::{Access, Rule};
use crate::proxy::settings::AppSettings;

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
        print_online("online", &online, streams)?;
    }
    if online.works() {
        return Ok(());
    }
    Err(Failure::failed("the online check found problems", None))
}

/// Prints the results, each line after the name of the command.
pub(super) fn print_online(
    command: &str,
    online: &Online,
    streams: &mut Streams<'_>,
) -> io::Result<()> {
    writeln!(streams.output)?;
    for tried in &online.0 {
        let name = visible(&tried.name);
        for note in &tried.notes {
            writeln!(streams.output, "{command}: {name}: {}", visible(note))?;
        }
        for problem in &tried.problems {
            let problem = visible(problem);
            let named = problem.strip_prefix(&*name).is_some_and(|rest| rest.starts_with(':'));
            let name = if named { String::new() } else { format!("{name}: ") };
            writeln!(streams.errors, "{command}: {name}{problem}")?;
        }
        let result = if tried.problems.is_empty() { "ok" } else { "failed" };
        writeln!(streams.output, "{command}: {name}: {result}")?;
    }
    if online.works() {
        writeln!(streams.output, "{command}: everything answers")?;
    }
    Ok(())
}

/// Returns the results as JSON.
pub(super) fn online_json(online: &Online) -> Value {
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
    keys(&settings.effective, None, out)?;
    for (index, app) in settings.proxy.apps.iter().enumerate() {
        writeln!(out)?;
        print_app(settings, index, app, out)?;
    }
    Ok(())
}

fn line(out: &mut dyn Write, key: &str, value: &str) -> io::Result<()> {
    writeln!(out, "{key:<36} {}", visible(value))
}

fn keys(effective: &[EffectiveKey], app: Option<usize>, out: &mut dyn Write) -> io::Result<()> {
    let (prefix, indent) = match app {
        Some(index) => (format!("apps[{index}]."), "  "),
        None => (String::new(), ""),
    };
    for EffectiveKey { key, value } in effective {
        if let Some(key) = key.strip_prefix(&prefix).filter(|key| !key.starts_with("apps[")) {
            line(out, &format!("{indent}{key}"), value)?;
        }
    }
    Ok(())
}

/// Prints an app: its keys, its app tokens and its rules.
fn print_app(
    settings: &Settings,
    index: usize,
    app: &AppSettings,
    out: &mut dyn Write,
) -> io::Result<()> {
    line(out, "app", &format!("{} ({})", app.name, app.title))?;
    keys(&settings.effective, Some(index), out)?;
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
    for rule in app.policy.rules() {
        line(out, "  rule", &describe_rule(rule))?;
    }
    line(out, "  otherwise", Access::TwoFactor.as_str())
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
    let age =
        rule.max_age.map(|age| format!(", second factor at most {} ago", units::written(age)));
    let age = age.unwrap_or_default();
    let key = if rule.phishing_resistant { ", by passkey or security key" } else { "" };
    let weak = match rule.access {
        Access::Password => " (weakening: no second factor)",
        Access::Public | Access::TwoFactor | Access::Deny => "",
    };
    let idle = if rule.report_only { " (report only: not enforced)" } else { "" };
    let (about, access) = (about.join("; "), rule.access.as_str());
    format!("{:?}: {about}: {access}{key}{age}{weak}{idle}", rule.name)
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
