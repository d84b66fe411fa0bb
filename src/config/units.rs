//! Sizes and durations in human-readable form.

use std::time::Duration;

/// Parses a duration such as `30m` or `1h 30m`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text.trim()).ok()
}

/// Parses a size such as `16KiB` and returns bytes. The units are `B`, `KiB`, `MiB` and `GiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Formats a duration in the largest unit that divides it, such as 30m or 90days.
pub fn written(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] =
        [(86_400_000, "days"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let millis = duration.as_millis();
    let fits = |(unit, name): &(u128, &str)| {
        // 24h and 48h are clearer than 1days and 2days.
        let enough = *name != "days" || millis > 2 * unit;
        millis > 0 && millis.is_multiple_of(*unit) && enough
    };
    let unit = UNITS.iter().find(|unit| fits(unit));
    unit.map_or_else(|| "0s".to_owned(), |(unit, name)| format!("{}{name}", millis / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(size("16KiB"), Some(16_384));
        assert_eq!(size("19 MiB"), Some(19_922_944));
        for bad in [
            "",
            "16",
            "KiB",
            "-1KiB",
            "1.5MiB",
            "1KB",
            "99999999999999999999B",
            "18446744073709551615GiB",
        ] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("30m"), Some(Duration::from_mins(30)));
        assert_eq!(duration("30"), None);
    }

    #[test]
    fn durations_are_printed_in_their_largest_whole_unit() {
        for (seconds, text) in [
            (0, "0s"),
            (1, "1s"),
            (90, "90s"),
            (1800, "30m"),
            (43_200, "12h"),
            (86_400, "24h"),
            (604_800, "7days"),
            (31_536_000, "365days"),
        ] {
            assert_eq!(written(Duration::from_secs(seconds)), text);
        }
        assert_eq!(written(Duration::from_millis(250)), "250ms");
    }
}
