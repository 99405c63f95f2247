//! The store in a local directory: the same keys, as files.
//!
//! `ROOT/objects/<key>` holds one file per object (its form: [`frame`]), `ROOT/uploads/` multipart uploads,
//! `ROOT/tmp/` files that have no name yet. A file is written out of sight, made durable, then renamed, and the
//! rename is made durable before the step succeeds; a deletion likewise, because ordered deletions that a power
//! cut reorders would break the storage protocol. Several processes may share one directory.
//!
//! Folders need no care of their own: file systems with a journal record the creation of a folder and its name in
//! one transaction, and making a name inside it durable commits that transaction first.

mod assembly;
mod durable;
mod frame;
mod multipart;
mod scratch;
#[cfg(test)]
mod tests;
mod walk;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use tempfile::NamedTempFile;

use super::key::{check_key, check_prefix};
use super::{
    ByteRange, ByteStream, ListQuery, Listing, MultipartId, NewObject, Object, ObjectHead, PartTag, Store, StoreError,
};
use durable::{sync_content, sync_names};
use frame::Frame;
use scratch::Scratch;

/// Bytes read per trip to the blocking pool. Small reads would cost more in hand-overs than in copying.
const CHUNK: u64 = 512 * 1024;

/// How often a write makes its folders again when a deletion beside it prunes them.
const FOLDER_ATTEMPTS: usize = 100;

/// A [`Store`] in a directory of this machine.
#[derive(Clone, Debug)]
pub struct DirectoryStore {
    tree: Arc<Tree>,
}

/// Why a directory cannot be a store.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Tags `A` and `a` would be one.
    #[error(
        "{0}: the file system does not tell upper from lower case, so that tags like v1A and v1a would be one: \
         choose a directory on another file system"
    )]
    CaseInsensitive(PathBuf),
    /// The file system says no.
    #[error("{path}: cannot be opened as storage ({source}): it must be a directory this user can write to")]
    Io { path: PathBuf, source: io::Error },
}

impl DirectoryStore {
    /// Opens the store in `root` and makes what is missing of it.
    ///
    /// # Errors
    /// [`DirectoryError`] when the directory cannot be written to or the file system cannot hold keys apart.
    pub fn open(root: &Path) -> Result<Self, DirectoryError> {
        let fail = |source| DirectoryError::Io { path: root.to_owned(), source };
        let tree = Tree::open(root).map_err(fail)?;
        if tree.ignores_case().map_err(fail)? {
            return Err(DirectoryError::CaseInsensitive(root.to_owned()));
        }
        tree.remove_abandoned_uploads().map_err(fail)?;
        Ok(Self { tree: Arc::new(tree) })
    }

    /// Runs a step where it may wait for the disk. A step goes on to its end when its caller goes away.
    async fn step<T: Send + 'static>(
        &self,
        key: &str,
        step: impl FnOnce(&Tree) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let tree = Arc::clone(&self.tree);
        tokio::task::spawn_blocking(move || step(&tree))
            .await
            .unwrap_or_else(|error| Err(StoreError::Other { key: key.to_owned(), source: error.into() }))
    }

    /// A step on one key.
    async fn on_key<T: Send + 'static>(
        &self,
        key: &str,
        step: impl FnOnce(&Tree, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        check_key(key)?;
        let owned = key.to_owned();
        self.step(key, move |tree| step(tree, &owned)).await
    }
}

#[async_trait]
impl Store for DirectoryStore {
    async fn birth(&self, key: &str, object: NewObject) -> Result<(), StoreError> {
        self.put(key, object).await
    }

    async fn put(&self, key: &str, object: NewObject) -> Result<(), StoreError> {
        self.on_key(key, move |tree, key| tree.write(key, &object)).await
    }

    async fn copy_new(&self, from: &str, to: &str, content_type: Option<&str>) -> Result<(), StoreError> {
        check_key(from)?;
        let from = from.to_owned();
        let content_type = content_type.map(str::to_owned);
        self.on_key(to, move |tree, to| tree.copy(&from, to, content_type.as_deref())).await
    }

    async fn retire(&self, key: &str) -> Result<(), StoreError> {
        self.on_key(key, Tree::retire).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        self.on_key(key, |tree, key| Ok(tree.read(key)?.map(|opened| opened.head))).await
    }

    async fn confirm(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        self.on_key(key, Tree::confirm).await
    }

