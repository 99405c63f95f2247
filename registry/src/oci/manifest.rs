//! [`Manifest`]: the facts of a pushed manifest that storage, referrers and cleanup rely on.

use std::collections::{BTreeMap, HashSet};

use berth_crds::digest::Digest;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::media_type::{self, Shape};
use crate::storage::ManifestKind;

/// A manifest, understood. The bytes themselves are kept beside it, untouched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub kind: ManifestKind,
    /// The media type it was pushed with, without parameters.
    pub media_type: String,
    /// The manifest this one refers to (`subject`); it need not exist.
    pub subject: Option<Digest>,
    /// What a referrers list calls it: its own `artifactType`, else an image's config type. An index without one
    /// has none (distribution-spec, "Listing Referrers").
    pub artifact_type: Option<String>,
    pub annotations: BTreeMap<String, String>,
    /// Config and layers, in this order; empty for an index.
    pub blobs: Vec<BlobReference>,
    /// The entries of an index, in order; empty for an image.
    pub children: Vec<Child>,
    /// Size of the manifest plus the sizes its descriptors state, each digest counted once, in bytes.
    pub total_size: u64,
}

/// A config or layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobReference {
    pub digest: Digest,
    /// Size the descriptor states, in bytes.
    pub size: u64,
    /// Whether the image must hold it. Non-distributable and foreign layers with `urls` may live elsewhere.
    pub required: bool,
}

/// An entry of an index. It may be anything: old build caches list layers here, so look for a manifest and for a
/// blob of this digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    pub digest: Digest,
    /// Size the descriptor states, in bytes.
    pub size: u64,
    /// Empty when the entry has none.
    pub media_type: String,
}

impl Manifest {
    /// Reads a manifest that was pushed with `media_type` (a `Content-Type`, parameters ignored).
    ///
    /// # Errors
    /// A sentence for the client (MANIFEST_INVALID): not a manifest type we store, not JSON, a `mediaType` that
    /// contradicts the header, fields of the other shape, or a descriptor that names no content.
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, String> {
        let media_type = media_type::essence(media_type);
        let shape = shape_of(&media_type)?;
        // serde would read an array as the fields of a struct in order; no client reads it so.
        if bytes.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
            return Err("the manifest is not a JSON object".to_owned());
        }
        let body: Body = serde_json::from_slice(bytes)
            .map_err(|error| format!("the manifest is not valid JSON of its type: {error}"))?;
        if body.schema_version == Some(1) {
            return Err(SCHEMA_1_ADVICE.to_owned());
        }
        if body.schema_version != Some(2) {
            return Err("the manifest needs \"schemaVersion\": 2".to_owned());
        }
        if let Some(inner) = body.media_type.as_deref().filter(|inner| !inner.is_empty())
            && media_type::essence(inner) != media_type
        {
            return Err(format!(
                "the manifest says it is \"{inner}\", the Content-Type says \"{media_type}\": send the same in both"
            ));
        }
        let subject = body.subject.as_ref().map(|subject| subject.digest("subject")).transpose()?;
        let annotations = body.annotations.clone().unwrap_or_default();
        let own_type = body.artifact_type.clone().filter(|artifact_type| !artifact_type.is_empty());
        let mut manifest = Self {
            kind: ManifestKind::Index,
            media_type,
            subject,
            artifact_type: own_type,
            annotations,
            blobs: Vec::new(),
            children: Vec::new(),
            total_size: 0,
        };
        match shape {
            Shape::Image => manifest.read_image(body)?,
            Shape::Index => manifest.read_index(body)?,
        }
        manifest.total_size = manifest.sum_of_sizes(bytes.len());
        Ok(manifest)
    }

    /// Every digest the manifest mentions, in order and without repetition: config, layers, children, subject.
    pub fn mentioned(&self) -> Vec<Digest> {
        let mut seen = HashSet::new();
        let all = self.blobs.iter().map(|blob| &blob.digest).chain(self.children.iter().map(|child| &child.digest));
        all.chain(&self.subject).filter(|digest| seen.insert(*digest)).cloned().collect()
    }

    /// The descriptor under which a referrers list shows this manifest, when it is stored as `digest` with `size`
    /// bytes. Annotations are copied exactly and nothing is added (distribution-spec, "Listing Referrers").
    pub fn referrer_descriptor(&self, digest: &Digest, size: u64) -> Value {
        let mut descriptor = json!({"mediaType": self.media_type, "digest": digest, "size": size});
        if let Some(artifact_type) = &self.artifact_type {
            descriptor["artifactType"] = json!(artifact_type);
        }
        if !self.annotations.is_empty() {
            descriptor["annotations"] = json!(self.annotations);
        }
        descriptor
    }

    fn read_image(&mut self, body: Body) -> Result<(), String> {
        // A document that is an image to one reader and an index to another is an attack (CVE-2021-41190).
        if body.manifests.is_some() {
            return Err("an image manifest must not have \"manifests\": push an index for that".to_owned());
        }
        if body.fs_layers.is_some() {
            return Err(SCHEMA_1_ADVICE.to_owned());
        }
        let config = body.config.ok_or("an image manifest needs a \"config\" descriptor")?;
        let config_type = config.media_type.clone().unwrap_or_default();
        self.blobs.push(BlobReference { digest: config.digest("config")?, size: config.size()?, required: true });
        for layer in body.layers.unwrap_or_default() {
            let elsewhere = media_type::is_foreign_layer(layer.media_type.as_deref().unwrap_or_default())
                && layer.urls.as_ref().is_some_and(|urls| !urls.is_empty());
            self.blobs.push(BlobReference {
                digest: layer.digest("layer")?,
                size: layer.size()?,
                required: !elsewhere,
            });
        }
        let ordinary = media_type::IMAGE_CONFIGS.contains(&config_type.as_str());
        self.kind =
            if self.artifact_type.is_some() || !ordinary { ManifestKind::Artifact } else { ManifestKind::Image };
        if self.artifact_type.is_none() && !config_type.is_empty() {
            self.artifact_type = Some(config_type);
        }
        Ok(())
    }

    fn read_index(&mut self, body: Body) -> Result<(), String> {
        if body.config.is_some() || body.layers.is_some() || body.fs_layers.is_some() {
            return Err("an index must not have \"config\" or layers: push an image manifest for that".to_owned());
        }
        for child in body.manifests.unwrap_or_default() {
            self.children.push(Child {
                digest: child.digest("entry of the index")?,
                size: child.size()?,
                media_type: child.media_type.unwrap_or_default(),
            });
        }
        Ok(())
    }

    fn sum_of_sizes(&self, own: usize) -> u64 {
        let mut seen = HashSet::new();
        let blobs = self.blobs.iter().map(|blob| (&blob.digest, blob.size));
        let children = self.children.iter().map(|child| (&child.digest, child.size));
        blobs
            .chain(children)
            .filter(|(digest, _)| seen.insert(*digest))
            .fold(u64::try_from(own).unwrap_or(u64::MAX), |sum, (_, size)| sum.saturating_add(size))
    }
}

