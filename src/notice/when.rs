//! Times in words, in a configurable time zone.

use jiff::tz::TimeZone;

use crate::base::clock::Timestamp;

/// Returns the time zone with this IANA name, from the system or else the built-in database.
pub(super) fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// Formats a time, for example as `Saturday, 28 November 2026, 11:12 CET`.
pub(super) fn in_words(at: Timestamp, zone: &TimeZone) -> String {
    let moment = i64::try_from(at.as_millis()).ok();
    let moment = moment.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    moment.map_or_else(
        || at.rfc3339(),
        |moment| {
            moment.to_zoned_datetime(zone.clone()).strftime("%A, %-d %B %Y, %H:%M %Z").to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_formatted_in_words_and_in_local_time() {
        let winter = Timestamp::from_millis(1_795_860_728_000);
        let summer = Timestamp::from_millis(1_784_107_500_000);
        for (zone, at, words) in [
            ("UTC", winter, "Saturday, 28 November 2026, 10:12 UTC"),
            ("Europe/Zurich", winter, "Saturday, 28 November 2026, 11:12 CET"),
            ("Europe/Zurich", summer, "Wednesday, 15 July 2026, 11:25 CEST"),
            ("Asia/Tokyo", winter, "Saturday, 28 November 2026, 19:12 JST"),
            ("America/Los_Angeles", winter, "Saturday, 28 November 2026, 02:12 PST"),
        ] {
            assert_eq!(in_words(at, &time_zone(zone).unwrap()), words);
        }
        assert!(time_zone("Zurich").is_none());
        assert!(time_zone("").is_none());
    }
}
