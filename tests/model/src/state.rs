//! The store as the model sees it, and one state of everything.
//!
//! A key is present or absent; what it holds follows from its name, except for a tag version (see [`Version`]).
//! A PUT, HEAD or DELETE of one key is one atomic step (assumption A1). A LIST is an interval (A2): its answer holds
//! every key that was present throughout and *any subset* of those that were present at some moment of it, in no order.
//! So a LIST may miss a key that was created while it ran and also the one it replaces that was deleted while it ran,
//! which is the trap that most simpler protocols fall into.

use std::fmt;

use crate::actors::At;

/// How many keys of each class a scenario may use.
pub const SLOTS: u8 = 8;
/// How many actors a scenario may have.
pub const ACTORS: usize = 6;

/// The classes of keys, in the order of their bits. A LIST sees at most two neighbouring classes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Class {
    /// `r/<R>!/m/<digest>/<n>`: the bytes of manifest instance n, and the record of what it references.
    Body,
    /// `r/<R>!/m/<digest>/<n>.<refs>`: n is confirmed and visible.
    Seal,
    /// `r/<R>!/c/<child>/<n>` of the first child of index instance n.
    Link,
    /// The same for the second child.
    SecondLink,
    /// `b/<digest>/<R>!/<e>…`: image R holds a blob.
    Holding,
    /// Not a key: the metadata `retired` of a holding.
    Flag,
    /// `a/<K>`: the certificate of large data K.
    DataCertificate,
    /// `k/<K>`: large data.
    Data,
    /// Not a key: the multipart upload of K, which only CompleteMultipartUpload and Abort see.
    Multipart,
    /// `u/<S>`: the record of the upload of K.
    Record,
    /// `a/<n>`: the certificate of manifest instance n.
    Certificate,
    /// `r/<R>!/f/<subject>/<n>`: the referrer entry of instance n.
    Entry,
    /// `r/<R>!/t/<tag>!/…`: a tag version. There is one tag.
    Version,
    /// `r/<R>!/w/<w>`: a watch key.
    Watch,
    /// Only in an ablation: a body that was rewritten as retired.
    RetiredBody,
}

/// A set of keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Keys(u128);

impl Keys {
    /// No key.
    pub const NONE: Self = Self(0);

    /// The key of a class in one slot.
    pub const fn one(class: Class, slot: u8) -> Self {
        Self(1 << (class as u8 * SLOTS + slot))
    }

    /// The keys of a class in a set of slots (bit i is slot i).
    pub const fn of(class: Class, slots: u8) -> Self {
        Self((slots as u128) << (class as u8 * SLOTS))
    }

    /// The slots of a class that are in this set.
    pub const fn slots(self, class: Class) -> u8 {
        (self.0 >> (class as u8 * SLOTS)) as u8
    }

    /// Whether every one of `keys` is in this set.
    pub const fn has(self, keys: Self) -> bool {
        self.0 & keys.0 == keys.0
    }

    /// Whether at least one of `keys` is in this set.
    pub const fn meets(self, keys: Self) -> bool {
        self.0 & keys.0 != 0
    }

    /// Whether there is no key in this set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This set without `keys`.
    pub const fn without(self, keys: Self) -> Self {
        Self(self.0 & !keys.0)
    }

    /// What is in both sets.
    pub const fn and(self, keys: Self) -> Self {
        Self(self.0 & keys.0)
    }

    /// Each key by itself.
    pub fn each(self) -> impl Iterator<Item = Self> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let lowest = rest & rest.wrapping_neg();
            rest ^= lowest;
            (lowest != 0).then_some(Self(lowest))
        })
    }
}

