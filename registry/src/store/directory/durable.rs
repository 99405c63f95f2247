//! What makes a change outlive a power cut (amendment R15). Nothing else in this store waits for the disk, so that a
//! test can say what one would leave.

#[cfg(test)]
pub(super) mod disk;

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes the bytes of a file durable, and with them its length.
pub(super) fn sync_content(file: &File) -> io::Result<()> {
    file.sync_data()?;
    #[cfg(test)]
    disk::keep_content(file);
    Ok(())
}

/// Makes the names in a folder durable: those that came and those that went.
pub(super) fn sync_names(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()?;
    #[cfg(test)]
    disk::keep_names(folder);
    Ok(())
}
