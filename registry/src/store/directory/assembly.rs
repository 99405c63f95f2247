//! The file in which the parts of an upload lie one behind the other, so that completing it is a rename.
//!
//! `whole` has the bytes. `assembled` has a line `<tag> <length>` for each part in them, first to last without a gap,
//! written once those bytes are durable: what has a line is in `whole`, whatever was cut off when, and bytes behind
//! it are nothing. Whoever changes either file, or makes an object of them, holds the lock on `assembled`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::durable::sync_content;
use super::frame;

/// The bytes.
pub(super) const WHOLE: &str = "whole";
/// What they are.
pub(super) const ASSEMBLED: &str = "assembled";
/// Characters of a part's tag, a SHA-256.
const TAG: usize = 64;

/// The assembled parts of one upload, locked.
pub(super) struct Assembly {
    whole: File,
    lines: File,
    parts: Vec<Assembled>,
}

/// One part in `whole`.
#[derive(Debug, PartialEq, Eq)]
struct Assembled {
    tag: String,
    /// In bytes.
    length: u64,
}

impl Assembled {
    fn line(&self) -> String {
        format!("{} {}\n", self.tag, self.length)
    }

    fn parse(line: &str) -> Option<Self> {
        let (tag, length) = line.split_once(' ')?;
        let is_tag = tag.len() == TAG && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_tag.then_some(Self { tag: tag.to_owned(), length: length.parse().ok()? })
    }
}

impl Assembly {
    /// Makes the files of an upload that has no part yet; the caller makes `folder` durable.
    pub(super) fn create(folder: &Path) -> io::Result<()> {
        sync_content(&File::create_new(folder.join(WHOLE))?)?;
        sync_content(&File::create_new(folder.join(ASSEMBLED))?)
    }

    /// Waits for the lock. `whole` is opened under it and by its name: once that has become an object or was given
    /// up, it is not found, and nobody writes into it.
    pub(super) fn lock(folder: &Path) -> io::Result<Self> {
        let mut lines = OpenOptions::new().read(true).write(true).open(folder.join(ASSEMBLED))?;
        flock(&lines, FlockOperation::LockExclusive)?;
        let whole = OpenOptions::new().read(true).write(true).open(folder.join(WHOLE))?;
        let mut written = Vec::new();
        lines.read_to_end(&mut written)?;
        // A power cut may leave half a line at the end.
        let parts = written
            .split_inclusive(|byte| *byte == b'\n')
            .map_while(|line| Assembled::parse(std::str::from_utf8(line).ok()?.strip_suffix('\n')?))
            .collect();
        Ok(Self { whole, lines, parts })
    }

    /// How many parts are assembled; they are number 1 to this.
    pub(super) fn count(&self) -> usize {
        self.parts.len()
    }

    /// The tag of an assembled part.
    pub(super) fn tag(&self, number: u16) -> Option<&str> {
        Some(&self.parts.get(usize::from(number).checked_sub(1)?)?.tag)
    }

    fn length(&self) -> u64 {
        self.parts.iter().map(|part| part.length).sum()
    }

    /// Adds the next part, durably; `write` writes its bytes at the position given and says how many.
    pub(super) fn append(&mut self, tag: &str, write: impl FnOnce(&mut File) -> io::Result<u64>) -> io::Result<()> {
        self.whole.seek(SeekFrom::Start(self.length()))?;
        let length = write(&mut self.whole)?;
        sync_content(&self.whole)?;
        let part = Assembled { tag: tag.to_owned(), length };
        let end = self.parts.iter().map(|part| part.line().len() as u64).sum();
        self.lines.set_len(end)?;
        self.lines.seek(SeekFrom::Start(end))?;
        self.lines.write_all(part.line().as_bytes())?;
        sync_content(&self.lines)?;
        self.parts.push(part);
        Ok(())
    }

    /// Takes the last part out, durably, before other bytes are written in its place.
    pub(super) fn drop_last(&mut self) -> io::Result<()> {
        self.parts.pop();
        self.lines.set_len(self.parts.iter().map(|part| part.line().len() as u64).sum())?;
        sync_content(&self.lines)
    }

