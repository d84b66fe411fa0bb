//! The rules of an app.

use http::Method;

use crate::config::key_path::KeyPath;
use crate::config::raw::RawRule;
use crate::config::reader::Reader;
use crate::gate::policy::{Access, PathGlob, Policy, Rule};
use crate::gate::target::is_own_path;

/// The methods that every app takes.
const COMMON: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// The methods that no app gets: they are about the connection, not about the app.
const NEVER: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

/// Methods beyond the common ones.
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
        return Err(format!("{upper} is never passed on: leave it out"));
    }
    if upper != text {
        return Err(format!("methods are written in capitals: {upper:?}"));
    }
    Method::from_bytes(text.as_bytes())
        .map_err(|_not_a_token| format!("{text:?} is not a method: write one such as \"GET\""))
}

/// The rules of an app that takes `extra` methods beside the common ones.
pub(super) fn policy(
    raw: &[RawRule],
    extra: &[Method],
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> Policy {
    let rules =
        raw.iter().enumerate().filter_map(|(i, raw)| rule(raw, extra, &at.index(i), r)).collect();
    Policy { rules }
}

fn rule(raw: &RawRule, extra: &[Method], at: &KeyPath, r: &mut Reader<'_>) -> Option<Rule> {
    let access = access(raw.access.as_deref(), &at.key("access"), r);
    let methods = rule_methods(raw.methods.as_deref(), extra, &at.key("methods"), r);
    let key = at.key("path");
    let Some(text) = raw.path.as_deref() else {
        r.fail(&key, "is missing: write a pattern such as \"/public/**\"");
        return None;
    };
    let path = match PathGlob::parse(text) {
        Ok(path) => path,
        Err(why) => {
            r.fail(&key, format!("{text:?} is not a path pattern: {why}"));
            return None;
        }
    };
    if access == Some(Access::Public) {
        public_path(&path, &key, r);
    }
    Some(Rule { path, methods, access: access? })
}

fn public_path(path: &PathGlob, key: &KeyPath, r: &mut Reader<'_>) {
    let everything = path.matches("/") && path.matches("/x") && path.matches("/x/y");
    let ours = is_own_path(path.as_str());
    if everything {
        r.fail(
            key,
            "would make the whole app public: name the part that is, such as \"/public/**\"",
        );
    } else if ours {
        r.fail(
            key,
            "is where Vestibule's own pages are, which no rule changes: name the app's own part",
        );
    }
}

fn access(word: Option<&str>, key: &KeyPath, r: &mut Reader<'_>) -> Option<Access> {
    if word == Some("password") {
        r.fail(key, "\"password\" is not available yet: write \"two_factor\"");
        return None;
    }
    let choices =
        [("public", Access::Public), ("two_factor", Access::TwoFactor), ("deny", Access::Deny)];
    r.choice(key, word, &choices)
}

fn rule_methods(
    raw: Option<&[String]>,
    extra: &[Method],
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> Vec<Method> {
    if raw.is_some_and(<[String]>::is_empty) {
        r.fail(at, "is an empty list: name the methods, or leave the key out for all of them");
    }
    let mut methods = Vec::new();
    for (i, text) in raw.unwrap_or_default().iter().enumerate() {
        match method(text) {
            Ok(m) if COMMON.contains(&m.as_str()) || extra.contains(&m) => methods.push(m),
            Ok(m) => r.fail(
                &at.index(i),
                format!(
                    "{m} is not among the app's methods: add it to methods = [\"{m}\"] of the app"
                ),
            ),
            Err(why) => r.fail(&at.index(i), why),
        }
    }
    methods
}
