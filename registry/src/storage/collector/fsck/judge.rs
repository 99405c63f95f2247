//! From what the walk saw to what is wrong, each decided by a fresh read.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;

use super::super::super::facade::Storage;
use super::super::super::id::Id;
use super::super::super::layout::{self, TagVersion};
use super::super::super::manifest::Parsed;
use super::super::super::upload::record::RecordedProgress;
use super::survey::{ImageSurvey, Seen, Survey};
use super::{Class, Finding};
use crate::store::{ListQuery, StoreError};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn finding(class: Class, key: impl Into<String>) -> Finding {
    Finding { class, key: key.into(), detail: String::new() }
}

impl Storage {
    pub(super) async fn judge(&self, survey: &Survey) -> Result<Vec<Finding>, StoreError> {
        let mut findings: Vec<Finding> =
            survey.foreign.iter().map(|key| finding(Class::ForeignKey, key.as_str())).collect();
        for (name, image) in &survey.images {
            self.judge_manifests(name, image, &mut findings);
            self.judge_blobs(name, image, survey, &mut findings).await?;
            self.judge_tags(image, &mut findings).await?;
            self.judge_links(name, image, &mut findings).await?;
            self.judge_contents(name, image, &mut findings).await?;
            let stale = image.watches.iter().filter(|(_, facts)| facts.age > DAY);
            findings.extend(stale.map(|(key, _)| finding(Class::StaleWatchKey, key.as_str())));
        }
        self.judge_data(survey, &mut findings).await?;
        let ttl = self.inner.settings.session_ttl;
        let over = survey.uploads.iter().filter(|(_, facts)| facts.age >= ttl);
        findings.extend(over.map(|(session, _)| finding(Class::AbandonedUpload, layout::upload_record(*session))));
        Ok(findings)
    }

    fn is_old(&self, age: Duration) -> bool {
        age >= self.inner.settings.grace
    }

    /// Instances older than the grace that nothing keeps. The sweep that a repair starts decides for itself.
    fn judge_manifests(&self, name: &ImageName, image: &ImageSurvey, findings: &mut Vec<Finding>) {
        let tagged: HashSet<Id> = image.tags.iter().map(|(tag, _)| tag.instance).collect();
        let bodies: HashSet<&Digest> =
            image.manifests.iter().filter(|(_, seen)| seen.body.is_some()).map(|((digest, _), _)| digest).collect();
        for ((digest, instance), seen) in &image.manifests {
            let Some(body) = seen.body else { continue };
            let has_parent = image.links.iter().any(|(link, _)| {
                let parent = (link.parent.clone(), link.parent_instance);
                link.child == *digest && image.manifests.get(&parent).is_some_and(|parent| parent.body.is_some())
            });
            let has_subject = seen.subject.as_ref().is_some_and(|subject| bodies.contains(subject))
                || image
                    .referrers
                    .iter()
                    .any(|(subject, referrer, ..)| referrer == instance && bodies.contains(subject));
            if !tagged.contains(instance) && !has_parent && !has_subject && self.is_old(body.age) {
                findings.push(finding(Class::UnreferencedManifest, layout::body(name, digest, *instance)));
            }
        }
    }

    async fn judge_blobs(
        &self,
        name: &ImageName,
        image: &ImageSurvey,
        survey: &Survey,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        for (holding, facts) in &image.holdings {
            let key = holding.key();
            let mentioned = image.manifests.values().any(|seen| is_unread(seen) || seen.may_name(&holding.digest));
            if let Some(data) = holding.data {
                let in_walk = survey.data.contains_key(&data) || survey.certificates.contains_key(&data);
                if !in_walk && self.is_dead(data).await? && self.inner.store.head(&key).await?.is_some() {
                    findings.push(finding(Class::DeadHolding, key));
                    continue;
                }
                let there = survey.data.get(&data).map(|facts| facts.size);
                if there.is_some_and(|size| size != holding.size) {
                    findings.push(finding(Class::DamagedBlob, layout::data(data)));
                }
            } else if facts.size != holding.size {
                findings.push(finding(Class::DamagedBlob, key.clone()));
            }
            if !mentioned && self.is_old(facts.age) {
                let mut unreferenced = finding(Class::UnreferencedBlob, key);
                unreferenced.detail = name.to_string();
                findings.push(unreferenced);
            }
        }
        Ok(())
    }

