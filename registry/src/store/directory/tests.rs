//! Amendment R15: what a step was answered for outlives a power cut, and so does what a read confirmed of another
//! process's work. Each test fails without one or more of the syncs it is about.

#![allow(clippy::unwrap_used)]

use tempfile::TempDir;

use super::durable::disk::{self, Durable};
use super::*;

const KEY: &str = "b/sha256/00/0000/a!b!/0.1";

/// A store whose disk is watched.
struct Machine {
    root: TempDir,
    tree: Tree,
}

impl Machine {
    fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    fn on(root: TempDir) -> Self {
        disk::watch(root.path());
        let tree = Tree::open(root.path()).unwrap();
        Self { root, tree }
    }

    /// The same store after a power cut at this moment.
    fn after_a_power_cut(self) -> Self {
        Self::on(disk::durable().restore())
    }

    fn put(&self, key: &str, bytes: &'static [u8]) {
        self.tree.write(key, &NewObject::bytes(bytes)).unwrap();
    }

    fn head(&self, key: &str) -> Option<ObjectHead> {
        self.tree.read(key).unwrap().map(|opened| opened.head)
    }

    fn content(&self, key: &str) -> Option<Bytes> {
        content(&self.tree, key)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.path().join("objects").join(key)
    }

    /// Another process has renamed a file to its key and has not come to its sync of the folder.
    fn others_put(&self, key: &str, bytes: &'static [u8]) {
        let file = self.root.path().join("others");
        let mut open = File::create_new(&file).unwrap();
        frame::write(&mut open, &Bytes::from_static(bytes), None).unwrap();
        sync_content(&open).unwrap();
        fs::create_dir_all(self.path(key).parent().unwrap()).unwrap();
        fs::rename(file, self.path(key)).unwrap();
    }

    /// Another process has written the flag and has not come to its sync of the file.
    fn others_retire(&self, key: &str) {
        let mut stored = fs::read(self.path(key)).unwrap();
        *stored.last_mut().unwrap() = 1;
        fs::write(self.path(key), stored).unwrap();
    }

    fn upload(&self) -> MultipartId {
        self.tree.create_multipart(KEY).unwrap()
    }

    fn part(&self, upload: &MultipartId, number: u16, bytes: &'static [u8]) -> (u16, PartTag) {
        (number, self.tree.upload_part(KEY, upload, number, &Bytes::from_static(bytes)).unwrap())
    }

    fn complete(&self, upload: &MultipartId, parts: &[(u16, PartTag)]) -> Result<(), StoreError> {
        self.tree.complete_multipart(KEY, upload, parts)
    }
}

fn content(tree: &Tree, key: &str) -> Option<Bytes> {
    let (_, reading, bytes) = tree.begin_reading(key, None).unwrap()?;
    assert_eq!(reading.left, 0, "longer than this test writes");
    Some(bytes)
}

#[test]
fn what_was_written_is_there() {
    let machine = Machine::new();
    machine.put(KEY, b"bytes");
    machine.put("a/00/1", b"");
    machine.put("a/00/2", b"");
    let machine = machine.after_a_power_cut();
    assert_eq!(machine.content(KEY).as_deref(), Some(&b"bytes"[..]));
    assert!(machine.head("a/00/1").is_some() && machine.head("a/00/2").is_some());
    machine.put(KEY, b"others");
    assert_eq!(machine.after_a_power_cut().content(KEY).as_deref(), Some(&b"others"[..]));
}

/// A copy is live, also of what is retired.
#[test]
fn what_was_copied_is_there_and_live() {
    let machine = Machine::new();
    machine.put(KEY, b"bytes");
    machine.tree.retire(KEY).unwrap();
    machine.tree.copy(KEY, "b/copy", None).unwrap();
    let machine = machine.after_a_power_cut();
    assert_eq!(machine.content("b/copy").as_deref(), Some(&b"bytes"[..]));
    assert!(machine.head(KEY).unwrap().retired && !machine.head("b/copy").unwrap().retired);
}

/// Whoever deletes one thing after another relies on it: a seal that came back without its body would be a manifest.
#[test]
fn what_was_deleted_stays_away() {
    let machine = Machine::new();
    machine.put(KEY, b"bytes");
    machine.put("a/00/1", b"");
    machine.put("a/00/2", b"");
    let machine = machine.after_a_power_cut();
    machine.tree.delete(KEY).unwrap();
    machine.tree.delete("a/00/1").unwrap();
    let machine = machine.after_a_power_cut();
    assert!(machine.head(KEY).is_none() && machine.head("a/00/1").is_none());
    assert!(machine.head("a/00/2").is_some());
}

/// A deletion is also answered when another process was quicker and has not come to its sync, or has even removed the
/// folder.
#[test]
fn what_others_deleted_stays_away() {
    for prunes in [false, true] {
        let machine = Machine::new();
        machine.put(KEY, b"bytes");
        fs::remove_file(machine.path(KEY)).unwrap();
        if prunes {
            fs::remove_dir(machine.path(KEY).parent().unwrap()).unwrap();
        }
        machine.tree.delete(KEY).unwrap();
        assert!(machine.after_a_power_cut().head(KEY).is_none(), "pruned: {prunes}");
    }
}

#[test]
fn what_was_retired_stays_retired() {
    let machine = Machine::new();
    machine.put(KEY, b"bytes");
    machine.tree.retire(KEY).unwrap();
    assert!(machine.after_a_power_cut().head(KEY).unwrap().retired);
}

