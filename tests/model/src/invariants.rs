//! The invariants of the storage protocol, by the names of `docs/storage.md`, judged in every reachable state. A run
//! may end anywhere (that is what a crash is), so what must hold after a crash must hold always.

use crate::actors::resolve;
use crate::client;
use crate::repair::{leaked, repaired};
use crate::scenario::{Scenario, Task};
use crate::state::{Class, Keys, SLOTS, State, body, data, entry, holding, seal};

/// The first invariant that this state breaks.
pub fn violation(plan: &Scenario, state: &State) -> Option<String> {
    data_of_checked_holdings(plan, state)
        .or_else(|| manifests(plan, state))
        .or_else(|| tag_versions(plan, state))
        .or_else(|| tag(plan, state))
        .or_else(|| referrers(plan, state))
        .or_else(|| digests(plan, state))
        .or_else(|| (state.ghost.misread).then(|| "I11 a reader was answered less than was acknowledged before".into()))
        .or_else(|| leaks(plan, state))
        .or_else(|| client::stuck(plan, state))
}

/// I5, first half: a holding that somebody may rely on has its data.
fn data_of_checked_holdings(plan: &Scenario, state: &State) -> Option<String> {
    let checked = |e: &u8| state.ghost.checked_holdings & (1 << e) != 0 && state.keys.has(holding(*e));
    let lost = |e: &u8| plan.data_of(*e).is_some_and(|k| !state.keys.has(data(k)));
    (0..SLOTS).filter(checked).find(lost).map(|e| format!("I5 holding e{e} was confirmed, its data is missing"))
}

/// I1, I3 and the second half of I5.
fn manifests(plan: &Scenario, state: &State) -> Option<String> {
    for n in (0..SLOTS).filter(|&n| state.keys.has(body(n))) {
        let visible = state.keys.has(seal(n));
        let confirmed = state.ghost.confirmed & (1 << n) != 0;
        if visible && !has_blobs(plan, state.keys, n) {
            return Some(format!("I1 manifest n{n} is visible and lacks a blob"));
        }
        if confirmed && !has_blobs(plan, state.keys, n) {
            return Some(format!("I5 manifest n{n} was confirmed and lacks a blob"));
        }
        if visible && !has_children(plan, state.keys, n) {
            return Some(format!("I3 index n{n} is visible and lacks a child"));
        }
    }
    None
}

/// I1t and I2.
fn tag_versions(plan: &Scenario, state: &State) -> Option<String> {
    for v in crate::state::each(state.keys.slots(Class::Version)) {
        let n = state.named(v);
        if state.keys.has(body(n)) && !has_blobs(plan, state.keys, n) {
            return Some(format!("I1t tag version v{v} names n{n}, which lacks a blob"));
        }
        if state.ghost.acknowledged & (1 << v) != 0 && !plan.visible(state.keys, n) {
            return Some(format!("I2 acknowledged tag version v{v} names n{n}, which is not readable"));
        }
    }
    None
}

/// I6, I8 and I9.
fn tag(plan: &Scenario, state: &State) -> Option<String> {
    match resolve(plan, state) {
        Some(v) if state.ghost.replaced & (1 << v) != 0 => {
            Some(format!("I8 the tag fell back to v{v}, which an acknowledged push had replaced"))
        }
        Some(v) if plan.promises.tag_readable_by_digest && !plan.visible(state.keys, state.named(v)) => {
            Some(format!("I9 the tag resolves to v{v}, which is not readable by digest"))
        }
        None if plan.promises.tag_stays && state.ghost.ever => Some("I6 an acknowledged tag is lost".into()),
        _ => None,
    }
}

/// I7.
fn referrers(plan: &Scenario, state: &State) -> Option<String> {
    acknowledged_referrers(plan, state).find_map(|(n, _)| {
        let target = plan.instances[n as usize];
        let instances = plan.instances_of(target.digest, target.image);
        let listed = crate::state::each(instances).any(|m| state.keys.has(body(m) | seal(m) | entry(m)));
        (!listed).then(|| "I7 an acknowledged referrer of a tagged subject is lost".into())
    })
}

