//! Resolution of an app's rules.

use std::time::Duration;

use http::Method;
use ipnet::IpNet;

use super::{addresses, host};
use crate::auth::account::{LoginName, NewName};
use crate::config::key_path::KeyPath;
use crate::config::raw::RawRule;
use crate::config::reader::Reader;
use crate::gate::glob::PathGlob;
use crate::gate::host::HostPattern;
use crate::gate::policy::{DEFAULT, Policy};
use crate::gate::rule::{Access, Hidden, Rule};
use crate::gate::target::is_own_path;

/// Methods that every app accepts.
const COMMON: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Methods that no app may accept: they concern the connection, not the app.
const NEVER: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

/// Maximum characters in a rule name.
const NAME_MAX: usize = 64;

/// The app that the rules belong to.
pub(super) struct AppContext<'a> {
    pub(super) hosts: &'a [HostPattern],
    /// Its methods in addition to the common ones.
    pub(super) methods: &'a [Method],
}

/// Resolves the methods in addition to the common ones.
pub(super) fn extra_methods(raw: &[String], at: &KeyPath, r: &mut Reader<'_>) -> Vec<Method> {
    let mut methods = Vec::new();
    for (i, text) in raw.iter().enumerate() {
        match method(text) {
            Ok(method) if !COMMON.contains(&method.as_str()) => methods.push(method),
            Ok(_common) => {}
            Err(why) => r.fail(&at.index(i), why),
        }
    }
    methods
}

fn method(text: &str) -> Result<Method, String> {
    let upper = text.to_ascii_uppercase();
    if NEVER.contains(&upper.as_str()) {
        return Err(format!("{upper} is never forwarded: remove it"));
    }
    if upper != text {
        return Err(format!("methods are case-sensitive: write {upper:?}"));
    }
    Method::from_bytes(text.as_bytes())
        .map_err(|_not_a_token| format!("{text:?} is not a method: write one such as \"GET\""))
}

/// Resolves the rules of an app.
pub(super) fn policy(
    raw: &[RawRule],
    app: &AppContext<'_>,
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> Policy {
    let mut rules: Vec<Rule> = Vec::new();
    let mut places = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let at = at.index(i);
        let Some(rule) = rule(raw, i, app, &at, r) else { continue };
        if rules.iter().any(|other| other.name == rule.name) {
            let why = format!("{:?} is the name of another rule: names must be unique", rule.name);
            r.fail(&at.key("name"), why);
        }
        warn_of_hidden_rule(&rule, &rules, &at, r);
        record_weakening(&rule, &at, r);
        places.push(at);
        rules.push(rule);
    }
    warn_of_open_rules(&rules, &places, r);
    Policy::new(rules)
}

/// Warns about a rule that one of the rules `before` it keeps from ever deciding.
fn warn_of_hidden_rule(rule: &Rule, before: &[Rule], at: &KeyPath, r: &mut Reader<'_>) {
    let hides = |other: &&Rule| !other.report_only && other.hides(rule).is_some();
    let Some(other) = before.iter().find(hides) else { return };
    let why = match other.hides(rule) {
        Some(Hidden::Entirely) => {
            format!("is never reached: {:?} before it matches all of its requests", other.name)
        }
        Some(Hidden::ButForSpelling) | None => format!(
            "is reached only by other spellings of its path, in upper case or with a slash at the \
             end: {:?} before it matches the rest. Write the narrower rule first",
            other.name
        ),
    };
    r.warn(at, &why);
}

/// Warns about rules that admit certain users but exclude no one: without a matching rule, two
/// factors are enough.
fn warn_of_open_rules(rules: &[Rule], places: &[KeyPath], r: &mut Reader<'_>) {
    for (i, (rule, at)) in rules.iter().zip(places).enumerate() {
        let lets_in = matches!(rule.access, Access::Password | Access::TwoFactor);
        let later = rules.get(i + 1..).unwrap_or_default();
        if !lets_in || !rule.names_people() || rule.report_only {
            continue;
        }
        if later.iter().any(|other| closes_to_others(other, rule)) {
            continue;
        }
        let path = rule.path.as_ref().map(|path| format!(" path = {:?}", path.as_str()));
        let why = format!(
            "excludes no one: everyone else still gets in with two factors. If that is not meant, \
             add after it: [[apps.rules]]{} access = \"deny\"",
            path.unwrap_or_default()
        );
        r.warn(at, &why);
    }
}

