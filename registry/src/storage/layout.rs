//! Where everything lies: the one place that makes and reads keys (docs/storage.md, "Key layout").
//!
//! No key is a folder of another and no segment exceeds 255 bytes, so that gateways to POSIX file systems can hold
//! them. `!` ends a folder name where a name of ours could continue: it sorts before every character of names and
//! tags, so a LIST returns names in their own order.

use std::str::FromStr as _;

use berth_crds::digest::{Algorithm, Digest};
use berth_crds::name::{ImageName, RepositoryName, TagName};

use super::api::ManifestKind;
use super::id::Id;

/// Folders of the bucket, for walks over all of it.
pub(super) const CERTIFICATES: &str = "a/";
pub(super) const DATA: &str = "k/";
pub(super) const HOLDINGS: &str = "b/";
pub(super) const IMAGES: &str = "r/";
pub(super) const REVIEWS: &str = "g/";

/// The certificate of a manifest instance or of large data: present while it may gain references.
pub(super) fn certificate(id: Id) -> String {
    format!("a/{}/{id}", id.shard())
}

/// The bytes of large data.
pub(super) fn data(id: Id) -> String {
    format!("k/{}/{id}", id.shard())
}

/// The record of an upload that another replica may have to go on with.
pub(super) fn upload_record(session: Id) -> String {
    format!("u/{session}")
}

/// A batch of review items due at `due` seconds since the epoch.
pub(super) fn review(due: u64, id: Id) -> String {
    format!("g/{due:010}.{id}")
}

/// When the review batch under this key is due, in seconds since the epoch.
pub(super) fn review_due(key: &str) -> Option<u64> {
    key.strip_prefix(REVIEWS)?.split_once('.')?.0.parse().ok()
}

/// The id at the end of an `a/` or `k/` key.
pub(super) fn id_of(key: &str) -> Option<Id> {
    key.rsplit_once('/')?.1.parse().ok()
}

/// The image's name as one path segment.
fn folder(image: &ImageName) -> String {
    image.as_str().replace('/', "!")
}

/// The image whose folder is `segment` (without the closing `!`).
fn image_of(segment: &str) -> Option<ImageName> {
    segment.replace('!', "/").parse().ok()
}

fn digest_segment(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm(), digest.hex())
}

fn digest_of(segment: &str) -> Option<Digest> {
    let (algorithm, hex) = segment.split_once('-')?;
    Digest::new(Algorithm::from_str(algorithm).ok()?, hex).ok()
}

/// Sizes in keys are base 36 to stay short.
fn base36(mut number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut digits = Vec::new();
    loop {
        digits.push(DIGITS[usize::try_from(number % 36).expect("a remainder of 36 fits")]);
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.reverse();
    digits.into_iter().map(char::from).collect()
}

fn from_base36(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 36).ok()
}

/// `r/<R>!/`, everything of one image but its holdings.
pub(super) fn image(image: &ImageName) -> String {
    format!("r/{}!/", folder(image))
}

/// `r/<namespace>!<name>!`, with which every image of a repository begins, at it and below, and no other.
pub(super) fn images_of(repository: &RepositoryName) -> String {
    format!("{IMAGES}{}!", repository.as_str().replace('/', "!"))
}

/// The image of a key (or folder) below `r/`.
pub(super) fn image_of_key(key: &str) -> Option<ImageName> {
    image_of(key.strip_prefix(IMAGES)?.split_once("!/")?.0)
}

/// A key that, given as `start_after`, skips an image altogether, and none of the images below it: those begin with
/// `!` and a letter or digit where this has `!/`.
pub(super) fn after_image(name: &str) -> String {
    format!("r/{}!/~", name.replace('/', "!"))
}

/// One copy of a blob in an image: the bytes themselves (small) or a name of the data that has them (large).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Holding {
    pub(super) image: ImageName,
    pub(super) digest: Digest,
    pub(super) id: Id,
    pub(super) size: u64,
    /// The large data that has the bytes; `None` when they are inside.
    pub(super) data: Option<Id>,
}

impl Holding {
    pub(super) fn key(&self) -> String {
        format!("{}{}", holdings_of(&self.digest, &self.image), self.name())
    }

    fn name(&self) -> String {
        let size = base36(self.size);
        match self.data {
            None => format!("{}.{size}", self.id),
            Some(data) => format!("{}.{size}.{data}", self.id),
        }
    }

    pub(super) fn parse(key: &str) -> Option<Self> {
        let mut segments = key.strip_prefix(HOLDINGS)?.split('/');
        let algorithm = Algorithm::from_str(segments.next()?).ok()?;
        let (_shard, hex, image, name) = (segments.next()?, segments.next()?, segments.next()?, segments.next()?);
        if segments.next().is_some() {
            return None;
        }
        Self::named(image_of(image.strip_suffix('!')?)?, Digest::new(algorithm, hex).ok()?, name)
    }

