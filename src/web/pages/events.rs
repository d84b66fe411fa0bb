//! Audit events of an account in words, by day, for its user. Every event is shown.

use serde_json::Value;

use crate::auth::audit::{Detail, Kind, Record};
use crate::base::browser;
use crate::web::words::{Moment, day};

/// An event as shown on the page.
pub(super) struct Line {
    pub(super) words: String,
    /// True if the event is a refusal.
    pub(super) refused: bool,
    pub(super) at: Moment,
    /// Browser and address, if known.
    pub(super) from: Option<String>,
}

/// The events of one day (UTC), newest first.
pub(super) struct Day {
    pub(super) date: String,
    pub(super) lines: Vec<Line>,
}

/// Groups records, newest first, by day.
pub(super) fn by_day(records: &[Record]) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    for record in records {
        let date = day(record.content.at);
        match days.last_mut() {
            Some(day) if day.date == date => day.lines.push(line(record)),
            _ => days.push(Day { date, lines: vec![line(record)] }),
        }
    }
    days
}

fn line(record: &Record) -> Line {
    let content = &record.content;
    let mut detail: Detail = serde_json::from_str(&content.detail).unwrap_or_default();
    if let Some(factor) = &content.factor {
        detail.insert("factor".to_owned(), Value::from(factor.as_str()));
    }
    let words = match Kind::named(&content.event) {
        Some(kind) => kind.words(&detail).to_owned(),
        // A later version wrote it.
        None => format!("Unknown event: {}", content.event),
    };
    let browser = content.user_agent.as_deref().map(browser::in_words);
    let from = content.address.as_ref().map(|address| match &browser {
        Some(browser) => format!("{browser}, {address}"),
        None => address.clone(),
    });
    Line { words, refused: content.outcome == "refused", at: Moment::new(content.at), from }
}
