//! What a store is made to show before anything is entrusted to it.
//!
//! The storage protocol is safe on stores that give what docs/storage.md asks of them, and silently unsafe on
//! others: a LIST that misses keys deletes images. So every start asks the store for each promise, with scratch keys
//! below `meta/probe/` that are removed again. It takes about 30 small requests.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::try_join_all;
use ulid::Ulid;

use super::{ListQuery, Listing, Misconfiguration, NewObject, PartTag, Store, StoreError, list_all, read_all};

/// Where scratch keys lie.
const SCRATCH: &str = "meta/probe/";
/// Who owns the data.
const INSTALLATION: &str = "meta/installation";
/// The version of the key layout.
const FORMAT: &str = "meta/format";
/// The layout this binary writes, and the newest it understands.
const FORMAT_VERSION: u32 = 1;
/// Scratch keys of a probe that was killed are removed after this long.
const LEFT_OVER: Duration = Duration::from_secs(3600);
/// S3 itself refuses signatures from here on; so do we, also where a store does not look.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(15 * 60);

/// Names that are told apart only by byte order: what sorts around `!` and `/`, upper before lower case.
const ORDERED: [&str; 6] = ["A/1", "a!x/1", "a-x", "a/1", "a0", "~"];

/// What is worth knowing of a store that may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// To be told once, at start.
    pub warnings: Vec<Warning>,
}

/// A weakness that costs no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// `If-None-Match: *` does nothing.
    #[error(
        "the store ignores conditional headers: nothing is lost by it, but of two first pushes of one immutable tag \
         at the same moment both may be refused"
    )]
    IgnoresConditions,
}

/// Why a store is not used; the text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error(transparent)]
    Misconfigured(Box<Misconfiguration>),
    #[error("the store refuses to list keys ({0}): allow s3:ListBucket on the bucket")]
    NoList(String),
    #[error("the store refuses to write objects ({0}): allow s3:PutObject on the bucket's objects")]
    NoPut(String),
    #[error("the store refuses to read objects ({0}): allow s3:GetObject on the bucket's objects")]
    NoGet(String),
    #[error(
        "the store refuses to delete objects ({0}): allow s3:DeleteObject on the bucket's objects, otherwise cleaning \
         up would free nothing"
    )]
    NoDelete(String),
    #[error(
        "the clock of this machine and that of the store are {} minutes apart: set the clock, best by NTP",
        .apart.as_secs() / 60
    )]
    ClocksApart { apart: Duration },
    #[error(
        "the store does not list keys in byte order ({0}): use a general purpose bucket, not a directory bucket (S3 \
         Express), or another server"
    )]
    Unordered(String),
    #[error(
        "the store's lists lag behind its writes ({0}), so that cleaning up could delete images in use: use a store \
         with strongly consistent lists, or switch them on (MinIO: list_quorum=strict, StorageGRID: strong-global)"
    )]
    StaleList(String),
    #[error(
        "the store's reads lag behind its writes ({0}): use a store with strong read-after-write consistency, or \
         switch it on"
    )]
    StaleRead(String),
    #[error(
        "the store completes a multipart upload from other parts than those named, so that two clients could mix \
         their bytes: update the server or use another"
    )]
    CompletesOtherParts,
    #[error("the store does not keep the bytes of a multipart upload: update the server or use another")]
    LosesParts,
    #[error(
        "the store does not copy an object onto itself with new metadata ({0}), which cleaning up needs: update the \
         server or use another"
    )]
    NoCopy(String),
    #[error(
        "the storage belongs to the installation {owner}, and this is {this}: give each installation a bucket or a \
         prefix of its own (--storage s3://BUCKET/PREFIX)"
    )]
    OtherInstallation { owner: String, this: String },
    #[error(
        "the storage was written by a newer version of Berth (layout {found}; this one understands {FORMAT_VERSION}): \
         run that version"
    )]
    NewerFormat { found: String },
    /// Nothing is known: worth another try.
    #[error("the store could not be examined: {0}")]
    Away(StoreError),
}

