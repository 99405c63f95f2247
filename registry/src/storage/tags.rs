//! Tags: versions written once, the highest visible one counts (docs/storage.md, "Tag version").

use std::collections::{BTreeMap, HashMap, HashSet};

use berth_crds::digest::Digest;
use berth_crds::name::{ImageName, TagName};

use super::api::{DeleteError, DeletionOutcome, Page, PlannedDeletion, TagRecord};
use super::collector::notes::Review;
use super::facade::{Inner, Storage};
use super::id::Id;
use super::layout::{self, TagVersion};
use crate::store::{ListQuery, StoreError, list_all};

/// Versions to delete, by tag, each list ascending by rank.
type Doomed = BTreeMap<TagName, Vec<TagVersion>>;

/// Up to this many tags are looked up one by one; more are cheaper in one walk over all tags of the image.
const FEW: usize = 4;

impl Storage {
    /// Up to `limit` tags after `last`, sorted by name. Everything comes from keys: no manifest is read.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tags(
        &self,
        image: &ImageName,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Page<TagRecord>, StoreError> {
        let prefix = layout::tags(image);
        let mut after = last.map(|last| layout::after_tag(image, last));
        let mut newest: BTreeMap<TagName, TagVersion> = BTreeMap::new();
        loop {
            // One key more than tags wanted tells whether there are more; tags rarely have two versions.
            let wanted = (limit - newest.len().min(limit)).saturating_add(2);
            let query = ListQuery::below(&prefix).after(after.as_deref()).at_most(wanted.min(ListQuery::MAX_KEYS));
            let page = self.inner.store.list(query).await?;
            for version in page.entries.iter().filter_map(|entry| TagVersion::parse(&entry.key)) {
                keep_higher(&mut newest, version);
            }
            if !page.more || newest.len() > limit {
                break;
            }
            after = page.entries.last().map(|entry| entry.key.clone());
        }
        // A page may end between two versions of its last tag, but then that tag is beyond the limit.
        let more = newest.len() > limit;
        let items = newest.into_values().take(limit).map(TagRecord::from).collect();
        Ok(Page { items, more })
    }

