//! The decision: rules, tags and a moment in, a plan out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::inventory::{InUseRecord, Inventory, InventoryImage, InventoryTag};
use super::plan::{Action, ImagePlan, Plan, Reason, Summary, Verdict};
use super::rules::Rules;
use crate::digest::{Algorithm, Digest};
use crate::kinds::InUse;
use crate::name::TagName;

/// Characters of a digest's hash that a companion's tag carries (distribution-spec, "Referrers Tag Schema").
const COMPANION_HEX: usize = 64;
/// How deep companions of companions are followed when deletions are ordered: an attestation's signature is 2.
const MAX_COMPANION_DEPTH: usize = 4;

/// Plans a run over the images of an inventory: those that the policy governs, with *all* of their tags, because
/// `keep.mostRecent` counts over the whole image. The same input in any order gives the same plan.
pub fn plan(policy: &str, rules: &Rules, inventory: &Inventory, now: Timestamp) -> Plan {
    let planner = Planner { rules, in_use: inventory.in_use, now };
    let mut images: Vec<(&InventoryImage, Vec<Judged<'_>>)> =
        inventory.images.iter().map(|image| (image, planner.judge(image))).collect();
    images.sort_by(|(one, _), (other, _)| one.image.cmp(&other.image));
    limit(&mut images, rules.max_deletions, now);
    let images = images.into_iter().map(|(image, judged)| ImagePlan {
        image: image.image.clone(),
        verdicts: judged.into_iter().map(Judged::into_verdict).collect(),
    });
    let mut plan = Plan {
        policy: policy.to_owned(),
        now,
        notes: planner.notes(),
        images: images.collect(),
        summary: Summary::default(),
    };
    plan.recount();
    plan
}

/// A tag and what was found about it so far.
struct Judged<'a> {
    tag: &'a InventoryTag,
    action: Action,
    reason: Reason,
    message: String,
}

impl<'a> Judged<'a> {
    const fn kept(tag: &'a InventoryTag, reason: Reason, message: String) -> Self {
        Self { tag, action: Action::Keep, reason, message }
    }

    fn into_verdict(self) -> Verdict {
        Verdict {
            tag: self.tag.tag.clone(),
            digest: self.tag.digest.clone(),
            action: self.action,
            reason: self.reason,
            message: self.message,
        }
    }

    fn goes(&self) -> bool {
        self.action == Action::Delete
    }

    /// When the tag was pushed; unknown counts as now, as in GitLab.
    fn pushed_at(&self, now: Timestamp) -> Timestamp {
        self.tag.pushed_at.unwrap_or(now)
    }
}

struct Planner<'a> {
    rules: &'a Rules,
    in_use: InUseRecord,
    now: Timestamp,
}

