//! `vestibule why`: the stored record of a rejected request.

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

/// Prints the record of a rejected request.
pub(super) fn why(arguments: &WhyArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let Some(reference) = parse_reference(&arguments.reference) else {
        let hint = "it looks like K7QX-3FZA and is on the page, in the JSON and in the log";
        return Err(Failure::usage("not a reference", hint));
    };
    let settings = input::state_settings(&arguments.state)?;
    let record = input::runtime(1)?.block_on(async {
        let refusals = Box::pin(app::open_refusals(&settings)).await?;
        Ok::<_, Failure>(refusals.refusal(&reference, SystemClock::new().now()).await?)
    })?;
    let Some(record) = record else {
        let hint = "records are kept for a day; in a flood of refusals some are dropped";
        let why = format!("no record with the reference {reference}");
        return Err(Failure::failed(why, Some(hint)));
    };
    if arguments.state.json {
        return meta::json(&as_json(&record), streams.output);
    }
    Ok(print(&record, streams.output)?)
}

fn describe_client(record: &RefusalRecord) -> String {
    let carried = record.cookies.join(", ");
    match &record.visitor {
        RefusedVisitor::NotLookedAt => "not checked".to_owned(),
        RefusedVisitor::Nobody if record.cookies.is_empty() => {
            "not signed in: no cookie of Vestibule was sent".to_owned()
        }
        RefusedVisitor::Nobody => {
            format!("not signed in: {carried} was sent, but is not a valid session")
        }
        RefusedVisitor::PasswordProved { user } => format!("{user}, only the password verified"),
        RefusedVisitor::Token { why } => format!("a rejected token: {why}"),
        RefusedVisitor::Machine { user } => format!("a program with a token of {user}"),
        RefusedVisitor::SignedIn { user, second_factor_at } => {
            let ago = record.at.since(*second_factor_at);
            let ago = std::time::Duration::from_secs(ago.as_secs());
            let ago = humantime::format_duration(ago);
            format!("{user}, signed in, second factor verified {ago} before")
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
    line("rule", record.rule.as_deref().unwrap_or("none evaluated"))?;
    line("visitor", &describe_client(record))?;
    line("address", &record.address.map(|a| a.to_string()).unwrap_or_default())?;
    for (name, value) in &record.values {
        line("header", &format!("{name}: {value}"))?;
    }
    for name in &record.headers {
        line("header", &format!("{name} (value not recorded)"))?;
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
