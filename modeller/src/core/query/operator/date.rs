//! The present time as a string that the format `date-time` takes (RFC 3339).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Now, in UTC, with milliseconds. All are of one length, so that their order as strings is their order in time.
pub(in crate::core::query) fn now() -> String {
    // A clock before 1970 is set wrongly; there is no better answer than its start.
    text(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// So long after the Unix epoch, in the year 9999 at most.
pub(in crate::core) fn text(since: Duration) -> String {
    let millis = i64::try_from(since.as_millis()).ok();
    let time = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok()).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_the_calendar() {
        // As `date -u -d @SECONDS` prints them.
        let cases = [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (951_868_800, "2000-03-01T00:00:00.007Z"),
            (1_735_689_599, "2024-12-31T23:59:59.007Z"),
            (1_735_689_600, "2025-01-01T00:00:00.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(text(Duration::from_millis(seconds * 1_000 + 7)), expected);
        }
        assert!(text(Duration::MAX).starts_with("9999-12-30T"), "{}", text(Duration::MAX));
    }
}
