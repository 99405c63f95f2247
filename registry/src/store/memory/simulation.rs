//! A seeded scheduler that decides which of the concurrent requests to the store happens next.
//!
//! Every request travels in events: it reaches the store, perhaps does its work in two halves, and is answered.
//! Events that may happen next wait in a heap without order; once no task has anything left to do but wait for the
//! store, one of them is drawn. The same seed over the same tasks draws the same events.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::oneshot;

use super::{Operation, Shared};
use crate::store::StoreError;

/// How often, in a thousand requests, something goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The request never reaches the store; its sender sees a failure.
    pub lost_requests: u32,
    /// The request does its work; its sender sees a failure.
    pub lost_answers: u32,
    /// The sender sees a failure, and the request does its work some time afterwards.
    pub late_requests: u32,
    /// A request that is not a birth does its work again some time afterwards, as retried requests may.
    pub repeats: u32,
    /// One key of a batch of deletions stays and is reported.
    pub refused_keys: u32,
}

impl Faults {
    /// Reorders and delays only.
    pub const NONE: Self = Self { lost_requests: 0, lost_answers: 0, late_requests: 0, repeats: 0, refused_keys: 0 };

    /// Some of everything.
    pub const SOME: Self =
        Self { lost_requests: 20, lost_answers: 20, late_requests: 20, repeats: 50, refused_keys: 20 };
}

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It was sent.
    Asked,
    /// It reached the store and did its work, or the first half of it.
    Begun,
    /// The second half of its work was done.
    Done,
    /// It never reached the store.
    Lost,
    /// It did its work after its sender gave it up, or once more.
    Late,
    /// Its sender got the answer.
    Answered,
    /// Its sender got a failure.
    Failed,
}

/// One line of what happened in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Number of the request.
    pub request: u64,
    /// Who sent it, see [`MemoryStore::named`](super::MemoryStore::named).
    pub client: Arc<str>,
    pub operation: Operation,
    pub key: String,
    pub happening: Happening,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, client, operation, key, happening } = self;
        write!(f, "{client}#{request} {happening:?} {operation:?} {key}")
    }
}

/// A change of the store that is on its way.
pub(super) type Event = Box<dyn FnOnce(&mut Shared) + Send>;

/// One in so many draws takes an event whose sender has given it up, where others wait.
const LATE_DRAWS: u32 = 8;

/// Rounds of the runtime without a new request after which every task is taken to wait for the store.
const CALM_ROUNDS: u32 = 3;

/// Where the clock of a simulated store begins: 2026-01-01T00:00:00Z.
const BEGINNING: Duration = Duration::from_secs(1_767_225_600);

/// The events of a simulated store.
pub(super) struct Scheduler {
    random: Xoshiro256PlusPlus,
    faults: Faults,
    waiting: Vec<Event>,
    /// Work of requests that nobody waits for any longer.
    late: Vec<Event>,
    /// Whether a task draws events.
    drawing: bool,
    events_added: u64,
    events_drawn: u64,
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("waiting", &self.waiting.len())
            .field("late", &self.late.len())
            .finish_non_exhaustive()
    }
}

/// What becomes of a request.
enum Fate {
    Happens,
    Lost,
    Unanswered,
    Late,
}

impl Scheduler {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self {
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            faults,
            waiting: Vec::new(),
            late: Vec::new(),
            drawing: false,
            events_added: 0,
            events_drawn: 0,
        }
    }

    /// The store's clock: it moves a millisecond with each event, so that a replay sees the same times.
    pub(super) fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + BEGINNING + Duration::from_millis(self.events_drawn)
    }

    pub(super) fn calm(&mut self) {
        self.faults = Faults::NONE;
    }

    pub(super) fn coin(&mut self) -> bool {
        self.random.random_bool(0.5)
    }

    pub(super) fn index_below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }

    pub(super) fn refuses_key(&mut self) -> bool {
        let rate = self.faults.refused_keys;
        self.one_in_thousand(rate)
    }

    /// Perhaps does the work of a request once more, later.
    pub(super) fn may_repeat(&mut self, work: Event) {
        let rate = self.faults.repeats;
        if self.one_in_thousand(rate) {
            self.late.push(work);
        }
    }

    pub(super) fn add(&mut self, event: Event) {
        self.events_added += 1;
        self.waiting.push(event);
    }

    fn one_in_thousand(&mut self, times: u32) -> bool {
        times > 0 && self.random.random_ratio(times.min(1000), 1000)
    }

    fn fate(&mut self, operation: Operation) -> Fate {
        let Faults { lost_requests, lost_answers, late_requests, .. } = self.faults;
        if self.one_in_thousand(lost_requests) {
            Fate::Lost
        } else if operation.only_reads() {
            Fate::Happens
        } else if self.one_in_thousand(lost_answers) {
            Fate::Unanswered
        } else if self.one_in_thousand(late_requests) {
            Fate::Late
        } else {
            Fate::Happens
        }
    }

    /// The next event, if there is one that somebody waits for.
    fn draw(&mut self) -> Option<Event> {
        if self.waiting.is_empty() {
            return None;
        }
        if !self.late.is_empty() && self.random.random_ratio(1, LATE_DRAWS) {
            return self.draw_late();
        }
        self.events_drawn += 1;
        let next = self.index_below(self.waiting.len());
        Some(self.waiting.swap_remove(next))
    }

    fn draw_late(&mut self) -> Option<Event> {
        self.events_drawn += 1;
        let next = (!self.late.is_empty()).then(|| self.index_below(self.late.len()))?;
        Some(self.late.swap_remove(next))
    }

    /// The next event, whether anybody waits for it or not.
    pub(super) fn draw_any(&mut self) -> Option<Event> {
        self.draw().or_else(|| self.draw_late())
    }
}

