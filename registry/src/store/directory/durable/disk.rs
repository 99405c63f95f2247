//! A disk that a test takes the power from: it keeps what was made durable and nothing else.
//!
//! Of a file, the bytes of its last sync; of a folder, the names of its last sync, and the name of the folder itself
//! once anything in it was synced (see the head of [`directory`](super::super)). A disk belongs to the thread that
//! watches it, because blocking steps stay on theirs.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tempfile::TempDir;

thread_local! {
    static WATCHED: RefCell<Option<Disk>> = const { RefCell::new(None) };
}

/// Number of a file or folder, whatever its name.
type Inode = u64;

#[derive(Debug)]
struct Disk {
    root: PathBuf,
    durable: Durable,
    /// What was durable after each sync, first to last.
    moments: Vec<Durable>,
    /// Objects that had a name before their bytes were durable.
    early: Vec<PathBuf>,
    /// The system gives the number of a file that is gone to another one, unless somebody has it open.
    open: Vec<File>,
}

/// What a power cut leaves.
#[derive(Clone, Debug, Default)]
pub(in crate::store::directory) struct Durable {
    root: Inode,
    contents: HashMap<Inode, Rc<[u8]>>,
    names: HashMap<Inode, BTreeMap<OsString, Inode>>,
}

/// Watches a folder; whatever is in it already is durable.
pub(in crate::store::directory) fn watch(root: &Path) {
    let root = root.canonicalize().unwrap();
    let durable = Durable { root: fs::metadata(&root).unwrap().ino(), ..Durable::default() };
    let mut disk = Disk { root: root.clone(), durable, moments: Vec::new(), early: Vec::new(), open: Vec::new() };
    disk.keep_all(&root);
    WATCHED.set(Some(disk));
}

/// What a power cut would leave now.
///
/// # Panics
/// If an object got its name before its bytes were durable: a power cut may keep the name alone.
pub(in crate::store::directory) fn durable() -> Durable {
    with(|disk| {
        assert_eq!(disk.early, Vec::<PathBuf>::new(), "named before their bytes were durable");
        disk.durable.clone()
    })
}

/// What a power cut would have left after each sync since this was asked, or the watch began.
pub(in crate::store::directory) fn moments() -> Vec<Durable> {
    with(|disk| std::mem::take(&mut disk.moments))
}

pub(super) fn keep_content(file: &File) {
    WATCHED.with_borrow_mut(|disk| {
        let Some(disk) = disk else { return };
        disk.look_for_early();
        // A file of its own, for this one may be open for writing only.
        disk.keep_file(File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap());
        disk.moments.push(disk.durable.clone());
    });
}

pub(super) fn keep_names(folder: &Path) {
    WATCHED.with_borrow_mut(|disk| {
        let Some(disk) = disk else { return };
        disk.look_for_early();
        disk.keep_folder(&folder.canonicalize().unwrap());
        disk.moments.push(disk.durable.clone());
    });
}

fn with<T>(ask: impl FnOnce(&mut Disk) -> T) -> T {
    WATCHED.with_borrow_mut(|disk| ask(disk.as_mut().expect("a disk is watched")))
}

impl Disk {
    fn keep_all(&mut self, folder: &Path) {
        self.keep_folder(folder);
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { self.keep_all(&path) } else { self.keep_file(File::open(path).unwrap()) }
        }
    }

    fn keep_file(&mut self, file: File) {
        let inode = file.metadata().unwrap().ino();
        let content = fs::read(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        self.durable.contents.insert(inode, content.into());
        self.open.push(file);
    }

    fn keep_folder(&mut self, folder: &Path) {
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let inode = self.hold(&entry.path());
            if entry.path().is_dir() {
                self.durable.names.entry(inode).or_default();
            }
            names.insert(entry.file_name(), inode);
        }
        let mut inode = self.hold(folder);
        self.durable.names.insert(inode, names);
        for (below, above) in folder.ancestors().zip(folder.ancestors().skip(1)) {
            if below == self.root {
                break;
            }
            let parent = self.hold(above);
            let name = below.file_name().unwrap().to_owned();
            self.durable.names.entry(parent).or_default().insert(name, inode);
            inode = parent;
        }
    }

    fn hold(&mut self, path: &Path) -> Inode {
        let file = File::open(path).unwrap();
        let inode = file.metadata().unwrap().ino();
        self.open.push(file);
        inode
    }

    /// The disk may keep a name before anybody asks it to.
    fn look_for_early(&mut self) {
        let mut folders = vec![self.root.join("objects")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else if !self.durable.contents.contains_key(&entry.metadata().unwrap().ino()) {
                    self.early.push(entry.path());
                }
            }
        }
    }
}

impl Durable {
    /// The folder as it is found when the power is back.
    pub(in crate::store::directory) fn restore(&self) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        self.restore_folder(self.root, root.path());
        root
    }

    fn restore_folder(&self, folder: Inode, to: &Path) {
        for (name, inode) in self.names.get(&folder).into_iter().flatten() {
            let to = to.join(name);
            if self.names.contains_key(inode) {
                fs::create_dir(&to).unwrap();
                self.restore_folder(*inode, &to);
            } else {
                fs::write(&to, self.contents.get(inode).map_or(&[][..], |content| content)).unwrap();
            }
        }
    }
}
