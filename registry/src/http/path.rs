//! Which endpoint a path below `/v2/` names: a pure function, read from the right.
//!
//! An image name may itself contain the words `blobs`, `manifests`, `tags`, `uploads` and `referrers`, so only the
//! last segments decide (protocol rule R9).

use percent_encoding::percent_decode_str;

/// An endpoint of the Distribution API with its raw names, which are judged later: a path can be well formed and
/// its name invalid, and the client deserves to hear which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags { name: String },
    /// `/v2/<name>/manifests/<tag or digest>`
    Manifest { name: String, reference: String },
    /// `/v2/<name>/blobs/<digest>`
    Blob { name: String, digest: String },
    /// `/v2/<name>/blobs/uploads/`
    Uploads { name: String },
    /// `/v2/<name>/blobs/uploads/<session>`
    Upload { name: String, session: String },
    /// `/v2/<name>/referrers/<digest>`
    Referrers { name: String, digest: String },
}

impl Target {
    /// A short name for logs and metrics; never anything a client chose.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::Tags { .. } => "tags",
            Self::Manifest { .. } => "manifest",
            Self::Blob { .. } => "blob",
            Self::Uploads { .. } => "uploads",
            Self::Upload { .. } => "upload",
            Self::Referrers { .. } => "referrers",
        }
    }
}

