//! LIST over a tree of files: the keys of a page in byte order of the whole key.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::frame;
use crate::store::{Entry, ListQuery};

/// What one page holds.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    pub(super) folders: Vec<String>,
    pub(super) more: bool,
}

/// Answers `query` from the files below `objects`.
///
/// A key that lies there during the whole walk is found: its folders cannot be pruned while it lies in them, and
/// reading a folder returns every name that neither came nor went meanwhile.
pub(super) fn list(objects: &Path, query: &ListQuery<'_>) -> io::Result<Page> {
    let folder = &query.prefix[..query.prefix.rfind('/').map_or(0, |slash| slash + 1)];
    let bound = query.bound();
    let mut walk = Walk {
        prefix: query.prefix,
        bound: bound.as_deref(),
        fold: query.fold,
        room: query.max_keys.clamp(1, ListQuery::MAX_KEYS),
        page: Page::default(),
    };
    // Whether the page filled up early is in `Page::more`.
    let _ = walk.visit(&objects.join(folder), folder)?;
    Ok(walk.page)
}

struct Walk<'a> {
    prefix: &'a str,
    /// Only keys after this one.
    bound: Option<&'a str>,
    fold: bool,
    /// Keys and folders the page still takes.
    room: usize,
    page: Page,
}

/// A file or folder met on the way, by its whole key; that of a folder ends in `/`, which puts it where its
/// contents belong: `a!` sorts before `a/…`.
struct Met {
    key: String,
    path: PathBuf,
}

impl Met {
    fn is_folder(&self) -> bool {
        self.key.ends_with('/')
    }
}

impl Walk<'_> {
    fn visit(&mut self, folder: &Path, key: &str) -> io::Result<ControlFlow<()>> {
        for met in self.names(folder, key)? {
            let flow = if !met.is_folder() {
                self.add_file(met)?
            } else if self.fold && met.key.len() > self.prefix.len() {
                self.add_folder(met)?
            } else {
                self.visit(&met.path, &met.key)?
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What lies in a folder and can matter to the page, in order. A folder that is not there is empty.
    fn names(&self, folder: &Path, key: &str) -> io::Result<Vec<Met>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            // Names that cannot be keys of ours were left by somebody else (`.DS_Store`, `.nfs0001`).
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
            let met = Met { key: format!("{key}{name}{slash}"), path: entry.path() };
            if self.matters(&met) {
                names.push(met);
            }
        }
        names.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(names)
    }

    fn matters(&self, met: &Met) -> bool {
        let leads_to_prefix = met.is_folder() && self.prefix.starts_with(&met.key);
        let leads_past_bound =
            self.bound.is_none_or(|bound| met.key.as_str() > bound || met.is_folder() && bound.starts_with(&met.key));
        (leads_to_prefix || met.key.starts_with(self.prefix)) && leads_past_bound
    }

    fn add_file(&mut self, met: Met) -> io::Result<ControlFlow<()>> {
        let metadata = match fs::metadata(&met.path) {
            Ok(metadata) => metadata,
            // Deleted since its name was read.
            Err(error) if is_absent(&error) => return Ok(ControlFlow::Continue(())),
            Err(error) => return Err(error),
        };
        if self.is_full() {
            return Ok(ControlFlow::Break(()));
        }
        let stored = metadata.len();
        let size = match frame::content_size(stored, || File::open(&met.path)) {
            Ok(size) => size,
            Err(error) if is_absent(&error) => return Ok(ControlFlow::Continue(())),
            Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", met.path.display()))),
        };
        self.room -= 1;
        self.page.entries.push(Entry { key: met.key, size, stored, modified: metadata.modified()? });
        Ok(ControlFlow::Continue(()))
    }

    fn add_folder(&mut self, met: Met) -> io::Result<ControlFlow<()>> {
        // A folder that somebody is just making or pruning holds no key and does not exist for a store of keys.
        let mut first = Walk { prefix: &met.key, bound: self.bound, fold: false, room: 1, page: Page::default() };
        let _ = first.visit(&met.path, &met.key)?;
        if first.page.entries.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        if self.is_full() {
            return Ok(ControlFlow::Break(()));
        }
        self.room -= 1;
        self.page.folders.push(met.key);
        Ok(ControlFlow::Continue(()))
    }

    /// Notes that there is more when the page takes nothing any longer.
    fn is_full(&mut self) -> bool {
        if self.room == 0 {
            self.page.more = true;
        }
        self.room == 0
    }
}

/// No such file, or a file where a folder would have to be.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
