//! Resolution of an app's accepted long-lived tokens.

use data_encoding::HEXLOWER_PERMISSIVE;
use time::format_description::well_known::Iso8601;
use time::{Date, Time};

use super::rules;
use crate::auth::account::LoginName;
use crate::base::clock::Timestamp;
use crate::config::key_path::KeyPath;
use crate::config::raw::{RawApp, RawAppToken};
use crate::config::reader::Reader;
use crate::gate::dialect::Dialect;
use crate::gate::machine::{Methods, TokenRule};

pub(super) fn tokens(
    raw: &RawApp,
    app: &rules::AppContext<'_>,
    dialect: Option<&Dialect>,
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> Vec<TokenRule> {
    if raw.tokens.is_empty() {
        return Vec::new();
    }
    if raw.dialect.is_none() || dialect.is_some_and(|d| d.places.long_lived.is_none()) {
        r.fail(at, "need a dialect that recognizes them: add dialect = \"cellengine\"");
    }
    let one = |(i, raw): (usize, &RawAppToken)| token(raw, i, app, &at.index(i), r);
    let rules: Vec<TokenRule> = raw.tokens.iter().enumerate().filter_map(one).collect();
    for (i, rule) in rules.iter().enumerate() {
        if rules.iter().take(i).any(|other| other.sha256 == rule.sha256) {
            r.fail(&at.index(i).key("sha256"), "is also that of another token of this app");
        }
    }
    rules
}

fn token(
    raw: &RawAppToken,
    number: usize,
    app: &rules::AppContext<'_>,
    at: &KeyPath,
    r: &mut Reader<'_>,
) -> Option<TokenRule> {
    let name = raw.name.clone().unwrap_or_else(|| format!("token {}", number + 1));
    if name.trim().is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
        r.fail(&at.key("name"), "must be 1 to 64 characters, no control characters");
    }
    let hash = raw.sha256.as_deref().map(|text| HEXLOWER_PERMISSIVE.decode(text.as_bytes()));
    let sha256 = hash.and_then(Result::ok).and_then(|hash| hash.try_into().ok());
    if sha256.is_none() {
        r.fail(
            &at.key("sha256"),
            "must be the 64 digits that `vestibule token hash --stdin` prints for the token",
        );
    }
    let user = raw.user.as_deref().map(LoginName::parse);
    let user = match user {
        Some(Ok(user)) => Some(user),
        Some(Err(why)) => {
            r.fail(&at.key("user"), why.to_string());
            None
        }
        None => {
            r.fail(&at.key("user"), "is missing: write the login name of its user");
            None
        }
    };
    let networks = rules::networks(raw.networks.as_deref(), &at.key("networks"), r);
    let named = rules::rule_methods(raw.methods.as_deref(), app.methods, &at.key("methods"), r);
    let methods = Methods { named, websocket: raw.websocket.unwrap_or(false) };
    let expires = match raw.expires.as_deref().map(day) {
        Some(None) => {
            r.fail(&at.key("expires"), "is not a date: write \"2027-01-31\"");
            None
        }
        Some(day) => day,
        None => None,
    };
    r.weaken(at, "a program with this token needs no second factor");
    Some(TokenRule { name, sha256: sha256?, user: user?, networks, methods, expires })
}

/// Parses a date. Returns the end of that day (UTC).
fn day(text: &str) -> Option<Timestamp> {
    let day = Date::parse(text, &Iso8601::DATE).ok()?.next_day()?;
    let seconds = day.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp();
    Some(Timestamp::from_millis(u64::try_from(seconds).ok()?.checked_mul(1000)?))
}
