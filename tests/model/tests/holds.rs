//! Every scenario holds: all states of all interleavings keep all invariants.
#![allow(clippy::unwrap_used)]

use berth_model::{check, scenarios};

/// Far above the largest scenario of this gate: reaching it is a failure, not a shorter search.
const LIMIT: u64 = 10_000_000;

fn holds(name: &str) {
    let plan = scenarios::named(name).unwrap_or_else(|| panic!("there is no scenario {name}"));
    let outcome = check(&plan, LIMIT);
    if let Some(counterexample) = outcome.counterexample {
        panic!("{name} ({}): {counterexample}", plan.about);
    }
    assert!(outcome.exhausted, "{name} has more than {LIMIT} states: make it smaller");
    assert!(outcome.states > 100, "{name} has {} states: its actors do not meet", outcome.states);
    println!("{name}: {} states, {} steps", outcome.states, outcome.depth);
}

macro_rules! each_is_a_test {
    ($($name:ident)*) => {
        $(#[test] #[allow(non_snake_case)] fn $name() { holds(stringify!($name)); })*

        #[test]
        fn every_scenario_is_a_test() {
            let tested = [$(stringify!($name)),*];
            let known: Vec<&str> = scenarios::all().iter().chain(&scenarios::traps()).map(|plan| plan.name).collect();
            assert_eq!(known, tested, "each scenario is a test, in the order of scenarios.rs");
        }
    };
}

each_is_a_test! {
    S1 S2 S3 S4 S5 S6 B1 B2
    L1 L1b L2 L3 L4 L5 L6 L7
    W1 W2
    T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11
    P1 X1 X2 X3 X4 X5
    F1 F2 F3 F4 F5 F6
    Q1 G1 D1 D2 D3 D4
    A1 A2 A3 A4 A5 A6
    Z5 Z6 Z8
    V1 V2
}
