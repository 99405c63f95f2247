//! Cadences as cron expressions, each policy at its own time.

use sha2::{Digest as _, Sha256};

use crate::kinds::Cadence;

/// Hours after midnight in which policies with a cadence start.
const HOURS: u64 = 6;
/// Days of the month that every month has.
const DAYS: u64 = 28;

/// Where a policy lies within its cadence: numbers that depend on its namespace and name alone, each from its own part of
/// a SHA-256, so that they are independent of each other and the same in every release.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offsets {
    minute: u64,
    hour: u64,
    weekday: u64,
    day: u64,
    month: u64,
    parity: i64,
}

impl Offsets {
    pub(super) fn of(policy: &str) -> Self {
        let hash = Sha256::digest(policy.as_bytes());
        let part = |number: usize, below: u64| {
            let bytes: [u8; 4] =
                hash[number * 4..number * 4 + 4].try_into().expect("SHA-256 has eight parts of four bytes");
            u64::from(u32::from_be_bytes(bytes)) % below
        };
        let parity = if part(5, 2) == 0 { 0 } else { 1 };
        Self {
            minute: part(0, 60),
            hour: part(1, HOURS),
            weekday: part(2, 7),
            day: part(3, DAYS) + 1,
            month: part(4, 3) + 1,
            parity,
        }
    }

    /// Five fields, as Kubernetes takes them.
    pub(super) fn expression(self, cadence: Cadence) -> String {
        let Self { minute, hour, weekday, day, month, .. } = self;
        match cadence {
            Cadence::Daily => format!("{minute} {hour} * * *"),
            Cadence::Weekly | Cadence::Fortnightly => format!("{minute} {hour} * * {weekday}"),
            Cadence::Monthly => format!("{minute} {hour} {day} * *"),
            Cadence::Quarterly => {
                let months = [month, month + 3, month + 6, month + 9].map(|month| month.to_string()).join(",");
                format!("{minute} {hour} {day} {months} *")
            }
        }
    }

    /// The parity of the weeks in which a cadence of two weeks comes due.
    pub(super) fn parity(self, cadence: Cadence) -> Option<i64> {
        (cadence == Cadence::Fortnightly).then_some(self.parity)
    }
}