    async fn get(&self, key: &str, range: Option<ByteRange>) -> Result<Option<Object>, StoreError> {
        let begun = self.on_key(key, move |tree, key| tree.begin_reading(key, range)).await?;
        let Some((head, reading, first)) = begun else { return Ok(None) };
        let body: ByteStream = if reading.left == 0 {
            stream::iter(Some(Ok(first)).filter(|chunk| chunk.as_ref().is_ok_and(|bytes| !bytes.is_empty()))).boxed()
        } else {
            stream::once(async { Ok(first) }).chain(stream::try_unfold(reading, read_on)).boxed()
        };
        Ok(Some(Object { head, body }))
    }

    async fn list(&self, query: ListQuery<'_>) -> Result<Listing, StoreError> {
        check_prefix(query.prefix)?;
        let prefix = query.prefix.to_owned();
        let start_after = query.start_after.map(str::to_owned);
        let (max_keys, fold) = (query.max_keys, query.fold);
        self.step(query.prefix, move |tree| {
            tree.list(&ListQuery { prefix: &prefix, start_after: start_after.as_deref(), max_keys, fold })
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.on_key(key, Tree::delete).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        let keys = keys.to_vec();
        self.step("", move |tree| {
            let failures = keys.into_iter().filter_map(|key| {
                let deleted = check_key(&key).and_then(|()| tree.delete(&key));
                deleted.err().map(|error| (key, error))
            });
            Ok(failures.collect())
        })
        .await
    }

    async fn create_multipart(&self, key: &str) -> Result<MultipartId, StoreError> {
        self.on_key(key, Tree::create_multipart).await
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &MultipartId,
        number: u16,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        let upload = upload.clone();
        self.on_key(key, move |tree, key| tree.upload_part(key, &upload, number, &bytes)).await
    }

    async fn complete_multipart(
        &self,
        key: &str,
        upload: &MultipartId,
        parts: &[(u16, PartTag)],
    ) -> Result<(), StoreError> {
        let (upload, parts) = (upload.clone(), parts.to_vec());
        self.on_key(key, move |tree, key| tree.complete_multipart(key, &upload, &parts)).await
    }

    async fn abort_multipart(&self, key: &str, upload: &MultipartId) -> Result<(), StoreError> {
        let upload = upload.clone();
        self.on_key(key, move |tree, key| tree.abort_multipart(key, &upload)).await
    }

    fn completion_is_trusted(&self) -> bool {
        true
    }
}

/// The folders of a store, and every step on them, blocking.
#[derive(Debug)]
struct Tree {
    objects: PathBuf,
    uploads: PathBuf,
    scratch: Scratch,
}

/// An object whose file is open: whatever happens to its name, its bytes stay.
struct Opened {
    file: File,
    head: ObjectHead,
}

/// A file being streamed.
struct Reading {
    key: String,
    file: File,
    /// Bytes still to be read.
    left: u64,
}

impl Tree {
    fn open(root: &Path) -> io::Result<Self> {
        let [objects, uploads, tmp] = ["objects", "uploads", "tmp"].map(|name| root.join(name));
        for folder in [&objects, &uploads, &tmp] {
            fs::create_dir_all(folder)?;
        }
        sync_names(root)?;
        Ok(Self { objects, uploads, scratch: Scratch::open(&tmp)? })
    }

    fn ignores_case(&self) -> io::Result<bool> {
        let lower = self.scratch.path();
        fs::write(lower.with_extension("case"), b"")?;
        let found = lower.with_extension("CASE").try_exists()?;
        fs::remove_file(lower.with_extension("case"))?;
        Ok(found)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.objects.join(key)
    }

    fn write(&self, key: &str, object: &NewObject) -> Result<(), StoreError> {
        let mut file = self.scratch.file().map_err(|error| failed(key, error))?;
        let written = frame::write(file.as_file_mut(), &object.bytes, object.content_type.as_deref());
        written.map_err(|error| failed(key, error))?;
        self.publish(key, file)
    }

    fn copy(&self, from: &str, to: &str, content_type: Option<&str>) -> Result<(), StoreError> {
        let opened = self.read(from)?.ok_or_else(|| StoreError::NotFound(from.to_owned()))?;
        let mut file = self.scratch.file().map_err(|error| failed(to, error))?;
        copy_content(opened, file.as_file_mut(), content_type).map_err(|error| failed(to, error))?;
        self.publish(to, file)
    }

    /// Gives a file its key, durably.
    fn publish(&self, key: &str, file: NamedTempFile) -> Result<(), StoreError> {
        sync_content(file.as_file()).map_err(|error| failed(key, error))?;
        // Under its new name the file is out of reach of the path that removes it when dropped.
        self.rename(&file.into_temp_path(), key)
    }

    /// Makes a durable file the object of a key, durably.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when somebody took the file away.
    fn rename(&self, file: &Path, key: &str) -> Result<(), StoreError> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.objects);
        for _ in 0..FOLDER_ATTEMPTS {
            match fs::rename(file, &path) {
                Ok(()) => return self.sync_nearest(folder).map_err(|error| failed(key, error)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if !file.try_exists().map_err(|error| failed(key, error))? {
                        return Err(StoreError::NotFound(key.to_owned()));
                    }
                    self.make_folders(folder).map_err(|error| failed(key, error))?;
                }
                Err(error) => return Err(failed(key, error)),
            }
        }
        let reason = "its folder was removed again and again while it was written".to_owned();
        Err(StoreError::Unavailable { key: key.to_owned(), reason })
    }