/// Reads a request path. `None` for everything that is no endpoint of ours: other prefixes, unknown extensions
/// (segments beginning with `_`), bytes that are not UTF-8.
pub(super) fn parse(path: &str) -> Option<Target> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let rest = match path.strip_prefix("/v2")? {
        "" | "/" => return Some(Target::Base),
        rest => rest.strip_prefix('/')?,
    };
    let segments: Vec<&str> = rest.split('/').collect();
    if segments[0] == "_catalog" {
        return (segments.len() == 1 || segments[1..] == [""]).then_some(Target::Catalog);
    }
    let name = |segments: &[&str]| (!segments.is_empty()).then(|| segments.join("/"));
    match segments.as_slice() {
        [of @ .., "tags", "list"] => Some(Target::Tags { name: name(of)? }),
        [of @ .., "blobs", "uploads"] | [of @ .., "blobs", "uploads", ""] => Some(Target::Uploads { name: name(of)? }),
        [of @ .., "blobs", "uploads", session] => {
            Some(Target::Upload { name: name(of)?, session: (*session).to_owned() })
        }
        [of @ .., "manifests", reference] => {
            Some(Target::Manifest { name: name(of)?, reference: (*reference).to_owned() })
        }
        [of @ .., "blobs", digest] => Some(Target::Blob { name: name(of)?, digest: (*digest).to_owned() }),
        [of @ .., "referrers", digest] => Some(Target::Referrers { name: name(of)?, digest: (*digest).to_owned() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(name: &str) -> Option<Target> {
        Some(Target::Tags { name: name.to_owned() })
    }

    fn manifest(name: &str, reference: &str) -> Option<Target> {
        Some(Target::Manifest { name: name.to_owned(), reference: reference.to_owned() })
    }

    fn blob(name: &str, digest: &str) -> Option<Target> {
        Some(Target::Blob { name: name.to_owned(), digest: digest.to_owned() })
    }

    fn uploads(name: &str) -> Option<Target> {
        Some(Target::Uploads { name: name.to_owned() })
    }

    fn upload(name: &str, session: &str) -> Option<Target> {
        Some(Target::Upload { name: name.to_owned(), session: session.to_owned() })
    }

    fn referrers(name: &str, digest: &str) -> Option<Target> {
        Some(Target::Referrers { name: name.to_owned(), digest: digest.to_owned() })
    }

    #[test]
    fn every_endpoint_is_read_from_the_right() {
        for (path, expected) in [
            ("/v2", Some(Target::Base)),
            ("/v2/", Some(Target::Base)),
            ("/v2/_catalog", Some(Target::Catalog)),
            ("/v2/_catalog/", Some(Target::Catalog)),
            ("/v2/a/b/tags/list", tags("a/b")),
            ("/v2/a/b/manifests/v1", manifest("a/b", "v1")),
            ("/v2/a/b/manifests/sha256:ab", manifest("a/b", "sha256:ab")),
            ("/v2/a/b/manifests/sha256%3Aab", manifest("a/b", "sha256:ab")),
            ("/v2/a%2Fb/manifests/v1", manifest("a/b", "v1")),
            ("/v2/a/b/blobs/sha256:ab", blob("a/b", "sha256:ab")),
            ("/v2/a/b/blobs/uploads/", uploads("a/b")),
            ("/v2/a/b/blobs/uploads", uploads("a/b")),
            ("/v2/a/b/blobs/uploads/01abc", upload("a/b", "01abc")),
            ("/v2/a/b/referrers/sha256:ab", referrers("a/b", "sha256:ab")),
        ] {
            assert_eq!(parse(path), expected, "{path}");
        }
    }

    #[test]
    fn names_may_contain_the_words_of_endpoints() {
        for (path, expected) in [
            ("/v2/team/manifests/tags/list", tags("team/manifests")),
            ("/v2/team/tags/list/tags/list", tags("team/tags/list")),
            ("/v2/team/blobs/manifests/latest", manifest("team/blobs", "latest")),
            ("/v2/team/manifests/manifests/manifests", manifest("team/manifests", "manifests")),
            ("/v2/team/blobs/uploads/manifests/v1", manifest("team/blobs/uploads", "v1")),
            ("/v2/team/manifests/blobs/sha256:ab", blob("team/manifests", "sha256:ab")),
            ("/v2/team/blobs/blobs/uploads/", uploads("team/blobs")),
            ("/v2/blobs/uploads/blobs/uploads/x", upload("blobs/uploads", "x")),
            ("/v2/team/blobs/uploads/referrers/sha256:ab", referrers("team/blobs/uploads", "sha256:ab")),
        ] {
            assert_eq!(parse(path), expected, "{path}");
        }
    }

    #[test]
    fn an_invalid_name_is_still_that_endpoint() {
        assert_eq!(parse("/v2/A/../b/tags/list"), tags("A/../b"));
        assert_eq!(parse("/v2//tags/list"), tags(""));
        assert_eq!(parse("/v2/a/b/manifests/"), manifest("a/b", ""));
    }

    #[test]
    fn everything_else_is_no_endpoint() {
        for path in [
            "",
            "/",
            "/v1/search",
            "/v2x",
            "/v2x/a/tags/list",
            "/v2/a/b",
            "/v2/_oci/ext/discover",
            "/v2/_catalog/x",
            "/v2/a/b/_oci/x",
            "/v2/a/b/tags",
            "/v2/a/b/tags/list/",
            "/v2/tags/list",
            "/v2/manifests/v1",
            "/v2/%ff/b/tags/list",
            "/v2/a/b/blobs/uploads/x/y",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_name_its_endpoints_are_told_apart(
            name in "(blobs|manifests|tags|uploads|referrers|list|[a-z0-9]{1,3})(/(blobs|manifests|tags|uploads|referrers|list|[a-z0-9]{1,3})){1,3}",
            last in "(uploads|list|latest|[a-z0-9]{1,3}|sha256:[0-9a-f]{4})",
        ) {
            let parsed = |rest: &str| parse(&format!("/v2/{name}/{rest}"));
            proptest::prop_assert_eq!(parsed("tags/list"), tags(&name));
            proptest::prop_assert_eq!(parsed(&format!("manifests/{last}")), manifest(&name, &last));
            proptest::prop_assert_eq!(parsed(&format!("referrers/{last}")), referrers(&name, &last));
            proptest::prop_assert_eq!(parsed("blobs/uploads/"), uploads(&name));
            proptest::prop_assert_eq!(parsed(&format!("blobs/uploads/{last}")), upload(&name, &last));
            let as_blob = if last == "uploads" { uploads(&name) } else { blob(&name, &last) };
            proptest::prop_assert_eq!(parsed(&format!("blobs/{last}")), as_blob);
        }

        #[test]
        fn no_path_makes_it_panic(path in ".*", rest in "[a-z/%0-9_:]*") {
            parse(&path);
            parse(&format!("/v2/{rest}"));
        }
    }
}
