//! `vestibule why`: what was kept of a request that was refused.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::args::WhyArgs;
use super::failure::Failure;
use super::table::visible;
use super::{Streams, input, meta};
use crate::app;
use crate::auth::account::LoginName;
use crate::auth::refusals::{RefusalRecord, RefusedVisitor, parse_reference};
use crate::base::clock::{Clock as _, SystemClock};

/// Prints the record.
pub(super) fn why(arguments: &WhyArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let Some(reference) = parse_reference(&arguments.reference) else {
        let hint = "it looks like K7QX-3FZA and stands on the page, in the JSON and in the log";
        return Err(Failure::usage("that is not a reference", hint));
    };
    let settings = input::state_settings(&arguments.state)?;
    let found = input::runtime(1)?.block_on(async {
        let refusals = Box::pin(app::open_refusals(&settings)).await?;
        Ok::<_, Failure>(refusals.refusal(&reference, SystemClock::new().now()).await?)
    })?;
    let Some(record) = found else {
        let hint = "refusals are kept for a day, and in a flood of them not all";
        let why = format!("nothing is known of a refusal with the reference {reference}");
        return Err(Failure::failed(why, Some(hint)));
    };
    if arguments.state.json {
        return meta::json(&as_json(&record), streams.output);
    }
    Ok(print(&record, streams.output)?)
}

fn in_words(record: &RefusalRecord) -> String {
    let carried = record.cookies.join(", ");
    match &record.visitor {
        RefusedVisitor::NotLookedAt => "not looked at".to_owned(),
        RefusedVisitor::Nobody if record.cookies.is_empty() => {
            "nobody: the request carried no cookie of ours".to_owned()
        }
        RefusedVisitor::Nobody => {
            format!("nobody: {carried} came along, and is not that of somebody signed in")
        }
        RefusedVisitor::PasswordProved { user } => format!("{user}, only the password proved"),
        RefusedVisitor::Token { why } => format!("a token that is not let through: {why}"),
        RefusedVisitor::Machine { user } => format!("a program with a token of {user}"),
        RefusedVisitor::SignedIn { user, second_factor_at } => {
            let ago = record.at.since(*second_factor_at);
            let ago = std::time::Duration::from_secs(ago.as_secs());
            let ago = humantime::format_duration(ago);
            format!("{user}, signed in, second factor proved {ago} before")
        }
    }
}

fn print(record: &RefusalRecord, out: &mut dyn Write) -> io::Result<()> {
    let mut line = |key: &str, text: &str| writeln!(out, "{key:<10} {}", visible(text));
    line("reference", &record.request.reference())?;
    line("id", &record.request.to_string())?;
    line("time", &record.at.rfc3339())?;
    line("app", record.app.as_deref().unwrap_or("none"))?;
    line("request", &format!("{} {}", record.method, record.path.as_deref().unwrap_or("-")))?;
    line("answer", &format!("{} {}: {}", record.status, record.code, record.sentence))?;
    line("rule", record.rule.as_deref().unwrap_or("none was asked"))?;
    line("visitor", &in_words(record))?;
    line("address", &record.address.map(|a| a.to_string()).unwrap_or_default())?;
    for (name, value) in &record.values {
        line("header", &format!("{name}: {value}"))?;
    }
    for name in &record.headers {
        line("header", &format!("{name} (its value is not kept)"))?;
    }
    Ok(())
}

fn as_json(record: &RefusalRecord) -> Value {
    let (state, user, second_factor_at) = match &record.visitor {
        RefusedVisitor::NotLookedAt => ("not_looked_at", None, None),
        RefusedVisitor::Nobody => ("nobody", None, None),
        RefusedVisitor::PasswordProved { user } => ("password_proved", Some(user), None),
        RefusedVisitor::Token { .. } => ("token_refused", None, None),
        RefusedVisitor::Machine { user } => ("token", Some(user), None),
        RefusedVisitor::SignedIn { user, second_factor_at } => {
            ("signed_in", Some(user), Some(second_factor_at.rfc3339()))
        }
    };
    json!({
        "reference": record.request.reference(),
        "id": record.request.to_string(),
        "time": record.at.rfc3339(),
        "app": record.app,
        "method": record.method,
        "path": record.path,
        "status": record.status,
        "code": record.code,
        "sentence": record.sentence,
        "rule": record.rule,
        "visitor": state,
        "user": user.map(LoginName::as_str),
        "token": if let RefusedVisitor::Token { why } = &record.visitor { Some(why) } else { None },
        "second_factor_at": second_factor_at,
        "address": record.address.map(|a| a.to_string()),
        "cookies": record.cookies,
        "headers": record.headers,
        "values": record.values.iter().map(|(n, v)| json!({ "name": n, "value": v })).collect::<Vec<_>>(),
    })
}