    /// The tags that point to a manifest.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tags_of(&self, image: &ImageName, digest: &Digest) -> Result<Vec<TagName>, StoreError> {
        let mut newest = BTreeMap::new();
        for version in self.inner.all_tag_versions(image).await? {
            keep_higher(&mut newest, version);
        }
        Ok(newest.into_iter().filter(|(_, version)| version.digest == *digest).map(|(tag, _)| tag).collect())
    }

    /// Removes one tag, not its manifest.
    ///
    /// # Errors
    /// [`DeleteError::Unknown`] when there is no such tag.
    pub async fn delete_tag(&self, image: &ImageName, tag: &TagName) -> Result<(), DeleteError> {
        let planned = [PlannedDeletion { tag: tag.clone(), digest: None }];
        match self.delete_tags(image, &planned).await?.pop() {
            Some(DeletionOutcome::Deleted | DeletionOutcome::Changed(_)) => Ok(()),
            Some(DeletionOutcome::Failed(error)) => Err(error.into()),
            Some(DeletionOutcome::Gone) | None => Err(DeleteError::Unknown),
        }
    }

    /// Removes tags of one image, each only if it still has the digest planned; outcomes in the order given.
    ///
    /// # Errors
    /// When the tags cannot be listed; nothing has been deleted then.
    pub async fn delete_tags(
        &self,
        image: &ImageName,
        planned: &[PlannedDeletion],
    ) -> Result<Vec<DeletionOutcome>, StoreError> {
        let names: Vec<&TagName> = planned.iter().map(|one| &one.tag).collect();
        let mut doomed = group(self.inner.versions_of(image, &names).await?);
        let mut outcomes: HashMap<&TagName, DeletionOutcome> = HashMap::new();
        for one in planned {
            let highest = doomed.get(&one.tag).and_then(|versions| versions.last());
            let outcome = match (highest, &one.digest) {
                (None, _) => DeletionOutcome::Gone,
                (Some(highest), Some(digest)) if highest.digest != *digest => {
                    DeletionOutcome::Changed(highest.digest.clone())
                }
                (Some(_), _) => continue,
            };
            doomed.remove(&one.tag);
            outcomes.insert(&one.tag, outcome);
        }
        doomed.retain(|tag, _| names.contains(&tag));
        for (tag, digest) in self.inner.list_until_quiet(image, planned, &mut doomed).await? {
            if let Some(one) = planned.iter().find(|one| one.tag == tag) {
                outcomes.insert(&one.tag, DeletionOutcome::Changed(digest));
            }
        }
        let mut failed = self.delete_versions(&doomed).await;
        let outcome_of = |one: &PlannedDeletion| {
            failed
                .remove(&one.tag)
                .map(DeletionOutcome::Failed)
                .or_else(|| outcomes.remove(&one.tag))
                .unwrap_or(DeletionOutcome::Deleted)
        };
        Ok(planned.iter().map(outcome_of).collect())
    }

    /// Removes every version of a tag that names one of these instances, and all lower ones of that tag.
    pub(super) async fn delete_tags_naming(
        &self,
        image: &ImageName,
        instances: &HashSet<Id>,
    ) -> Result<(), StoreError> {
        let mut doomed: Doomed = BTreeMap::new();
        loop {
            let mut added = false;
            for (tag, versions) in group(self.inner.all_tag_versions(image).await?) {
                let Some(up_to) = versions.iter().rposition(|version| instances.contains(&version.instance)) else {
                    continue;
                };
                let set = doomed.entry(tag).or_default();
                for version in &versions[..=up_to] {
                    if !set.contains(version) {
                        set.push(version.clone());
                        added = true;
                    }
                }
                set.sort_by_key(TagVersion::rank);
            }
            if !added {
                break;
            }
        }
        match self.delete_versions(&doomed).await.into_values().next() {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Deletes sets of versions: everything below the highest of each tag first, oldest rounds first, then the
    /// highest ones of the tags without a failure. A tag never falls back to an older value (amendment R8). Returns
    /// the tags that failed.
    async fn delete_versions(&self, doomed: &Doomed) -> BTreeMap<TagName, StoreError> {
        let mut failed = BTreeMap::new();
        let lower_rounds = doomed.values().map(|versions| versions.len() - 1).max().unwrap_or(0);
        for round in 0..lower_rounds {
            let victims =
                doomed.values().filter(|versions| round + 1 < versions.len()).map(|versions| &versions[round]);
            self.delete_round(victims.collect(), &mut failed).await;
        }
        let highest = doomed.values().filter_map(|versions| versions.last());
        self.delete_round(highest.collect(), &mut failed).await;
        failed
    }

    async fn delete_round(&self, versions: Vec<&TagVersion>, failed: &mut BTreeMap<TagName, StoreError>) {
        let versions: Vec<&TagVersion> =
            versions.into_iter().filter(|version| !failed.contains_key(&version.tag)).collect();
        for batch in versions.chunks(ListQuery::MAX_KEYS) {
            let mut errors = self.inner.delete_keys(batch.iter().map(|version| version.key()).collect()).await;
            for version in batch {
                if let Some(error) = errors.remove(&version.key()) {
                    failed.insert(version.tag.clone(), error);
                    continue;
                }
                let (image, digest) = (version.image.clone(), version.digest.clone());
                self.note_deleted(Review::Instance { image, digest, instance: version.instance });
            }
        }
    }
}

impl Inner {
    /// Every version of one tag, in key order.
    pub(super) async fn tag_versions(&self, image: &ImageName, tag: &TagName) -> Result<Vec<TagVersion>, StoreError> {
        parse_all(list_all(&*self.store, &layout::tag(image, tag)).await?)
    }

    /// Every version of every tag of an image, in key order.
    pub(super) async fn all_tag_versions(&self, image: &ImageName) -> Result<Vec<TagVersion>, StoreError> {
        parse_all(list_all(&*self.store, &layout::tags(image)).await?)
    }

    async fn versions_of(&self, image: &ImageName, tags: &[&TagName]) -> Result<Vec<TagVersion>, StoreError> {
        if tags.len() > FEW {
            return self.all_tag_versions(image).await;
        }
        let mut versions = Vec::new();
        for tag in tags {
            versions.append(&mut self.tag_versions(image, tag).await?);
        }
        Ok(versions)
    }

    /// Lists again until nothing is added below the highest version of each tag: a LIST may catch a version and miss
    /// an older one that a push has not removed yet. A newer version survives the deletion; where the deletion hangs on
    /// a digest, the whole tag does, and is returned with its new digest.
    async fn list_until_quiet(
        &self,
        image: &ImageName,
        planned: &[PlannedDeletion],
        doomed: &mut Doomed,
    ) -> Result<Vec<(TagName, Digest)>, StoreError> {
        let names: Vec<&TagName> = planned.iter().map(|one| &one.tag).collect();
        let is_conditional = |tag: &TagName| planned.iter().any(|one| one.tag == *tag && one.digest.is_some());
        let mut overtaken = Vec::new();
        loop {
            if doomed.is_empty() {
                return Ok(overtaken);
            }
            let mut added = false;
            for version in self.versions_of(image, &names).await? {
                let Some(set) = doomed.get_mut(&version.tag) else {
                    continue;
                };
                let highest = set.last().map(TagVersion::rank);
                if Some(version.rank()) > highest {
                    // What is deleted without a condition goes whatever came after it: the newer version may belong to a
                    // push that fails, and the tag would fall back to what was deleted.
                    if !is_conditional(&version.tag) {
                        continue;
                    }
                    doomed.remove(&version.tag);
                    overtaken.push((version.tag, version.digest));
                } else if !set.contains(&version) {
                    set.push(version);
                    set.sort_by_key(TagVersion::rank);
                    added = true;
                }
            }
            if !added {
                return Ok(overtaken);
            }
        }
    }

    /// Removes keys, whatever their number up to one batch; returns those that failed.
    pub(super) async fn delete_keys(&self, keys: Vec<String>) -> BTreeMap<String, StoreError> {
        let unknown = |key: &String, error: &StoreError| {
            let reason = error.to_string();
            (key.clone(), StoreError::Unavailable { key: key.clone(), reason })
        };
        match keys.as_slice() {
            [] => BTreeMap::new(),
            [only] => match self.store.delete(only).await {
                Ok(()) => BTreeMap::new(),
                Err(error) => BTreeMap::from([(only.clone(), error)]),
            },
            many => match self.store.delete_many(many).await {
                Ok(failures) => failures.into_iter().collect(),
                // Nothing is known about any key.
                Err(error) => many.iter().map(|key| unknown(key, &error)).collect(),
            },
        }
    }
}

impl From<TagVersion> for TagRecord {
    fn from(version: TagVersion) -> Self {
        Self {
            pushed_at: version.id.time(),
            name: version.tag,
            digest: version.digest,
            kind: version.kind,
            size: version.size,
        }
    }
}

fn parse_all(entries: Vec<crate::store::Entry>) -> Result<Vec<TagVersion>, StoreError> {
    Ok(entries.iter().filter_map(|entry| TagVersion::parse(&entry.key)).collect())
}

fn keep_higher(newest: &mut BTreeMap<TagName, TagVersion>, version: TagVersion) {
    match newest.get(&version.tag) {
        Some(other) if other.rank() >= version.rank() => {}
        _ => {
            newest.insert(version.tag.clone(), version);
        }
    }
}

/// Versions by tag, ascending by rank.
fn group(versions: Vec<TagVersion>) -> Doomed {
    let mut groups: Doomed = BTreeMap::new();
    for version in versions {
        groups.entry(version.tag.clone()).or_default().push(version);
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(TagVersion::rank);
    }
    groups
}