    /// Makes `folder` and what is missing above it, but never `objects` itself: without it the volume is away.
    fn make_folders(&self, folder: &Path) -> io::Result<()> {
        if folder == self.objects {
            return self.check_present();
        }
        let made = fs::create_dir(folder);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folders(folder.parent().unwrap_or(&self.objects))?;
                // Pruned again already: the caller finds out and comes back.
                fs::create_dir(folder).or_else(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })
            }
            other => other,
        }
    }

    /// Opens an object; `None` only if it is absent from a tree that is there (amendment R16).
    fn read(&self, key: &str) -> Result<Option<Opened>, StoreError> {
        let read = || -> io::Result<Option<Opened>> {
            let file = match File::open(self.path(key)) {
                Ok(file) => file,
                Err(error) if walk::is_absent(&error) => return self.check_present().map(|()| None),
                Err(error) => return Err(error),
            };
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Ok(None);
            }
            let frame = frame::read(&file, metadata.len())?;
            Ok(Some(Opened { file, head: head_of(frame, &metadata)? }))
        };
        read().map_err(|error| failed(key, error))
    }

    /// Reads an object's head and makes durable what it saw, absence included (amendment R15): the name may be the
    /// work of another process that has not come to its own sync.
    fn confirm(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        let opened = self.read(key)?;
        let durable = || -> io::Result<()> {
            if let Some(retired) = opened.as_ref().filter(|opened| opened.head.retired) {
                sync_content(&retired.file)?;
            }
            self.sync_nearest(self.path(key).parent().unwrap_or(&self.objects))
        };
        durable().map_err(|error| failed(key, error))?;
        Ok(opened.map(|opened| opened.head))
    }

    fn begin_reading(
        &self,
        key: &str,
        range: Option<ByteRange>,
    ) -> Result<Option<(ObjectHead, Reading, Bytes)>, StoreError> {
        let Some(Opened { mut file, head }) = self.read(key)? else { return Ok(None) };
        let (first, length) = match range {
            None => (0, head.size),
            Some(range) => range.within(key, head.size)?,
        };
        file.seek(SeekFrom::Start(first)).map_err(|error| failed(key, error))?;
        let mut reading = Reading { key: key.to_owned(), file, left: length };
        let chunk = reading.next_chunk()?;
        Ok(Some((head, reading, chunk)))
    }

    fn retire(&self, key: &str) -> Result<(), StoreError> {
        let retire = || -> io::Result<()> {
            let file = match OpenOptions::new().read(true).write(true).open(self.path(key)) {
                Ok(file) => file,
                Err(error) if walk::is_absent(&error) || error.kind() == io::ErrorKind::IsADirectory => {
                    return self.check_present();
                }
                Err(error) => return Err(error),
            };
            let stored = file.metadata()?.len();
            frame::read(&file, stored)?;
            frame::retire(&file, stored)
        };
        retire().map_err(|error| failed(key, error))
    }

    fn list(&self, query: &ListQuery<'_>) -> Result<Listing, StoreError> {
        let list = || {
            self.check_present()?;
            walk::list(&self.objects, query)
        };
        let page = list().map_err(|error| failed(query.prefix, error))?;
        Ok(Listing { entries: page.entries, folders: page.folders, more: page.more, store_time: SystemTime::now() })
    }

    /// Removes a name durably, also one that another process removed a moment ago and may not have synced: what is
    /// deleted next may only go when this is gone for good.
    fn delete(&self, key: &str) -> Result<(), StoreError> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.objects);
        let delete = || -> io::Result<()> {
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if walk::is_absent(&error) => self.check_present()?,
                // A folder of keys is no key, hence absent.
                Err(_) if path.is_dir() => return Ok(()),
                Err(error) => return Err(error),
            }
            self.sync_nearest(folder)
        };
        delete().map_err(|error| failed(key, error))?;
        self.prune(folder);
        Ok(())
    }

    /// Removes `folder` and what is above it as far as it is empty. Nothing depends on it.
    fn prune(&self, folder: &Path) {
        let mut folder = folder;
        while folder != self.objects && fs::remove_dir(folder).is_ok() {
            folder = folder.parent().unwrap_or(&self.objects);
        }
    }

    /// Makes the entries of `folder` durable or, if it was pruned, those of the nearest one above: the end of a
    /// folder is the end of everything in it.
    fn sync_nearest(&self, folder: &Path) -> io::Result<()> {
        let mut folder = folder;
        loop {
            match sync_names(folder) {
                Err(error) if walk::is_absent(&error) && folder != self.objects => {
                    folder = folder.parent().unwrap_or(&self.objects);
                }
                other => return other,
            }
        }
    }

    /// An error unless the tree is there: an unmounted volume must not look like an empty store (amendment R16).
    fn check_present(&self) -> io::Result<()> {
        if self.objects.is_dir() {
            Ok(())
        } else {
            let message = format!("{} is gone: is its volume mounted?", self.objects.display());
            Err(io::Error::new(io::ErrorKind::NotFound, message))
        }
    }
}