    /// Data is complete before its first holding, so data that is absent now is gone for good.
    async fn is_dead(&self, data: Id) -> Result<bool, StoreError> {
        let certified = self.inner.store.head(&layout::certificate(data)).await?.is_some();
        Ok(!certified && self.inner.store.head(&layout::data(data)).await?.is_none())
    }

    async fn judge_data(&self, survey: &Survey, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        let holdings = survey.images.values().flat_map(|image| &image.holdings);
        let held: HashSet<Id> = holdings.filter_map(|(holding, _)| holding.data).collect();
        for (data, facts) in &survey.data {
            if !held.contains(data) && self.is_old(facts.age) {
                findings.push(finding(Class::UnheldData, layout::data(*data)));
            }
        }
        let instances = survey.images.values().flat_map(|image| image.manifests.keys());
        let owners: HashSet<Id> = instances.map(|(_, instance)| *instance).collect();
        // Uploads on their way have neither data nor holding (amendment R3).
        let mut uploading: HashSet<Id> = HashSet::new();
        for (session, _) in &survey.uploads {
            if let Some((record, _)) = self.inner.fetch_record(*session).await?
                && let RecordedProgress::Multi(parts) = record.at
            {
                uploading.insert(parts.data);
            }
        }
        for (id, facts) in &survey.certificates {
            let owned = owners.contains(id) || survey.data.contains_key(id) || uploading.contains(id);
            if !owned && self.is_old(facts.age) {
                findings.push(finding(Class::StrayCertificate, layout::certificate(*id)));
            }
        }
        Ok(())
    }

    async fn judge_tags(&self, image: &ImageSurvey, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        let mut by_tag: BTreeMap<&str, Vec<(&TagVersion, Duration)>> = BTreeMap::new();
        for (version, facts) in &image.tags {
            let instance = (version.digest.clone(), version.instance);
            let visible = image.manifests.get(&instance).is_some_and(|seen| seen.body.is_some() && seen.seal.is_some());
            if !visible && self.is_stray(version).await? {
                findings.push(finding(Class::StrayTagVersion, version.key()));
            } else {
                by_tag.entry(version.tag.as_str()).or_default().push((version, facts.age));
            }
        }
        for mut versions in by_tag.into_values().filter(|versions| versions.len() > 1) {
            versions.sort_by_key(|(version, _)| std::cmp::Reverse(version.rank()));
            // A push answers before it removes what it outranked, so only old leftovers count.
            let mut confirmed = false;
            for (version, age) in versions {
                if confirmed {
                    findings.push(finding(Class::OutrankedTagVersion, version.key()));
                } else if self.is_old(age) {
                    confirmed = self.is_confirmed(version).await?;
                }
            }
        }
        Ok(())
    }

    /// Neither certificate nor seal, or neither certificate nor body: no push can make it visible any more
    /// (amendment R7).
    async fn is_stray(&self, version: &TagVersion) -> Result<bool, StoreError> {
        let TagVersion { image, digest, instance, .. } = version;
        if self.inner.store.head(&layout::certificate(*instance)).await?.is_some() {
            return Ok(false);
        }
        let prefix = layout::seal_prefix(image, digest, *instance);
        let sealed = !self.inner.store.list(ListQuery::below(&prefix).at_most(1)).await?.entries.is_empty();
        let body = self.inner.store.head(&layout::body(image, digest, *instance)).await?.is_some();
        Ok((!sealed || !body) && self.inner.store.head(&version.key()).await?.is_some())
    }

    async fn is_confirmed(&self, version: &TagVersion) -> Result<bool, StoreError> {
        let body = layout::body(&version.image, &version.digest, version.instance);
        Ok(self.inner.store.head(&layout::certificate(version.instance)).await?.is_some()
            && self.inner.store.head(&body).await?.is_some())
    }

