//! fsck as one sequential pass over a store on which nobody else works, and what must be left after it.

use crate::actors::live;
use crate::scenario::{Flaw, Scenario};
use crate::state::{
    Class, Keys, SLOTS, State, VERSIONS, WATCHES, body, certificate, data, data_certificate, each, entry, flag,
    holding, multipart, record, retired_body, seal, version,
};

/// The keys that are left after fsck, as if every actor had stopped in this state.
pub fn repaired(plan: &Scenario, state: &State) -> Keys {
    let mut keys = state.keys.without(WATCHES);
    loop {
        let before = keys;
        keys = without_dead_versions(plan, state, keys);
        keys = without_lower_versions(plan, state, keys);
        for n in 0..SLOTS {
            if !keys.has(body(n)) || !is_referenced(plan, state, keys, n) {
                keys = keys.without(everything_of(plan, n));
            }
        }
        for (e, target) in (0..SLOTS).zip(&plan.holdings) {
            let users = Keys::of(Class::Body, plan.users_of(target.blob, target.image));
            let dead = target.data.is_some_and(|k| !keys.has(data(k)));
            if dead || !keys.meets(users) {
                keys = keys.without(holding(e) | flag(e));
            }
        }
        for k in 0..SLOTS {
            keys = keys.without(record(k) | multipart(k));
            if !keys.has(data(k)) || !keys.meets(plan.holdings_of_data(k)) {
                keys = keys.without(data_certificate(k) | data(k));
            }
        }
        if keys == before {
            return keys;
        }
    }
}

/// A version whose instance has no body, or neither seal nor certificate (R7), resolves to nothing ever again.
fn without_dead_versions(plan: &Scenario, state: &State, keys: Keys) -> Keys {
    let dead = |v: &u8| {
        let n = state.named(*v);
        let hidden = !keys.has(seal(n)) && !live(plan, keys, n) && !plan.lacks(Flaw::UnsealedResolves);
        !keys.has(body(n)) || hidden
    };
    each(keys.slots(Class::Version)).filter(dead).fold(keys, |keys, v| keys.without(version(v)))
}

/// The versions below the highest confirmed one.
fn without_lower_versions(plan: &Scenario, state: &State, keys: Keys) -> Keys {
    let versions = keys.slots(Class::Version);
    let confirmed = each(versions).filter(|&v| {
        let n = state.named(v);
        keys.has(body(n)) && (live(plan, keys, n) || plan.lacks(Flaw::FsckTrustsUnconfirmed))
    });
    match confirmed.max_by_key(|&v| state.rank(v)) {
        Some(top) => keys.without(Keys::of(Class::Version, state.lower(versions, top))),
        None => keys,
    }
}

/// By a tag version, by the child link of an index whose body exists, or because its subject's body exists.
fn is_referenced(plan: &Scenario, state: &State, keys: Keys, n: u8) -> bool {
    let (digest, image) = (plan.instances[n as usize].digest, plan.image(n));
    let named = each(keys.slots(Class::Version)).any(|v| state.named(v) == n);
    let links = plan.links_to(digest, image).and(keys);
    let parents = links.slots(Class::Link) | links.slots(Class::SecondLink);
    let listed = each(parents).any(|p| keys.has(body(p)));
    let refers = plan
        .manifest(n)
        .subject
        .is_some_and(|subject| keys.meets(Keys::of(Class::Body, plan.instances_of(subject, image))));
    named || listed || refers
}

/// What fsck should have deleted: everything that no tag leads to. Deliberately computed the other way round, from the
/// tags outward instead of from the rules that delete.
pub fn leaked(plan: &Scenario, state: &State) -> Keys {
    let mut reached = each(state.keys.slots(Class::Version)).fold(0u8, |mask, v| mask | 1 << state.named(v));
    loop {
        let further = each(reached).fold(reached, |mask, n| {
            let image = plan.image(n);
            let children = plan.manifest(n).children.iter().map(|&child| plan.instances_of(child, image));
            let referrers = plan.referrers_of(plan.instances[n as usize].digest, image);
            children.fold(mask | referrers, |mask, instances| mask | instances)
        });
        if further == reached {
            break;
        }
        reached = further;
    }
    let mut needed = VERSIONS;
    for n in each(reached) {
        needed |= everything_of(plan, n);
        for &blob in plan.manifest(n).blobs {
            for e in each(plan.holdings_of(blob, plan.image(n)).and(state.keys).slots(Class::Holding)) {
                needed |= holding(e) | flag(e);
                needed |= plan.data_of(e).map_or(Keys::NONE, |k| data(k) | data_certificate(k));
            }
        }
    }
    state.keys.without(needed)
}

fn everything_of(plan: &Scenario, n: u8) -> Keys {
    certificate(n) | body(n) | seal(n) | entry(n) | retired_body(n) | plan.links_of(n)
}
