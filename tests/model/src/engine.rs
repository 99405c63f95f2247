//! Breadth-first search over all states of a [`Model`], counterexample replay, and random walks.
//!
//! A visited state is remembered by a 64-bit fingerprint together with the fingerprint of the state it was first
//! reached from, 16 bytes whatever the size of a state. That is what makes ten million states fit a laptop; the price
//! is that two states may collide (for 10⁷ states with probability below 10⁻⁵) and one of them be skipped. Search is
//! breadth-first so that a counterexample is always a shortest one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A transition system with invariants.
pub trait Model {
    /// One state, of the store and of everybody who uses it.
    type State: Clone + Hash;

    /// The state in which every run starts.
    fn initial(&self) -> Self::State;

    /// Appends every state that one step of anybody leads to.
    fn successors(&self, state: &Self::State, out: &mut Vec<Self::State>);

    /// What the invariants look at. Most states differ only in where somebody is, so few need to be judged.
    fn facts<'a>(&self, state: &'a Self::State) -> impl Hash + use<'a, Self>;

    /// The broken invariant of this state, if one is broken. Depends on nothing but [`Model::facts`].
    fn violation(&self, state: &Self::State) -> Option<String>;

    /// One line for a person: who did what between two neighbouring states.
    fn describe(&self, from: &Self::State, to: &Self::State) -> String;
}

/// What a search found.
#[derive(Debug)]
pub struct Outcome {
    /// Distinct states visited.
    pub states: u64,
    /// Steps of the longest shortest run.
    pub depth: u32,
    /// Whether every reachable state was visited.
    pub exhausted: bool,
    /// The first broken invariant, with a shortest run that breaks it.
    pub counterexample: Option<Counterexample>,
}

/// A run that ends in a state with a broken invariant.
#[derive(Debug)]
pub struct Counterexample {
    /// The invariant, by the name `docs/storage.md` gives it, and what it was found broken for.
    pub broken: String,
    /// One line per step, from the initial state on.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Counterexample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} after {} steps", self.broken, self.trace.len())?;
        for (i, line) in self.trace.iter().enumerate() {
            writeln!(f, "  {:>2}  {line}", i + 1)?;
        }
        Ok(())
    }
}

/// Visits every state that is reachable, up to about `limit` of them, and stops at the first broken invariant.
pub fn explore<M: Model>(model: &M, limit: u64) -> Outcome {
    let initial = model.initial();
    let root = fingerprint(&initial);
    let mut parents = Parents::default();
    parents.insert(root, root);
    let mut outcome = Outcome { states: 1, depth: 0, exhausted: false, counterexample: None };
    if let Some(broken) = model.violation(&initial) {
        outcome.counterexample = Some(Counterexample { broken, trace: Vec::new() });
        return outcome;
    }

    let mut judged = HashSet::<u64, BuildHasherDefault<Fingerprint>>::default();
    let mut frontier = VecDeque::from([(initial, 0u32)]);
    let mut next = Vec::new();
    while let Some((state, depth)) = frontier.pop_front() {
        outcome.depth = depth;
        let from = fingerprint(&state);
        model.successors(&state, &mut next);
        for state in next.drain(..) {
            let print = fingerprint(&state);
            if parents.contains_key(&print) {
                continue;
            }
            parents.insert(print, from);
            let unjudged = judged.insert(fingerprint(&model.facts(&state)));
            if let Some(broken) = unjudged.then(|| model.violation(&state)).flatten() {
                outcome.states = parents.len() as u64;
                outcome.counterexample = Some(Counterexample { broken, trace: replay(model, &parents, print) });
                return outcome;
            }
            frontier.push_back((state, depth + 1));
        }
        outcome.states = parents.len() as u64;
        if outcome.states > limit {
            return outcome;
        }
    }
    outcome.exhausted = true;
    outcome
}

/// Takes `walks` random runs, each until nobody can take a step. Returns the number of steps taken and, if an
/// invariant broke, the run that broke it (not a shortest one). Equal seeds take equal walks.
pub fn walk<M: Model>(model: &M, walks: u64, seed: u64) -> (u64, Option<Counterexample>) {
    let mut random = Random::new(seed);
    let mut steps = 0;
    let mut next = Vec::new();
    for _ in 0..walks {
        let mut run = vec![model.initial()];
        loop {
            let state = run.last().expect("a run starts with the initial state");
            next.clear();
            model.successors(state, &mut next);
            if next.is_empty() {
                break;
            }
            let state = next.swap_remove(random.below(next.len() as u64) as usize);
            steps += 1;
            let violation = model.violation(&state);
            run.push(state);
            if let Some(broken) = violation {
                let trace = run.windows(2).map(|pair| model.describe(&pair[0], &pair[1])).collect();
                return (steps, Some(Counterexample { broken, trace }));
            }
        }
    }
    (steps, None)
}

/// A small seeded generator (xorshift64), so that a failing walk or configuration can be named by its seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator for this seed.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not start alike, and the state must not be zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from 0 to `bound - 1`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// From the fingerprint of a state to that of the state it was first reached from; the initial state has itself.
type Parents = HashMap<u64, u64, BuildHasherDefault<Fingerprint>>;

/// Follows the parents back to the initial state and runs forward again, this time keeping the states.
fn replay<M: Model>(model: &M, parents: &Parents, last: u64) -> Vec<String> {
    let mut prints = vec![last];
    while let Some(&parent) = prints.last().and_then(|print| parents.get(print)) {
        if prints.last() == Some(&parent) {
            break;
        }
        prints.push(parent);
    }
    let mut state = model.initial();
    let mut trace = Vec::new();
    for &print in prints.iter().rev().skip(1) {
        let mut next = Vec::new();
        model.successors(&state, &mut next);
        let to = next.into_iter().find(|state| fingerprint(state) == print).expect("the search took this step before");
        trace.push(model.describe(&state, &to));
        state = to;
    }
    trace
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = Fingerprint::default();
    state.hash(&mut hasher);
    hasher.finish()
}

/// A multiply-and-rotate hash: the standard library's is keyed against attackers and several times slower.
#[derive(Default, Clone, Debug)]
struct Fingerprint(u64);

impl Fingerprint {
    fn mix(&mut self, word: u64) {
        let spread = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(23) ^ spread;
    }
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_u128(&mut self, value: u128) {
        self.mix(value as u64);
        self.mix((value >> 64) as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        // The last words need to reach every bit as well: hash maps index by the low ones.
        let mut hash = self.0;
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^ (hash >> 32)
    }
}
