//! Every key of the store, sorted into its room, at one walk.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;

use super::super::super::facade::Storage;
use super::super::super::id::Id;
use super::super::super::layout::{self, ChildLink, Holding, ManifestKey, Mentions, TagVersion};
use super::super::super::manifest::Parsed;
use super::FsckReport;
use crate::store::{Entry, ListQuery, StoreError};

/// Size and age of an object, by the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) size: u64,
    pub(super) stored: u64,
    pub(super) age: Duration,
}

/// One manifest instance as the walk saw it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) body: Option<Facts>,
    /// What the seal mentions, with the seal's key and facts.
    pub(super) seal: Option<(Mentions, String, Facts)>,
    /// Blobs and children, read from the body where the seal does not list them.
    pub(super) read: Option<HashSet<Digest>>,
    /// The subject, read from the body where neither tag, index nor referrer entry names the instance.
    pub(super) subject: Option<Digest>,
}

impl Seen {
    pub(super) fn may_name(&self, digest: &Digest) -> bool {
        match (&self.read, &self.seal) {
            (Some(read), _) => read.contains(digest),
            (None, Some((mentions, ..))) => mentions.may_name(digest),
            (None, None) => false,
        }
    }
}

/// One image.
#[derive(Debug, Default)]
pub(super) struct ImageSurvey {
    pub(super) manifests: BTreeMap<(Digest, Id), Seen>,
    pub(super) holdings: Vec<(Holding, Facts)>,
    pub(super) tags: Vec<(TagVersion, Facts)>,
    pub(super) links: Vec<(ChildLink, Facts)>,
    /// Subject, referrer instance, key.
    pub(super) referrers: Vec<(Digest, Id, String, Facts)>,
    pub(super) watches: Vec<(String, Facts)>,
}

/// The whole store.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) certificates: BTreeMap<Id, Facts>,
    pub(super) data: BTreeMap<Id, Facts>,
    pub(super) images: BTreeMap<ImageName, ImageSurvey>,
    pub(super) uploads: Vec<(Id, Facts)>,
    pub(super) foreign: Vec<String>,
    objects: u64,
    bytes: u64,
    /// Objects that are the registry's own: documents, queue, upload records.
    own: (u64, u64),
}

impl Survey {
    /// Walks the store. The order matters: evidence is listed after what it is evidence for, so that something new
    /// in the store looks complete.
    pub(super) async fn take(storage: &Storage) -> Result<Self, StoreError> {
        let mut survey = Self::default();
        for folder in [layout::CERTIFICATES, layout::DATA, layout::HOLDINGS, layout::IMAGES, ""] {
            survey.walk(storage, folder).await?;
        }
        survey.read_unlisted(storage).await?;
        Ok(survey)
    }

    async fn walk(&mut self, storage: &Storage, folder: &str) -> Result<(), StoreError> {
        let store = &storage.inner.store;
        let mut after: Option<String> = None;
        loop {
            let page = store.list(ListQuery::below(folder).after(after.as_deref())).await?;
            for entry in &page.entries {
                let mine = folder.is_empty() != is_content(&entry.key);
                if mine {
                    self.add(entry, page.store_time);
                }
            }
            if !page.more {
                return Ok(());
            }
            after = page.entries.last().map(|entry| entry.key.clone());
            // The last walk is only for what lies outside the content folders.
            if folder.is_empty()
                && let Some(next) = after.as_deref().and_then(after_content)
            {
                after = Some(next);
            }
        }
    }

    fn add(&mut self, entry: &Entry, store_time: SystemTime) {
        let age = store_time.duration_since(entry.modified).unwrap_or_default();
        let facts = Facts { size: entry.size, stored: entry.stored, age };
        self.objects += 1;
        self.bytes += entry.stored;
        if self.file(&entry.key, facts).is_none() {
            self.foreign.push(entry.key.clone());
        }
    }

    fn file(&mut self, key: &str, facts: Facts) -> Option<()> {
        let own = |own: &mut (u64, u64)| {
            own.0 += 1;
            own.1 += facts.stored;
        };
        let (folder, rest) = key.split_once('/')?;
        match folder {
            "a" => {
                self.certificates.insert(layout::id_of(key)?, facts);
            }
            "k" => {
                self.data.insert(layout::id_of(key)?, facts);
            }
            "b" => {
                let holding = Holding::parse(key)?;
                self.images.entry(holding.image.clone()).or_default().holdings.push((holding, facts));
            }
            "r" => self.file_in_image(key, facts)?,
            "u" => {
                self.uploads.push((rest.parse().ok()?, facts));
                own(&mut self.own);
            }
            "g" => {
                layout::review_due(key)?;
                own(&mut self.own);
            }
            "meta" => own(&mut self.own),
            _ => return None,
        }
        Some(())
    }

    fn file_in_image(&mut self, key: &str, facts: Facts) -> Option<()> {
        let name = layout::image_of_key(key)?;
        let room = key.split_once("!/")?.1.split('/').next()?;
        let image = self.images.entry(name).or_default();
        match room {
            "m" => {
                let ManifestKey { digest, instance, seal, .. } = ManifestKey::parse(key)?;
                let seen = image.manifests.entry((digest, instance)).or_default();
                match seal {
                    None => seen.body = Some(facts),
                    Some(mentions) => seen.seal = Some((mentions, key.to_owned(), facts)),
                }
            }
            "t" => image.tags.push((TagVersion::parse(key)?, facts)),
            "c" => image.links.push((ChildLink::parse(key)?, facts)),
            "f" => {
                let (_, subject, instance) = layout::parse_referrer(key)?;
                image.referrers.push((subject, instance, key.to_owned(), facts));
            }
            "w" => image.watches.push((key.to_owned(), facts)),
            _ => return None,
        }
        Some(())
    }

