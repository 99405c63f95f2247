//! Schedules, with the calendar's corner cases.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use jiff::civil::Weekday;

use super::*;
use crate::kinds::Cadence;

const CADENCES: [Cadence; 5] =
    [Cadence::Daily, Cadence::Weekly, Cadence::Fortnightly, Cadence::Monthly, Cadence::Quarterly];

fn cadence(cadence: Cadence, zone: &str, policy: &str) -> Slots {
    Slots::of(&Schedule { cadence: Some(cadence), cron: None, time_zone: zone.to_owned() }, policy).unwrap()
}

fn try_cron(expression: &str, zone: &str) -> Result<Slots, ScheduleError> {
    let schedule = Schedule { cadence: None, cron: Some(expression.to_owned()), time_zone: zone.to_owned() };
    Slots::of(&schedule, "team-a/nightly")
}

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The first slots from a moment on, in the schedule's own time.
fn local(slots: &Slots, from: &str, count: usize) -> Vec<String> {
    let mut times = Vec::new();
    let mut after = moment(from);
    for _ in 0..count {
        after = slots.next(after).unwrap();
        times.push(after.to_zoned(slots.zone.clone()).strftime("%a %Y-%m-%d %H:%M").to_string());
    }
    times
}

#[test]
fn a_cadence_comes_due_at_its_own_distance_within_six_hours_after_midnight() {
    for zone in ["Etc/UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
        for policy in ["team-a/nightly", "team-b/nightly", "x/y", "team-a/weekly"] {
            for (kind, days) in CADENCES.into_iter().zip([1..=1, 7..=7, 14..=14, 28..=31, 89..=92]) {
                let slots = cadence(kind, zone, policy);
                let due: Vec<_> = slots
                    .between(moment("2024-01-01T00:00:00Z"), moment("2026-12-31T00:00:00Z"))
                    .map(|slot| slot.to_zoned(slots.zone.clone()))
                    .collect();
                assert!(due.len() >= 11, "{kind:?}: {}", due.len());
                for pair in due.windows(2) {
                    let distance = week_days(pair[1].date()) - week_days(pair[0].date());
                    assert!(days.contains(&distance), "{kind:?} {zone}: {distance} days to {}", pair[1]);
                    // A slot in the gap of a clock put forward comes at its end.
                    assert!(pair[1].hour() < 6, "{kind:?}: {}", pair[1]);
                }
            }
        }
    }
}

fn week_days(day: Date) -> i64 {
    day.duration_since(FIRST_MONDAY).as_hours() / 24
}

#[test]
fn a_fortnight_is_exactly_every_second_week_and_the_weekly_expression_asks_for_it() {
    let slots = cadence(Cadence::Fortnightly, "Europe/Berlin", "team-a/nightly");
    let (from, until) = (moment("2024-01-01T00:00:00Z"), moment("2034-01-01T00:00:00Z"));
    let weekly = cadence(Cadence::Weekly, "Europe/Berlin", "team-a/nightly");
    assert_eq!(slots.cron(), weekly.cron());
    let due: BTreeSet<_> = slots.between(from, until).collect();
    let woken: Vec<_> = weekly.between(from, until).collect();
    assert!((260..=262).contains(&due.len()), "26 a year, not 24: {}", due.len());
    for (position, slot) in woken.iter().enumerate() {
        assert_eq!(slots.contains(*slot), due.contains(slot));
        assert_eq!(due.contains(slot), position % 2 == usize::from(!due.contains(&woken[0])), "{slot}");
    }
}

#[test]
fn a_schedule_depends_on_nothing_but_itself_and_the_policys_name() {
    // Written out, so that no release moves anybody's runs unseen.
    let expressions: Vec<String> =
        CADENCES.iter().map(|kind| cadence(*kind, "Etc/UTC", "team-a/nightly").cron().to_owned()).collect();
    assert_eq!(expressions, PINNED);
    assert_eq!(
        local(&cadence(Cadence::Fortnightly, "Etc/UTC", "team-a/nightly"), "2026-11-24T00:00:00Z", 3),
        PINNED_14D
    );
}