    fn named(image: ImageName, digest: Digest, name: &str) -> Option<Self> {
        let mut parts = name.split('.');
        let holding = Self {
            image,
            digest,
            id: parts.next()?.parse().ok()?,
            size: from_base36(parts.next()?)?,
            data: parts.next().map(Id::from_str).transpose().ok()?,
        };
        parts.next().is_none().then_some(holding)
    }

    /// The holding as its own image speaks of it: `<alg>-<hex>/<e>.<size>` or `<alg>-<hex>/<e>.<size>.<K>`.
    pub(super) fn within_image(&self) -> String {
        format!("{}/{}", digest_segment(&self.digest), self.name())
    }

    /// Reads what [`Holding::within_image`] wrote.
    pub(super) fn parse_within(image: &ImageName, text: &str) -> Option<Self> {
        let (digest, name) = text.split_once('/')?;
        Self::named(image.clone(), digest_of(digest)?, name)
    }

    /// Where the bytes are.
    pub(super) fn bytes_key(&self) -> String {
        self.data.map_or_else(|| self.key(), data)
    }
}

/// Every holding of a digest, whatever the image.
pub(super) fn holdings(digest: &Digest) -> String {
    format!("b/{}/{}/{}/", digest.algorithm(), &digest.hex()[..2], digest.hex())
}

/// The holdings of a digest in one image.
pub(super) fn holdings_of(digest: &Digest, image: &ImageName) -> String {
    format!("{}{}!/", holdings(digest), folder(image))
}

/// `r/<R>!/m/`, every body and seal of an image.
pub(super) fn manifests(name: &ImageName) -> String {
    format!("{}m/", image(name))
}

/// Bodies and seals of one manifest.
pub(super) fn manifest(name: &ImageName, digest: &Digest) -> String {
    format!("{}{}/", manifests(name), digest_segment(digest))
}

/// The body of an instance: its bytes, and the record of everything it references.
pub(super) fn body(image: &ImageName, digest: &Digest, instance: Id) -> String {
    format!("{}{instance}", manifest(image, digest))
}

/// Prefix under which the one seal of an instance lies.
pub(super) fn seal_prefix(image: &ImageName, digest: &Digest, instance: Id) -> String {
    format!("{}.", body(image, digest, instance))
}

/// What a seal's key says its manifest mentions, so that a sweeper need not read bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mentions {
    /// The first 30 bits of each digest, base 32.
    Short(Vec<String>),
    /// Too many for a key: read the body.
    Unlisted,
}

/// Longest list of short references in a seal, in characters.
const MAX_MENTIONS: usize = 220;
const SHORT: usize = 6;

/// The short form of a digest in a seal's key.
pub(super) fn short(digest: &Digest) -> String {
    let bytes: Vec<u8> = (0..4)
        .map(|i| u8::from_str_radix(&digest.hex()[2 * i..2 * i + 2], 16).expect("a digest is hexadecimal"))
        .collect();
    let mut text = data_encoding::BASE32_NOPAD.encode(&bytes);
    text.truncate(SHORT);
    text.to_ascii_lowercase()
}

impl Mentions {
    pub(super) fn of<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Self {
        let short: Vec<String> = digests.into_iter().map(short).collect();
        if short.len() * SHORT > MAX_MENTIONS { Self::Unlisted } else { Self::Short(short) }
    }

    /// Whether the manifest may mention a digest; `false` is certain, `true` wants the body read.
    pub(super) fn may_name(&self, digest: &Digest) -> bool {
        match self {
            Self::Short(all) => all.contains(&short(digest)),
            Self::Unlisted => true,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Short(all) if all.is_empty() => "-".to_owned(),
            Self::Short(all) => all.concat(),
            Self::Unlisted => "*".to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "-" => Some(Self::Short(Vec::new())),
            "*" => Some(Self::Unlisted),
            _ if text.is_ascii() && text.len().is_multiple_of(SHORT) => Some(Self::Short(
                (0..text.len() / SHORT).map(|i| text[i * SHORT..(i + 1) * SHORT].to_owned()).collect(),
            )),
            _ => None,
        }
    }
}

/// The seal of an instance: confirmed, hence visible.
pub(super) fn seal(image: &ImageName, digest: &Digest, instance: Id, mentions: &Mentions) -> String {
    format!("{}{}", seal_prefix(image, digest, instance), mentions.text())
}

/// A key below `m/`: a body, or the seal beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ManifestKey {
    pub(super) image: ImageName,
    pub(super) digest: Digest,
    pub(super) instance: Id,
    /// `None` for the body.
    pub(super) seal: Option<Mentions>,
}

impl ManifestKey {
    pub(super) fn parse(key: &str) -> Option<Self> {
        let (image, [digest, name]) = split_image_key(key, "m")?;
        let (instance, seal) = match name.split_once('.') {
            None => (name, None),
            Some((instance, mentions)) => (instance, Some(Mentions::parse(mentions)?)),
        };
        Some(Self { image, digest: digest_of(digest)?, instance: instance.parse().ok()?, seal })
    }
}

