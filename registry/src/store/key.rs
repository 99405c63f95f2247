//! What a key may look like, the same for every store, so that what one accepts the others do too.

use super::StoreError;

/// S3's limit for a whole key, in bytes.
const MAX_KEY: usize = 1024;
/// The limit of POSIX file systems, and of gateways to them, for one segment, in bytes.
const MAX_SEGMENT: usize = 255;

/// Checks a key: 1 to 1024 printable ASCII characters other than space and backslash, in segments of 1 to 255 that
/// do not begin with a dot. Hence no key leaves the folder it lies in, and none needs escaping by a gateway.
///
/// # Errors
/// [`StoreError::Invalid`] with the rule that is broken.
pub(super) fn check_key(key: &str) -> Result<(), StoreError> {
    let broken = if key.is_empty() {
        Some("a key may not be empty")
    } else if key.split('/').any(str::is_empty) {
        Some("a key may not have an empty segment")
    } else {
        broken_rule(key)
    };
    broken.map_or(Ok(()), |reason| Err(StoreError::Invalid { key: key.to_owned(), reason: reason.to_owned() }))
}

/// Checks the beginning of keys: as [`check_key`], but it may be empty or end in `/`.
///
/// # Errors
/// [`StoreError::Invalid`] with the rule that is broken.
pub(super) fn check_prefix(prefix: &str) -> Result<(), StoreError> {
    let whole = prefix.strip_suffix('/').unwrap_or(prefix);
    if whole.is_empty() && prefix.is_empty() {
        return Ok(());
    }
    check_key(whole).map_err(|error| match error {
        StoreError::Invalid { reason, .. } => StoreError::Invalid { key: prefix.to_owned(), reason },
        other => other,
    })
}

fn broken_rule(key: &str) -> Option<&'static str> {
    if key.len() > MAX_KEY {
        Some("a key has at most 1024 bytes")
    } else if key.split('/').any(|segment| segment.len() > MAX_SEGMENT) {
        Some("a segment of a key has at most 255 bytes")
    } else if key.split('/').any(|segment| segment.starts_with('.')) {
        Some("a segment of a key may not begin with a dot")
    } else if !key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        Some("a key consists of printable ASCII characters without space and backslash")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_of_the_layout_are_accepted() {
        for key in [
            "a/3f/01j8zv7q6w0000000000000000",
            "b/sha256/00/00ff/team-a!shop!/01j8.2s",
            "r/team-a!shop!/t/v1!/1.01j.01k.sha256-00.i.9",
            "meta/format",
        ] {
            check_key(key).unwrap();
        }
        check_key(&vec!["x".repeat(255); 4].join("/")).unwrap();
    }

    #[test]
    fn keys_that_escape_or_overflow_are_refused() {
        let long_segment = "x".repeat(256);
        let long_key = vec!["x".repeat(204); 5].join("/") + "y";
        assert_eq!(long_key.len(), 1025);
        for key in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "../etc/passwd",
            "a/.hidden",
            "a b",
            "a\\b",
            "a\0b",
            "a\nb",
            "ä",
            &long_segment,
            &long_key,
        ] {
            assert!(check_key(key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn prefixes_may_be_empty_or_end_in_a_slash() {
        for prefix in ["", "a/", "a/b", "r/team-a!shop!/t/"] {
            check_prefix(prefix).unwrap();
        }
        for prefix in ["/", "a//", "../", "a/../"] {
            assert!(check_prefix(prefix).is_err(), "{prefix:?}");
        }
    }
}
