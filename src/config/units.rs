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

/// Formats a duration for people.
pub(super) fn written(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
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
}
