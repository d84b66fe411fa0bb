//! Messages about codes, and times in words.

use std::time::Duration;

use time::OffsetDateTime;
use time::macros::format_description;

use crate::base::clock::Timestamp;

/// Message for a wrong one-time code.
pub(super) const WRONG_CODE: &str =
    "That code didn't work. Each code works once; wait for the next one.";
/// Message for a one-time code that was used before.
pub(super) const USED_CODE: &str =
    "That code has already been used. Each code works once; wait for the next one.";
/// Message for anything but six digits, which does not count as an attempt.
pub(super) const NOT_A_CODE: &str =
    "That isn't a six-digit code. Enter the six digits that your app shows now.";
/// Message for a recovery code with a wrong check character, which does not count as an attempt.
pub(super) const TYPO: &str =
    "There's a typo in that recovery code. Compare it with the one you saved.";
/// Message for a wrong recovery code.
pub(super) const WRONG_RECOVERY: &str =
    "That recovery code didn't work. Check that it's from your newest set, or try another one.";
/// Message for a recovery code that was used before.
pub(super) const USED_RECOVERY: &str =
    "That recovery code has already been used. Each code works once; try another one.";
/// Message for a recovery code of another set, entered to confirm a new set.
pub(super) const NONE_OF_THESE: &str =
    "That isn't one of these codes. Enter one of them from where you saved it.";

/// Returns whole seconds, rounded up and at least one, so that a retry on time is not rejected again.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)).max(1)
}

fn count(number: u64, unit: &str) -> String {
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// Returns a duration in words, rounded up: `1 second`, `45 seconds`, `5 minutes`, `2 hours`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = whole_seconds(duration);
    match seconds {
        0..=90 => count(seconds, "second"),
        91..=5400 => count(seconds.div_ceil(60), "minute"),
        _ => count(seconds.div_ceil(3600), "hour"),
    }
}

/// Returns names in quotes, with commas between them.
pub(super) fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("\u{201c}{name}\u{201d}")).collect::<Vec<_>>().join(", ")
}

/// A point in time, as UTC text and for the script that converts it to local time.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) text: String,
    /// Time of day, in UTC.
    pub(super) clock: String,
    /// RFC 3339.
    pub(super) machine: String,
}

fn utc(at: Timestamp) -> Option<OffsetDateTime> {
    i64::try_from(at.as_secs()).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok())
}

/// Returns a date in UTC: `1 January 2026`.
pub(super) fn day(at: Timestamp) -> String {
    let format = format_description!("[day padding:none] [month repr:long] [year]");
    utc(at).and_then(|t| t.format(format).ok()).unwrap_or_else(|| at.rfc3339())
}

impl Moment {
    pub(super) fn new(at: Timestamp) -> Self {
        let format =
            format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
        let text = utc(at).and_then(|t| t.format(format).ok());
        let clock = format_description!("[hour]:[minute] UTC");
        let clock = utc(at).and_then(|t| t.format(clock).ok());
        let machine = at.rfc3339();
        let or_machine = |words: Option<String>| words.unwrap_or_else(|| machine.clone());
        Self { text: or_machine(text), clock: or_machine(clock), machine: machine.clone() }
    }
}

/// Splits text into groups of four characters, for reading and typing.
pub(super) fn in_fours(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for (i, c) in text.chars().enumerate() {
        if i > 0 && i % 4 == 0 {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

/// Writes a size in bytes, with separators: `65,536 bytes`.
pub(super) fn bytes(size: usize) -> String {
    let digits = size.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text.push_str(if size == 1 { " byte" } else { " bytes" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_up() {
        for (millis, words) in [
            (0, "1 second"),
            (1001, "2 seconds"),
            (90_000, "90 seconds"),
            (90_001, "2 minutes"),
            (300_000, "5 minutes"),
            (3_600_000, "60 minutes"),
            (7_200_000, "2 hours"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), words);
        }
    }

    #[test]
    fn a_moment_has_text_and_a_machine_readable_form() {
        let moment = Moment::new(Timestamp::from_millis(1_767_225_600_000));
        assert_eq!(moment.text, "1 January 2026, 00:00 UTC");
        assert_eq!(moment.clock, "00:00 UTC");
        assert_eq!(moment.machine, "2026-01-01T00:00:00Z");
    }
}