impl std::ops::BitOr for Keys {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Keys {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 15] = [
            "body n",
            "seal n",
            "link n",
            "link' n",
            "holding e",
            "flag of e",
            "a/K",
            "k/K",
            "multipart K",
            "u/K",
            "a/n",
            "entry n",
            "version v",
            "watch w",
            "flag of n",
        ];
        for (i, key) in self.each().enumerate() {
            let bit = key.0.trailing_zeros();
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{}{}", NAMES[(bit / u32::from(SLOTS)) as usize], bit % u32::from(SLOTS))?;
        }
        Ok(())
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident $class:ident;)*) => {$(
        $(#[$doc])*
        pub const fn $name(slot: u8) -> Keys { Keys::one(Class::$class, slot) }
    )*};
}
constructors! {
    /// Body of instance n.
    body Body;
    /// Seal of instance n.
    seal Seal;
    /// Holding e.
    holding Holding;
    /// The retired flag of holding e.
    flag Flag;
    /// Certificate of data K.
    data_certificate DataCertificate;
    /// Data K.
    data Data;
    /// Multipart upload of data K.
    multipart Multipart;
    /// Record of the upload of K.
    record Record;
    /// Certificate of instance n.
    certificate Certificate;
    /// Referrer entry of instance n.
    entry Entry;
    /// Tag version v.
    version Version;
    /// Watch key w.
    watch Watch;
    /// Retired flag of body n (ablation only).
    retired_body RetiredBody;
}

/// Child link of index instance n to its child number `ordinal` (0 or 1).
pub const fn link(n: u8, ordinal: u8) -> Keys {
    Keys::one(if ordinal == 0 { Class::Link } else { Class::SecondLink }, n)
}

/// Every tag version there can be.
pub const VERSIONS: Keys = Keys::of(Class::Version, u8::MAX);
/// Every watch key there can be.
pub const WATCHES: Keys = Keys::of(Class::Watch, u8::MAX);

/// The slots in a mask.
pub fn each(mask: u8) -> impl Iterator<Item = u8> {
    (0..SLOTS).filter(move |slot| mask & (1 << slot) != 0)
}

/// What the name of a tag version says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Version {
    /// The sequence number; equal ones are ordered by the id, here the slot.
    pub seq: u8,
    /// The manifest instance it names.
    pub instance: u8,
}

/// A LIST that is running, as far as it matters: positions are relative to the first class it sees.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct List {
    first: u8,
    prefix: u16,
    must: u16,
    may: u16,
}

impl List {
    fn window(&self, keys: Keys) -> u16 {
        (keys.0 >> (self.first * SLOTS)) as u16 & self.prefix
    }

    fn keys(&self, window: u16) -> Keys {
        Keys(u128::from(window) << (self.first * SLOTS))
    }

    /// Every answer the store may give.
    fn answers(self) -> impl Iterator<Item = Keys> {
        let optional = self.may & !self.must;
        let mut subset = Some(optional);
        std::iter::from_fn(move || {
            let this = subset?;
            subset = (this != 0).then(|| this.wrapping_sub(1) & optional);
            Some(self.keys(self.must | this))
        })
    }
}

/// One actor: where it is, and the LISTs it has under way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Actor {
    /// The next step.
    pub at: At,
    /// A push has two LISTs under way at once, everybody else at most one.
    pub lists: [List; 2],
}

/// A write that may be delivered a second time, late (assumption A3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Duplicate {
    /// No write has been duplicated.
    #[default]
    Possible,
    /// One is on its way: it will put and delete these.
    Travelling(Keys, Keys),
    /// It arrived. A run has at most one.
    Delivered,
}

/// What the store does not know, but the invariants speak of.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Ghost {
    /// Holdings of large data after which somebody read `a/K` as present (rule 5).
    pub checked_holdings: u8,
    /// Instances whose blobs or children were confirmed after their body was written.
    pub confirmed: u8,
    /// Actors whose request was answered with success.
    pub answered: u8,
    /// Tag versions of acknowledged pushes.
    pub acknowledged: u8,
    /// Whether some push of the tag was ever acknowledged.
    pub ever: bool,
    /// Versions of another instance that an acknowledged push saw and replaced.
    pub replaced: u8,
    /// Referrer instances' actors: acknowledged, and acknowledged tags have named the subject ever since.
    pub referrers: u8,
    /// A reader's answer that no moment of its request justifies.
    pub misread: bool,
}

