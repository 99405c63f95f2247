//! A scenario: what the slots mean, who acts, what lies in the store at the start, and what is promised.

use std::fmt;

use crate::actors::At;
use crate::state::{ACTORS, Class, Keys, SLOTS, State, Version, holding, link, seal};

/// What a manifest mentions; instances of one digest mention the same.
#[derive(Clone, Copy, Default, Debug)]
pub struct Manifest {
    /// Digests of its blobs.
    pub blobs: &'static [u8],
    /// Digests of the manifests it lists, at most two. A manifest with children is an index.
    pub children: &'static [u8],
    /// The manifest it refers to.
    pub subject: Option<u8>,
}

/// A manifest instance: one body under a fresh id.
#[derive(Clone, Copy, Debug)]
pub struct Instance {
    /// Which manifest it is.
    pub digest: u8,
    /// Where it was pushed.
    pub image: u8,
}

/// A holding.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    /// The blob that is held.
    pub blob: u8,
    /// By whom.
    pub image: u8,
    /// The large data it names; `None`: the bytes are inside.
    pub data: Option<u8>,
}

/// Slots that no scenario speaks of belong to this image.
const NOWHERE: u8 = u8::MAX;

/// What an actor does, once. Every key it may create is named here, so that no two actors create the same one: ids
/// are fresh, and a scenario that shared them would break create-once by itself.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// No actor.
    Nobody,
    /// Upload of a blob that fits one buffer.
    UploadSmall { holding: u8 },
    /// Multipart upload of the data of a holding.
    UploadLarge { holding: u8 },
    /// Mount from another image.
    Mount { from: u8, holding: u8 },
    /// Push of a manifest.
    Push(Push),
    /// DELETE of the tag.
    DeleteTag,
    /// DELETE of a manifest by digest.
    DeleteManifest { digest: u8, image: u8 },
    /// DELETE of the blob of a holding.
    DeleteBlob { holding: u8 },
    /// Collection of one noted manifest instance.
    CollectManifest { instance: u8 },
    /// Sweep of one holding. `moved_to` is a name for the ablation that moves holdings.
    Sweep { holding: u8, moved_to: Option<u8> },
    /// Collection of large data.
    CollectData { data: u8 },
    /// Reaper of an upload that nobody finished.
    Reap { data: u8 },
    /// fsck of the tag.
    CheckTag,
    /// fsck of one certificate of large data.
    CheckCertificate { data: u8 },
    /// GET of a manifest by tag.
    ReadTag,
}

/// For traces.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => write!(f, "nobody"),
            Self::UploadSmall { holding } => write!(f, "upload of e{holding}"),
            Self::UploadLarge { holding } => write!(f, "large upload of e{holding}"),
            Self::Mount { holding, .. } => write!(f, "mount as e{holding}"),
            Self::Push(push) => write!(f, "push of n{}", push.instance),
            Self::DeleteTag => write!(f, "tag delete"),
            Self::DeleteManifest { digest, .. } => write!(f, "delete of manifest {digest}"),
            Self::DeleteBlob { holding } => write!(f, "blob delete of e{holding}"),
            Self::CollectManifest { instance } => write!(f, "collector of n{instance}"),
            Self::Sweep { holding, .. } => write!(f, "sweeper of e{holding}"),
            Self::CollectData { data } => write!(f, "collector of K{data}"),
            Self::Reap { data } => write!(f, "reaper of K{data}"),
            Self::CheckTag => write!(f, "tag fsck"),
            Self::CheckCertificate { data } => write!(f, "certificate fsck of K{data}"),
            Self::ReadTag => write!(f, "tag read"),
        }
    }
}

/// A push: the ids it may use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Push {
    /// Its own instance.
    pub instance: u8,
    /// Its tag versions, one for each attempt; `None`: pushed by digest.
    pub versions: Option<(u8, u8)>,
    /// Holdings with which it may heal blobs (bit i is holding i).
    pub spare_holdings: u8,
    /// Instances with which it may revive referrers and push children again.
    pub spare_instances: u8,
    /// Whether it writes the body while the first LISTs are still running.
    pub early: bool,
    /// The watch key of its replica.
    pub watch: Option<u8>,
}