/// Returns true if `later` covers all requests that `rule` covers and denies them to everyone else,
/// or is about the same path.
fn closes_to_others(later: &Rule, rule: &Rule) -> bool {
    let covers = (later.methods.is_empty() || later.methods == rule.methods)
        && (later.hosts.is_empty() || later.hosts == rule.hosts)
        && (later.networks.is_empty() || later.networks == rule.networks);
    if later.report_only || !covers {
        return false;
    }
    let covers_path = match (&later.path, &rule.path) {
        (None, _) => true,
        (Some(wide), None) => wide.matches_all(),
        (Some(wide), Some(path)) => wide.covers(path),
    };
    let denies = later.access == Access::Deny;
    let everybody = !later.names_people();
    if denies { everybody && covers_path } else { later.path == rule.path }
}

fn rule(
    raw: &RawRule,
    i: usize,
    app: &AppContext<'_>,
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> Option<Rule> {
    let access = access(raw.access.as_deref(), &at.key("access"), r);
    let path = match raw.path.as_deref() {
        None => None,
        Some(text) => Some(path(text, &at.key("path"), r)?),
    };
    let rule = Rule {
        name: name(raw.name.as_deref(), i, &at.key("name"), r),
        path,
        methods: rule_methods(raw.methods.as_deref(), app.methods, &at.key("methods"), r),
        hosts: hosts(raw.hosts.as_deref(), app.hosts, &at.key("hosts"), r),
        networks: networks(raw.networks.as_deref(), &at.key("networks"), r),
        users: users(raw.users.as_deref(), &at.key("users"), r),
        groups: groups(raw.groups.as_deref(), &at.key("groups"), r),
        access: access?,
        max_age: max_age(raw.max_age.as_deref(), access?, &at.key("max_age"), r),
        phishing_resistant: raw.phishing_resistant.unwrap_or(false),
        report_only: raw.report_only.unwrap_or(false),
    };
    if rule.phishing_resistant && rule.access != Access::TwoFactor {
        let why = "is about the second factor: it needs access = \"two_factor\"";
        r.fail(&at.key("phishing_resistant"), why);
    }
    if rule.access == Access::Public {
        public(&rule, at, r);
    }
    Some(rule)
}

fn name(raw: Option<&str>, i: usize, key: &KeyPath, r: &mut Reader<'_>) -> String {
    let Some(name) = raw else { return format!("rule {}", i + 1) };
    let plain = |c: char| !c.is_control() && c != '"';
    if name.trim() != name || name.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) {
        r.fail(key, format!("{name:?} is not a name: 1 to {NAME_MAX} characters, no quotes"));
    }
    if name == DEFAULT {
        r.fail(key, "\"default\" is reserved for requests that match no rule: choose another name");
    }
    name.to_owned()
}

fn path(text: &str, key: &KeyPath, r: &mut Reader<'_>) -> Option<PathGlob> {
    match PathGlob::parse(text) {
        Err(why) => {
            r.fail(key, format!("{text:?} is not a path pattern: {why}"));
            None
        }
        Ok(path) => {
            if is_own_path(path.as_str()) {
                r.fail(
                    key,
                    "is reserved for Vestibule's own pages, which rules cannot change: name the app's \
                     own part",
                );
            }
            Some(path)
        }
    }
}

/// Checks that a public rule has no condition on users and does not make the whole app public.
fn public(rule: &Rule, at: &KeyPath, r: &mut Reader<'_>) {
    for (key, named) in [("users", !rule.users.is_empty()), ("groups", !rule.groups.is_empty())] {
        if named {
            r.fail(
                &at.key(key),
                "needs authentication, but access = \"public\" requires none: write access = \
                 \"two_factor\", or remove the key",
            );
        }
    }
    let all = rule.path.as_ref().is_none_or(PathGlob::matches_nearly_all);
    if all && rule.hosts.is_empty() && rule.networks.is_empty() {
        r.fail(
            &at.key("path"),
            "would make the whole app public: name the public part, such as \"/public/**\"",
        );
    }
}

