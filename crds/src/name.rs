//! Names of repositories, images and tags, parsed once and valid for ever.
//!
//! A repository is the space of one ContainerRepository: exactly `<namespace>/<name>`. An image is a name at or up
//! to two levels below a repository. The grammar is the OCI distribution-spec's (spec.md, "Pulling manifests"), the
//! lengths are the project's (63 characters a Kubernetes name, 200 a whole image path).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name of a namespace or a ContainerRepository, in characters (a Kubernetes label).
pub const MAX_OBJECT_NAME: usize = 63;
/// Longest whole image path, in characters.
pub const MAX_IMAGE_PATH: usize = 200;
/// Path segments an image may have below its repository.
pub const MAX_LEVELS_BELOW: usize = 2;
/// Longest tag, in characters (distribution-spec).
pub const MAX_TAG: usize = 128;

/// The path of a ContainerRepository, `<namespace>/<name>`.
///
/// Invariant: two segments, each a valid OCI path component of at most [`MAX_OBJECT_NAME`] characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName {
    path: String,
    slash: usize,
}

impl RepositoryName {
    /// Joins a namespace and an object name.
    ///
    /// # Errors
    /// [`NameError`] says which rule is broken and suggests a valid name.
    pub fn new(namespace: &str, name: &str) -> Result<Self, NameError> {
        for segment in [namespace, name] {
            check_segment(segment)?;
            if segment.len() > MAX_OBJECT_NAME {
                return Err(NameError::ObjectNameTooLong {
                    name: segment.to_owned(),
                    suggestion: suggest_segment(&segment[..MAX_OBJECT_NAME]),
                });
            }
        }
        Ok(Self { path: format!("{namespace}/{name}"), slash: namespace.len() })
    }

    pub fn as_str(&self) -> &str {
        &self.path
    }

    pub fn namespace(&self) -> &str {
        &self.path[..self.slash]
    }

    /// The name of the ContainerRepository object.
    pub fn object_name(&self) -> &str {
        &self.path[self.slash + 1..]
    }
}

/// The whole path of an image: its repository plus at most [`MAX_LEVELS_BELOW`] further segments.
///
/// Invariant: OCI name grammar, at most [`MAX_IMAGE_PATH`] characters, two to four segments, of which the first two
/// form a [`RepositoryName`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName {
    path: String,
    repository: RepositoryName,
}

impl ImageName {
    pub fn as_str(&self) -> &str {
        &self.path
    }

    pub const fn repository(&self) -> &RepositoryName {
        &self.repository
    }
}

impl From<RepositoryName> for ImageName {
    fn from(repository: RepositoryName) -> Self {
        Self { path: repository.path.clone(), repository }
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(path: &str) -> Result<Self, NameError> {
        if let Some((image, tag)) = path.rsplit_once(':')
            && !tag.contains('/')
            && !image.is_empty()
        {
            return Err(NameError::TagInName { image: image.to_owned(), tag: tag.to_owned() });
        }
        let segments: Vec<&str> = path.split('/').collect();
        for segment in &segments {
            check_segment(segment)?;
        }
        if path.len() > MAX_IMAGE_PATH {
            return Err(NameError::PathTooLong { length: path.len() });
        }
        match segments.as_slice() {
            [only] => Err(NameError::NoNamespace { name: (*only).to_owned() }),
            [namespace, name, below @ ..] if below.len() <= MAX_LEVELS_BELOW => {
                Ok(Self { path: path.to_owned(), repository: RepositoryName::new(namespace, name)? })
            }
            _ => Err(NameError::TooDeep {
                path: path.to_owned(),
                suggestion: format!("{}/{}", segments[..3].join("/"), segments[3..].join("-")),
            }),
        }
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(path: &str) -> Result<Self, NameError> {
        let image: ImageName = path.parse()?;
        if image.path.len() == image.repository.path.len() {
            Ok(image.repository)
        } else {
            Err(NameError::NotARepository { path: path.to_owned(), repository: image.repository.path })
        }
    }
}

/// A tag of the distribution-spec's grammar, `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagName(String);

impl TagName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TagName {
    type Err = NameError;

    fn from_str(tag: &str) -> Result<Self, NameError> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let first_ok = tag.bytes().next().is_some_and(word);
        let well_formed = first_ok && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'));
        if well_formed && tag.len() <= MAX_TAG { Ok(Self(tag.to_owned())) } else { Err(NameError::Tag(tag.to_owned())) }
    }
}

macro_rules! text_value {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
text_value!(RepositoryName);
text_value!(ImageName);
text_value!(TagName);

/// Why a name is refused; every text says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name has an empty part: write <namespace>/<name>, without leading, trailing or double slashes")]
    EmptySegment,
    #[error(
        "\"{segment}\" is not a valid part of an image name: use lower-case letters and digits, separated by one period, \
         one or two underscores, or hyphens, such as \"{suggestion}\""
    )]
    Segment { segment: String, suggestion: String },
    #[error("\"{name}\" is {} characters long, at most {MAX_OBJECT_NAME} are allowed: try \"{suggestion}\"", name.len())]
    ObjectNameTooLong { name: String, suggestion: String },
    #[error(
        "the image path has {length} characters, at most {MAX_IMAGE_PATH} are allowed: shorten the names below the repository"
    )]
    PathTooLong { length: usize },
    #[error("\"{name}\" lacks a namespace: images are named <namespace>/<repository>, such as \"default/{name}\"")]
    NoNamespace { name: String },
    #[error(
        "\"{path}\" has too many levels: an image may lie at most {MAX_LEVELS_BELOW} levels below its repository \
         <namespace>/<name>, such as \"{suggestion}\""
    )]
    TooDeep { path: String, suggestion: String },
    #[error("\"{image}:{tag}\" contains a tag where an image name is expected: write \"{image}\"")]
    TagInName { image: String, tag: String },
    #[error("\"{path}\" is an image below a repository: write the repository \"{repository}\"")]
    NotARepository { path: String, repository: String },
    #[error(
        "\"{0}\" is not a valid tag: use 1 to {MAX_TAG} letters, digits, underscores, periods and hyphens, and do not \
         start with a period or hyphen"
    )]
    Tag(String),
}

