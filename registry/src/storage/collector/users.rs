//! Who in an image mentions a blob: the question every sweep asks after it has retired.

use std::collections::BTreeMap;

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;

use super::super::facade::{Inner, Storage};
use super::super::id::Id;
use super::super::layout::{self, ManifestKey, Mentions};
use super::super::manifest::Parsed;
use crate::store::{StoreError, list_all};

/// The bodies and seals of an image at one LIST.
pub(super) struct Users {
    image: ImageName,
    /// Every instance that had a body or a seal in the LIST.
    instances: BTreeMap<(Digest, Id), Option<Mentions>>,
}

impl Inner {
    pub(super) async fn users(&self, image: &ImageName) -> Result<Users, StoreError> {
        let entries = list_all(&*self.store, &layout::manifests(image)).await?;
        let mut instances: BTreeMap<(Digest, Id), Option<Mentions>> = BTreeMap::new();
        for key in entries.iter().filter_map(|entry| ManifestKey::parse(&entry.key)) {
            let slot = instances.entry((key.digest, key.instance)).or_default();
            if key.seal.is_some() {
                *slot = key.seal;
            }
        }
        Ok(Users { image: image.clone(), instances })
    }
}

impl Users {
    /// Manifests whose body mentions the blob. A seal that cannot name it spares the read; a body without a seal is
    /// always read: its push may still be on the way.
    pub(super) async fn of(&self, storage: &Storage, blob: &Digest) -> Result<Vec<(Digest, Id)>, StoreError> {
        let mut users = Vec::new();
        for ((digest, instance), mentions) in &self.instances {
            if mentions.as_ref().is_some_and(|mentions| !mentions.may_name(blob)) {
                continue;
            }
            let Some(body) = storage.inner.fetch_body(&self.image, digest, *instance).await? else {
                continue;
            };
            let names_it = match Parsed::new(digest.clone(), &body.media_type, body.bytes.clone()) {
                Ok(parsed) => parsed.manifest.mentioned().contains(blob),
                // What cannot be read any more keeps everything.
                Err(_) => true,
            };
            if names_it {
                users.push((digest.clone(), *instance));
            }
        }
        Ok(users)
    }

    /// Whether an instance had its seal in the LIST.
    pub(super) fn is_sealed(&self, digest: &Digest, instance: Id) -> bool {
        matches!(self.instances.get(&(digest.clone(), instance)), Some(Some(_)))
    }
}