    /// Copies an assembled part to the end of another file. The kernel copies, or shares the blocks where the file
    /// system can.
    pub(super) fn copy(&self, number: u16, to: &mut File) -> io::Result<()> {
        let before = usize::from(number).saturating_sub(1);
        let start = self.parts[..before].iter().map(|part| part.length).sum();
        (&self.whole).seek(SeekFrom::Start(start))?;
        io::copy(&mut (&self.whole).take(self.parts[before].length), to).map(drop)
    }

    /// Makes `whole` an object without a name yet, durably. A part added to it later would take the frame away again.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        let end = self.length();
        self.whole.set_len(end)?;
        self.whole.seek(SeekFrom::Start(end))?;
        frame::write_end(&mut self.whole, None)?;
        sync_content(&self.whole)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    fn tag(of: u8) -> String {
        format!("{of:064x}")
    }

    fn add(assembly: &mut Assembly, of: u8, bytes: &[u8]) {
        let write = |file: &mut File| file.write_all(bytes).map(|()| bytes.len() as u64);
        assembly.append(&tag(of), write).unwrap();
    }

    fn tags(assembly: &Assembly) -> Vec<&str> {
        (1..).map_while(|number| assembly.tag(number)).collect()
    }

    #[test]
    fn parts_are_found_again_and_the_last_may_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        Assembly::create(folder.path()).unwrap();
        let mut assembly = Assembly::lock(folder.path()).unwrap();
        add(&mut assembly, 1, b"one");
        add(&mut assembly, 2, b"a longer second");
        drop(assembly);
        let mut assembly = Assembly::lock(folder.path()).unwrap();
        assert_eq!(tags(&assembly), [tag(1), tag(2)]);
        assembly.drop_last().unwrap();
        add(&mut assembly, 3, b"two");
        let mut copy = tempfile::tempfile().unwrap();
        assembly.copy(2, &mut copy).unwrap();
        assert_eq!(copy.metadata().unwrap().len(), 3);
        assembly.seal().unwrap();
        let whole = fs::read(folder.path().join(WHOLE)).unwrap();
        assert_eq!(whole, b"onetwo\0\0", "content and frame, nothing of what was replaced");
    }

    /// What a power cut leaves of a line, or behind the bytes that have one, does not count and is in nobody's way.
    #[test]
    fn half_a_line_is_no_part() {
        let whole_line = Assembled { tag: tag(2), length: 9 }.line();
        let torn = [&whole_line[..1], &whole_line[..TAG + 1], &whole_line[..TAG + 2], "\0\0\0\0\n", "no tag 3\n"];
        for half in torn {
            let folder = tempfile::tempdir().unwrap();
            Assembly::create(folder.path()).unwrap();
            add(&mut Assembly::lock(folder.path()).unwrap(), 1, b"one");
            let append = |name, bytes: &[u8]| {
                let mut file = OpenOptions::new().append(true).open(folder.path().join(name)).unwrap();
                file.write_all(bytes).unwrap();
            };
            append(ASSEMBLED, half.as_bytes());
            append(WHOLE, b"not durable");
            let mut assembly = Assembly::lock(folder.path()).unwrap();
            assert_eq!(tags(&assembly), [tag(1)], "{half:?}");
            add(&mut assembly, 4, b"x");
            assembly.seal().unwrap();
            drop(assembly);
            assert_eq!(tags(&Assembly::lock(folder.path()).unwrap()), [tag(1), tag(4)]);
            assert_eq!(fs::read(folder.path().join(WHOLE)).unwrap(), b"onex\0\0");
        }
    }

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        Assembly::create(folder.path()).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let folder = &folder;
                scope.spawn(move || {
                    for _ in 0..8 {
                        add(&mut Assembly::lock(folder.path()).unwrap(), writer, &[writer; 100]);
                    }
                });
            }
        });
        let assembly = Assembly::lock(folder.path()).unwrap();
        assert_eq!((assembly.count(), assembly.length()), (32, 3200));
    }
}
