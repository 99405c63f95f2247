//! Images made on the spot: real layers (tar archives that clients unpack), the same bytes for the same seed.

use anyhow::Context as _;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// OCI's media type of an image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI's media type of an index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI's media type of an image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI's media type of a gzipped layer.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Docker's media type of an image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// `sha256:` and the hash of these bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a String takes everything");
    }
    text
}

/// Bytes that no compressor shrinks, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}

/// Content with its media type: a layer, a configuration, a manifest.
#[derive(Clone, Debug)]
pub struct Content {
    pub media_type: String,
    pub bytes: Bytes,
    pub digest: String,
}

impl Content {
    /// Names these bytes.
    pub fn new(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { media_type: media_type.to_owned(), digest: digest_of(&bytes), bytes }
    }

    fn json(media_type: &str, value: &Value) -> Self {
        Self::new(media_type, serde_json::to_vec(value).expect("a JSON value always has a text"))
    }

    /// How others refer to it.
    pub fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// A layer as it is stored, and the digest of what it unpacks to.
#[derive(Clone, Debug)]
pub struct Layer {
    pub blob: Content,
    pub diff_id: String,
}

/// A layer: a gzipped tar archive of one file `data-SEED` with `length` bytes of noise.
pub fn layer(seed: u64, length: usize) -> Layer {
    let archive = tar(&[(&format!("data-{seed}"), &noise(seed, length))]);
    Layer { diff_id: digest_of(&archive), blob: Content::new(OCI_LAYER, gzip(&archive)) }
}

/// An image: its blobs, and the manifest that lists them.
#[derive(Clone, Debug)]
pub struct Image {
    pub config: Content,
    pub layers: Vec<Content>,
    pub manifest: Content,
}

impl Image {
    /// An image for linux on this architecture, of these layers.
    pub fn of_layers(architecture: &str, layers: &[Layer]) -> Self {
        Self::build(architecture, layers, OCI_MANIFEST)
    }

    /// An image of `count` small layers of 1 KiB and more, all different for another seed.
    pub fn small(seed: u64, count: u64) -> Self {
        Self::of_layers("amd64", &small_layers(seed, count))
    }

    /// [`Self::small`] in Docker's media types.
    pub fn docker(seed: u64, count: u64) -> Self {
        Self::build("amd64", &small_layers(seed, count), DOCKER_MANIFEST)
    }

    fn build(architecture: &str, layers: &[Layer], media_type: &str) -> Self {
        let (config_type, layer_type) = match media_type {
            DOCKER_MANIFEST => {
                ("application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip")
            }
            _ => (OCI_CONFIG, OCI_LAYER),
        };
        let config = Content::json(
            config_type,
            &json!({
                "architecture": architecture, "os": "linux", "config": {},
                "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>()},
            }),
        );
        let layers: Vec<Content> =
            layers.iter().map(|layer| Content { media_type: layer_type.to_owned(), ..layer.blob.clone() }).collect();
        let manifest = Content::json(
            media_type,
            &json!({
                "schemaVersion": 2, "mediaType": media_type, "config": config.descriptor(),
                "layers": layers.iter().map(Content::descriptor).collect::<Vec<_>>(),
            }),
        );
        Self { config, layers, manifest }
    }

    /// Every blob, the configuration last, as clients push them.
    pub fn blobs(&self) -> impl Iterator<Item = &Content> {
        self.layers.iter().chain([&self.config])
    }

    /// Bytes of manifest and blobs together.
    pub fn size(&self) -> usize {
        self.blobs().map(|blob| blob.bytes.len()).sum::<usize>() + self.manifest.bytes.len()
    }
}

fn small_layers(seed: u64, count: u64) -> Vec<Layer> {
    (0..count).map(|number| layer(seed * 1000 + number, 1024)).collect()
}

/// An artifact that refers to `subject`: a signature, an SBOM. Its only blob is the empty configuration.
pub fn referrer(seed: u64, artifact_type: &str, subject: &Content) -> Image {
    let config = Content::new("application/vnd.oci.empty.v1+json", "{}");
    let manifest = Content::json(
        OCI_MANIFEST,
        &json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": artifact_type,
            "config": config.descriptor(), "layers": [config.descriptor()], "subject": subject.descriptor(),
            "annotations": {"seed": seed.to_string()},
        }),
    );
    Image { layers: vec![config.clone()], config, manifest }
}

