//! A lone client always gets through: in every state, after everybody else stopped, its third try succeeds at the
//! latest. (`holds.rs` runs the same scenarios; here it is shown how many tries are needed.)
#![allow(clippy::unwrap_used)]

use berth_model::{check, scenarios};

fn succeeds_within(name: &str, tries: usize) -> bool {
    let mut plan = scenarios::named(name).unwrap();
    assert!(plan.client.len() >= tries, "{name} has a client with {} tries", plan.client.len());
    plan.client.truncate(tries);
    let outcome = check(&plan, 1_000_000);
    if let Some(found) = &outcome.counterexample {
        assert!(found.broken.starts_with("progress"), "{name}: {found}");
    }
    outcome.counterexample.is_none() && outcome.exhausted
}

#[test]
fn large_upload_against_reaper() {
    assert!(succeeds_within("Z5", 3));
}

#[test]
fn mount_against_data_collector() {
    assert!(succeeds_within("Z6", 3));
}

#[test]
fn index_of_a_retired_child() {
    assert!(succeeds_within("Z8", 2));
}