/// Splits `r/<R>!/<room>/<segment>/<segment>`.
fn split_image_key<'a>(key: &'a str, room: &str) -> Option<(ImageName, [&'a str; 2])> {
    let (image, rest) = key.strip_prefix(IMAGES)?.split_once("!/")?;
    let mut segments = rest.split('/');
    if segments.next()? != room {
        return None;
    }
    let two = [segments.next()?, segments.next()?];
    segments.next().is_none().then_some((image_of(image)?, two))
}

/// `r/<R>!/t/`, every tag version of an image.
pub(super) fn tags(name: &ImageName) -> String {
    format!("{}t/", image(name))
}

/// Every version of one tag.
pub(super) fn tag(name: &ImageName, tag: &TagName) -> String {
    format!("{}{tag}!/", tags(name))
}

/// A key that, given as `start_after`, skips everything of a tag.
pub(super) fn after_tag(name: &ImageName, tag: &str) -> String {
    format!("{}{tag}!~", tags(name))
}

/// One value a tag had: the highest (`seq`, `id`) whose instance is visible is what the tag points to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TagVersion {
    pub(super) image: ImageName,
    pub(super) tag: TagName,
    pub(super) seq: u64,
    pub(super) id: Id,
    pub(super) instance: Id,
    pub(super) digest: Digest,
    pub(super) kind: ManifestKind,
    pub(super) size: u64,
}

impl TagVersion {
    /// Sequence numbers have this many digits, so that keys sort by them.
    const SEQ_DIGITS: usize = 10;

    pub(super) fn key(&self) -> String {
        format!(
            "{}{:0width$}.{}.{}.{}.{}.{}",
            tag(&self.image, &self.tag),
            self.seq,
            self.id,
            self.instance,
            digest_segment(&self.digest),
            kind_text(self.kind),
            base36(self.size),
            width = Self::SEQ_DIGITS
        )
    }

    pub(super) fn parse(key: &str) -> Option<Self> {
        let (image, [tag, name]) = split_image_key(key, "t")?;
        let mut parts = name.split('.');
        let version = Self {
            image,
            tag: tag.strip_suffix('!')?.parse().ok()?,
            seq: parts.next()?.parse().ok()?,
            id: parts.next()?.parse().ok()?,
            instance: parts.next()?.parse().ok()?,
            digest: digest_of(parts.next()?)?,
            kind: kind_of(parts.next()?)?,
            size: from_base36(parts.next()?)?,
        };
        parts.next().is_none().then_some(version)
    }

    /// What decides between versions of one tag.
    pub(super) const fn rank(&self) -> (u64, Id) {
        (self.seq, self.id)
    }
}

const fn kind_text(kind: ManifestKind) -> &'static str {
    match kind {
        ManifestKind::Image => "image",
        ManifestKind::Index => "index",
        ManifestKind::Artifact => "other",
    }
}

fn kind_of(text: &str) -> Option<ManifestKind> {
    match text {
        "image" => Some(ManifestKind::Image),
        "index" => Some(ManifestKind::Index),
        "other" => Some(ManifestKind::Artifact),
        _ => None,
    }
}

/// Child links of a manifest: the index instances that list it.
pub(super) fn parents(name: &ImageName, child: &Digest) -> String {
    format!("{}c/{}/", image(name), digest_segment(child))
}

/// The link from a child to one index instance that lists it. It names the digest of the index too, so that nobody
/// has to search for the body that keeps the link alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChildLink {
    pub(super) image: ImageName,
    pub(super) child: Digest,
    pub(super) parent: Digest,
    pub(super) parent_instance: Id,
}

impl ChildLink {
    pub(super) fn key(&self) -> String {
        format!("{}{}.{}", parents(&self.image, &self.child), self.parent_instance, digest_segment(&self.parent))
    }

    pub(super) fn parse(key: &str) -> Option<Self> {
        let (image, [child, name]) = split_image_key(key, "c")?;
        let (parent_instance, parent) = name.split_once('.')?;
        Some(Self {
            image,
            child: digest_of(child)?,
            parent: digest_of(parent)?,
            parent_instance: parent_instance.parse().ok()?,
        })
    }

    /// The body that keeps this link alive.
    pub(super) fn parent_body(&self) -> String {
        body(&self.image, &self.parent, self.parent_instance)
    }
}

/// Referrer entries of a subject.
pub(super) fn referrers(name: &ImageName, subject: &Digest) -> String {
    format!("{}f/{}/", image(name), digest_segment(subject))
}

/// The entry of one referrer instance.
pub(super) fn referrer(name: &ImageName, subject: &Digest, instance: Id) -> String {
    format!("{}{instance}", referrers(name, subject))
}

/// Reads a referrer entry's key: the subject and the referrer's instance.
pub(super) fn parse_referrer(key: &str) -> Option<(ImageName, Digest, Id)> {
    let (image, [subject, instance]) = split_image_key(key, "f")?;
    Some((image, digest_of(subject)?, instance.parse().ok()?))
}

/// Watch keys of an image. This version writes none, but sweepers delete them from day one, so that replicas of a
/// later version can rely on it.
pub(super) fn watches(name: &ImageName) -> String {
    format!("{}w/", image(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
