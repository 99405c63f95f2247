//! Push of a manifest: with blobs, an index of others, or a referrer to one.
//!
//! The order is the protocol: certificate, body, blobs or children confirmed, seal, referrer entry, tag version, one
//! read of the certificate, answer. Older tag versions go after the answer. The same order serves every instance that
//! the push brings to life: its own, a referrer that it revives (step 3b, R6), a child that it pushes again (R4).

use std::fmt;

use super::{At, Turn, sealed};
use crate::scenario::{Flaw, Push, Scenario};
use crate::state::{Class, State, VERSIONS, body, certificate, each, entry, seal};

pub mod blobs;
pub mod children;
pub mod referrers;
pub mod tag;
pub mod watched;

/// Where a push is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Progress {
    /// The instance it will answer for.
    pub instance: u8,
    /// Whether this is the second attempt: the instance it reused was retired.
    pub again: bool,
    /// Whether its first LIST showed an older instance of this digest.
    pub older: bool,
    /// Tag versions it saw or wrote, and will remove after the answer.
    pub seen: u8,
    /// Spare holdings used.
    pub holdings_used: u8,
    /// Spare instances used.
    pub instances_used: u8,
    /// The next step.
    pub step: Step,
}

/// An instance that the push brings to life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Birth {
    /// Which.
    pub instance: u8,
    /// For whom.
    pub role: Role,
}

/// Why an instance is born.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// It is what the client pushes.
    Own,
    /// It revives a referrer; these referrers are still to be looked at.
    Referrer { rest: u8 },
    /// It is child number `ordinal` of the index, pushed again.
    Child { ordinal: u8 },
}

/// The next step of a push.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// Step 1: LIST `t/<tag>!/` ∥ LIST `m/<digest>/` begin.
    Start,
    /// Step 2: LIST `m/<digest>/` ends.
    Known,
    /// Watch key, before the body.
    Watched(watched::Step),
    /// Step 3: PUT `a/n`, n from the pool.
    Certificate(Birth),
    /// GET of the body to be copied.
    Copy { source: u8, birth: Birth },
    /// Step 3: PUT of the body.
    Body(Birth),
    /// Step 3b.
    Referrers(referrers::Step),
    /// Step 4 for blobs.
    Blob(blobs::Work),
    /// Step 4 for children.
    Child(children::Step),
    /// Step 5: PUT of the seal.
    Seal(Birth),
    /// Step 6: PUT of the referrer entry.
    Entry(Birth),
    /// Step 6 for a reused instance.
    EntryAgain,
    /// Steps 7 to 9.
    Tag(tag::Step),
}

impl Progress {
    /// Where a push begins.
    pub fn start(push: &Push) -> Self {
        Self {
            instance: push.instance,
            again: false,
            older: false,
            seen: 0,
            holdings_used: 0,
            instances_used: 0,
            step: Step::Start,
        }
    }

    /// The same push at another step.
    fn at(self, step: Step) -> At {
        At::Push(Self { step, ..self })
    }
}

/// For traces: the next step is what a reader wants to know.
impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempt = if self.again { "second attempt, " } else { "" };
        write!(f, "{attempt}{:?}", self.step)
    }
}

pub(super) fn turn(turn: &mut Turn<'_>, push: &Push, progress: Progress) {
    let (plan, me) = (turn.plan, turn.me);
    let own = plan.instances[push.instance as usize];
    let ctx = Context { plan, me, push };
    match progress.step {
        Step::Start => turn.go(|state| {
            state.list(me, 0, plan.manifest_prefix(own.digest, own.image));
            if push.versions.is_some() {
                state.list(me, 1, VERSIONS);
            }
            progress.at(if push.early { Step::Certificate(ctx.own()) } else { Step::Known })
        }),
        Step::Known => known(turn, ctx, progress),
        Step::Watched(step) => watched::turn(turn, ctx, progress, step),
        Step::Certificate(birth) => turn.go(|state| {
            let n = birth.instance;
            let late = birth.role == Role::Own && plan.lacks(Flaw::CertificateLate);
            if late {
                state.put(body(n));
            } else if !plan.lacks(Flaw::ManifestRetiredInPlace) {
                state.put(certificate(n));
            }
            match birth.role {
                Role::Own if plan.lacks(Flaw::HoldingReadBeforeBody) => blobs::begin(ctx, state, progress, birth, 0),
                Role::Own if plan.lacks(Flaw::LinkBeforeBody) => children::begin(ctx, state, progress),
                _ => progress.at(Step::Body(birth)),
            }
        }),
        Step::Copy { source, birth } => {
            let there = turn.sees(body(source));
            turn.go(|_| match birth.role {
                _ if there => progress.at(Step::Certificate(birth)),
                // It was deleted since it was listed: nothing is left to revive.
                Role::Referrer { rest } => progress.at(Step::Referrers(referrers::Step::Read { rest })),
                Role::Child { .. } | Role::Own => At::Failed,
            });
        }
        Step::Body(birth) => turn.go(|state| {
            let n = birth.instance;
            let late = birth.role == Role::Own && plan.lacks(Flaw::CertificateLate);
            state.put(if late { certificate(n) } else { body(n) });
            if birth.role == Role::Own && push.early && !progress.again {
                return progress.at(Step::Known);
            }
            written(ctx, state, progress, birth)
        }),
        Step::Referrers(step) => referrers::turn(turn, ctx, progress, step),
        Step::Blob(work) => blobs::turn(turn, ctx, progress, work),
        Step::Child(step) => children::turn(turn, ctx, progress, step),
        Step::Seal(birth) => turn.go(|state| {
            state.put(seal(birth.instance));
            if plan.manifest(birth.instance).subject.is_some() {
                return progress.at(Step::Entry(birth));
            }
            sealed_now(ctx, state, progress, birth)
        }),
        Step::Entry(birth) => turn.go(|state| {
            state.put(entry(birth.instance));
            sealed_now(ctx, state, progress, birth)
        }),
        Step::EntryAgain => turn.go(|state| {
            state.put(entry(progress.instance));
            progress.at(tag::begin(push))
        }),
        Step::Tag(step) => tag::turn(turn, ctx, progress, step),
    }
}

