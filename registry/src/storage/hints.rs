//! Hints: where the blobs of a manifest were when its push confirmed them, kept as the content of its seal.
//!
//! Without them a cold pull asks a LIST for every blob. A hint only says where to look first and is evidence of
//! nothing: no push, mount, delete or collector sees one. What is not there any more (a blob was healed) is looked for
//! with a LIST, as if there had been no hint. See docs/storage.md, "Hints".

use berth_crds::digest::Algorithm;
use berth_crds::name::ImageName;

use super::facade::Inner;
use super::hash;
use super::layout::Holding;
use crate::store::{NewObject, Object, StoreError, read_all};

/// First word of hints in this form. A form that is not known is as good as no hints.
const VERSION: &str = "1";
/// Longer contents are not read, in bytes; hints beyond it are left out when a seal is written.
const MAX_BYTES: usize = 64 << 10;
/// Characters of a digest that tell damaged hints from whole ones.
const CHECK: usize = 16;

/// The content of a seal whose manifest was confirmed with these holdings. Empty without any, so that a LIST tells
/// whether there is something to read.
pub(super) fn seal_of(holdings: &[Holding]) -> NewObject {
    let mut lines = String::new();
    for holding in holdings {
        let line = holding.within_image();
        if VERSION.len() + CHECK + 2 + lines.len() + line.len() + 1 > MAX_BYTES {
            break;
        }
        lines.push_str(&line);
        lines.push('\n');
    }
    if lines.is_empty() {
        return NewObject::marker();
    }
    NewObject::bytes(format!("{VERSION} {}\n{lines}", check(&lines)))
}

/// The holdings that a seal of `image` hints at; none if it is empty, of another form, or damaged.
fn parse(image: &ImageName, content: &[u8]) -> Option<Vec<Holding>> {
    let (head, lines) = std::str::from_utf8(content).ok()?.split_once('\n')?;
    let (version, checked) = head.split_once(' ')?;
    if version != VERSION || checked != check(lines) {
        return None;
    }
    lines.lines().map(|line| Holding::parse_within(image, line)).collect()
}

/// Damage must show: a wrong size or name of data would serve wrong bytes.
fn check(lines: &str) -> String {
    let mut hex = hash::digest_of(Algorithm::Sha256, lines.as_bytes()).hex().to_owned();
    hex.truncate(CHECK);
    hex
}

impl Inner {
    /// Remembers what a seal hints at, for reads of blobs only. Whatever goes wrong costs a LIST per blob, no answer.
    pub(super) async fn take_hints(&self, image: &ImageName, seal: Result<Option<Object>, StoreError>) {
        let content = match seal {
            Ok(Some(seal)) if (1..=MAX_BYTES as u64).contains(&seal.head.size) => read_all(seal.body).await,
            Ok(_) => return,
            Err(error) => Err(error),
        };
        let hints = content.map(|content| parse(image, &content).unwrap_or_default());
        for holding in hints.unwrap_or_else(|error| {
            tracing::debug!(%image, %error, "a seal's hints could not be read");
            Vec::new()
        }) {
            self.caches.hints.insert((image.clone(), holding.digest.clone()), holding).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::id::Ids;
    use super::*;

    fn holdings(count: u64) -> (ImageName, Vec<Holding>) {
        let image: ImageName = "team/app".parse().unwrap();
        let ids = Ids::random();
        let holding = |number: u64| Holding {
            image: image.clone(),
            digest: hash::digest_of(Algorithm::Sha256, &number.to_le_bytes()),
            id: ids.next(),
            size: number * 1_000_003,
            data: number.is_multiple_of(2).then(|| ids.next()),
        };
        let all = (0..count).map(holding).collect();
        (image, all)
    }

    #[test]
    fn hints_are_read_as_they_were_written() {
        let (image, holdings) = holdings(11);
        assert_eq!(parse(&image, &seal_of(&holdings).bytes), Some(holdings));
        assert!(seal_of(&[]).bytes.is_empty());
        assert_eq!(parse(&image, b""), None);
    }

    #[test]
    fn hints_are_bounded() {
        let (image, holdings) = holdings(2000);
        let content = seal_of(&holdings).bytes;
        assert!(content.len() <= MAX_BYTES);
        let read = parse(&image, &content).unwrap();
        assert!(read.len() > 400 && holdings.starts_with(&read));
    }

    /// A flipped bit or a lost end anywhere makes all of it worthless, and so does another form.
    #[test]
    fn damaged_hints_are_none() {
        let (image, holdings) = holdings(2);
        let whole = seal_of(&holdings).bytes;
        for at in 0..whole.len() {
            let mut damaged = whole.to_vec();
            damaged[at] ^= 1;
            assert_eq!(parse(&image, &damaged), None, "byte {at} flipped");
            assert_eq!(parse(&image, &whole[..at]), None, "cut at {at}");
        }
        let later = whole.iter().skip(1).copied();
        assert_eq!(parse(&image, &b"2".iter().copied().chain(later).collect::<Vec<u8>>()), None);
    }
}
