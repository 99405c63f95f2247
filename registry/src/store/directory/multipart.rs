//! Multipart uploads: one folder per upload below `uploads/`.
//!
//! Parts that come in order are written where they will stay ([`assembly`](super::assembly)), so that completing is
//! a rename, whatever the size. Any other has a file of its own, framed like an object with the part's tag in the
//! place of the media type; completing copies where such files are left. Which bytes count is decided by the tags
//! named at the end (amendment R2), on either way.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use super::assembly::{ASSEMBLED, Assembly, WHOLE};
use super::frame::Frame;
use super::{Tree, failed, frame, sync_content, sync_names, walk};
use crate::store::{MultipartId, PartTag, StoreError};

/// An upload nobody touched for this long was left by a crash before anything named it. The same as the rule
/// that operators are told to set on a bucket.
const ABANDONED_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// Name of the file that says which key an upload is for.
const KEY_FILE: &str = "key";

impl Tree {
    pub(super) fn create_multipart(&self, key: &str) -> Result<MultipartId, StoreError> {
        let id = Ulid::generate().to_string().to_lowercase();
        let fail = |error| failed(key, error);
        let hidden = self.scratch.path();
        fs::create_dir(&hidden).map_err(fail)?;
        let mut file = File::create_new(hidden.join(KEY_FILE)).map_err(fail)?;
        io::Write::write_all(&mut file, key.as_bytes()).map_err(fail)?;
        sync_content(&file).map_err(fail)?;
        Assembly::create(&hidden).map_err(fail)?;
        sync_names(&hidden).map_err(fail)?;
        fs::rename(&hidden, self.uploads.join(&id)).map_err(fail)?;
        sync_names(&self.uploads).map_err(fail)?;
        Ok(MultipartId(id))
    }