const SCHEMA_1_ADVICE: &str = "Docker's schema 1 is not stored: push the image again with docker 1.10 or newer, or \
                               convert it with \"skopeo copy --format oci\"";

fn shape_of(media_type: &str) -> Result<Shape, String> {
    if media_type::is_schema_1(media_type) {
        return Err(SCHEMA_1_ADVICE.to_owned());
    }
    media_type::shape(media_type).ok_or_else(|| {
        let given = if media_type.is_empty() { "no Content-Type".to_owned() } else { format!("\"{media_type}\"") };
        format!(
            "{given} is not a manifest: send Content-Type {}, {}, {} or {}; other files belong into a layer",
            media_type::OCI_MANIFEST,
            media_type::OCI_INDEX,
            media_type::DOCKER_MANIFEST,
            media_type::DOCKER_LIST,
        )
    })
}

/// The union of the fields of all four manifest types; `null` is as good as absent everywhere.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    /// Only asked whether it is there: the mark of schema 1.
    fs_layers: Option<serde::de::IgnoredAny>,
    subject: Option<RawDescriptor>,
    #[serde(default, deserialize_with = "texts_without_null")]
    annotations: Option<BTreeMap<String, String>>,
}

/// A descriptor as clients really write it; unknown fields (`platform`, `data`) are nobody's business here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: Option<String>,
    digest: Option<String>,
    size: Option<i64>,
    urls: Option<Vec<String>>,
}

impl RawDescriptor {
    fn digest(&self, what: &str) -> Result<Digest, String> {
        let text = self.digest.as_deref().unwrap_or_default();
        text.parse().map_err(|error| format!("a {what} has no usable digest: {error}"))
    }

    fn size(&self) -> Result<u64, String> {
        let size = self.size.unwrap_or_default();
        u64::try_from(size).map_err(|_| format!("a descriptor has the size {size}: sizes are not negative"))
    }
}