/// One path component of the distribution-spec: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn check_segment(segment: &str) -> Result<(), NameError> {
    if segment.is_empty() {
        return Err(NameError::EmptySegment);
    }
    if is_segment(segment) {
        return Ok(());
    }
    Err(NameError::Segment { segment: segment.to_owned(), suggestion: suggest_segment(segment) })
}

fn is_segment(segment: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separator = String::new();
    let mut seen_word = false;
    for byte in segment.bytes() {
        if alphanumeric(byte) {
            let separator_ok =
                matches!(separator.as_str(), "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-');
            if !separator_ok || (!seen_word && !separator.is_empty()) {
                return false;
            }
            separator.clear();
            seen_word = true;
        } else if matches!(byte, b'.' | b'_' | b'-') {
            separator.push(char::from(byte));
        } else {
            return false;
        }
    }
    seen_word && separator.is_empty()
}

/// The nearest valid component: lower case, every run of anything else becomes one hyphen.
fn suggest_segment(segment: &str) -> String {
    let words: Vec<String> = segment
        .to_ascii_lowercase()
        .split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    if words.is_empty() { "app".to_owned() } else { words.join("-") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_image_lies_at_or_up_to_two_levels_below_its_repository() {
        for (path, repository) in [
            ("group/project", "group/project"),
            ("group/project/image", "group/project"),
            ("group/project/my/image", "group/project"),
            ("team-a/shop__x/a.b/c--d", "team-a/shop__x"),
        ] {
            let image: ImageName = path.parse().unwrap();
            assert_eq!(image.as_str(), path);
            assert_eq!(image.repository().as_str(), repository);
        }
        let error = "group/project/my/image/x".parse::<ImageName>().unwrap_err().to_string();
        assert!(error.contains("at most 2 levels"), "{error}");
        assert!(error.contains("group/project/my/image-x") || error.contains("group/project/my-image-x"), "{error}");
    }

    #[test]
    fn a_refused_name_says_why_and_suggests_a_valid_one() {
        for (path, expected) in [
            ("Group/project", "such as \"group\""),
            ("group/my project", "such as \"my-project\""),
            ("group/a..b", "such as \"a-b\""),
            ("group/-a", "such as \"a\""),
            ("group/a_", "such as \"a\""),
            ("group/a___b", "such as \"a-b\""),
            ("project", "\"default/project\""),
            ("group//project", "empty part"),
            ("group/project:some-tag", "write \"group/project\""),
            ("group/project/image:latest", "write \"group/project/image\""),
            ("group/project/my/image:rc1", "write \"group/project/my/image\""),
        ] {
            let error = path.parse::<ImageName>().unwrap_err().to_string();
            assert!(error.contains(expected), "{path}: {error}");
        }
        let long = format!("group/{}", "a".repeat(64));
        assert!(long.parse::<ImageName>().unwrap_err().to_string().contains("at most 63"));
        let path = format!("g/p/{}", "a".repeat(200));
        assert!(path.parse::<ImageName>().unwrap_err().to_string().contains("at most 200"));
    }

    #[test]
    fn a_suggested_segment_is_valid() {
        for segment in ["Group", "my project", "a..b", "-a", "a_", "a___b", "...", "Ä", ""] {
            assert!(is_segment(&suggest_segment(segment)), "{segment}");
        }
    }

    #[test]
    fn tags_follow_the_specs_grammar() {
        for tag in ["latest", "v1.0", "_x", "A-b.C", &"a".repeat(128)] {
            assert_eq!(tag.parse::<TagName>().unwrap().as_str(), tag);
        }
        for tag in ["", ".a", "-a", "a b", "a:b", "a/b", "ä", &"a".repeat(129)] {
            assert!(tag.parse::<TagName>().is_err(), "{tag}");
        }
    }
}
