//! How an object lies in a file: `[content][media type][its length: u8][flag: u8]`.
//!
//! The flag is the last byte, so that retiring an object is one byte written in place: no second file could be
//! missing, and a late retirement of a deleted object finds nothing to bring back.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;

use super::durable::sync_content;

/// The two bytes every file ends with: length of the media type, flag.
const FIXED: u64 = 2;
const LIVE: u8 = 0;
const RETIRED: u8 = 1;

/// What the end of a file says about its content.
#[derive(Debug)]
pub(super) struct Frame {
    /// Length of the content in bytes.
    pub(super) size: u64,
    pub(super) content_type: Option<String>,
    pub(super) retired: bool,
}

/// Writes content and frame of a live object at the current position.
pub(super) fn write(file: &mut File, content: &Bytes, content_type: Option<&str>) -> io::Result<()> {
    file.write_all(content)?;
    write_end(file, content_type)
}

/// Writes the frame of a live object behind content that stands there already.
pub(super) fn write_end(file: &mut File, content_type: Option<&str>) -> io::Result<()> {
    let content_type = content_type.unwrap_or_default();
    let length = u8::try_from(content_type.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a media type has at most 255 bytes"))?;
    let mut end = Vec::with_capacity(content_type.len() + 2);
    end.extend_from_slice(content_type.as_bytes());
    end.extend_from_slice(&[length, LIVE]);
    file.write_all(&end)
}

/// Reads the frame of a file of `stored` bytes.
pub(super) fn read(file: &File, stored: u64) -> io::Result<Frame> {
    let start_of_fixed = stored.checked_sub(FIXED).ok_or_else(not_an_object)?;
    let mut fixed = [0; FIXED as usize];
    file.read_exact_at(&mut fixed, start_of_fixed)?;
    let [length, flag] = fixed;
    let size = start_of_fixed.checked_sub(u64::from(length)).ok_or_else(not_an_object)?;
    let mut content_type = vec![0; usize::from(length)];
    file.read_exact_at(&mut content_type, size)?;
    let content_type = String::from_utf8(content_type).map_err(|_| not_an_object())?;
    let retired = match flag {
        LIVE => false,
        RETIRED => true,
        _ => return Err(not_an_object()),
    };
    Ok(Frame { size, content_type: Some(content_type).filter(|it| !it.is_empty()), retired })
}

/// The length of the content of a file of `stored` bytes; `open` is only called where the length does not tell.
pub(super) fn content_size(stored: u64, open: impl FnOnce() -> io::Result<File>) -> io::Result<u64> {
    if stored == FIXED { Ok(0) } else { read(&open()?, stored).map(|frame| frame.size) }
}

/// Flags a file of `stored` bytes and waits until the flag is durable.
pub(super) fn retire(file: &File, stored: u64) -> io::Result<()> {
    set_flag(file, stored, RETIRED)?;
    sync_content(file)
}

/// Clears the flag of a copy that nobody sees (amendment R15: before it gets its name).
pub(super) fn revive(file: &File, stored: u64) -> io::Result<()> {
    set_flag(file, stored, LIVE)
}

fn set_flag(file: &File, stored: u64, flag: u8) -> io::Result<()> {
    let last = stored.checked_sub(1).ok_or_else(not_an_object)?;
    file.write_all_at(&[flag], last)
}

fn not_an_object() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file was not written by Berth or is damaged: restore or remove it")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stored(content: &'static [u8], content_type: Option<&str>) -> (File, u64) {
        let mut file = tempfile::tempfile().unwrap();
        write(&mut file, &Bytes::from_static(content), content_type).unwrap();
        let length = file.metadata().unwrap().len();
        (file, length)
    }

    #[test]
    fn the_frame_tells_content_from_media_type_and_flag() {
        for (content, content_type) in [
            (&b""[..], None),
            (b"", Some("text/plain")),
            (b"\0\0", None),
            (b"bytes", Some("application/vnd.oci.image.manifest.v1+json")),
        ] {
            let (file, length) = stored(content, content_type);
            let frame = read(&file, length).unwrap();
            assert_eq!((frame.size, frame.content_type.as_deref()), (content.len() as u64, content_type));
            assert!(!frame.retired);
            retire(&file, length).unwrap();
            let frame = read(&file, length).unwrap();
            assert_eq!((frame.size, frame.content_type.as_deref()), (content.len() as u64, content_type));
            assert!(frame.retired);
            assert_eq!(file.metadata().unwrap().len(), length, "a flag adds no byte");
        }
    }

    #[test]
    fn what_is_no_object_is_an_error_not_content() {
        for bytes in [&b""[..], b"x", b"ab", b"\x05\0", b"abc\x09\0", b"abc\0\x07", b"\xff\x01\0"] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            assert!(read(&file, bytes.len() as u64).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_media_type_beyond_its_length_byte_is_refused() {
        let mut file = tempfile::tempfile().unwrap();
        assert!(write(&mut file, &Bytes::new(), Some(&"x".repeat(256))).is_err());
    }
}