impl Refusal {
    /// Whether the same start may succeed later. Everything else is configuration.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}

/// Makes the store show that it gives what the storage protocol needs, and that it is this installation's.
///
/// An empty store becomes the property of `installation`.
///
/// # Errors
/// The first [`Refusal`] met.
pub async fn examine(store: &dyn Store, installation: &str) -> Result<Findings, Refusal> {
    let listing = store.list(ListQuery::below(SCRATCH)).await.map_err(or_denied(Refusal::NoList))?;
    compare_clocks(&listing)?;
    let scratch = Scratch { store, folder: format!("{SCRATCH}{}/", Ulid::generate().to_string().to_lowercase()) };
    let examined = scratch.examine().await;
    if examined.is_err() {
        scratch.give_up().await;
    }
    let findings = examined?;
    remove_left_overs(store, &listing).await?;
    claim(store, installation).await?;
    Ok(findings)
}

/// Takes an unclaimed store for this installation, and refuses one that is somebody else's or from the future.
async fn claim(store: &dyn Store, installation: &str) -> Result<(), Refusal> {
    let found = or_claimed(store, FORMAT, &FORMAT_VERSION.to_string()).await?;
    if found.parse::<u32>().map_or(true, |version| version > FORMAT_VERSION) {
        return Err(Refusal::NewerFormat { found });
    }
    let owner = or_claimed(store, INSTALLATION, installation).await?;
    if owner != installation {
        return Err(Refusal::OtherInstallation { owner, this: installation.to_owned() });
    }
    Ok(())
}

/// What a key says; `ours` if it said nothing so far and nobody was faster.
async fn or_claimed(store: &dyn Store, key: &str, ours: &str) -> Result<String, Refusal> {
    if let Some(said) = text(store, key).await? {
        return Ok(said);
    }
    store.put(key, NewObject::bytes(ours.to_owned())).await.map_err(or_denied(Refusal::NoPut))?;
    // Two that claim at once read the same answer: what was written last.
    text(store, key).await?.ok_or_else(|| Refusal::StaleRead(format!("{key} is not there after it was written")))
}

async fn text(store: &dyn Store, key: &str) -> Result<Option<String>, Refusal> {
    let bytes = content(store, key).await?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
}

async fn content(store: &dyn Store, key: &str) -> Result<Option<Bytes>, Refusal> {
    match store.get(key, None).await.map_err(or_denied(Refusal::NoGet))? {
        Some(object) => read_all(object.body).await.map(Some).map_err(or_denied(Refusal::NoGet)),
        None => Ok(None),
    }
}

fn compare_clocks(listing: &Listing) -> Result<(), Refusal> {
    let now = SystemTime::now();
    let apart = now.duration_since(listing.store_time).or_else(|_| listing.store_time.duration_since(now));
    match apart {
        Ok(apart) if apart > CLOCK_TOLERANCE => Err(Refusal::ClocksApart { apart }),
        _ => Ok(()),
    }
}

/// A failure: what is refused has its own meaning in each step.
fn or_denied(denied: impl Fn(String) -> Refusal) -> impl Fn(StoreError) -> Refusal {
    move |error| match error {
        StoreError::Denied { reason, .. } => denied(reason),
        StoreError::Misconfigured(cause) => Refusal::Misconfigured(cause),
        error => Refusal::Away(error),
    }
}

/// One examination's keys.
struct Scratch<'a> {
    store: &'a dyn Store,
    folder: String,
}

