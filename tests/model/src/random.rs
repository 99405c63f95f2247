//! Random configurations of actors. Chosen scenarios show what somebody thought of; two holes of earlier protocols
//! were found only by configurations that nobody had.

use std::fmt;

use crate::engine::{Counterexample, Random, explore, walk};
use crate::scenario::{Flaw, Push, Scenario, Task};
use crate::scenarios;
use crate::state::ACTORS;

/// What a run over random configurations did.
#[derive(Debug)]
pub struct Report {
    /// Configurations searched breadth-first, and how many of them to the end.
    pub searched: (u64, u64),
    /// Configurations walked at random.
    pub walked: u64,
    /// States visited and steps walked.
    pub steps: u64,
    /// The first counterexample, with the configuration it was found in.
    pub counterexample: Option<(Scenario, Counterexample)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (searched, exhausted) = self.searched;
        let Self { walked, steps, .. } = self;
        write!(
            f,
            "{searched} configurations searched, {exhausted} exhausted; {walked} walked; {steps} states and steps"
        )?;
        if let Some((plan, counterexample)) = &self.counterexample {
            write!(f, "\n{plan:#?}\n{counterexample}")?;
        }
        Ok(())
    }
}

/// States after which the search of one configuration is cut.
const SEARCH_LIMIT: u64 = 20_000;
/// Random walks of one configuration.
const WALKS: u64 = 100;

/// Searches and walks `count` configurations, in turn. Equal seeds do the same.
pub fn run(count: u64, seed: u64) -> Report {
    run_flawed(None, count, seed)
}

/// The same with one rule removed, to see that it would be found.
pub fn run_without(flaw: Flaw, count: u64, seed: u64) -> Report {
    run_flawed(Some(flaw), count, seed)
}

fn run_flawed(flaw: Option<Flaw>, count: u64, seed: u64) -> Report {
    let mut random = Random::new(seed);
    let mut report = Report { searched: (0, 0), walked: 0, steps: 0, counterexample: None };
    for i in 0..count {
        let plan = Scenario { flaw, ..configuration(&mut random) };
        let counterexample = if i % 2 == 0 {
            let outcome = explore(&plan, SEARCH_LIMIT);
            report.searched = (report.searched.0 + 1, report.searched.1 + u64::from(outcome.exhausted));
            report.steps += outcome.states;
            outcome.counterexample
        } else {
            let (steps, counterexample) = walk(&plan, WALKS, random.below(u64::MAX));
            report.walked += 1;
            report.steps += steps;
            counterexample
        };
        if let Some(counterexample) = counterexample {
            report.counterexample = Some((plan, counterexample));
            break;
        }
    }
    report
}

/// What the actors of one configuration may still take: every id is created by one of them only.
struct Ids {
    uploads: Vec<u8>,
    manifests: Vec<u8>,
    indexes: Vec<u8>,
    referrers: Vec<u8>,
    versions: Vec<(u8, u8)>,
    watches: Vec<u8>,
    spare_holdings: Vec<u8>,
    spare_instances: Vec<u8>,
}

fn configuration(random: &mut Random) -> Scenario {
    let large = random.below(2) == 0;
    let tagged = random.below(4);
    let mut plan = scenarios::blank(large, random.below(2) == 0, tagged);
    let mut ids = Ids {
        uploads: if tagged == 0 { vec![0, 1] } else { vec![1] },
        manifests: if tagged < 2 { vec![0, 1] } else { vec![1] },
        indexes: if tagged < 3 { vec![3, 4] } else { vec![4] },
        referrers: vec![6],
        versions: vec![(1, 2), (3, 4), (5, 6)],
        watches: vec![0, 1],
        spare_holdings: vec![3, 4],
        spare_instances: vec![2, 7],
    };
    let mut deleted = false;
    let actors = 4 + random.below(3) as usize;
    for task in &mut plan.tasks[..actors.min(ACTORS)] {
        *task = choose(random, &mut ids, large, tagged);
        deleted |= matches!(task, Task::DeleteTag | Task::DeleteManifest { .. });
    }
    plan.promises.tag_stays = !deleted;
    plan
}

fn choose(random: &mut Random, ids: &mut Ids, large: bool, tagged: u64) -> Task {
    let push = |random: &mut Random, ids: &mut Ids, instance: u8, tagged: bool| {
        let versions = if tagged { ids.versions.pop() } else { None };
        let mut push = Push { instance, versions, ..Push::default() };
        if random.below(3) == 0 {
            push.spare_holdings = std::mem::take(&mut ids.spare_holdings).iter().fold(0, |mask, e| mask | 1 << e);
        }
        if random.below(3) == 0 {
            push.spare_instances = std::mem::take(&mut ids.spare_instances).iter().fold(0, |mask, n| mask | 1 << n);
        }
        push.early = random.below(3) == 0;
        push
    };
    match random.below(14) {
        0 | 1 if !ids.uploads.is_empty() => {
            let holding = ids.uploads.remove(0);
            if large { Task::UploadLarge { holding } } else { Task::UploadSmall { holding } }
        }
        2 | 3 if !ids.manifests.is_empty() => {
            let instance = ids.manifests.remove(0);
            let tag = random.below(3) > 0;
            let mut push = push(random, ids, instance, tag);
            if random.below(4) == 0 {
                push.watch = ids.watches.pop();
            }
            push.into()
        }
        4 if !ids.indexes.is_empty() => {
            let instance = ids.indexes.remove(0);
            push(random, ids, instance, true).into()
        }
        5 if !ids.referrers.is_empty() && tagged > 1 => {
            let instance = ids.referrers.remove(0);
            push(random, ids, instance, false).into()
        }
        6 => Task::DeleteTag,
        7 => Task::DeleteManifest { digest: random.below(2) as u8, image: 0 },
        8 => Task::Sweep { holding: [0, 1, 3][random.below(3) as usize], moved_to: None },
        9 if large => Task::CollectData { data: random.below(2) as u8 },
        10 if large => Task::Reap { data: random.below(2) as u8 },
        11 => Task::CheckTag,
        _ => Task::CollectManifest { instance: random.below(8) as u8 },
    }
}