/// One rule removed or reordered; `ablations.rs` says of each what it does. A run of the model has at most one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    HoldingUnread,
    HoldingReadBeforeBody,
    SealBeforeConfirmation,
    UncheckedDataTrusted,
    FailureDeletesHolding,
    HealUnread,
    DataCertificateLate,
    HoldingBeforeData,
    ReaperDeletesData,
    SweeperListsFirst,
    SweeperDoesNotRetire,
    DataCollectorListsFirst,
    HoldingMoved,
    ManifestVouches,
    CertificateLate,
    ManifestRetiredInPlace,
    CollectorDoesNotList,
    AnswerWithoutRead,
    VersionBeforeSeal,
    ReferrersNotRevived,
    ChildUnread,
    LinkAfterCheck,
    LinkBeforeBody,
    DeleteDoesNotRetire,
    NewestVersionFirst,
    VersionsListedOnce,
    VersionsListedTwice,
    FailureDeletesVersion,
    FsckTrustsUnconfirmed,
    WatchKeyLate,
    WatchKeysLeft,
    WatchKeysDeletedFirst,
    BirthRetried,
    OrphanNotHealed,
    ChildNotPushedAgain,
    WatchKeyRetried,
    RevivedUnconfirmed,
    UnsealedResolves,
    HighestSharesBatch,
    LowerShareBatch,
    HiddenNotListed,
    EmptyListTrusted,
    MissingTrusted,
    SweeperDeletesAnew,
    EntryNotRewritten,
}

/// What holds in a scenario beyond the invariants that always hold.
#[derive(Clone, Copy, Default, Debug)]
pub struct Promises {
    /// Nobody deletes the tag: an acknowledged one always resolves (I6).
    pub tag_stays: bool,
    /// Nobody collects: what the tag resolves to is readable by digest, also after a crash (I9).
    pub tag_readable_by_digest: bool,
    /// Nobody deletes manifests: what was acknowledged by digest stays visible (R9).
    pub digest_stays: bool,
}

/// A client that comes when everybody else has stopped, and tries up to three times.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// Uploads, each for the blob of its holding: done if HEAD says that the image does not hold it.
    pub uploads: &'static [Task],
    /// The push.
    pub push: Push,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// A short name: letter and number.
    pub name: &'static str,
    /// One line for a person.
    pub about: &'static str,
    /// What each manifest digest mentions.
    pub manifests: [Manifest; SLOTS as usize],
    /// What each instance is.
    pub instances: [Instance; SLOTS as usize],
    /// What each holding is.
    pub holdings: [Holding; SLOTS as usize],
    /// Who acts.
    pub tasks: [Task; ACTORS],
    /// The keys at the start, without tag versions.
    pub keys: Keys,
    /// Acknowledged tag versions at the start: slot, sequence number, instance.
    pub tags: Vec<(u8, u8, u8)>,
    /// Whether one write that is not a birth may be delivered a second time, late (A3).
    pub duplicates: bool,
    /// What else holds.
    pub promises: Promises,
    /// The lone client, try by try; empty: progress is not checked.
    pub client: Vec<Try>,
    /// The rule that is removed.
    pub flaw: Option<Flaw>,
}