/// Annotations whose value is `null` become empty texts, as Go clients read them.
fn texts_without_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let map: Option<BTreeMap<String, Option<String>>> = Option::deserialize(deserializer)?;
    Ok(map.map(|map| map.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

    fn digest(character: char) -> Digest {
        format!("sha256:{}", character.to_string().repeat(64)).parse().unwrap()
    }

    fn descriptor(media_type: &str, character: char, size: u64) -> Value {
        json!({"mediaType": media_type, "digest": digest(character), "size": size})
    }

    fn parse(media_type: &str, body: &Value) -> Result<Manifest, String> {
        Manifest::parse(media_type, body.to_string().as_bytes())
    }

    fn image(extra: &[(&str, Value)]) -> Value {
        let mut body = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", 'a', 10),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", 'b', 100)],
        });
        for (key, value) in extra {
            body[*key] = value.clone();
        }
        body
    }

    #[test]
    fn an_image_names_its_config_first_and_then_its_layers() {
        let body = image(&[("subject", descriptor(OCI_MANIFEST, 'c', 7))]);
        let manifest = parse(OCI_MANIFEST, &body).unwrap();
        assert_eq!(manifest.kind, ManifestKind::Image);
        assert_eq!(manifest.subject, Some(digest('c')));
        assert_eq!(manifest.mentioned(), [digest('a'), digest('b'), digest('c')]);
        assert_eq!(manifest.total_size, body.to_string().len() as u64 + 110);
        assert!(manifest.blobs.iter().all(|blob| blob.required));
    }

    #[test]
    fn docker_types_are_read_alike_and_without_a_media_type_inside() {
        let mut body = image(&[]);
        body["config"]["mediaType"] = json!("application/vnd.docker.container.image.v1+json");
        body.as_object_mut().unwrap().remove("mediaType");
        assert_eq!(parse(DOCKER_MANIFEST, &body).unwrap().kind, ManifestKind::Image);
        let list = json!({"schemaVersion": 2, "manifests": [descriptor(DOCKER_MANIFEST, 'a', 5)]});
        assert_eq!(parse(DOCKER_LIST, &list).unwrap().children.len(), 1);
    }

    #[test]
    fn null_and_absent_lists_are_empty() {
        for layers in [json!(null), json!([])] {
            assert_eq!(parse(OCI_MANIFEST, &image(&[("layers", layers)])).unwrap().blobs.len(), 1);
        }
        let mut absent = image(&[("annotations", json!(null)), ("subject", json!(null))]);
        absent.as_object_mut().unwrap().remove("layers");
        assert_eq!(parse(OCI_MANIFEST, &absent).unwrap().blobs.len(), 1);
        for manifests in [json!(null), json!([])] {
            let index = json!({"schemaVersion": 2, "manifests": manifests});
            assert_eq!(parse(OCI_INDEX, &index).unwrap().children, []);
        }
        assert_eq!(parse(OCI_INDEX, &json!({"schemaVersion": 2})).unwrap().kind, ManifestKind::Index);
    }

    #[test]
    fn the_artifact_type_is_the_manifests_else_the_images_config_type() {
        let typed = parse(OCI_MANIFEST, &image(&[("artifactType", json!("application/x"))])).unwrap();
        assert_eq!((typed.kind, typed.artifact_type.as_deref()), (ManifestKind::Artifact, Some("application/x")));
        let plain = parse(OCI_MANIFEST, &image(&[("artifactType", json!(""))])).unwrap();
        assert_eq!(plain.artifact_type.as_deref(), Some("application/vnd.oci.image.config.v1+json"));
        let chart = image(&[("config", descriptor("application/vnd.cncf.helm.config.v1+json", 'a', 10))]);
        assert_eq!(parse(OCI_MANIFEST, &chart).unwrap().kind, ManifestKind::Artifact);
        let index = json!({"schemaVersion": 2, "manifests": []});
        assert_eq!(parse(OCI_INDEX, &index).unwrap().artifact_type, None);
    }

    #[test]
    fn layers_that_may_live_elsewhere_are_not_required() {
        let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
        let mut layer = descriptor(foreign, 'b', 100);
        assert!(parse(OCI_MANIFEST, &image(&[("layers", json!([layer]))])).unwrap().blobs[1].required);
        layer["urls"] = json!(["https://example.com/layer"]);
        assert!(!parse(OCI_MANIFEST, &image(&[("layers", json!([layer]))])).unwrap().blobs[1].required);
        layer["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar");
        assert!(parse(OCI_MANIFEST, &image(&[("layers", json!([layer]))])).unwrap().blobs[1].required);
    }

    #[test]
    fn an_index_may_list_anything_and_counts_each_digest_once() {
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            descriptor("application/vnd.oci.image.layer.v1.tar+gzip", 'a', 10),
            {"digest": digest('b'), "platform": {}},
            descriptor("application/vnd.buildkit.cacheconfig.v0", 'a', 10),
        ]});
        let manifest = parse(OCI_INDEX, &index).unwrap();
        assert_eq!(manifest.children.len(), 3);
        assert_eq!(manifest.mentioned(), [digest('a'), digest('b')]);
        assert_eq!(manifest.total_size, index.to_string().len() as u64 + 10);
    }

    #[test]
    fn a_referrers_entry_copies_annotations_and_adds_nothing() {
        let body = image(&[("annotations", json!({"b": "2", "a": "1"}))]);
        let entry = parse(OCI_MANIFEST, &body).unwrap().referrer_descriptor(&digest('d'), 9);
        assert_eq!(
            entry,
            json!({"mediaType": OCI_MANIFEST, "digest": digest('d'), "size": 9,
                "artifactType": "application/vnd.oci.image.config.v1+json", "annotations": {"a": "1", "b": "2"}})
        );
        let index = json!({"schemaVersion": 2, "subject": descriptor(OCI_MANIFEST, 'a', 1)});
        let entry = parse(OCI_INDEX, &index).unwrap().referrer_descriptor(&digest('d'), 9);
        assert_eq!(entry, json!({"mediaType": OCI_INDEX, "digest": digest('d'), "size": 9}));
    }

    #[test]
    fn what_is_refused_says_why() {
        let with = |key: &str, value: Value| image(&[(key, value)]).to_string();
        let v1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        let two_layer_lists = r#"{"schemaVersion":2,"layers":[],"layers":[]}"#.to_owned();
        let negative = json!([{"digest": digest('b'), "size": -1}]);
        for (media_type, body, expected) in [
            (v1, "{}".to_owned(), "schema 1"),
            (OCI_MANIFEST, with("schemaVersion", json!(1)), "schema 1"),
            (OCI_MANIFEST, with("fsLayers", json!([])), "schema 1"),
            (OCI_MANIFEST, with("schemaVersion", json!(3)), "\"schemaVersion\": 2"),
            (OCI_MANIFEST, with("schemaVersion", json!(null)), "\"schemaVersion\": 2"),
            ("", image(&[]).to_string(), "no Content-Type is not a manifest"),
            ("application/json", image(&[]).to_string(), "\"application/json\" is not a manifest"),
            (DOCKER_MANIFEST, image(&[]).to_string(), "send the same in both"),
            (OCI_MANIFEST, with("manifests", json!([])), "must not have \"manifests\""),
            (OCI_INDEX, json!({"schemaVersion": 2, "layers": []}).to_string(), "must not have \"config\" or layers"),
            (OCI_MANIFEST, with("config", json!(null)), "needs a \"config\""),
            (OCI_MANIFEST, with("config", json!({"size": 3})), "a config has no usable digest"),
            (OCI_MANIFEST, with("layers", json!([{"digest": "md5:ab"}])), "\"md5\" is not supported"),
            (OCI_MANIFEST, with("layers", negative), "sizes are not negative"),
            (OCI_MANIFEST, with("layers", json!("x")), "not valid JSON of its type"),
            (OCI_MANIFEST, with("subject", json!({})), "a subject has no usable digest"),
            (OCI_MANIFEST, with("annotations", json!({"a": 1})), "not valid JSON of its type"),
            (OCI_MANIFEST, two_layer_lists, "duplicate field"),
            (OCI_MANIFEST, "{\"schemaVersion\":2".to_owned(), "EOF"),
            (OCI_MANIFEST, String::new(), "EOF"),
            (OCI_MANIFEST, "[2,null,null,{},[]]".to_owned(), "not a JSON object"),
        ] {
            let error = Manifest::parse(media_type, body.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{media_type} {body}: {error}");
        }
        assert!(Manifest::parse(OCI_MANIFEST, &[b'"', 0xff, b'"']).is_err());
        let bottomless = format!("{{\"schemaVersion\":2,\"x\":{}", "[".repeat(100_000));
        assert!(Manifest::parse(OCI_INDEX, bottomless.as_bytes()).is_err());
    }
}