const PINNED: [&str; 5] = ["2 1 * * *", "2 1 * * 6", "2 1 * * 6", "2 1 6 * *", "2 1 6 3,6,9,12 *"];
const PINNED_14D: [&str; 3] = ["Sat 2026-11-28 01:02", "Sat 2026-12-12 01:02", "Sat 2026-12-26 01:02"];

#[test]
fn policies_are_spread() {
    let mut times = BTreeSet::new();
    let (mut weekdays, mut odd, mut months) = ([0; 7], 0, BTreeSet::new());
    for number in 0..700 {
        let policy = format!("team-{}/policy-{number}", number % 10);
        let slots = cadence(Cadence::Fortnightly, "Etc/UTC", &policy);
        let slot = slots.next(moment("2026-01-01T00:00:00Z")).unwrap().to_zoned(TimeZone::UTC);
        times.insert((slot.hour(), slot.minute()));
        weekdays[usize::try_from(slot.weekday().to_monday_zero_offset()).unwrap()] += 1;
        odd += week(slot.date()).rem_euclid(2);
        months.insert(cadence(Cadence::Quarterly, "Etc/UTC", &policy).cron().split(' ').nth(3).unwrap().to_owned());
    }
    assert!(times.len() > 250, "of 360 minutes: {}", times.len());
    assert!(weekdays.iter().all(|count| (60..=140).contains(count)), "{weekdays:?}");
    assert!((250..=450).contains(&odd), "{odd}");
    assert_eq!(months.len(), 3);
}

#[test]
fn cron_expressions_mean_what_kubernetes_makes_of_them() {
    let utc =
        |expression: &str, count| local(&try_cron(expression, "Etc/UTC").unwrap(), "2026-11-24T12:00:30.5Z", count);
    assert_eq!(utc("30 3 * * *", 2), ["Wed 2026-11-25 03:30", "Thu 2026-11-26 03:30"]);
    assert_eq!(utc("0 0 1 * 1", 3), ["Mon 2026-11-30 00:00", "Tue 2026-12-01 00:00", "Mon 2026-12-07 00:00"]);
    // A step restricts the day: the other field adds to it. A star does not, whichever way it is written.
    assert_eq!(utc("0 0 */10 * fri", 3), ["Fri 2026-11-27 00:00", "Tue 2026-12-01 00:00", "Fri 2026-12-04 00:00"]);
    assert_eq!(utc("0 0 ? * FRI", 2), ["Fri 2026-11-27 00:00", "Fri 2026-12-04 00:00"]);
    assert_eq!(utc("0 0 */1 * 5", 2), ["Fri 2026-11-27 00:00", "Fri 2026-12-04 00:00"]);
    assert_eq!(utc("0 0 13 * *", 1), ["Sun 2026-12-13 00:00"]);
    assert_eq!(
        utc("*/20 12-13 * nov Tue", 5),
        [
            "Tue 2026-11-24 12:20",
            "Tue 2026-11-24 12:40",
            "Tue 2026-11-24 13:00",
            "Tue 2026-11-24 13:20",
            "Tue 2026-11-24 13:40"
        ]
    );
    assert_eq!(utc("0 0 29 2 *", 2), ["Tue 2028-02-29 00:00", "Sun 2032-02-29 00:00"]);
    assert_eq!(utc("05 1,3-5 1-31 JAN-DEC 0-6", 1), ["Wed 2026-11-25 01:05"]);
    assert_eq!(utc(" 0  0 1 1,7 * ", 2), ["Fri 2027-01-01 00:00", "Thu 2027-07-01 00:00"]);
}