impl Scenario {
    /// A scenario in which nothing exists and nobody acts.
    pub fn empty(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            manifests: [Manifest::default(); SLOTS as usize],
            instances: [Instance { digest: SLOTS - 1, image: NOWHERE }; SLOTS as usize],
            holdings: [Holding { blob: 0, image: NOWHERE, data: None }; SLOTS as usize],
            tasks: [Task::Nobody; ACTORS],
            keys: Keys::NONE,
            tags: Vec::new(),
            duplicates: false,
            promises: Promises::default(),
            client: Vec::new(),
            flaw: None,
        }
    }

    /// Whether this rule is removed.
    pub fn lacks(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// The state in which every run starts.
    pub fn initial(&self) -> State {
        let mut state = State { keys: self.keys, ..State::default() };
        for &(v, seq, instance) in &self.tags {
            state.versions[v as usize] = Version { seq, instance };
            state.ghost.acknowledged |= 1 << v;
            state.ghost.ever = true;
        }
        state.keys |= Keys::of(Class::Version, state.ghost.acknowledged);
        if let Some(top) = state.highest(state.ghost.acknowledged) {
            let lower = state.lower(state.ghost.acknowledged, top);
            state.ghost.replaced =
                crate::state::each(lower).filter(|&v| state.named(v) != state.named(top)).fold(0, |m, v| m | 1 << v);
        }
        state.ghost.checked_holdings =
            (0..SLOTS).filter(|&e| state.keys.has(holding(e)) && self.data_of(e).is_some()).fold(0, |m, e| m | 1 << e);
        state.ghost.confirmed = state.keys.slots(Class::Seal);
        for (actor, task) in state.actors.iter_mut().zip(&self.tasks) {
            actor.at = At::start(task);
        }
        state
    }

    /// What instance n mentions.
    pub fn manifest(&self, n: u8) -> &Manifest {
        &self.manifests[self.instances[n as usize].digest as usize]
    }

    /// Repository of instance n.
    pub fn image(&self, n: u8) -> u8 {
        self.instances[n as usize].image
    }

    /// The data that holding e names.
    pub fn data_of(&self, e: u8) -> Option<u8> {
        self.holdings[e as usize].data
    }

    /// The instances of a digest in an image.
    pub fn instances_of(&self, digest: u8, image: u8) -> u8 {
        self.instances_where(|i| i.digest == digest && i.image == image)
    }

    /// The instances that mention a blob, in an image.
    pub fn users_of(&self, blob: u8, image: u8) -> u8 {
        self.instances_where(|i| i.image == image && self.manifests[i.digest as usize].blobs.contains(&blob))
    }

    /// The instances that refer to a subject, in an image.
    pub fn referrers_of(&self, subject: u8, image: u8) -> u8 {
        self.instances_where(|i| i.image == image && self.manifests[i.digest as usize].subject == Some(subject))
    }

    fn instances_where(&self, holds: impl Fn(&Instance) -> bool) -> u8 {
        let mask = |mask, (n, i): (usize, &Instance)| if holds(i) { mask | 1 << n } else { mask };
        self.instances.iter().enumerate().fold(0, mask)
    }

    /// LIST `m/<digest>/` of an image.
    pub fn manifest_prefix(&self, digest: u8, image: u8) -> Keys {
        let instances = self.instances_of(digest, image);
        Keys::of(Class::Body, instances) | Keys::of(Class::Seal, instances)
    }

    /// LIST `c/<digest>/` of an image.
    pub fn links_to(&self, digest: u8, image: u8) -> Keys {
        (0..SLOTS).filter(|&p| self.image(p) == image).fold(Keys::NONE, |keys, p| {
            let children = self.manifest(p).children.iter().enumerate();
            children
                .filter(|(_, child)| **child == digest)
                .fold(keys, |keys, (ordinal, _)| keys | link(p, ordinal as u8))
        })
    }

    /// The child links that index instance n writes.
    pub fn links_of(&self, n: u8) -> Keys {
        (0..self.manifest(n).children.len()).fold(Keys::NONE, |keys, ordinal| keys | link(n, ordinal as u8))
    }

    /// LIST `b/<blob>/<image>!/`.
    pub fn holdings_of(&self, blob: u8, image: u8) -> Keys {
        self.holdings_where(|h| h.blob == blob && h.image == image)
    }

    /// What names data K.
    pub fn holdings_of_data(&self, data: u8) -> Keys {
        self.holdings_where(|h| h.data == Some(data))
    }

    fn holdings_where(&self, holds: impl Fn(&Holding) -> bool) -> Keys {
        let one = |keys, (e, h): (usize, &Holding)| if holds(h) { keys | holding(e as u8) } else { keys };
        self.holdings.iter().enumerate().fold(Keys::NONE, one)
    }

    /// Whether a body and a seal of instance n are there, so that it is readable by digest.
    pub fn visible(&self, keys: Keys, n: u8) -> bool {
        keys.has(crate::state::body(n) | seal(n))
    }
}
