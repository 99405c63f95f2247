//! Replacing a file as a whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

/// Replaces a file so that every reader sees either all of the old bytes or all of the new ones, also after a crash:
/// write beside it, reach the disk, rename, let the rename reach the disk. Only the owner may read the result.
///
/// Equal bytes are left alone, so that nobody who watches the file is woken. Returns whether anything was written.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> io::Result<bool> {
    if fs::read(file).is_ok_and(|before| before == bytes) {
        return Ok(false);
    }
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut beside = NamedTempFile::new_in(folder)?;
    beside.write_all(bytes)?;
    beside.as_file().sync_all()?;
    beside.persist(file).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()?;
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn the_old_file_stays_readable_until_the_new_one_is_there_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("current.json");
        assert!(replace(&file, b"old").unwrap());
        let old = File::open(&file).unwrap();
        assert!(replace(&file, b"new").unwrap());
        assert_eq!(io::read_to_string(&old).unwrap(), "old");
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn equal_bytes_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("current.json");
        assert!(replace(&file, b"same").unwrap());
        let inode = fs::metadata(&file).unwrap().ino();
        assert!(!replace(&file, b"same").unwrap());
        assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        assert!(replace(&folder.path().join("missing/current.json"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
