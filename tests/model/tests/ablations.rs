//! Every rule is needed: without it the search finds the broken invariant that the table names.

use berth_model::{ablations, check};

#[test]
fn every_removed_rule_is_found_out() {
    let rows = ablations::all();
    let mut wrong = Vec::new();
    for row in &rows {
        let outcome = check(&row.plan, 5_000_000);
        match outcome.counterexample {
            Some(found) if found.broken.split([' ', ':']).next() == Some(row.breaks) => {
                println!("{}: {} ({}), {} steps", row.plan.name, row.wrong, found.broken, found.trace.len());
            }
            Some(found) => wrong.push(format!("{} ({}) breaks something else: {found}", row.wrong, row.rule)),
            None => wrong.push(format!("{} ({}, {}) breaks nothing", row.wrong, row.rule, row.plan.name)),
        }
    }
    assert!(wrong.is_empty(), "{} of {} ablations are not as expected:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn every_ablated_scenario_holds_with_the_rule() {
    // The counterexample is due to the missing rule only if the scenario holds with it: `holds.rs` searches them all.
    for row in ablations::all() {
        let plan = berth_model::scenarios::named(row.plan.name);
        assert!(plan.is_some_and(|plan| plan.flaw.is_none()), "{} is no scenario of holds.rs", row.plan.name);
    }
}
