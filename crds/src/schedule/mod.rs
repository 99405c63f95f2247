//! When policies run: from `spec.schedule` to moments (DESIGN §3 "Cleanup", §6).
//!
//! A schedule is a function of the policy's namespace and name and of `spec.schedule` alone, so editing anything else in
//! a policy, or saving it again, moves nothing (GitLab counts from the last save).
//!
//! - A *cadence* becomes a cron expression whose minute, hour, weekday, day and month come from a hash of
//!   `<namespace>/<name>`: policies spread evenly over the six hours after midnight in their own time zone, the weeks and
//!   the first 28 days of the month, and never all start at once ([`cadence`]).
//! - `14d` is exactly every second week, which no cron expression says: it is a weekly expression, and of its slots those
//!   in weeks of one parity, counted from Monday, 5 January 1970. Whoever is woken by the expression asks
//!   [`Slots::contains`] with the moment it was due.
//! - A *cron* expression is what both the Kubernetes controller and the `croner` crate understand alike ([`cron`]).
//!
//! Where clocks are put forward over a slot, it comes at the end of the gap on the same day (Kubernetes' controller leaves
//! that one slot out); where they are put back, a fixed time comes once, the first time.

mod cadence;
mod cron;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

pub use cron::CronError;

use crate::kinds::Schedule;

/// The Monday that weeks are counted from.
const FIRST_MONDAY: Date = date(1970, 1, 5);
/// From when on a schedule has to come due at least once; any leap day is within the search.
const EPOCH: Timestamp = Timestamp::UNIX_EPOCH;

/// The moments at which a policy is due, its slots.
#[derive(Clone, Debug)]
pub struct Slots {
    expression: String,
    cron: Cron,
    zone: TimeZone,
    zone_name: String,
    /// Only slots in weeks of this parity count.
    parity: Option<i64>,
}

/// Why a schedule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("give exactly one of cadence and cron")]
    NotOne,
    #[error("{0}")]
    Cron(#[from] CronError),
    #[error("the cron expression \"{0}\" never comes due: no year has such a day")]
    Never(String),
    #[error(
        "\"{0}\" is no time zone: write a name of the IANA database exactly as it stands there, such as Europe/Berlin or \
         Etc/UTC"
    )]
    TimeZone(String),
}

impl ScheduleError {
    /// The field that is wrong.
    pub const fn path(&self) -> &'static str {
        match self {
            Self::NotOne => "spec.schedule",
            Self::Cron(_) | Self::Never(_) => "spec.schedule.cron",
            Self::TimeZone(_) => "spec.schedule.timeZone",
        }
    }
}

impl Slots {
    /// The slots of a policy, given as `<namespace>/<name>`.
    ///
    /// # Errors
    /// [`ScheduleError`] says what to write instead.
    pub fn of(schedule: &Schedule, policy: &str) -> Result<Self, ScheduleError> {
        let (expression, plain, parity) = match (schedule.cadence, &schedule.cron) {
            (Some(cadence), None) => {
                let offsets = cadence::Offsets::of(policy);
                let expression = offsets.expression(cadence);
                (expression.clone(), expression, offsets.parity(cadence))
            }
            (None, Some(expression)) => (expression.clone(), cron::plain(expression)?, None),
            _ => return Err(ScheduleError::NotOne),
        };
        let zone_name = schedule.time_zone.clone();
        // Names are compared exactly: Kubernetes looks them up as files, where the case of letters counts.
        let zone = TimeZone::get(&zone_name)
            .ok()
            .filter(|zone| zone.iana_name() == Some(zone_name.as_str()))
            .ok_or_else(|| ScheduleError::TimeZone(zone_name.clone()))?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(&plain).map_err(|error| CronError::Refused(expression.clone(), error.to_string()))?;
        let slots = Self { expression, cron, zone, zone_name, parity };
        if slots.next(EPOCH).is_none() {
            return Err(ScheduleError::Never(slots.expression));
        }
        Ok(slots)
    }

    /// The expression for a Kubernetes CronJob. Not all of its moments are slots: see [`Slots::contains`].
    pub fn cron(&self) -> &str {
        &self.expression
    }

    /// The time zone for a Kubernetes CronJob.
    pub fn time_zone(&self) -> &str {
        &self.zone_name
    }

    /// The first slot after a moment; `None` only at the end of representable time.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut from = self.at_second(after)?;
        loop {
            from = self.cron.find_next_occurrence(&from, false).ok()?;
            if self.counts(&from) {
                return Some(from.timestamp());
            }
        }
    }

    /// The last slot up to and including a moment; `None` before the first.
    pub fn latest(&self, until: Timestamp) -> Option<Timestamp> {
        let mut from = self.at_second(until)?;
        let mut inclusive = true;
        loop {
            from = self.cron.find_previous_occurrence(&from, inclusive).ok()?;
            inclusive = false;
            if self.counts(&from) {
                return Some(from.timestamp());
            }
        }
    }

    /// The slots after one moment, up to and including another, in order.
    pub fn between(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.next(after), |slot| self.next(*slot)).take_while(move |slot| *slot <= until)
    }

    /// Whether a moment is a slot: what a run asks that [`Slots::cron`] woke. A moment is meant as the time a run was
    /// scheduled for, to the second, not as the time it got to run.
    pub fn contains(&self, moment: Timestamp) -> bool {
        self.latest(moment).is_some_and(|slot| slot.as_second() == moment.as_second())
    }

    fn counts(&self, slot: &Zoned) -> bool {
        self.parity.is_none_or(|parity| week(slot.date()).rem_euclid(2) == parity)
    }

    /// A moment without its fraction of a second, which cron knows nothing of.
    fn at_second(&self, moment: Timestamp) -> Option<Zoned> {
        Timestamp::from_second(moment.as_second()).ok().map(|second| second.to_zoned(self.zone.clone()))
    }
}

/// The number of a day's week, counted from [`FIRST_MONDAY`].
fn week(day: Date) -> i64 {
    let days = day.duration_since(FIRST_MONDAY).as_hours() / 24;
    days.div_euclid(7)
}

#[cfg(test)]
mod tests;