/// What another process is about to make durable is there to see already; an acknowledgement may only rest on it once
/// it is durable.
#[test]
fn what_a_read_confirmed_stays_as_it_was() {
    let machine = Machine::new();
    machine.put("b/retired", b"bytes");
    machine.put("b/gone", b"bytes");
    let machine = machine.after_a_power_cut();
    let others_work = |machine: &Machine| {
        machine.others_put(KEY, b"bytes");
        machine.others_retire("b/retired");
        fs::remove_file(machine.path("b/gone")).unwrap();
    };
    let seen = |head: Option<ObjectHead>| head.map(|head| head.retired);
    let keys = [KEY, "b/retired", "b/gone"];
    let (before, after) = ([None, Some(false), Some(false)], [Some(false), Some(true), None]);

    others_work(&machine);
    assert_eq!(keys.map(|key| seen(machine.head(key))), after);
    let machine = machine.after_a_power_cut();
    assert_eq!(keys.map(|key| seen(machine.head(key))), before, "nobody asked for more");

    others_work(&machine);
    assert_eq!(keys.map(|key| seen(machine.tree.confirm(key).unwrap())), after);
    let machine = machine.after_a_power_cut();
    assert_eq!(keys.map(|key| seen(machine.head(key))), after);
}

/// One power cut after every step of an upload whose parts come in order.
#[test]
fn an_upload_goes_on_where_it_was() {
    let machine = Machine::new();
    let upload = machine.upload();
    let machine = machine.after_a_power_cut();
    let first = machine.part(&upload, 1, b"one");
    let machine = machine.after_a_power_cut();
    let second = machine.part(&upload, 2, b"two");
    let machine = machine.after_a_power_cut();
    machine.complete(&upload, &[first, second]).unwrap();
    assert_eq!(machine.after_a_power_cut().content(KEY).as_deref(), Some(&b"onetwo"[..]));
}

/// The same with a part that comes before its turn, and with one that is replaced and comes back.
#[test]
fn parts_out_of_order_are_there() {
    let machine = Machine::new();
    let upload = machine.upload();
    let third = machine.part(&upload, 3, b"three");
    let machine = machine.after_a_power_cut();
    let first = machine.part(&upload, 1, b"one");
    let second = machine.part(&upload, 2, b"two");
    let machine = machine.after_a_power_cut();
    let other = machine.part(&upload, 1, b"uno");
    let machine = machine.after_a_power_cut();
    assert!(matches!(machine.complete(&upload, &[first.clone(), second.clone()]), Err(StoreError::InvalidPart(_))));
    assert_eq!(machine.part(&upload, 1, b"one"), first);
    let machine = machine.after_a_power_cut();
    let outdated = machine.complete(&upload, &[other, second.clone(), third.clone()]);
    assert!(matches!(outdated, Err(StoreError::InvalidPart(_))));
    machine.complete(&upload, &[first, second, third]).unwrap();
    assert_eq!(machine.after_a_power_cut().content(KEY).as_deref(), Some(&b"onetwothree"[..]));
}

/// Parts that are still apart when an upload is completed are copied.
#[test]
fn what_was_put_together_is_there() {
    let machine = Machine::new();
    let upload = machine.upload();
    let second = machine.part(&upload, 2, b"two");
    machine.complete(&upload, std::slice::from_ref(&second)).unwrap();
    let machine = machine.after_a_power_cut();
    assert_eq!(machine.content(KEY).as_deref(), Some(&b"two"[..]));
    assert!(machine.complete(&upload, &[second]).is_err(), "it is over");
}

#[test]
fn what_was_given_up_stays_away() {
    let machine = Machine::new();
    let upload = machine.upload();
    let part = machine.part(&upload, 1, b"one");
    let machine = machine.after_a_power_cut();
    machine.tree.abort_multipart(KEY, &upload).unwrap();
    let machine = machine.after_a_power_cut();
    assert!(matches!(machine.complete(&upload, &[part]), Err(StoreError::NotFound(_))));
}

/// Wherever the power goes while the last part is replaced, an upload that completes has the bytes of the parts named.
#[test]
fn a_part_that_is_replaced_is_the_old_or_the_new_one() {
    let machine = Machine::new();
    let upload = machine.upload();
    let first = machine.part(&upload, 1, b"one");
    let old = machine.part(&upload, 2, b"two");
    drop(disk::moments());
    let new = machine.part(&upload, 2, b"zwei");
    let moments = disk::moments();
    assert!(moments.len() > 3, "{moments:?}");
    let completes = |moment: &Durable, second: &(u16, PartTag)| {
        let root = moment.restore();
        let tree = Tree::open(root.path()).unwrap();
        let completed = tree.complete_multipart(KEY, &upload, &[first.clone(), second.clone()]);
        completed.is_ok().then(|| content(&tree, KEY).unwrap())
    };
    for (step, moment) in moments.iter().enumerate() {
        let (old, new) = (completes(moment, &old), completes(moment, &new));
        assert!(old.is_some() || new.is_some(), "step {step}: neither part is there");
        assert!(old.is_none_or(|bytes| bytes == "onetwo"), "step {step}");
        assert!(new.is_none_or(|bytes| bytes == "onezwei"), "step {step}");
    }
}
