//! The handlers themselves over the simulated store: replicas that push, move, mount and delete, each with its
//! collector and all clocks at zero, in an order and with faults drawn from a seed.
//!
//! The model (`tests/model/`) proves the protocol; this shows that the code follows it. A seed that fails prints what
//! was broken and everything that happened in the store. `BERTH_SEED=17` runs that seed alone, `BERTH_SEEDS=20000`
//! runs so many.

mod actors;
mod checks;
mod history;
mod world;

use super::*;
use crate::store::memory::{Faults, Record};
use world::World;

/// Seeds of every test, unless `BERTH_SEEDS` says otherwise.
const SEEDS: u64 = 300;

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("BERTH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BERTH_SEEDS").unwrap_or(SEEDS),
    }
}

/// What kind of run a seed is.
#[derive(Clone, Copy, Debug)]
struct Conditions {
    faults: Faults,
    /// One replica dies on the way.
    kill: bool,
}

/// One run: what was broken, if anything, and what happened in the store.
fn run(seed: u64, conditions: Conditions) -> (Result<(), String>, Vec<Record>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let world = World::new(seed, conditions);
    let outcome = runtime.block_on(async {
        actors::run(&world).await?;
        checks::at_the_end(&world).await
    });
    (outcome, world.store.log())
}

fn run_all(conditions: Conditions) {
    for seed in seeds() {
        let (Err(broken), log) = run(seed, conditions) else { continue };
        for record in log {
            println!("{record}");
        }
        panic!("{broken}\nin seed {seed} under {conditions:?}; BERTH_SEED={seed} repeats it");
    }
}

#[test]
fn everything_holds_in_any_order() {
    run_all(Conditions { faults: Faults::NONE, kill: false });
}

#[test]
fn everything_holds_on_a_store_that_fails() {
    run_all(Conditions { faults: Faults::SOME, kill: false });
}

#[test]
fn everything_holds_when_a_replica_dies() {
    run_all(Conditions { faults: Faults { repeats: 50, ..Faults::NONE }, kill: true });
}

/// Without this a failing seed could not be looked at.
#[test]
fn a_seed_replays_request_by_request() {
    for seed in [3, 8, 21] {
        let conditions = Conditions { faults: Faults::SOME, kill: seed % 2 == 1 };
        let ((_, first), (_, second)) = (run(seed, conditions), run(seed, conditions));
        assert!(first.len() > 500, "seed {seed} does hardly anything");
        for (a, b) in first.iter().zip(&second) {
            assert_eq!(a, b, "seed {seed}");
        }
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}
