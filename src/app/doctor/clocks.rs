//! Clocks of the gateways, by the `Date` of their answers.

use http::header;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::ask::Answer;
use crate::app::findings::Findings;
use crate::base::clock::{Clock as _, SystemClock};

/// Largest difference that is not reported, in seconds. `Date` has no fractions, and an answer takes
/// time.
const TOLERANCE: i64 = 5;

/// Differences of clocks from this machine's.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    found: Findings,
    seen: usize,
}

impl Clocks {
    /// Compares the clock of the sender of an answer with this machine's.
    pub(super) fn compare(&mut self, who: &str, answer: &Answer) {
        let date = answer.header(&header::DATE);
        let Some(date) = date.and_then(|text| OffsetDateTime::parse(text, &Rfc2822).ok()) else {
            return;
        };
        self.seen += 1;
        let here = i64::try_from(SystemClock::new().now().as_secs()).unwrap_or(i64::MAX);
        let ahead = date.unix_timestamp().saturating_sub(here);
        if ahead.abs() > TOLERANCE {
            let direction = if ahead > 0 { "ahead of" } else { "behind" };
            self.found.problem(format!(
                "the clock of {who} is {} s {direction} this machine's: one-time codes are \
                 rejected if it is wrong. Use NTP",
                ahead.abs()
            ));
        }
    }

    /// Returns the sentences.
    pub(super) fn findings(mut self) -> Findings {
        if self.seen == 0 {
            self.found.note("no answer had a date, so no clock was compared");
        }
        self.found
    }
}
