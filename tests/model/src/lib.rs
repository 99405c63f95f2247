//! Explicit-state model of Berth's storage protocol (`docs/storage.md`).
//!
//! A [`Scenario`](scenario::Scenario) puts a few actors beside each other: uploads, pushes, deletes, collectors. The
//! [`engine`] visits every state that any interleaving of their steps against the store can reach, and judges the
//! [`invariants`] in each. [`scenarios`] must hold; [`ablations`] remove one rule each and must be found out. When the
//! protocol has to change, it changes here first.

use std::hash::Hash;

use engine::{Model, Outcome};
use scenario::{Flaw, Scenario};
use state::{Class, Duplicate, Keys, State};

pub mod ablations;
pub mod actors;
mod client;
pub mod engine;
pub mod invariants;
pub mod random;
pub mod repair;
pub mod scenario;
pub mod scenarios;
pub mod state;

/// Visits every state of a scenario, up to about `limit`.
pub fn check(plan: &Scenario, limit: u64) -> Outcome {
    engine::explore(plan, limit)
}

impl Model for Scenario {
    type State = State;

    fn initial(&self) -> State {
        Scenario::initial(self)
    }

    fn successors(&self, state: &State, out: &mut Vec<State>) {
        for (me, task) in self.tasks.iter().enumerate() {
            let first = out.len();
            actors::take_turn(self, task, state, me, out);
            for next in &mut out[first..] {
                invariants::settle(self, next);
            }
        }
        if self.duplicates {
            duplicates(self, state, out);
        }
    }

    fn facts<'a>(&self, state: &'a State) -> impl Hash + use<'a> {
        (&state.keys, &state.versions, &state.ghost, &state.duplicate)
    }

    fn violation(&self, state: &State) -> Option<String> {
        invariants::violation(self, state)
    }

    fn describe(&self, from: &State, to: &State) -> String {
        let who = from.actors.iter().zip(&to.actors).position(|(a, b)| a.at != b.at || a.lists != b.lists);
        let what = match who {
            Some(i) => format!("{}, actor {i}: {:?}", self.tasks[i], from.actors[i].at),
            None => "a duplicated write arrives".to_owned(),
        };
        let written = |verb: &str, keys: Keys| match keys.is_empty() {
            true => String::new(),
            false => format!("  {verb} {keys:?}"),
        };
        let answered = to.ghost.answered & !from.ghost.answered != 0;
        format!(
            "{what}{}{}{}",
            written("PUT", to.keys.without(from.keys)),
            written("DELETE", from.keys.without(to.keys)),
            if answered { "  ANSWERED" } else { "" }
        )
    }
}

/// Each write just made may also be delivered a second time, later; one per run. Births may not (rule 10).
fn duplicates(plan: &Scenario, state: &State, out: &mut Vec<State>) {
    match state.duplicate {
        Duplicate::Delivered => {}
        Duplicate::Possible => {
            for i in 0..out.len() {
                if let Some((put, delete)) = repeatable(plan, state, &out[i]) {
                    out.push(State { duplicate: Duplicate::Travelling(put, delete), ..out[i].clone() });
                }
            }
        }
        Duplicate::Travelling(put, delete) => {
            let mut next = State { duplicate: Duplicate::Delivered, ..state.clone() };
            next.put(put);
            next.delete(delete);
            invariants::settle(plan, &mut next);
            out.push(next);
        }
    }
}

/// What a second delivery of the write between two states would put and delete, if it may be delivered twice.
fn repeatable(plan: &Scenario, from: &State, to: &State) -> Option<(Keys, Keys)> {
    let mut put = to.keys.without(from.keys);
    let mut delete = from.keys.without(to.keys);
    let of = |class: Class| put.and(Keys::of(class, u8::MAX));
    if !of(Class::Flag).is_empty() {
        // Retiring rewrites the whole holding: a late one brings it back, flagged.
        return Some((put | Keys::of(Class::Holding, put.slots(Class::Flag)), Keys::NONE));
    }
    let births =
        of(Class::Certificate) | of(Class::DataCertificate) | of(Class::Body) | of(Class::Holding) | of(Class::Version);
    let retried = plan.lacks(Flaw::BirthRetried);
    let watch_retried = retried || plan.lacks(Flaw::WatchKeyRetried);
    if !births.is_empty() && !retried || !of(Class::Watch).is_empty() && !watch_retried {
        return None;
    }
    if !of(Class::Holding).is_empty() {
        delete |= Keys::of(Class::Flag, put.slots(Class::Holding)); // born again, it is not flagged
    }
    // A multipart upload is completed at most once, and a second CreateMultipartUpload is another upload.
    let uploads = Keys::of(Class::Multipart, u8::MAX);
    if delete.meets(uploads) {
        put = put.without(Keys::of(Class::Data, u8::MAX));
    }
    put = put.without(uploads);
    delete = delete.without(uploads);
    (!put.is_empty() || !delete.is_empty()).then_some((put, delete))
}