fn acknowledged_referrers(plan: &Scenario, state: &State) -> impl Iterator<Item = (u8, usize)> {
    let pushes = plan.tasks.iter().enumerate().filter(|(i, _)| state.ghost.referrers & (1 << i) != 0);
    pushes.filter_map(|(i, task)| match task {
        Task::Push(push) => Some((push.instance, i)),
        _ => None,
    })
}

/// The push of actor `me` was answered: if it is a referrer and an acknowledged tag names its subject, it stays.
pub(crate) fn referrer_acknowledged(plan: &Scenario, state: &mut State, me: usize) {
    state.ghost.referrers |= 1 << me;
    settle(plan, state);
}

/// Referrers are promised only while acknowledged tags have named their subject ever since. Called after every step.
pub(crate) fn settle(plan: &Scenario, state: &mut State) {
    let untagged = acknowledged_referrers(plan, state).filter(|&(n, _)| {
        let tagged = |subject: u8| {
            let acknowledged = crate::state::each(state.ghost.acknowledged & state.keys.slots(Class::Version));
            acknowledged.into_iter().any(|v| plan.instances[state.named(v) as usize].digest == subject)
        };
        !plan.manifest(n).subject.is_some_and(tagged)
    });
    let forgotten = untagged.fold(0, |mask, (_, i)| mask | 1 << i);
    state.ghost.referrers &= !forgotten;
}

/// I10: where nobody deletes manifests, what was acknowledged by digest stays visible.
fn digests(plan: &Scenario, state: &State) -> Option<String> {
    if !plan.promises.digest_stays {
        return None;
    }
    plan.tasks.iter().enumerate().filter(|(i, _)| state.ghost.answered & (1 << i) != 0).find_map(|(_, task)| {
        let Task::Push(push) = task else { return None };
        let target = plan.instances[push.instance as usize];
        let mut instances = crate::state::each(plan.instances_of(target.digest, target.image));
        let gone = !instances.any(|n| plan.visible(state.keys, n));
        gone.then(|| format!("I10 acknowledged manifest n{} is gone", push.instance))
    })
}

/// L1 and L2: whatever happened, fsck leaves what can be reached, all of it and nothing else.
fn leaks(plan: &Scenario, state: &State) -> Option<String> {
    if matches!(state.duplicate, crate::state::Duplicate::Travelling(..)) {
        return None; // what is still under way cannot be cleaned up
    }
    let repaired = State { keys: repaired(plan, state), ..state.clone() };
    let leaked = leaked(plan, &repaired);
    if !leaked.is_empty() {
        return Some(format!("L1 fsck leaves {leaked:?}"));
    }
    let before = resolve(plan, state)?;
    let kept = resolve(plan, &repaired) == Some(before) && has_blobs(plan, repaired.keys, repaired.named(before));
    (!kept).then(|| "L2 fsck changed what the tag resolves to".into())
}

/// Whether instance n finds each of its blobs in a holding of its image that has the bytes.
fn has_blobs(plan: &Scenario, keys: Keys, n: u8) -> bool {
    plan.manifest(n).blobs.iter().all(|&blob| {
        let holdings = plan.holdings_of(blob, plan.image(n)).and(keys).slots(Class::Holding);
        crate::state::each(holdings).any(|e| plan.data_of(e).is_none_or(|k| keys.has(data(k))))
    })
}

/// Whether every child of instance n is visible in its image, with its blobs.
fn has_children(plan: &Scenario, keys: Keys, n: u8) -> bool {
    plan.manifest(n).children.iter().all(|&child| {
        let mut instances = crate::state::each(plan.instances_of(child, plan.image(n)));
        instances.any(|c| plan.visible(keys, c) && has_blobs(plan, keys, c))
    })
}
