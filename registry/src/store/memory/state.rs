//! What a memory store holds, and every step on it as one indivisible change.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use crate::store::{Entry, ListQuery, Listing, MultipartId, NewObject, ObjectHead, PartTag, StoreError};

/// An object at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    pub bytes: Bytes,
    pub content_type: Option<String>,
    pub retired: bool,
    pub modified: SystemTime,
}

impl StoredObject {
    pub(super) fn head(&self, now: SystemTime) -> ObjectHead {
        ObjectHead {
            size: self.bytes.len() as u64,
            content_type: self.content_type.clone(),
            retired: self.retired,
            modified: self.modified,
            store_time: now,
        }
    }
}

#[derive(Debug)]
struct Upload {
    key: String,
    parts: BTreeMap<u16, (PartTag, Bytes)>,
}

/// Objects and running multipart uploads.
#[derive(Debug, Default)]
pub(super) struct State {
    objects: BTreeMap<String, StoredObject>,
    uploads: BTreeMap<String, Upload>,
    uploads_begun: u64,
    /// What appeared or vanished since each running LIST began, in the order it did.
    running_lists: BTreeMap<u64, Vec<(String, StoredObject)>>,
    lists_begun: u64,
}

impl State {
    pub(super) fn objects(&self) -> &BTreeMap<String, StoredObject> {
        &self.objects
    }

    pub(super) fn put(&mut self, key: &str, object: NewObject, now: SystemTime) -> Result<(), StoreError> {
        self.check_no_folder(key)?;
        let NewObject { bytes, content_type } = object;
        self.insert(key, StoredObject { bytes, content_type, retired: false, modified: now });
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some(object) = self.objects.remove(key) {
            self.note_change(key, &object);
        }
    }

    fn insert(&mut self, key: &str, object: StoredObject) {
        // What is overwritten was there all the time.
        if self.objects.insert(key.to_owned(), object.clone()).is_none() {
            self.note_change(key, &object);
        }
    }

    fn note_change(&mut self, key: &str, object: &StoredObject) {
        for changes in self.running_lists.values_mut() {
            if !changes.iter().any(|(changed, _)| changed == key) {
                changes.push((key.to_owned(), object.clone()));
            }
        }
    }

    /// Begins to watch what a LIST may or may not see.
    pub(super) fn begin_list(&mut self) -> u64 {
        self.lists_begun += 1;
        self.running_lists.insert(self.lists_begun, Vec::new());
        self.lists_begun
    }

    /// The keys that were there for some, but not all of the time, each with what it holds or held last.
    pub(super) fn end_list(&mut self, list: u64) -> Vec<(String, StoredObject)> {
        let mut changes = self.running_lists.remove(&list).unwrap_or_default();
        for (key, object) in &mut changes {
            if let Some(current) = self.objects.get(key) {
                *object = current.clone();
            }
        }
        changes
    }

    pub(super) fn source(&self, key: &str) -> Result<StoredObject, StoreError> {
        self.objects.get(key).cloned().ok_or_else(|| StoreError::NotFound(key.to_owned()))
    }

    /// The second half of a retirement: what was read comes back flagged, even if it was deleted meanwhile.
    pub(super) fn write_retired(&mut self, key: &str, read: StoredObject, now: SystemTime) {
        self.insert(key, StoredObject { retired: true, modified: now, ..read });
    }

    /// One page, in which `unclear` keys are there with what stands beside them, or not.
    pub(super) fn list(
        &self,
        query: &ListQuery<'_>,
        unclear: Vec<(String, Option<StoredObject>)>,
        now: SystemTime,
    ) -> Listing {
        if unclear.is_empty() {
            return page(&self.objects, query, now);
        }
        let mut seen = self.objects.clone();
        for (key, object) in unclear {
            match object {
                Some(object) => seen.insert(key, object),
                None => seen.remove(&key),
            };
        }
        page(&seen, query, now)
    }

