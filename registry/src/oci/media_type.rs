//! Media types that mean something to a registry (image-spec, media-types.md; Docker's image manifest v2 schema 2).
//!
//! There is no list of allowed configs and layers: helm charts, signatures and caches bring their own.

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index, also what a referrers list is.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest, version 2 schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's multi-platform manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Configs that make an image manifest an ordinary container image.
pub const IMAGE_CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Docker's schema 1, refused: its digest covers bytes that no client sends again.
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// What a media type makes of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One config and layers.
    Image,
    /// A list of further manifests.
    Index,
}

/// The shape of a manifest media type; `None` for everything that is not a manifest we store.
pub fn shape(media_type: &str) -> Option<Shape> {
    match media_type {
        OCI_MANIFEST | DOCKER_MANIFEST => Some(Shape::Image),
        OCI_INDEX | DOCKER_LIST => Some(Shape::Index),
        _ => None,
    }
}

/// Whether this is one of the media types of Docker's schema 1.
pub fn is_schema_1(media_type: &str) -> bool {
    SCHEMA_1.contains(&media_type)
}

/// Whether a layer of this type may legally live elsewhere, at its `urls`.
pub fn is_foreign_layer(media_type: &str) -> bool {
    media_type == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        || media_type == "application/vnd.docker.image.rootfs.foreign.diff.tar"
        || media_type.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar")
}

/// A media type without parameters and blanks, in lower case (RFC 9110 §8.3.1 compares it so).
pub fn essence(header: &str) -> String {
    header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_is_compared_without_parameters_and_case() {
        for header in [
            OCI_INDEX,
            "application/vnd.oci.image.index.v1+json; charset=utf-8",
            "Application/VND.OCI.image.index.v1+json ",
        ] {
            assert_eq!(essence(header), OCI_INDEX, "{header}");
        }
    }

    #[test]
    fn layers_that_may_live_elsewhere() {
        for (media_type, foreign) in [
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", true),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar", true),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", true),
            ("application/vnd.oci.image.layer.v1.tar+gzip", false),
            ("", false),
        ] {
            assert_eq!(is_foreign_layer(media_type), foreign, "{media_type}");
        }
    }
}
