//! Reading a folder of objects.

use std::fs;
use std::path::Path;

use berth_crds::manifest;

use crate::exit::Failure;

/// The files of a folder that hold objects, as name and text, in the order of their names. Links are followed, because a
/// mounted ConfigMap consists of them.
///
/// # Errors
/// The folder or one of its files cannot be read, or is not text.
pub(crate) fn read(folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let of_folder = |error| Failure::invalid(format!("the folder {} cannot be read: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(of_folder)? {
        let path = entry.map_err(of_folder)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        if !manifest::is_manifest(&name) || path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::invalid(format!("the file {} cannot be read: {error}", path.display())))?;
        files.push((name, text));
    }
    files.sort();
    Ok(files)
}