    pub(super) fn upload_part(
        &self,
        key: &str,
        upload: &MultipartId,
        number: u16,
        bytes: &Bytes,
    ) -> Result<PartTag, StoreError> {
        let folder = self.upload(key, upload)?;
        let tag = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes));
        let stored = self.store_part(&folder, number, bytes, &tag);
        stored.map_err(|error| self.unknown_or_failed(key, upload, error))?;
        Ok(PartTag(tag))
    }

    /// The next part goes where it will stay. Any other, a replacement too, is kept aside first: what it replaces is
    /// only given up once it is durable.
    fn store_part(&self, folder: &Path, number: u16, bytes: &Bytes, tag: &str) -> io::Result<()> {
        let mut assembly = Assembly::lock(folder)?;
        let is_next = usize::from(number) == assembly.count() + 1;
        if is_next || assembly.tag(number) == Some(tag) {
            if is_next {
                assembly.append(tag, |whole| io::Write::write_all(whole, bytes).map(|()| bytes.len() as u64))?;
            }
            if remove_aside(folder, number)? {
                sync_names(folder)?;
            }
        } else {
            let mut file = self.scratch.file()?;
            frame::write(file.as_file_mut(), bytes, Some(tag))?;
            sync_content(file.as_file())?;
            file.persist(aside(folder, number)).map_err(|error| error.error)?;
            sync_names(folder)?;
        }
        assemble(folder, &mut assembly)
    }

    pub(super) fn complete_multipart(
        &self,
        key: &str,
        upload: &MultipartId,
        parts: &[(u16, PartTag)],
    ) -> Result<(), StoreError> {
        let folder = self.upload(key, upload)?;
        if parts.is_empty() || !parts.is_sorted_by(|(a, _), (b, _)| a < b) {
            let reason = "parts are named at least once, each once, in ascending order".to_owned();
            return Err(StoreError::Invalid { key: key.to_owned(), reason });
        }
        let unknown_or_failed = |error| self.unknown_or_failed(key, upload, error);
        let mut assembly = Assembly::lock(&folder).map_err(unknown_or_failed)?;
        let is_assembled = |(number, tag): &(u16, PartTag)| assembly.tag(*number) == Some(&tag.0);
        let all = parts.len() == assembly.count() && parts.iter().all(is_assembled);
        if all && !has_asides(&folder).map_err(unknown_or_failed)? {
            assembly.seal().map_err(|error| failed(key, error))?;
            // Whoever gets the lock afterwards, or gave the upload up before, finds no `whole`.
            self.rename(&folder.join(WHOLE), key)?;
            return self.remove(upload).map_err(|error| failed(key, error));
        }
        let mut whole = self.scratch.file().map_err(|error| failed(key, error))?;
        for (number, tag) in parts {
            let copied = copy_part(&folder, &assembly, *number, &tag.0, whole.as_file_mut());
            if !copied.map_err(|error| failed(key, error))? {
                return Err(StoreError::InvalidPart(key.to_owned()));
            }
        }
        frame::write_end(whole.as_file_mut(), None).map_err(|error| failed(key, error))?;
        sync_content(whole.as_file()).map_err(|error| failed(key, error))?;
        // Taking the folder away decides between this completion and an abort.
        let taken = self.take(upload).map_err(unknown_or_failed)?;
        self.publish(key, whole)?;
        fs::remove_dir_all(taken).map_err(|error| failed(key, error))
    }

    pub(super) fn abort_multipart(&self, key: &str, upload: &MultipartId) -> Result<(), StoreError> {
        match self.upload(key, upload) {
            Ok(_) => {}
            Err(StoreError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.remove(upload).map_err(|error| failed(key, error))
    }

    /// Removes what is left of an upload.
    fn remove(&self, upload: &MultipartId) -> io::Result<()> {
        match self.take(upload) {
            Ok(taken) => fs::remove_dir_all(taken),
            Err(error) if walk::is_absent(&error) => self.check_present(),
            Err(error) => Err(error),
        }
    }

    /// Removes uploads that nobody touched for a week.
    pub(super) fn remove_abandoned_uploads(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.uploads)? {
            let entry = entry?;
            // Parts that are assembled leave no trace in the folder itself.
            let assembled = fs::metadata(entry.path().join(ASSEMBLED)).and_then(|lines| lines.modified());
            let touched = entry.metadata()?.modified()?.max(assembled.unwrap_or(SystemTime::UNIX_EPOCH));
            let age = SystemTime::now().duration_since(touched).unwrap_or_default();
            if age > ABANDONED_AFTER {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// The folder of a running upload of `key`.
    fn upload(&self, key: &str, upload: &MultipartId) -> Result<PathBuf, StoreError> {
        // Ids come back from outside the process: only what we could have made may become a path.
        if upload.0.len() != 26 || !upload.0.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(StoreError::NotFound(unknown(key, upload)));
        }
        let folder = self.uploads.join(&upload.0);
        match fs::read(folder.join(KEY_FILE)) {
            Ok(its_key) if its_key == key.as_bytes() => Ok(folder),
            Ok(_) => Err(StoreError::NotFound(unknown(key, upload))),
            Err(error) => Err(self.unknown_or_failed(key, upload, error)),
        }
    }

    /// Takes an upload out of sight, in one step.
    fn take(&self, upload: &MultipartId) -> io::Result<PathBuf> {
        let taken = self.scratch.path();
        fs::rename(self.uploads.join(&upload.0), &taken)?;
        sync_names(&self.uploads)?;
        Ok(taken)
    }

    /// What it means that a file of an upload could not be reached.
    fn unknown_or_failed(&self, key: &str, upload: &MultipartId, error: io::Error) -> StoreError {
        if !walk::is_absent(&error) {
            return failed(key, error);
        }
        match self.check_present() {
            Ok(()) => StoreError::NotFound(unknown(key, upload)),
            Err(error) => failed(key, error),
        }
    }
}

/// Where a part is kept that is not assembled: it came before its turn, or replaces one that is. It is newer than
/// the one that is assembled.
fn aside(folder: &Path, number: u16) -> PathBuf {
    folder.join(number.to_string())
}

/// Opens a part that is kept aside.
fn open_aside(folder: &Path, number: u16) -> io::Result<Option<(File, Frame)>> {
    match File::open(aside(folder, number)) {
        Ok(part) => {
            let stored = part.metadata()?.len();
            let frame = frame::read(&part, stored)?;
            Ok(Some((part, frame)))
        }
        Err(error) if walk::is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether there was one.
fn remove_aside(folder: &Path, number: u16) -> io::Result<bool> {
    match fs::remove_file(aside(folder, number)) {
        Ok(()) => Ok(true),
        Err(error) if walk::is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn has_asides(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if entry?.file_name().to_str().is_some_and(|name| name.parse::<u16>().is_ok()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Assembles what is kept aside and fits: another last part, or the next one. An earlier part that was replaced stays
/// aside, and completing copies.
fn assemble(folder: &Path, assembly: &mut Assembly) -> io::Result<()> {
    loop {
        let last = u16::try_from(assembly.count()).unwrap_or(u16::MAX);
        let other_last = if last == 0 { None } else { open_aside(folder, last)? };
        let (number, (part, frame)) = if let Some(other) = other_last {
            assembly.drop_last()?;
            (last, other)
        } else if let Some(next) = open_aside(folder, last.saturating_add(1))? {
            (last.saturating_add(1), next)
        } else {
            return Ok(());
        };
        let tag = frame.content_type.unwrap_or_default();
        assembly.append(&tag, |whole| io::copy(&mut part.take(frame.size), whole))?;
        // Should a power cut bring it back, it is the same part.
        remove_aside(folder, number)?;
    }
}

/// Copies the newest part of a number to the end of a file, if it has this tag.
fn copy_part(folder: &Path, assembly: &Assembly, number: u16, tag: &str, to: &mut File) -> io::Result<bool> {
    if let Some((part, frame)) = open_aside(folder, number)? {
        let named = frame.content_type.as_deref() == Some(tag);
        if named {
            io::copy(&mut part.take(frame.size), to)?;
        }
        return Ok(named);
    }
    let named = assembly.tag(number) == Some(tag);
    if named {
        assembly.copy(number, to)?;
    }
    Ok(named)
}

fn unknown(key: &str, upload: &MultipartId) -> String {
    format!("{key}: multipart upload {}", upload.0)
}
