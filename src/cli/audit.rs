//! `vestibule audit …`

use std::io::Write;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::args::{AuditArgs, AuditCommand, AuditListArgs, StateArgs};
use super::failure::Failure;
use super::table::Table;
use super::{Streams, input, meta};
use crate::auth::account::LoginName;
use crate::auth::audit::{Finding, Record, RecordedRow, Report};
use crate::auth::ports::AuditQuery;
use crate::auth::refusals::parse_reference;
use crate::base::clock::{Clock, SystemClock, Timestamp};
use crate::base::id::RequestId;

/// Runs the subcommand.
pub(super) fn run(arguments: &AuditArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match &arguments.command {
        AuditCommand::List(which) => list(&arguments.state, which, streams.output),
        AuditCommand::Verify { noted } => {
            verify(&arguments.state, noted.as_deref(), streams.output)
        }
    }
}

fn list(state: &StateArgs, which: &AuditListArgs, output: &mut dyn Write) -> Result<(), Failure> {
    let since = which.since.as_deref().map(moment).transpose()?;
    let query = AuditQuery {
        since: since.map_or(Timestamp::EPOCH, |since| since.begins),
        before: which.until.as_deref().map(moment).transpose()?.map(|until| until.ends),
        name: which.user.as_deref().map(LoginName::parse).transpose()?,
        event: which.event.clone(),
        reference_end: which.reference.as_deref().map(reference_end).transpose()?,
        address: which.address,
        ..AuditQuery::newest(which.limit)
    };
    let rows = input::with_trail(state, async |trail| Ok(trail.find(&query).await?))?;
    if state.json {
        return meta::json(&rows.iter().map(Record::json).collect(), output);
    }
    let mut table = Table::new([
        "ROW",
        "TIME",
        "EVENT",
        "OUTCOME",
        "USER",
        "BY",
        "ADDRESS",
        "REFERENCE",
        "NODE",
        "DETAIL",
    ]);
    for row in rows {
        let (seq, c) = (row.seq, row.content);
        table.row([
            seq.to_string(),
            c.at.rfc3339(),
            c.event,
            c.outcome,
            c.name.unwrap_or_default(),
            c.operator.unwrap_or(c.actor),
            c.address.unwrap_or_default(),
            c.reference.as_deref().map(short).unwrap_or_default(),
            c.node,
            c.detail,
        ]);
    }
    Ok(table.write(output)?)
}

/// Returns the reference of a request id: its short form.
fn short(id: &str) -> String {
    id.parse::<RequestId>().map_or_else(|_other| id.to_owned(), RequestId::reference)
}

/// Returns the end that all request ids with this reference share.
fn reference_end(text: &str) -> Result<String, Failure> {
    let short = parse_reference(text);
    short.as_deref().and_then(RequestId::end_of_reference).ok_or_else(|| {
        let hint = "write it as shown, such as K7QX-3FZA, or write the request id";
        Failure::usage(format_args!("{text:?} is not a reference"), hint)
    })
}

/// A moment as the operator typed it. A date is a whole day.
struct Moment {
    begins: Timestamp,
    /// First moment after it.
    ends: Timestamp,
}

/// Parses a date, a time or an age.
fn moment(text: &str) -> Result<Moment, Failure> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(SystemClock::new().now().as_millis());
    let ago = |ago: Duration| now.checked_sub(ago);
    let date = || humantime::parse_rfc3339_weak(&format!("{text} 00:00:00")).ok();
    let second = humantime::parse_duration(text)
        .ok()
        .and_then(ago)
        .or_else(|| humantime::parse_rfc3339_weak(text).ok());
    let lasts = Duration::from_secs(if second.is_some() { 1 } else { 86_400 });
    let at = second.or_else(date);
    let since = at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let millis = since.and_then(|since| u64::try_from(since.as_millis()).ok());
    let begins = millis.map(Timestamp::from_millis);
    begins.map(|begins| Moment { begins, ends: begins.plus(lasts) }).ok_or_else(|| {
        Failure::usage(
            format_args!("{text:?} is not a date, a time or an age"),
            "write a date (2026-11-24), a time (2026-11-24T19:00:00Z) or an age (7d)",
        )
    })
}

fn verify(state: &StateArgs, noted: Option<&str>, output: &mut dyn Write) -> Result<(), Failure> {
    let noted = noted.map(parse_noted).transpose()?;
    let report = input::with_trail(state, async |trail| Ok(trail.verify(noted.as_ref()).await?))?;
    if state.json {
        meta::json(&report_json(&report), output)?;
    } else {
        for finding in &report.findings {
            writeln!(output, "{finding}")?;
        }
        if report.more > 0 {
            writeln!(output, "and {} more", report.more)?;
        }
        writeln!(output, "rows read: {}, checkpoints: {}", report.rows, report.checkpoints)?;
        writeln!(output, "last row:  {}:{}", report.last, report.hash)?;
    }
    if report.findings.is_empty() {
        return Ok(());
    }
    let unknown = |finding: &Finding| matches!(finding, Finding::KeyMissing { .. });
    if report.more == 0 && report.findings.iter().all(unknown) {
        return Err(Failure::failed(
            "the audit log cannot be verified: the key file lacks a key that signed it",
            Some("restore the missing data keys from a backup of the key file"),
        ));
    }
    Err(Failure::failed(
        "the audit log was changed after it was written",
        Some("compare it with the JSON lines, the log and backups of the database"),
    ))
}

fn parse_noted(text: &str) -> Result<RecordedRow, Failure> {
    let parsed = text.split_once(':').and_then(|(seq, hash)| {
        Some(RecordedRow { seq: seq.parse().ok()?, hash: hash.to_owned() })
    });
    parsed.ok_or_else(|| {
        Failure::usage(
            format_args!("{text:?} is not a row"),
            "write the last row that `audit verify` printed, such as 120:k1.Zm9v",
        )
    })
}

fn report_json(report: &Report) -> Value {
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    json!({
        "intact": report.findings.is_empty(),
        "rows": report.rows,
        "checkpoints": report.checkpoints,
        "last": report.last,
        "hash": report.hash,
        "findings": findings,
        "more": report.more,
    })
}