    /// Reads the bodies whose seal does not say what they mention, or that have no seal; and those that nothing names:
    /// the push of a referrer may have died before its entry.
    async fn read_unlisted(&mut self, storage: &Storage) -> Result<(), StoreError> {
        for (name, image) in &mut self.images {
            let named: HashSet<Id> = image
                .tags
                .iter()
                .map(|(tag, _)| tag.instance)
                .chain(image.referrers.iter().map(|(_, referrer, ..)| *referrer))
                .collect();
            let children: HashSet<&Digest> = image.links.iter().map(|(link, _)| &link.child).collect();
            for ((digest, instance), seen) in &mut image.manifests {
                let listed = matches!(seen.seal, Some((Mentions::Short(_), ..)));
                let named = named.contains(instance) || children.contains(digest);
                if (listed && named) || seen.body.is_none() {
                    continue;
                }
                let Some(body) = storage.inner.fetch_body(name, digest, *instance).await? else {
                    seen.body = None;
                    continue;
                };
                let parsed = Parsed::new(digest.clone(), &body.media_type, body.bytes.clone());
                let Ok(parsed) = parsed else { continue };
                seen.read = Some(parsed.manifest.mentioned().into_iter().collect());
                seen.subject = parsed.manifest.subject;
            }
        }
        Ok(())
    }

    /// Totals; findings come from the judge.
    pub(super) fn report(&self) -> FsckReport {
        let (reachable_objects, reachable_bytes) = self.reachable();
        FsckReport {
            objects: self.objects,
            bytes: self.bytes,
            reachable_objects,
            reachable_bytes,
            ..FsckReport::default()
        }
    }

    /// Objects and bytes that tags reach, plus the registry's own.
    fn reachable(&self) -> (u64, u64) {
        let (mut objects, mut bytes) = self.own;
        let mut data: HashSet<Id> = HashSet::new();
        let mut certified: HashSet<Id> = HashSet::new();
        let mut count = |facts: &Facts| {
            objects += 1;
            bytes += facts.stored;
        };
        for image in self.images.values() {
            let reached = image.reached();
            for (tag, facts) in &image.tags {
                if reached.contains(&(tag.digest.clone(), tag.instance)) {
                    count(facts);
                }
            }
            for (id, seen) in image.manifests.iter().filter(|(id, _)| reached.contains(*id)) {
                certified.insert(id.1);
                seen.body.iter().for_each(&mut count);
                seen.seal.iter().for_each(|(_, _, facts)| count(facts));
            }
            let mentioned = |digest: &Digest| reached.iter().any(|id| image.manifests[id].may_name(digest));
            for (holding, facts) in image.holdings.iter().filter(|(holding, _)| mentioned(&holding.digest)) {
                count(facts);
                data.extend(holding.data);
            }
            let parent = |link: &ChildLink| (link.parent.clone(), link.parent_instance);
            image.links.iter().filter(|(link, _)| reached.contains(&parent(link))).for_each(|(_, facts)| count(facts));
            let instances: HashSet<Id> = reached.iter().map(|id| id.1).collect();
            let listed = image.referrers.iter().filter(|(_, instance, ..)| instances.contains(instance));
            listed.for_each(|(.., facts)| count(facts));
        }
        data.iter().filter_map(|id| self.data.get(id)).for_each(&mut count);
        certified.union(&data).filter_map(|id| self.certificates.get(id)).for_each(&mut count);
        (objects, bytes)
    }
}

impl ImageSurvey {
    /// Instances that tags reach: named by a tag, listed by a reached index, or referring to a reached manifest. The
    /// latter also without a seal: what a failed push left of them stays as long as its index or subject.
    fn reached(&self) -> HashSet<(Digest, Id)> {
        let mut reached: HashSet<(Digest, Id)> = HashSet::new();
        let mut queue: Vec<(Digest, Id)> =
            self.tags.iter().map(|(tag, _)| (tag.digest.clone(), tag.instance)).collect();
        queue.retain(|id| self.manifests.get(id).is_some_and(|seen| seen.seal.is_some()));
        while let Some(id) = queue.pop() {
            let there = self.manifests.get(&id).is_some_and(|seen| seen.body.is_some());
            if !there || !reached.insert(id.clone()) {
                continue;
            }
            let children =
                self.links.iter().filter(|(link, _)| link.parent_instance == id.1).map(|(link, _)| &link.child);
            for child in children {
                queue.extend(self.manifests.keys().filter(|(digest, _)| digest == child).cloned());
            }
            let referrers =
                self.referrers.iter().filter(|(subject, ..)| *subject == id.0).map(|(_, instance, ..)| instance);
            for referrer in referrers {
                queue.extend(self.manifests.keys().filter(|(_, instance)| instance == referrer).cloned());
            }
            let unlisted = self.manifests.iter().filter(|(_, seen)| seen.subject.as_ref() == Some(&id.0));
            queue.extend(unlisted.map(|(referrer, _)| referrer.clone()));
        }
        reached
    }
}

/// The folders that the first walks have been through.
fn is_content(key: &str) -> bool {
    [layout::CERTIFICATES, layout::DATA, layout::HOLDINGS, layout::IMAGES].iter().any(|folder| key.starts_with(folder))
}

/// Where to go on after a key inside a content folder: behind all of it (`0` is the character after `/`).
fn after_content(key: &str) -> Option<String> {
    is_content(key).then(|| format!("{}0", &key[..1]))
}
