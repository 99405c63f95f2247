//! Who runs a slot, and which slots run.

use jiff::SignedDuration;

use super::runs::{POLICY, configuration, push_in_order, runs};
use super::*;
use crate::cleanup::Scheduler;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn scheduler(site: &Site, text: &str) -> Scheduler {
    Scheduler::new(runs(site, text), configuration(text))
}

async fn policy_runs(site: &Site) -> Vec<String> {
    let runs = site.runs.runs(&"team-a/nightly".parse().unwrap()).await.unwrap();
    runs.into_iter().map(|run| run.to_string()).collect()
}

#[tokio::test]
async fn only_the_latest_missed_slot_runs_after_a_downtime() {
    let site = Site::new();
    push_in_order(&site, &["a", "b"]).await;
    scheduler(&site, POLICY).look(at("2026-11-20T12:00:00Z")).await;
    assert!(policy_runs(&site).await.is_empty(), "a slot before the policy was first seen is not made up for");

    let restarted = scheduler(&site, POLICY);
    restarted.look(at("2026-11-24T12:00:00Z")).await;
    assert_eq!(policy_runs(&site).await, ["team-a.nightly.20261124T030000Z"]);
    restarted.look(at("2026-11-24T12:01:00Z")).await;
    scheduler(&site, POLICY).look(at("2026-11-24T12:02:00Z")).await;
    assert_eq!(policy_runs(&site).await.len(), 1, "once");
    restarted.look(at("2026-11-25T03:00:05Z")).await;
    assert_eq!(policy_runs(&site).await.len(), 2);
}

#[tokio::test]
async fn several_schedulers_over_one_bucket_run_a_slot_once() {
    let store = MemoryStore::new();
    let sites: Vec<Site> = ["one", "two", "three"].iter().map(|name| Site::over(Arc::new(store.named(name)))).collect();
    push_in_order(&sites[0], &["a", "b", "c"]).await;
    let schedulers: Vec<Scheduler> = sites.iter().map(|site| scheduler(site, POLICY)).collect();
    for scheduler in &schedulers {
        scheduler.look(at("2026-11-23T12:00:00Z")).await;
    }
    let now = at("2026-11-24T03:00:10Z");
    tokio::join!(schedulers[0].look(now), schedulers[1].look(now), schedulers[2].look(now));
    assert_eq!(policy_runs(&sites[0]).await, ["team-a.nightly.20261124T030000Z"]);
    let plans = store.snapshot().into_keys().filter(|key| key.ends_with("/head")).count();
    assert_eq!(plans, 1, "one of them planned");
    assert_eq!(sites[0].tags().await, ["c"]);
}

#[tokio::test]
async fn a_suspended_policy_lets_its_slots_pass() {
    let site = Site::new();
    push_in_order(&site, &["a", "b"]).await;
    let suspended = POLICY.replace("schedule:", "suspend: true\n  schedule:");
    scheduler(&site, POLICY).look(at("2026-11-20T12:00:00Z")).await;
    scheduler(&site, &suspended).look(at("2026-11-24T12:00:00Z")).await;
    scheduler(&site, POLICY).look(at("2026-11-24T13:00:00Z")).await;
    assert!(policy_runs(&site).await.is_empty(), "not made up for when it is resumed");
    scheduler(&site, POLICY).look(at("2026-11-25T03:00:01Z")).await;
    assert_eq!(policy_runs(&site).await.len(), 1);
}

#[tokio::test]
async fn a_look_costs_no_request_while_nothing_is_due() {
    let store = MemoryStore::new();
    let site = Site::over(Arc::new(store.clone()));
    let scheduler = scheduler(&site, POLICY);
    let now = at("2026-11-24T12:00:00Z");
    scheduler.look(now).await;
    let before: u64 = store.counts().values().sum();
    for minute in 1..600 {
        scheduler.look(now + SignedDuration::from_mins(minute)).await;
    }
    let after: u64 = store.counts().values().sum();
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_new_schedule_waits_for_its_own_next_slot() {
    let site = Site::new();
    push_in_order(&site, &["a", "b"]).await;
    scheduler(&site, POLICY).look(at("2026-11-24T12:00:00Z")).await;
    let later = POLICY.replace("0 3 * * *", "0 11 * * *");
    scheduler(&site, &later).look(at("2026-11-24T12:10:00Z")).await;
    assert!(policy_runs(&site).await.is_empty());
}
