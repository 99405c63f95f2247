//! Room for files that have no name yet, on the same file system as the objects.
//!
//! Every opened store has a folder of its own below `tmp/` and holds a lock on it for as long as it lives. What a
//! killed process left is recognised by its free lock and removed by the next one that opens the store, whatever
//! the age of the files: no clock is trusted, and a slow writer in another process is never disturbed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;
use ulid::Ulid;

/// The folder for temporary files of one opened store; removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    /// Keeps the lock.
    _lock: File,
}

impl Scratch {
    /// Removes what killed processes left in `tmp` and makes a folder there.
    pub(super) fn open(tmp: &Path) -> io::Result<Self> {
        // Between the creation of a folder and its lock nobody else may look at it.
        let turn = File::open(tmp)?;
        flock(&turn, FlockOperation::LockExclusive)?;
        for entry in fs::read_dir(tmp)? {
            let left_over = entry?.path();
            if is_abandoned(&left_over) {
                fs::remove_dir_all(&left_over)?;
            }
        }
        let folder = tmp.join(Ulid::generate().to_string().to_lowercase());
        fs::create_dir(&folder)?;
        let lock = File::open(&folder)?;
        // Shared, because exclusive locks need a writable file on NFS, which a folder never is.
        flock(&lock, FlockOperation::NonBlockingLockShared)?;
        Ok(Self { folder, _lock: lock })
    }

    /// A new file that vanishes unless it is given a name.
    pub(super) fn file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(&self.folder)
    }

    /// A path nobody uses, for a folder to be built or taken apart out of sight.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(Ulid::generate().to_string().to_lowercase())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next process that opens the store.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn is_abandoned(folder: &Path) -> bool {
    File::open(folder).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
        let tmp = tempfile::tempdir().unwrap();
        let living = Scratch::open(tmp.path()).unwrap();
        let file = living.file().unwrap();
        let dead = tmp.path().join("01j8zv7q6w0000000000000000");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("half"), b"half").unwrap();
        let second = Scratch::open(tmp.path()).unwrap();
        assert!(!dead.exists());
        assert!(file.path().exists());
        drop((file, living, second));
        assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 0);
    }
}