/// One half of a request's work, made of what the half before it found.
type Half<A, T> = Box<dyn FnOnce(&mut Shared, A) -> Result<T, StoreError> + Send>;

/// The two halves of a request's work; between them other requests may come.
pub(super) struct Work<A, T> {
    pub(super) first: Half<(), A>,
    pub(super) second: Half<A, T>,
}

/// Sends a request into the simulation; the receiver gets its answer.
pub(super) fn send<A: Send + 'static, T: Send + 'static>(
    shared: &Arc<Mutex<Shared>>,
    record: Record,
    work: Work<A, T>,
) -> oneshot::Receiver<Result<T, StoreError>> {
    let (reply, answer) = oneshot::channel();
    let mut locked = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(scheduler) = &mut locked.scheduler else { return answer };
    scheduler.add(Box::new(move |shared| arrive(shared, record, work, reply)));
    if !std::mem::replace(&mut scheduler.drawing, true) {
        tokio::spawn(draw_events(Arc::clone(shared)));
    }
    answer
}

/// A request reaches the store, or does not.
fn arrive<A: Send + 'static, T: Send + 'static>(
    shared: &mut Shared,
    record: Record,
    work: Work<A, T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
) {
    let fate = shared.scheduler.as_mut().map_or(Fate::Happens, |scheduler| scheduler.fate(record.operation));
    match fate {
        Fate::Happens => begin(shared, record, work, Some(reply)),
        Fate::Unanswered => {
            begin(shared, record.clone(), work, None);
            answer(shared, record, reply, Err(lost("no answer came")));
        }
        Fate::Lost => {
            shared.note(&record, Happening::Lost);
            answer(shared, record, reply, Err(lost("the request was lost")));
        }
        Fate::Late => {
            let late = record.clone();
            let event: Event = Box::new(move |shared| {
                shared.note(&late, Happening::Late);
                begin(shared, late, work, None);
            });
            if let Some(scheduler) = &mut shared.scheduler {
                scheduler.late.push(event);
            }
            answer(shared, record, reply, Err(lost("no answer came")));
        }
    }
}

fn begin<A: Send + 'static, T: Send + 'static>(
    shared: &mut Shared,
    record: Record,
    work: Work<A, T>,
    reply: Option<oneshot::Sender<Result<T, StoreError>>>,
) {
    shared.note(&record, Happening::Begun);
    let Work { first, second } = work;
    let first = first(shared, ());
    shared.add(Box::new(move |shared| {
        let result = first.and_then(|read| second(shared, read));
        shared.note(&record, Happening::Done);
        if let Some(reply) = reply {
            answer(shared, record, reply, result);
        }
    }));
}

/// An answer sets out.
fn answer<T: Send + 'static>(
    shared: &mut Shared,
    record: Record,
    reply: oneshot::Sender<Result<T, StoreError>>,
    result: Result<T, StoreError>,
) {
    shared.add(Box::new(move |shared| {
        shared.note(&record, if result.is_ok() { Happening::Answered } else { Happening::Failed });
        // Whoever asked may have gone away.
        let _ = reply.send(result);
    }));
}

fn lost(reason: &str) -> StoreError {
    StoreError::Unavailable { key: "simulated".to_owned(), reason: reason.to_owned() }
}

/// Draws events until none waits; the next request starts it again.
async fn draw_events(shared: Arc<Mutex<Shared>>) {
    loop {
        wait_until_calm(&shared).await;
        let mut locked = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(scheduler) = &mut locked.scheduler else { return };
        match scheduler.draw() {
            Some(event) => event(&mut locked),
            None => {
                scheduler.drawing = false;
                return;
            }
        }
    }
}

/// Returns when every other task waits: on a runtime with one thread a task that yields comes after all that can go
/// on. Work on other threads is not seen, so simulated tasks must not use any.
async fn wait_until_calm(shared: &Mutex<Shared>) {
    let added = || {
        let locked = shared.lock().unwrap_or_else(PoisonError::into_inner);
        locked.scheduler.as_ref().map_or(0, |scheduler| scheduler.events_added)
    };
    let (mut seen, mut calm) = (added(), 0);
    while calm < CALM_ROUNDS {
        tokio::task::yield_now().await;
        let now = added();
        calm = if now == seen { calm + 1 } else { 0 };
        seen = now;
    }
}
