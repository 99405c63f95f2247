//! Configurations of actors that nobody thought of.

use berth_model::random;

#[test]
fn random_configurations_hold() {
    for seed in [1, 2] {
        let report = random::run(1_000, seed);
        println!("seed {seed}: {report}");
        assert!(report.counterexample.is_none(), "seed {seed}: {report}");
    }
}

#[test]
fn walks_find_a_removed_rule() {
    // What never finds anything proves nothing.
    let report = random::run_without(berth_model::scenario::Flaw::AnswerWithoutRead, 2_000, 1);
    assert!(report.counterexample.is_some(), "{report}");
}
