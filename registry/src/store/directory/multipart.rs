//! Multipart uploads: one folder per upload below `uploads/`, one file per part, framed like objects with the
//! part's tag in the place of the media type.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use super::{Tree, failed, frame, sync, walk};
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
        file.sync_all().map_err(fail)?;
        sync(&hidden).map_err(fail)?;
        fs::rename(&hidden, self.uploads.join(&id)).map_err(fail)?;
        sync(&self.uploads).map_err(fail)?;
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
        let mut file = self.scratch.file().map_err(|error| failed(key, error))?;
        frame::write(file.as_file_mut(), bytes, Some(&tag)).map_err(|error| failed(key, error))?;
        file.as_file().sync_all().map_err(|error| failed(key, error))?;
        file.persist(folder.join(number.to_string()))
            .map_err(|error| self.unknown_or_failed(key, upload, error.error))?;
        sync(&folder).map_err(|error| self.unknown_or_failed(key, upload, error))?;
        Ok(PartTag(tag))
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
        let mut whole = self.scratch.file().map_err(|error| failed(key, error))?;
        for (number, tag) in parts {
            let part = match File::open(folder.join(number.to_string())) {
                Ok(part) => part,
                Err(error) if walk::is_absent(&error) => return Err(StoreError::InvalidPart(key.to_owned())),
                Err(error) => return Err(failed(key, error)),
            };
            let stored = part.metadata().map_err(|error| failed(key, error))?.len();
            let frame = frame::read(&part, stored).map_err(|error| failed(key, error))?;
            if frame.content_type.as_ref() != Some(&tag.0) {
                return Err(StoreError::InvalidPart(key.to_owned()));
            }
            // The kernel copies, or shares the blocks where the file system can.
            let copied = io::copy(&mut part.take(frame.size), whole.as_file_mut());
            copied.map_err(|error| failed(key, error))?;
        }
        frame::write_end(whole.as_file_mut(), None).map_err(|error| failed(key, error))?;
        whole.as_file().sync_all().map_err(|error| failed(key, error))?;
        // Taking the folder away decides between this completion, another one and an abort.
        let taken = self.take(upload).map_err(|error| self.unknown_or_failed(key, upload, error))?;
        self.publish(key, whole)?;
        fs::remove_dir_all(taken).map_err(|error| failed(key, error))
    }

    pub(super) fn abort_multipart(&self, key: &str, upload: &MultipartId) -> Result<(), StoreError> {
        match self.upload(key, upload) {
            Ok(_) => {}
            Err(StoreError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        match self.take(upload) {
            Ok(taken) => fs::remove_dir_all(taken).map_err(|error| failed(key, error)),
            Err(error) if walk::is_absent(&error) => Ok(()),
            Err(error) => Err(failed(key, error)),
        }
    }

    /// Removes uploads that nobody touched for a week.
    pub(super) fn remove_abandoned_uploads(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.uploads)? {
            let entry = entry?;
            let age = SystemTime::now().duration_since(entry.metadata()?.modified()?).unwrap_or_default();
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
        sync(&self.uploads)?;
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

fn unknown(key: &str, upload: &MultipartId) -> String {
    format!("{key}: multipart upload {}", upload.0)
}