    pub(super) fn create_multipart(&mut self, key: &str) -> MultipartId {
        self.uploads_begun += 1;
        let id = format!("upload-{}", self.uploads_begun);
        self.uploads.insert(id.clone(), Upload { key: key.to_owned(), parts: BTreeMap::new() });
        MultipartId(id)
    }

    pub(super) fn upload_part(
        &mut self,
        key: &str,
        id: &MultipartId,
        number: u16,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        let tag = PartTag(data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes)));
        self.upload(key, id)?.parts.insert(number, (tag.clone(), bytes));
        Ok(tag)
    }

    pub(super) fn complete_multipart(
        &mut self,
        key: &str,
        id: &MultipartId,
        named: &[(u16, PartTag)],
        now: SystemTime,
    ) -> Result<(), StoreError> {
        let upload = self.upload(key, id)?;
        if named.is_empty() || !named.is_sorted_by(|(a, _), (b, _)| a < b) {
            let reason = "parts are named at least once, each once, in ascending order".to_owned();
            return Err(StoreError::Invalid { key: key.to_owned(), reason });
        }
        let mut whole = BytesMut::new();
        for (number, tag) in named {
            match upload.parts.get(number) {
                Some((its_tag, bytes)) if its_tag == tag => whole.extend_from_slice(bytes),
                _ => return Err(StoreError::InvalidPart(key.to_owned())),
            }
        }
        self.put(key, NewObject::bytes(whole), now)?;
        self.uploads.remove(&id.0);
        Ok(())
    }

    pub(super) fn abort_multipart(&mut self, key: &str, id: &MultipartId) {
        if self.upload(key, id).is_ok() {
            self.uploads.remove(&id.0);
        }
    }

    fn upload(&mut self, key: &str, id: &MultipartId) -> Result<&mut Upload, StoreError> {
        self.uploads
            .get_mut(&id.0)
            .filter(|upload| upload.key == key)
            .ok_or_else(|| StoreError::NotFound(format!("{key}: multipart upload {}", id.0)))
    }

    /// Gateways to file systems cannot hold a key that is a folder of another; neither do we, so that a layout
    /// that needs it fails in every test.
    fn check_no_folder(&self, key: &str) -> Result<(), StoreError> {
        let below = format!("{key}/");
        let has_children =
            self.objects.range(below.clone()..).next().is_some_and(|(other, _)| other.starts_with(&below));
        let parent_is_object = key.match_indices('/').any(|(slash, _)| self.objects.contains_key(&key[..slash]));
        if has_children || parent_is_object {
            let reason = "a key may not be a folder of another".to_owned();
            return Err(StoreError::Invalid { key: key.to_owned(), reason });
        }
        Ok(())
    }
}

fn page(objects: &BTreeMap<String, StoredObject>, query: &ListQuery<'_>, now: SystemTime) -> Listing {
    let mut page = Listing { entries: Vec::new(), folders: Vec::new(), more: false, store_time: now };
    let bound = query.bound();
    let from = match bound.as_deref() {
        Some(bound) if bound >= query.prefix => Bound::Excluded(bound),
        _ => Bound::Included(query.prefix),
    };
    let room = query.max_keys.clamp(1, ListQuery::MAX_KEYS);
    for (key, object) in objects.range::<str, _>((from, Bound::Unbounded)) {
        let Some(rest) = key.strip_prefix(query.prefix) else { break };
        let folder = rest.find('/').filter(|_| query.fold).map(|slash| &key[..=query.prefix.len() + slash]);
        if folder.is_some_and(|folder| page.folders.last().is_some_and(|last| last == folder)) {
            continue;
        }
        if page.entries.len() + page.folders.len() == room {
            page.more = true;
            break;
        }
        match folder {
            Some(folder) => page.folders.push(folder.to_owned()),
            None => page.entries.push(Entry {
                key: key.clone(),
                size: object.bytes.len() as u64,
                stored: object.bytes.len() as u64,
                modified: object.modified,
            }),
        }
    }
    page
}