impl Planner<'_> {
    /// The verdicts on an image's tags, without the run's limit, in the order of their names.
    fn judge<'t>(&self, image: &'t InventoryImage) -> Vec<Judged<'t>> {
        let mut judged = Vec::with_capacity(image.tags.len());
        let mut candidates = Vec::new();
        for tag in &image.tags {
            match self.kept_by_name(tag) {
                Some((reason, message)) => judged.push(Judged::kept(tag, reason, message)),
                None => candidates.push(tag),
            }
        }
        // Newest first; of equal age the last name counts as newest, so that plans are repeatable.
        candidates.sort_by_key(|tag| Reverse((tag.pushed_at.unwrap_or(self.now), &tag.tag)));
        for (position, tag) in candidates.into_iter().enumerate() {
            judged.push(self.judge_candidate(tag, position));
        }
        keep_companions(&mut judged);
        judged.sort_by(|one, other| one.tag.tag.cmp(&other.tag.tag));
        judged
    }

    /// The steps before ranking. What they keep takes no place among the most recent.
    fn kept_by_name(&self, tag: &InventoryTag) -> Option<(Reason, String)> {
        let name = tag.tag.as_str();
        if name == "latest" {
            return Some((Reason::Latest, "latest is never removed".to_owned()));
        }
        if !self.rules.remove.iter().any(|pattern| pattern.matches(name)) {
            return Some((Reason::NameNotSelected, "no pattern of remove.tagsMatching matches the name".to_owned()));
        }
        if let Some(pattern) = self.rules.keep.iter().find(|pattern| pattern.matches(name)) {
            return Some((Reason::NameKept, format!("keep.tagsMatching \"{}\" keeps the name", pattern.as_str())));
        }
        tag.digest.is_none().then(|| (Reason::NoManifest, "the tag names no manifest".to_owned()))
    }

    /// The steps from ranking on, for the tag at this position from the newest.
    fn judge_candidate<'t>(&self, tag: &'t InventoryTag, position: usize) -> Judged<'t> {
        let rules = self.rules;
        if let Some(most) = rules.most_recent.filter(|most| position < usize::try_from(*most).unwrap_or(usize::MAX)) {
            let message = format!("number {} of the {most} most recent that stay", position + 1);
            return Judged::kept(tag, Reason::Recent, message);
        }
        let age = tag.pushed_at.map(|pushed_at| self.now.duration_since(pushed_at));
        if let Some(limit) = rules.older_than
            && age.is_none_or(|age| age <= limit.duration)
        {
            let message = match age {
                Some(age) => format!("last pushed {}, removed when older than {}", ago(age), limit.span),
                None => format!("nobody knows when it was pushed, so it is not older than {}", limit.span),
            };
            return Judged::kept(tag, Reason::TooYoung, message);
        }
        if tag.protected {
            return Judged::kept(tag, Reason::Protected, "a rule of the repository protects the tag".to_owned());
        }
        if tag.immutable {
            return Judged::kept(tag, Reason::Immutable, "a rule of the repository makes the tag immutable".to_owned());
        }
        if rules.in_use == InUse::Required {
            if tag.in_use {
                return Judged::kept(tag, Reason::InUse, "a workload uses it".to_owned());
            }
            if self.in_use == InUseRecord::Unknown {
                let message = "whether a workload uses it is not known, and keep.inUse requires to know";
                return Judged::kept(tag, Reason::InUse, message.to_owned());
            }
        }
        let beyond = rules.most_recent.map(|most| format!(", number {} where {most} stay", position + 1));
        let beyond = beyond.unwrap_or_default();
        let (reason, message) = match (rules.older_than, age) {
            (Some(limit), Some(age)) => {
                (Reason::Expired, format!("last pushed {}, older than {}{beyond}", ago(age), limit.span))
            }
            _ => (Reason::NameSelected, format!("remove.tagsMatching selects the name{beyond}")),
        };
        Judged { tag, action: Action::Delete, reason, message }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.rules.warnings();
        if self.rules.in_use == InUse::Required {
            match self.in_use {
                InUseRecord::Complete => {}
                InUseRecord::NoCluster => notes.push(
                    "this registry knows no cluster: no tag is kept for being in use (keep.inUse: Ignore says the same)"
                        .to_owned(),
                ),
                InUseRecord::Unknown => notes.push(
                    "no fresh record tells what the clusters use: nothing is deleted until there is one (keep.inUse)"
                        .to_owned(),
                ),
            }
        }
        notes
    }
}