impl Scratch<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    async fn examine(&self) -> Result<Findings, Refusal> {
        self.write_and_list().await?;
        self.retire_and_copy().await?;
        self.complete_parts().await?;
        let mut findings = Findings::default();
        let honours = self.store.honours_if_none_match(&self.key("once")).await;
        if !honours.map_err(or_denied(Refusal::NoPut))? {
            findings.warnings.push(Warning::IgnoresConditions);
        }
        self.delete_and_list().await?;
        Ok(findings)
    }

    async fn write_and_list(&self) -> Result<(), Refusal> {
        let keys = ORDERED.map(|name| self.key(name));
        let writes = keys.iter().map(|key| self.store.put(key, NewObject::bytes(key.clone())));
        try_join_all(writes).await.map_err(or_denied(Refusal::NoPut))?;
        if content(self.store, &keys[0]).await?.is_none_or(|read| read != keys[0]) {
            return Err(Refusal::StaleRead("an object is not there after it was written".to_owned()));
        }
        self.expect_listed(ListQuery::below(&self.folder), &keys.iter().map(String::as_str).collect::<Vec<_>>())
            .await?;
        // The place to go on from is no key itself.
        let place = self.key("a.");
        let behind = keys[3..].iter().map(String::as_str).collect::<Vec<_>>();
        self.expect_listed(ListQuery::below(&self.folder).after(Some(&place)), &behind).await
    }

    async fn expect_listed(&self, query: ListQuery<'_>, expected: &[&str]) -> Result<(), Refusal> {
        let listing = self.store.list(query).await.map_err(or_denied(Refusal::NoList))?;
        let listed: Vec<&str> = listing.entries.iter().map(|entry| entry.key.as_str()).collect();
        if listed == expected {
            return Ok(());
        }
        let from = query.start_after.map(|place| format!(" after {place}")).unwrap_or_default();
        match expected.iter().find(|key| !listed.contains(key)) {
            Some(missing) => Err(Refusal::StaleList(format!("{missing} is not listed{from}"))),
            None => Err(Refusal::Unordered(format!("it listed {}{from}", listed.join(", ")))),
        }
    }

    async fn retire_and_copy(&self) -> Result<(), Refusal> {
        let key = self.key(ORDERED[0]);
        let no_copy = |what: &str| Refusal::NoCopy(what.to_owned());
        let failed = |error| match error {
            error @ (StoreError::Unavailable { .. } | StoreError::Misconfigured(_)) => {
                or_denied(Refusal::NoCopy)(error)
            }
            error => Refusal::NoCopy(error.to_string()),
        };
        self.store.retire(&key).await.map_err(failed)?;
        let retired = self.store.head(&key).await.map_err(or_denied(Refusal::NoGet))?;
        if !retired.is_some_and(|head| head.retired) {
            return Err(no_copy("the metadata is not set"));
        }
        let copy = self.key("copy");
        self.store.copy_new(&key, &copy, None).await.map_err(failed)?;
        let copied = self.store.head(&copy).await.map_err(or_denied(Refusal::NoGet))?;
        if copied.is_none_or(|head| head.retired) {
            return Err(no_copy("a copy keeps metadata that it should not"));
        }
        for key_of_bytes in [&key, &copy] {
            if content(self.store, key_of_bytes).await?.is_none_or(|bytes| bytes != key) {
                return Err(no_copy("the bytes are lost"));
            }
        }
        match self.store.copy_new(&self.key("absent"), &self.key("copy-of-absent"), None).await {
            Err(StoreError::NotFound(_)) => Ok(()),
            Err(error) => Err(failed(error)),
            Ok(()) => Err(no_copy("an absent object is copied")),
        }
    }

    /// Amendment R2: the parts named are the parts used, also when a part was stored twice.
    async fn complete_parts(&self) -> Result<(), Refusal> {
        let key = self.key("parts");
        let denied = || or_denied(Refusal::NoPut);
        let upload = self.store.create_multipart(&key).await.map_err(denied())?;
        let part = async |bytes: &'static str| self.store.upload_part(&key, &upload, 1, bytes.into()).await;
        let first = part("first").await.map_err(denied())?;
        let other = part("other").await.map_err(denied())?;
        let complete = async |tag: PartTag| self.store.complete_multipart(&key, &upload, &[(1, tag)]).await;
        match complete(first).await {
            Err(StoreError::InvalidPart(_)) => {}
            Ok(()) => return Err(Refusal::CompletesOtherParts),
            Err(error) => {
                // Best effort: what stays is for the bucket's rule on unfinished uploads.
                let _ = self.store.abort_multipart(&key, &upload).await;
                return Err(denied()(error));
            }
        }
        complete(other).await.map_err(denied())?;
        if content(self.store, &key).await?.is_none_or(|bytes| bytes != "other") {
            return Err(Refusal::LosesParts);
        }
        Ok(())
    }

    async fn delete_and_list(&self) -> Result<(), Refusal> {
        let mut keys = self.keys().await?;
        keys.push(self.key("absent"));
        let failures = self.store.delete_many(&keys).await.map_err(or_denied(Refusal::NoDelete))?;
        if let Some((_, error)) = failures.into_iter().next() {
            return Err(or_denied(Refusal::NoDelete)(error));
        }
        let first = self.key(ORDERED[0]);
        if self.store.head(&first).await.map_err(or_denied(Refusal::NoGet))?.is_some() {
            return Err(Refusal::StaleRead("an object is there after it was deleted".to_owned()));
        }
        match self.keys().await?.first() {
            Some(key) => Err(Refusal::StaleList(format!("{key} is listed after it was deleted"))),
            None => Ok(()),
        }
    }

    async fn keys(&self) -> Result<Vec<String>, Refusal> {
        let entries = list_all(self.store, &self.folder).await.map_err(or_denied(Refusal::NoList))?;
        Ok(entries.into_iter().map(|entry| entry.key).collect())
    }

    /// Removes what can be removed after a refusal, which stands whatever becomes of the scratch keys.
    async fn give_up(&self) {
        if let Ok(keys) = self.keys().await {
            let _ = self.store.delete_many(&keys).await;
        }
    }
}

/// Removes scratch keys of processes that were killed. Those of one that is just starting stay.
async fn remove_left_overs(store: &dyn Store, before: &Listing) -> Result<(), Refusal> {
    let is_old = |modified| before.store_time.duration_since(modified).is_ok_and(|age| age > LEFT_OVER);
    let old = before.entries.iter().filter(|entry| is_old(entry.modified));
    let keys: Vec<String> = old.map(|entry| entry.key.clone()).collect();
    if !keys.is_empty() {
        store.delete_many(&keys).await.map_err(or_denied(Refusal::NoDelete))?;
    }
    Ok(())
}