#[test]
fn what_only_one_of_the_two_understands_is_refused_with_what_to_write() {
    for (expression, text) in [
        ("@daily", "five fields"),
        ("@every 1h", "five fields"),
        ("TZ=Europe/Berlin 0 3 * * *", "timeZone"),
        ("CRON_TZ=UTC 0 3 * * *", "timeZone"),
        ("0 3 * *", "4 fields"),
        ("0 0 3 * * *", "6 fields"),
        ("", "0 fields"),
        ("60 3 * * *", "from 0 to 59"),
        ("0 24 * * *", "from 0 to 23"),
        ("0 3 0 * *", "from 1 to 31"),
        ("0 3 L * *", "from 1 to 31"),
        ("0 3 15W * *", "from 1 to 31"),
        ("0 3 * * 7", "0 is Sunday"),
        ("0 3 * * 1#2", "day of week"),
        ("0 3 * * 5L", "day of week"),
        ("0 3 * 13 *", "month"),
        ("0 3 * * monday", "day of week"),
        ("0 3 * * fri-mon", "backwards"),
        ("50-10 3 * * *", "backwards"),
        ("0/15 3 * * *", "0-59/15"),
        ("*/0 3 * * *", "step"),
        ("*/60 3 * * *", "step"),
        ("*/x 3 * * *", "step"),
        ("1,,2 3 * * *", "minute"),
        ("1- 3 * * *", "minute"),
        ("-1 3 * * *", "minute"),
        ("+1 3 * * *", "minute"),
        ("٣ 3 * * *", "minute"),
        ("0 0 31 2 *", "never"),
        ("0 0 30 2 *", "never"),
        ("0 0 31 4,6,9,11 *", "never"),
    ] {
        let error = try_cron(expression, "Etc/UTC").unwrap_err();
        assert!(error.to_string().contains(text), "{expression}: {error}");
        assert_eq!(error.path(), "spec.schedule.cron");
    }
    for zone in ["Mars/Olympus", "europe/berlin", "", "Local", "+01:00"] {
        let error = try_cron("0 3 * * *", zone).unwrap_err();
        assert!(error.to_string().contains("Europe/Berlin"), "{error}");
        assert_eq!(error.path(), "spec.schedule.timeZone");
    }
    let both =
        Schedule { cadence: Some(Cadence::Daily), cron: Some("0 3 * * *".to_owned()), time_zone: "Etc/UTC".to_owned() };
    assert_eq!(Slots::of(&both, "a/b").unwrap_err(), ScheduleError::NotOne);
}

#[test]
fn clocks_put_forward_and_back_lose_and_double_no_daily_run() {
    let slots = try_cron("30 2 * * *", "Europe/Berlin").unwrap();
    assert_eq!(
        local(&slots, "2026-03-28T00:00:00Z", 3),
        ["Sat 2026-03-28 02:30", "Sun 2026-03-29 03:00", "Mon 2026-03-30 02:30"]
    );
    let october: Vec<_> = slots.between(moment("2026-10-24T12:00:00Z"), moment("2026-10-26T12:00:00Z")).collect();
    assert_eq!(october, [moment("2026-10-25T00:30:00Z"), moment("2026-10-26T01:30:00Z")], "once, the first time");
}

#[test]
fn the_latest_slot_is_the_one_before_the_next() {
    let schedules = [
        try_cron("30 2 * * *", "Europe/Berlin").unwrap(),
        try_cron("*/30 * * * *", "Europe/Berlin").unwrap(),
        try_cron("0 0 1 * 1", "America/Havana").unwrap(),
        cadence(Cadence::Daily, "America/Havana", "a/b"),
        cadence(Cadence::Fortnightly, "Europe/Berlin", "a/b"),
        cadence(Cadence::Quarterly, "Australia/Lord_Howe", "a/b"),
    ];
    for slots in &schedules {
        let mut after = moment("2026-01-01T00:00:00Z");
        assert!(slots.latest(after).unwrap() <= after);
        for _ in 0..600 {
            let next = slots.next(after).unwrap();
            assert!(next > after);
            assert_eq!(slots.latest(next), Some(next), "{}", slots.cron());
            assert!(slots.contains(next));
            let between = after + next.duration_since(after) / 2;
            if between > after && slots.latest(after) == Some(after) {
                assert_eq!(slots.latest(between), Some(after), "{} between {after} and {next}", slots.cron());
                assert!(!slots.contains(between));
            }
            after = next;
            if after > moment("2030-01-01T00:00:00Z") {
                break;
            }
        }
    }
}

#[test]
fn weeks_are_counted_from_a_monday() {
    assert_eq!(FIRST_MONDAY.weekday(), Weekday::Monday);
    assert_eq!(
        [week(date(1970, 1, 4)), week(date(1970, 1, 5)), week(date(1970, 1, 11)), week(date(1970, 1, 12))],
        [-1, 0, 0, 1]
    );
}
