//! When something runs again: at an interval, or by a cron pattern.

use std::borrow::Cow;
use std::time::Duration;

use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::core::clock::millis;
use crate::error::{Error, Result};

/// When a worker or a job runs again and again: at an interval, or by a cron pattern.
///
/// A cron pattern has five parts, minute, hour, day of the month, month and day of the week, or six with the second in front; it
/// also takes `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly`, and is read in UTC unless a time zone is given.
///
/// ```
/// use std::time::Duration;
/// use modeller::Schedule;
/// let often = Schedule::every(Duration::from_secs(30)).immediate(false);
/// let nightly = Schedule::cron("0 3 * * *").in_zone("Europe/Berlin");
/// # let _ = (often, nightly);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    when: When,
    zone: Cow<'static, str>,
    immediate: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
enum When {
    Every(Duration),
    Cron(Cow<'static, str>),
}

impl Schedule {
    /// At this interval, of a millisecond at least; the first time at once.
    #[must_use]
    pub const fn every(interval: Duration) -> Self {
        Self { when: When::Every(interval), zone: Cow::Borrowed("UTC"), immediate: None }
    }

    /// Whenever the pattern says so.
    #[must_use]
    pub fn cron(pattern: impl Into<Cow<'static, str>>) -> Self {
        Self { when: When::Cron(pattern.into()), zone: Cow::Borrowed("UTC"), immediate: None }
    }

    /// The same of a pattern that stands in the program. For expansions.
    #[doc(hidden)]
    #[must_use]
    pub const fn declared(pattern: &'static str, zone: &'static str) -> Self {
        Self { when: When::Cron(Cow::Borrowed(pattern)), zone: Cow::Borrowed(zone), immediate: None }
    }

    /// By the clocks of this time zone, by its name in the IANA database, e.g. `Europe/Berlin`.
    #[must_use]
    pub fn in_zone(mut self, zone: impl Into<Cow<'static, str>>) -> Self {
        self.zone = zone.into();
        self
    }

    /// Whether the first time is at once: that of an interval is, unless said otherwise; that of a pattern is when it says.
    #[must_use]
    pub const fn immediate(mut self, immediate: bool) -> Self {
        self.immediate = Some(immediate);
        self
    }

    /// Its interval, or else its pattern; and its zone.
    pub(super) fn parts(&self) -> (std::result::Result<Duration, &str>, &str) {
        let when = match &self.when {
            When::Every(interval) => Ok(*interval),
            When::Cron(pattern) => Err(pattern.as_ref()),
        };
        (when, &self.zone)
    }

    /// The same, proved.
    ///
    /// # Errors
    /// `INVALID_DECLARATION` for an interval of nothing, a pattern or a zone that is none, and a pattern that never comes true.
    pub(crate) fn prove(&self) -> Result<Timetable> {
        let wrong = |what: String| Error::new("INVALID_DECLARATION").status(500).message(what);
        let (when, immediate) = match &self.when {
            When::Every(interval) if interval.is_zero() => return Err(wrong("the interval is nothing".into())),
            When::Every(interval) => (Proved::Every(millis(*interval).max(1)), true),
            When::Cron(pattern) => {
                let cron = pattern
                    .parse::<Cron>()
                    .map_err(|cause| wrong(format!("`{pattern}` is no cron pattern: {cause}")))?;
                let zone = TimeZone::get(&self.zone).map_err(|_| wrong(format!("`{}` is no time zone", self.zone)))?;
                (Proved::Cron(Box::new(cron), zone), false)
            }
        };
        let timetable = Timetable { when, immediate: self.immediate.unwrap_or(immediate) };
        match (&self.when, timetable.next(0)) {
            (When::Cron(pattern), None) => Err(wrong(format!("`{pattern}` never comes true"))),
            _ => Ok(timetable),
        }
    }
}

/// A schedule that was proved.
#[derive(Clone, Debug)]
pub(crate) struct Timetable {
    when: Proved,
    immediate: bool,
}

#[derive(Clone, Debug)]
enum Proved {
    /// Milliseconds.
    Every(u64),
    Cron(Box<Cron>, TimeZone),
}

impl Timetable {
    /// The first time for what begins now, in milliseconds since the Unix epoch.
    pub(crate) fn first(&self, now: u64) -> Option<u64> {
        if self.immediate { Some(now) } else { self.next(now) }
    }

    /// The time after the one that began then; `None` when there is none.
    pub(crate) fn next(&self, begun: u64) -> Option<u64> {
        match &self.when {
            Proved::Every(interval) => Some(begun.saturating_add(*interval)),
            Proved::Cron(cron, zone) => {
                let from = Timestamp::from_millisecond(i64::try_from(begun).ok()?).ok()?.to_zoned(zone.clone());
                let next = cron.find_next_occurrence(&from, false).ok()?;
                u64::try_from(next.timestamp().as_millisecond()).ok()
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// 2026-03-28T23:30:00Z, the evening before clocks go forward in Berlin.
    const EVENING: u64 = 1_774_740_600_000;
    const HOUR: u64 = 3_600_000;

    fn times(schedule: &Schedule, from: u64, count: usize) -> Vec<u64> {
        let timetable = schedule.prove().unwrap();
        let first = timetable.first(from).unwrap();
        std::iter::successors(Some(first), |at| timetable.next(*at)).take(count).map(|at| at - from).collect()
    }

    #[test]
    fn intervals_and_patterns() {
        let second = Duration::from_secs(1);
        assert_eq!(times(&Schedule::every(second), EVENING, 3), [0, 1_000, 2_000]);
        assert_eq!(times(&Schedule::every(second).immediate(false), EVENING, 2), [1_000, 2_000]);
        assert_eq!(times(&Schedule::every(Duration::from_nanos(1)), EVENING, 2), [0, 1]);
        assert_eq!(times(&Schedule::cron("0 * * * *"), EVENING, 2), [HOUR / 2, HOUR * 3 / 2]);
        assert_eq!(times(&Schedule::cron("@hourly").immediate(true), EVENING, 2), [0, HOUR / 2]);
        assert_eq!(times(&Schedule::cron("*/10 * * * * *"), EVENING, 2), [10_000, 20_000]);
    }

    #[test]
    fn a_pattern_goes_by_the_clocks_of_its_zone() {
        // Three o'clock in the morning: 3:00 in UTC; in Berlin 1:00 UTC on the day of the change, where two o'clock is not.
        let day = 24 * HOUR;
        let at_three = Schedule::cron("0 3 * * *");
        assert_eq!(times(&at_three, EVENING, 2), [HOUR * 7 / 2, HOUR * 7 / 2 + day]);
        assert_eq!(times(&at_three.in_zone("Europe/Berlin"), EVENING, 2), [HOUR * 3 / 2, HOUR * 3 / 2 + day]);
    }

    #[test]
    fn what_is_none_is_refused() {
        for (schedule, text) in [
            (Schedule::every(Duration::ZERO), "nothing"),
            (Schedule::cron("every day"), "no cron pattern"),
            (Schedule::cron("61 * * * *"), "no cron pattern"),
            (Schedule::cron("0 0 30 2 *"), "never comes true"),
            (Schedule::cron("0 3 * * *").in_zone("Europe/Nowhere"), "no time zone"),
        ] {
            let error = schedule.prove().unwrap_err();
            assert!(error.text().contains(text), "{schedule:?}: {}", error.text());
        }
    }
}
