//! What was asked of tags and what was acknowledged, and which values a read may hence return.

use super::*;

/// What somebody did to a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Set(Digest),
    Deleted,
    /// The manifest was deleted by digest, and with it the tags on it.
    ManifestDeleted(Digest),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    image: ImageName,
    /// `None` for all tags of the image.
    tag: Option<TagName>,
    change: Change,
    began: u64,
    /// When it was acknowledged; until then, and for ever if it failed, its outcome is unknown.
    acknowledged: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct History {
    now: u64,
    entries: Vec<Entry>,
    /// Referrers acknowledged while their subject was tagged for good, by image.
    pub(super) referrers: Vec<(ImageName, Digest, Digest)>,
}

impl History {
    pub(super) fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    pub(super) fn begin(&mut self, image: &ImageName, tag: Option<&TagName>, change: Change) -> usize {
        let began = self.tick();
        self.entries.push(Entry { image: image.clone(), tag: tag.cloned(), change, began, acknowledged: None });
        self.entries.len() - 1
    }

    pub(super) fn acknowledge(&mut self, entry: usize) {
        self.entries[entry].acknowledged = Some(self.tick());
    }

    /// Whether a push of this tag was acknowledged.
    pub(super) fn was_set(&self, image: &ImageName, tag: &TagName) -> bool {
        self.on(image, tag).any(|entry| matches!(entry.change, Change::Set(_)) && entry.acknowledged.is_some())
    }

    fn on<'a>(&'a self, image: &'a ImageName, tag: &'a TagName) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| {
            entry.image == *image
                && match (&entry.tag, &entry.change) {
                    (Some(of), _) => of == tag,
                    // A delete by digest can only take tags that somebody pointed at the manifest.
                    (None, Change::ManifestDeleted(digest)) => self.entries.iter().any(|set| {
                        set.image == *image
                            && set.tag.as_ref() == Some(tag)
                            && set.change == Change::Set(digest.clone())
                    }),
                    (None, _) => true,
                }
        })
    }

    /// Why a read of a tag that began at `since` and ends now cannot have returned this (invariants I2, I6, I8, I11).
    ///
    /// A value is out of date when another push, or a delete of the tag, began after every acknowledged push of the
    /// value had been answered, and was itself acknowledged before the read began. Absence wants a deletion that is
    /// not followed by an acknowledged push.
    pub(super) fn objection(
        &self,
        image: &ImageName,
        tag: &TagName,
        since: u64,
        read: Option<&Digest>,
    ) -> Option<String> {
        let done = |entry: &&Entry| entry.acknowledged.is_some_and(|at| at < since);
        let follows = |later: &Entry, earlier: &Entry| earlier.acknowledged.is_some_and(|at| at < later.began);
        let Some(digest) = read else {
            let mut deletions = self.on(image, tag).filter(|entry| !matches!(entry.change, Change::Set(_)));
            let sets: Vec<&Entry> =
                self.on(image, tag).filter(|entry| matches!(entry.change, Change::Set(_))).filter(done).collect();
            let explained = sets.is_empty() || deletions.any(|deletion| !sets.iter().any(|set| follows(set, deletion)));
            return (!explained).then(|| format!("{image}:{tag} is acknowledged, not deleted, and absent"));
        };
        let mut sets = self.on(image, tag).filter(|entry| entry.change == Change::Set(digest.clone())).peekable();
        if sets.peek().is_none() {
            return Some(format!("{image}:{tag} resolves to {digest}, which nobody pushed there"));
        }
        let outdated = sets.all(|set| {
            self.on(image, tag).filter(done).any(|other| {
                let replaces = match &other.change {
                    Change::Set(value) => value != digest,
                    Change::Deleted => true,
                    Change::ManifestDeleted(_) => false,
                };
                replaces && follows(other, set)
            })
        });
        outdated.then(|| format!("{image}:{tag} fell back to {digest}, which was replaced or deleted before"))
    }
}