/// An index of images, with the platform of each.
#[derive(Clone, Debug)]
pub struct Index {
    pub images: Vec<Image>,
    pub manifest: Content,
}

impl Index {
    /// One image for each architecture; the first layer is common to all.
    pub fn of_architectures(seed: u64, architectures: &[&str]) -> Self {
        let common = layer(seed * 1000, 4096);
        let images: Vec<Image> = (1..)
            .zip(architectures)
            .map(|(number, architecture)| {
                let own = layer(seed * 1000 + number, 2048);
                Image::of_layers(architecture, &[common.clone(), own])
            })
            .collect();
        let children = images.iter().zip(architectures).map(|(image, architecture)| {
            let mut descriptor = image.manifest.descriptor();
            descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
            descriptor
        });
        let manifest = Content::json(
            OCI_INDEX,
            &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children.collect::<Vec<_>>()}),
        );
        Self { images, manifest }
    }

    /// Every content of the index and of what it lists.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        let images = self.images.iter().flat_map(|image| image.blobs().chain([&image.manifest]));
        images.chain([&self.manifest])
    }
}

/// Writes an OCI image layout, which skopeo and podman read as `oci:FOLDER:TAG`.
///
/// # Errors
/// The folder cannot be written.
pub fn write_layout<'a>(
    folder: &Path,
    tag: &str,
    root: &'a Content,
    contents: impl IntoIterator<Item = &'a Content>,
) -> anyhow::Result<()> {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    for content in contents.into_iter().chain([root]) {
        let hash = content.digest.strip_prefix("sha256:").context("layouts here hold sha256 only")?;
        std::fs::write(blobs.join(hash), &content.bytes)?;
    }
    let mut descriptor = root.descriptor();
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    std::fs::write(
        folder.join("index.json"),
        serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [descriptor]}))?,
    )?;
    Ok(())
}

/// Every blob of an OCI image layout by file name, which is its hash: what a client has stored.
///
/// # Errors
/// The folder cannot be read.
pub fn read_layout(folder: &Path) -> anyhow::Result<BTreeMap<String, Bytes>> {
    let mut blobs = BTreeMap::new();
    for entry in std::fs::read_dir(folder.join("blobs/sha256"))? {
        let entry = entry?;
        blobs.insert(entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?.into());
    }
    Ok(blobs)
}

/// A tar archive (POSIX ustar) of regular files.
fn tar(files: &[(&str, &[u8])]) -> Bytes {
    const BLOCK: usize = 512;
    let mut archive = Vec::new();
    for (name, content) in files {
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", content.len()).as_bytes());
        put(136, b"00000000000\0");
        // The checksum is taken over a header whose own field is blank.
        put(148, b"        ");
        put(156, b"0");
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive.into()
}

/// A gzip stream (RFC 1952) of stored blocks: noise does not shrink, so a compressor would be a dependency for nothing.
fn gzip(content: &[u8]) -> Bytes {
    // No name, no time: the same bytes for the same content.
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut blocks = content.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("chunks above are at most that long");
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(block);
    }
    stream.extend_from_slice(&crc32(content).to_le_bytes());
    let length = u32::try_from(content.len()).expect("layers made in memory stay below 4 GiB");
    stream.extend_from_slice(&length.to_le_bytes());
    stream.into()
}

/// The checksum that ends a gzip stream.
fn crc32(content: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|number| {
        let number = u32::try_from(number).expect("below 256");
        (0..8).fold(number, |value, _| if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 })
    });
    !content.iter().fold(!0, |sum: u32, byte| table[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ (sum >> 8))
}
