//! Collection of one manifest instance: retire, then look for references (rule 3); none: remove seal and referrer
//! entry, then the body (rule 8), then the child links, which protect children as long as the body is there (rule 7).

use super::{At, Turn, newest, sweeper};
use crate::scenario::{Flaw, Task};
use crate::state::{Class, Keys, State, VERSIONS, body, certificate, each, entry, retired_body, seal};

/// The next step, of instance `n`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// Nothing happens before there is something to collect.
    Start,
    /// DELETE `a/n`; LIST of the tag versions begins.
    Retire(u8),
    /// It ends; LIST `c/<digest>/` begins.
    Versions(u8),
    /// It ends.
    Parents(u8),
    /// HEAD of the body of one parent.
    Parent(u8, u8),
    /// LIST of the bodies of the subject ends.
    Subject(u8),
    /// DELETE of the seal.
    Seal(u8),
    /// DELETE of the referrer entry.
    Entry(u8),
    /// DELETE of the body; LIST of the own child links begins.
    Body(u8),
    /// It ends.
    Links(u8),
    /// HEAD of the body.
    Recheck(u8),
    /// DELETE of the child links.
    Unlink(u8),
}

impl Step {
    /// The instance it works on; 0 before it has begun.
    pub fn instance(self) -> u8 {
        match self {
            Self::Start => 0,
            Self::Retire(n)
            | Self::Versions(n)
            | Self::Parents(n)
            | Self::Parent(n, _)
            | Self::Subject(n)
            | Self::Seal(n)
            | Self::Entry(n)
            | Self::Body(n)
            | Self::Links(n)
            | Self::Recheck(n)
            | Self::Unlink(n) => n,
        }
    }
}

pub(super) fn turn(turn: &mut Turn<'_>, n: u8, step: Step) {
    let (plan, me) = (turn.plan, turn.me);
    let careless = turn.lacks(Flaw::CollectorDoesNotList);
    let digest = plan.instances[n as usize].digest;
    let image = plan.image(n);
    let subject = plan.manifest(n).subject;
    // Collection on behalf of a blob DELETE goes on with the holding.
    let through = match turn.task {
        Task::DeleteBlob { .. } => At::Sweeper(sweeper::Step::Start),
        _ => At::Done,
    };
    let next = |step: Step| At::ManifestCollector(step);
    match step {
        Step::Start => {
            let something = certificate(n) | body(n) | seal(n) | plan.links_of(n);
            // Rewriting a body as retired reads it first, as every copy onto itself does.
            let unread = plan.lacks(Flaw::ManifestRetiredInPlace) && !turn.sees(body(n));
            if turn.state.keys.meets(something) {
                turn.go(|_| if unread { At::Done } else { next(Step::Retire(n)) });
            }
        }
        Step::Retire(_) => turn.go(|state| {
            if plan.lacks(Flaw::ManifestRetiredInPlace) {
                state.put(body(n) | retired_body(n));
            } else {
                state.delete(certificate(n));
            }
            look_for_references(state, me, n)
        }),
        Step::Versions(_) => turn.for_answers(0, |state, answer| {
            if each(answer.slots(Class::Version)).any(|v| state.named(v) == n) && !careless {
                return At::Failed;
            }
            state.list(me, 0, plan.links_to(digest, image));
            next(Step::Parents(n))
        }),
        Step::Parents(_) => turn.for_answers(0, |_, answer| {
            next(Step::Parent(n, answer.slots(Class::Link) | answer.slots(Class::SecondLink)))
        }),
        Step::Parent(_, parents) => {
            let parent = newest(parents);
            let used = parent.is_some_and(|p| turn.sees(body(p))) && !careless;
            turn.go(|state| match (parent, subject) {
                _ if used => At::Failed,
                (Some(p), _) => next(Step::Parent(n, parents & !(1 << p))),
                (None, Some(subject)) => {
                    let bodies = plan.instances_of(subject, image);
                    state.list(me, 0, Keys::of(Class::Body, bodies));
                    next(Step::Subject(n))
                }
                (None, None) => next(Step::Seal(n)),
            });
        }
        Step::Subject(_) => {
            turn.for_answers(0, |_, answer| if answer.is_empty() { next(Step::Seal(n)) } else { At::Failed })
        }
        Step::Seal(_) => turn.go(|state| {
            state.delete(seal(n));
            next(if subject.is_some() { Step::Entry(n) } else { Step::Body(n) })
        }),
        Step::Entry(_) => turn.go(|state| {
            state.delete(entry(n));
            next(Step::Body(n))
        }),
        Step::Body(_) => turn.go(|state| {
            state.delete(body(n));
            if plan.links_of(n).is_empty() {
                return through;
            }
            state.list(me, 0, plan.links_of(n));
            next(Step::Links(n))
        }),
        Step::Links(_) => {
            turn.for_answers(0, |_, answer| if answer.is_empty() { through } else { next(Step::Recheck(n)) })
        }
        Step::Recheck(_) => {
            let there = turn.sees(body(n));
            turn.go(|_| if there { At::Failed } else { next(Step::Unlink(n)) });
        }
        Step::Unlink(_) => turn.go(|state| {
            state.delete(plan.links_of(n));
            through
        }),
    }
}

/// The instance is retired: LIST of the tag versions begins.
pub(super) fn look_for_references(state: &mut State, me: usize, n: u8) -> At {
    state.list(me, 0, VERSIONS);
    At::ManifestCollector(Step::Versions(n))
}