    /// Seals, child links and referrer entries whose owner's body and certificate are gone.
    async fn judge_links(
        &self,
        name: &ImageName,
        image: &ImageSurvey,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        for ((digest, instance), seen) in &image.manifests {
            if let (None, Some((_, key, _))) = (&seen.body, &seen.seal)
                && self.is_orphan(name, digest, *instance, key).await?
            {
                findings.push(finding(Class::StraySeal, key.as_str()));
            }
        }
        for (link, _) in &image.links {
            let parent = (link.parent.clone(), link.parent_instance);
            let there = image.manifests.get(&parent).is_some_and(|seen| seen.body.is_some());
            if !there && self.is_orphan(name, &link.parent, link.parent_instance, &link.key()).await? {
                findings.push(finding(Class::StrayChildLink, link.key()));
            }
        }
        for (_, instance, key, _) in &image.referrers {
            let owner = image.manifests.iter().find(|((_, id), _)| id == instance);
            if owner.is_some_and(|(_, seen)| seen.body.is_some()) {
                continue;
            }
            let Some((digest, _)) = self.inner.fetch_referrer(key).await? else {
                continue;
            };
            if self.is_orphan(name, &digest, *instance, key).await? {
                findings.push(finding(Class::StrayReferrer, key.as_str()));
            }
        }
        Ok(())
    }

    async fn is_orphan(&self, name: &ImageName, digest: &Digest, instance: Id, key: &str) -> Result<bool, StoreError> {
        let body = layout::body(name, digest, instance);
        Ok(self.inner.store.head(&body).await?.is_none()
            && self.inner.store.head(&layout::certificate(instance)).await?.is_none()
            && self.inner.store.head(key).await?.is_some())
    }

    /// Visible manifests whose seal mentions something that the walk did not see: read and asked for.
    async fn judge_contents(
        &self,
        name: &ImageName,
        image: &ImageSurvey,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        let known: HashSet<String> = image
            .holdings
            .iter()
            .map(|(holding, _)| layout::short(&holding.digest))
            .chain(image.manifests.keys().map(|(digest, _)| layout::short(digest)))
            .collect();
        for ((digest, instance), seen) in &image.manifests {
            let Some((mentions, ..)) = &seen.seal else { continue };
            let complete = match mentions {
                layout::Mentions::Short(all) => all.iter().all(|short| known.contains(short)),
                layout::Mentions::Unlisted => false,
            };
            if complete || seen.body.is_none() {
                continue;
            }
            for missing in self.missing_blobs(name, digest, *instance).await? {
                let mut lacking = finding(Class::MissingBlob, layout::body(name, digest, *instance));
                lacking.detail = missing.to_string();
                findings.push(lacking);
            }
        }
        Ok(())
    }

    /// Required blobs of a visible manifest that have no holding; the manifest is read again afterwards, for it may
    /// be on its way out itself.
    async fn missing_blobs(&self, name: &ImageName, digest: &Digest, instance: Id) -> Result<Vec<Digest>, StoreError> {
        let Some(body) = self.inner.fetch_body(name, digest, instance).await? else {
            return Ok(Vec::new());
        };
        let Ok(parsed) = Parsed::new(digest.clone(), &body.media_type, body.bytes.clone()) else {
            return Ok(Vec::new());
        };
        let mut missing = Vec::new();
        for blob in parsed.manifest.blobs.iter().filter(|blob| blob.required) {
            if self.inner.holdings(name, &blob.digest).await?.is_empty() {
                missing.push(blob.digest.clone());
            }
        }
        let prefix = layout::seal_prefix(name, digest, instance);
        let still_visible = missing.is_empty()
            || (!self.inner.store.list(ListQuery::below(&prefix).at_most(1)).await?.entries.is_empty()
                && self.inner.store.head(&layout::body(name, digest, instance)).await?.is_some());
        if !still_visible {
            missing.clear();
        }
        Ok(missing)
    }
}

/// A body that could not be read as a manifest keeps everything.
fn is_unread(seen: &Seen) -> bool {
    let listed = matches!(seen.seal, Some((layout::Mentions::Short(_), ..)));
    seen.body.is_some() && !listed && seen.read.is_none()
}