impl Reading {
    fn next_chunk(&mut self) -> Result<Bytes, StoreError> {
        let length = self.left.min(CHUNK);
        let mut chunk = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        let read = (&self.file).take(length).read_to_end(&mut chunk).map_err(|error| failed(&self.key, error))?;
        if (read as u64) < length {
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read");
            return Err(StoreError::Other { key: self.key.clone(), source: source.into() });
        }
        self.left -= length;
        Ok(chunk.into())
    }
}

async fn read_on(mut reading: Reading) -> Result<Option<(Bytes, Reading)>, StoreError> {
    if reading.left == 0 {
        return Ok(None);
    }
    let key = reading.key.clone();
    tokio::task::spawn_blocking(move || Ok(Some((reading.next_chunk()?, reading))))
        .await
        .unwrap_or_else(|error| Err(StoreError::Other { key, source: error.into() }))
}

fn head_of(frame: Frame, metadata: &Metadata) -> io::Result<ObjectHead> {
    Ok(ObjectHead {
        size: frame.size,
        content_type: frame.content_type,
        retired: frame.retired,
        modified: metadata.modified()?,
        store_time: SystemTime::now(),
    })
}

/// Copies content into an empty file and frames it as live. Blocks are shared where the file system can.
fn copy_content(from: Opened, to: &mut File, content_type: Option<&str>) -> io::Result<()> {
    if from.head.content_type.as_deref() == content_type && rustix::fs::ioctl_ficlone(&*to, &from.file).is_ok() {
        // The clone has the frame of its source; its flag goes before anybody sees it.
        let stored = to.metadata()?.len();
        return frame::revive(to, stored);
    }
    io::copy(&mut from.file.take(from.head.size), to)?;
    frame::write_end(to, content_type)
}

/// What an error of the file system means to a caller of the store.
fn failed(key: &str, error: io::Error) -> StoreError {
    use io::ErrorKind;
    let key = key.to_owned();
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StoreError::Denied { key, reason: error.to_string() }
        }
        // Steps that meet an absent object say so; what else is not found is a folder of the store itself.
        ErrorKind::NotFound | ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            StoreError::Unavailable { key, reason: error.to_string() }
        }
        ErrorKind::IsADirectory | ErrorKind::NotADirectory | ErrorKind::DirectoryNotEmpty => {
            StoreError::Invalid { key, reason: "a key may not be a folder of another".to_owned() }
        }
        ErrorKind::InvalidFilename | ErrorKind::InvalidInput => StoreError::Invalid { key, reason: error.to_string() },
        _ => StoreError::Other { key, source: error.into() },
    }
}