/// What every step of a push needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    plan: &'a Scenario,
    me: usize,
    push: &'a Push,
}

impl Context<'_> {
    fn own(&self) -> Birth {
        Birth { instance: self.push.instance, role: Role::Own }
    }

    fn lacks(&self, flaw: Flaw) -> bool {
        self.plan.lacks(flaw)
    }

    /// The digest and image of what the client pushes.
    fn target(&self) -> (u8, u8) {
        let own = self.plan.instances[self.push.instance as usize];
        (own.digest, own.image)
    }

    /// A fresh instance of a digest.
    fn spare_instance(&self, progress: Progress, digest: u8) -> Option<u8> {
        let (_, image) = self.target();
        let free = self.push.spare_instances & !progress.instances_used;
        each(free & self.plan.instances_of(digest, image)).next()
    }
}

/// Step 2: a sealed instance is reused, else a fresh one is born.
fn known(turn: &mut Turn<'_>, ctx: Context<'_>, progress: Progress) {
    let (plan, push) = (ctx.plan, ctx.push);
    let has_subject = plan.manifest(push.instance).subject.is_some();
    for answer in turn.state.answers(ctx.me, 0) {
        if sealed(answer) == 0 {
            turn.go_listed(0, |state| {
                let older = answer.slots(Class::Body) & !(1 << push.instance) != 0;
                let progress = Progress { older, ..progress };
                match push.watch {
                    _ if push.early => written(ctx, state, progress, ctx.own()),
                    Some(w) => watched::begin(ctx, state, progress, w),
                    None => progress.at(Step::Certificate(ctx.own())),
                }
            });
        }
        for instance in each(sealed(answer)) {
            turn.go_listed(0, |_| {
                let progress = Progress { instance, ..progress };
                // R18: whoever sealed it may have died before the entry.
                let entry_again = has_subject && !plan.lacks(Flaw::EntryNotRewritten);
                progress.at(if entry_again { Step::EntryAgain } else { tag::begin(push) })
            });
        }
    }
}

/// The body was written: what it mentions is confirmed from now on.
fn written(ctx: Context<'_>, state: &mut State, progress: Progress, birth: Birth) -> At {
    let fresh_look = progress.older || progress.again;
    match birth.role {
        Role::Own if ctx.lacks(Flaw::SealBeforeConfirmation) => progress.at(Step::Seal(birth)),
        Role::Own if ctx.lacks(Flaw::HoldingReadBeforeBody) => confirmed(ctx, state, progress, birth),
        Role::Own if fresh_look && !ctx.lacks(Flaw::ReferrersNotRevived) => referrers::begin(ctx, state, progress),
        Role::Own => confirm_own(ctx, state, progress),
        Role::Referrer { .. } if ctx.lacks(Flaw::RevivedUnconfirmed) => progress.at(Step::Seal(birth)),
        Role::Referrer { .. } | Role::Child { .. } => blobs::begin(ctx, state, progress, birth, 0),
    }
}

/// Step 4 of what the client pushes.
fn confirm_own(ctx: Context<'_>, state: &mut State, progress: Progress) -> At {
    let manifest = ctx.plan.manifest(ctx.push.instance);
    match ctx.push.watch {
        Some(_) if !progress.again => progress.at(Step::Watched(watched::Step::Reread)),
        _ if !manifest.children.is_empty() && !ctx.lacks(Flaw::LinkBeforeBody) => children::begin(ctx, state, progress),
        _ if !manifest.children.is_empty() => children::look(ctx, state, progress, 0),
        _ => blobs::begin(ctx, state, progress, ctx.own(), 0),
    }
}

/// Everything the instance mentions is confirmed.
fn confirmed(ctx: Context<'_>, state: &mut State, progress: Progress, birth: Birth) -> At {
    let here = state.keys.slots(Class::Body) & (1 << birth.instance);
    state.ghost.confirmed |= here;
    let own = birth.role == Role::Own;
    match () {
        () if own && ctx.lacks(Flaw::HoldingReadBeforeBody) && here == 0 => progress.at(Step::Body(birth)),
        () if own && ctx.lacks(Flaw::SealBeforeConfirmation) => progress.at(tag::begin(ctx.push)),
        () if own && ctx.lacks(Flaw::VersionBeforeSeal) => progress.at(tag::begin(ctx.push)),
        () => progress.at(Step::Seal(birth)),
    }
}

/// Seal and entry are written.
fn sealed_now(ctx: Context<'_>, state: &mut State, progress: Progress, birth: Birth) -> At {
    match birth.role {
        Role::Own if ctx.lacks(Flaw::SealBeforeConfirmation) => confirm_own(ctx, state, progress),
        Role::Own if ctx.lacks(Flaw::VersionBeforeSeal) => progress.at(Step::Tag(tag::Step::Check)),
        Role::Own => progress.at(tag::begin(ctx.push)),
        Role::Referrer { rest } => progress.at(Step::Referrers(referrers::Step::Read { rest })),
        Role::Child { ordinal } => children::look(ctx, state, progress, ordinal + 1),
    }
}