/// Keeps what belongs to a kept image: a signature would be of no use without the image, but an image whose policy
/// demands a signature is of no use without that. Companions are found by the names that clients give them,
/// `sha256-<hash>` with or without `.sig`, `.att`, `.sbom`.
fn keep_companions(judged: &mut [Judged<'_>]) {
    let mut kept: BTreeSet<(Algorithm, &str)> =
        judged.iter().filter(|judged| !judged.goes()).filter_map(|judged| subject_key(judged.tag)).collect();
    // A companion that is kept keeps its own companions, such as the signature of an attestation: look again until
    // nothing more is found.
    loop {
        let before = kept.len();
        for companion in judged.iter_mut().filter(|judged| judged.goes()) {
            if subject_of(&companion.tag.tag).is_some_and(|subject| kept.contains(&subject)) {
                companion.action = Action::Keep;
                companion.reason = Reason::PartOfKept;
                companion.message = "it belongs to an image that is kept, as its name says".to_owned();
                kept.extend(subject_key(companion.tag));
            }
        }
        if kept.len() == before {
            return;
        }
    }
}

/// Under which key companions of this tag's manifest would name it.
fn subject_key(tag: &InventoryTag) -> Option<(Algorithm, &str)> {
    tag.digest.as_ref().map(|digest: &Digest| (digest.algorithm(), &digest.hex()[..COMPANION_HEX]))
}

/// What a companion's tag says it belongs to.
fn subject_of(tag: &TagName) -> Option<(Algorithm, &str)> {
    let (algorithm, rest) = tag.as_str().split_once('-')?;
    let hex = rest.split('.').next().unwrap_or_default();
    let well_formed = hex.len() == COMPANION_HEX && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    well_formed.then_some((algorithm.parse().ok()?, hex))
}

/// Puts off what goes beyond the run's limit, over all images: the oldest pushes go first, and a companion never before
/// its image, so that a run that stops there leaves no image without its signature.
fn limit(images: &mut [(&InventoryImage, Vec<Judged<'_>>)], max_deletions: u32, now: Timestamp) {
    let max = usize::try_from(max_deletions).unwrap_or(usize::MAX);
    let mut queue: Vec<(Timestamp, u32, usize, usize)> = Vec::new();
    for (image, (_, judged)) in images.iter().enumerate() {
        let order = deletion_order(judged, now);
        queue.extend(order.into_iter().map(|(pushed_at, depth, tag)| (pushed_at, depth, image, tag)));
    }
    if queue.len() <= max {
        return;
    }
    // Images and tags are in the order of their names by now, so their positions break ties repeatably.
    queue.sort_unstable();
    for (_, _, image, tag) in queue.split_off(max) {
        let judged = &mut images[image].1[tag];
        judged.message = format!("a later run removes it, this one stops at {max_deletions} ({})", judged.message);
        judged.action = Action::Later;
        judged.reason = Reason::LimitReached;
    }
}

/// When each deletion of an image takes its turn: by its push, but never before what it is a companion of.
fn deletion_order(judged: &[Judged<'_>], now: Timestamp) -> Vec<(Timestamp, u32, usize)> {
    let going = judged.iter().enumerate().filter(|(_, judged)| judged.goes());
    let mut turns: Vec<_> = going.map(|(tag, judged)| (judged.pushed_at(now), 0, tag)).collect();
    // Each round settles the companions of what the round before settled. Hashes cannot name each other in a circle,
    // but the inventory may be anybody's file, so the rounds are bounded.
    for _ in 0..MAX_COMPANION_DEPTH {
        let mut last: BTreeMap<_, (Timestamp, u32)> = BTreeMap::new();
        for (pushed_at, depth, tag) in &turns {
            if let Some(key) = subject_key(judged[*tag].tag) {
                let turn = (*pushed_at, *depth);
                last.entry(key).and_modify(|last| *last = turn.max(*last)).or_insert(turn);
            }
        }
        let mut settled = true;
        for (pushed_at, depth, tag) in &mut turns {
            let subject = subject_of(&judged[*tag].tag.tag).and_then(|subject| last.get(&subject));
            if let Some((subject_pushed_at, subject_depth)) = subject {
                let turn = (*pushed_at, *depth).max((*subject_pushed_at, subject_depth + 1));
                settled &= turn == (*pushed_at, *depth);
                (*pushed_at, *depth) = turn;
            }
        }
        if settled {
            break;
        }
    }
    turns
}

/// An age for people, in its largest unit.
fn ago(age: SignedDuration) -> String {
    let seconds = age.as_secs();
    match seconds {
        ..0 => "in the future".to_owned(),
        0..120 => format!("{seconds} seconds ago"),
        120..7200 => format!("{} minutes ago", seconds / 60),
        7200..172_800 => format!("{} hours ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