/// Records a weakening where a rule requires less than two factors, except for single public paths.
fn record_weakening(rule: &Rule, at: &KeyPath, r: &mut Reader<'_>) {
    if rule.report_only {
        return;
    }
    let everywhere = rule.path.as_ref().is_none_or(PathGlob::matches_nearly_all);
    match rule.access {
        Access::Password => r.weaken(
            &at.key("access"),
            "the password alone grants access: anyone who learns or guesses it gets in",
        ),
        Access::Public if everywhere => r.weaken(
            &at.key("access"),
            "every path is public for these hosts or networks: no authentication is required there",
        ),
        Access::Public | Access::TwoFactor | Access::Deny => {}
    }
}

fn access(word: Option<&str>, key: &KeyPath, r: &mut Reader<'_>) -> Option<Access> {
    let all = [Access::Public, Access::Password, Access::TwoFactor, Access::Deny];
    r.choice(key, word, &all.map(|access| (access.as_str(), access)))
}

fn max_age(
    raw: Option<&str>,
    access: Access,
    key: &KeyPath,
    r: &mut Reader<'_>,
) -> Option<Duration> {
    let text = raw?;
    if access != Access::TwoFactor {
        r.fail(key, "limits the age of the second factor: it needs access = \"two_factor\"");
    }
    Some(r.positive_duration(key, Some(text), Duration::from_mins(5)))
}

/// Parses each element of a list with `parse`. An empty list is an error, because it would match
/// nothing.
fn each<T>(
    raw: Option<&[String]>,
    at: &KeyPath,
    r: &mut Reader<'_>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    if raw.is_some_and(<[String]>::is_empty) {
        r.fail(at, "is an empty list: name at least one, or remove the key to match all");
    }
    let mut values = Vec::new();
    for (i, text) in raw.unwrap_or_default().iter().enumerate() {
        match parse(text) {
            Ok(value) => values.push(value),
            Err(why) => r.fail(&at.index(i), why),
        }
    }
    values
}

pub(super) fn rule_methods(
    raw: Option<&[String]>,
    extra: &[Method],
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> Vec<Method> {
    each(raw, at, r, |text| match method(text)? {
        m if COMMON.contains(&m.as_str()) || extra.contains(&m) => Ok(m),
        m => Err(format!(
            "{m} is not among the app's methods: add it to methods = [\"{m}\"] of the app"
        )),
    })
}

fn hosts(
    raw: Option<&[String]>,
    of_app: &[HostPattern],
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> Vec<HostPattern> {
    each(raw, at, r, |text| {
        let pattern = host::pattern(text)?;
        let known = match &pattern {
            HostPattern::Exact(name) => of_app.iter().any(|host| host.matches(name)),
            HostPattern::Wildcard(_) => {
                let mut hosts = of_app.iter();
                hosts.any(|h| {
                    *h == pattern || matches!(h, HostPattern::Exact(n) if pattern.matches(n))
                })
            }
        };
        if known { Ok(pattern) } else { Err(format!("{text:?} is not among the app's hosts")) }
    })
}

pub(super) fn networks(raw: Option<&[String]>, at: &KeyPath, r: &mut Reader<'_>) -> Vec<IpNet> {
    each(raw, at, r, addresses::network)
}

fn users(raw: Option<&[String]>, at: &KeyPath, r: &mut Reader<'_>) -> Vec<LoginName> {
    let users =
        each(raw, at, r, |text| LoginName::parse(text).map_err(|why| format!("{text:?} is {why}")));
    for (i, user) in users.iter().enumerate() {
        if let Err(why) = NewName::of(user.clone()) {
            r.warn(&at.index(i), &why.to_string());
        }
    }
    users
}

fn groups(raw: Option<&[String]>, at: &KeyPath, r: &mut Reader<'_>) -> Vec<String> {
    each(raw, at, r, |text| {
        let plain = !text.is_empty() && text.trim() == text && !text.contains(',');
        if plain && !text.chars().any(char::is_control) {
            Ok(text.to_owned())
        } else {
            Err(format!("{text:?} is not the name of a group: no commas or control characters"))
        }
    })
}