/// One state of the store and of everybody who uses it.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct State {
    /// The keys that are present.
    pub keys: Keys,
    /// What the tag versions say; slots of versions never written are default.
    pub versions: [Version; SLOTS as usize],
    /// The actors.
    pub actors: [Actor; ACTORS],
    /// The duplicated write.
    pub duplicate: Duplicate,
    /// What only the invariants know.
    pub ghost: Ghost,
}

impl State {
    /// PUT of these keys, in one step.
    pub fn put(&mut self, keys: Keys) {
        self.keys |= keys;
        for list in self.actors.iter_mut().flat_map(|actor| &mut actor.lists) {
            list.may |= list.window(keys);
        }
    }

    /// PUT of a holding without the retired flag.
    pub fn put_holding(&mut self, e: u8) {
        self.put(holding(e));
        self.keys = self.keys.without(flag(e));
    }

    /// Somebody who has seen holding `e` of large data now reads `a/K` as present: rule 5's fact, while it exists.
    pub fn check_holding(&mut self, e: u8) {
        self.ghost.checked_holdings |= (1 << e) & self.keys.slots(Class::Holding);
    }

    /// DELETE of these keys, in one step; flags go with what they belong to.
    pub fn delete(&mut self, keys: Keys) {
        let holdings = keys.slots(Class::Holding);
        let bodies = keys.slots(Class::Body);
        self.keys = self.keys.without(keys | Keys::of(Class::Flag, holdings) | Keys::of(Class::RetiredBody, bodies));
        self.ghost.checked_holdings &= !holdings;
        self.ghost.confirmed &= !bodies;
        self.ghost.acknowledged &= !keys.slots(Class::Version);
        for list in self.actors.iter_mut().flat_map(|actor| &mut actor.lists) {
            list.must &= !list.window(keys);
        }
    }

    /// The request of actor `me` is answered with success.
    pub fn succeed(&mut self, me: usize) {
        self.ghost.answered |= 1 << me;
    }

    /// Starts a LIST of the keys in `prefix`, which are of at most two neighbouring classes.
    pub fn list(&mut self, me: usize, slot: usize, prefix: Keys) {
        let first = (prefix.0.trailing_zeros() / u32::from(SLOTS)) as u8 % 16;
        let mut list = List { first, prefix: u16::MAX, ..List::default() };
        list.prefix = list.window(prefix);
        debug_assert!(list.keys(list.prefix) == prefix, "a LIST sees two neighbouring classes");
        list.must = list.window(self.keys);
        list.may = list.must;
        self.actors[me].lists[slot] = list;
    }

    /// Every answer that a running LIST may have if it ends now.
    pub fn answers(&self, me: usize, slot: usize) -> impl Iterator<Item = Keys> + use<> {
        self.actors[me].lists[slot].answers()
    }

    /// The order of tag versions: the highest wins.
    pub fn rank(&self, v: u8) -> (u8, u8) {
        (self.versions[v as usize].seq, v)
    }

    /// The highest of these tag versions.
    pub fn highest(&self, versions: u8) -> Option<u8> {
        each(versions).max_by_key(|&v| self.rank(v))
    }

    /// The lowest of these tag versions.
    pub fn lowest(&self, versions: u8) -> Option<u8> {
        each(versions).min_by_key(|&v| self.rank(v))
    }

    /// The tag versions of `among` that are lower than `v`.
    pub fn lower(&self, among: u8, v: u8) -> u8 {
        each(among).filter(|&w| self.rank(w) < self.rank(v)).fold(0, |mask, w| mask | 1 << w)
    }

    /// The instance that tag version `v` names.
    pub fn named(&self, v: u8) -> u8 {
        self.versions[v as usize].instance
    }
}
