//! The query of a request: decoded, in order, repeated keys kept, unknown keys ignored.
//!
//! Clients re-encode the Locations they were given, sort their keys, and also write `:` and `/` unescaped; all of
//! that reads the same.

/// The pairs of a query string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a URI behind the `?`.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect())
    }

    /// The first value of a key; an empty one is as good as none.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values(key).next()
    }

    /// Every value of a key that is not empty.
    pub(super) fn values<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Whether the key is there at all, with or without a value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_what_clients_do_to_them() {
        for query in [
            "mount=sha256:ab&from=a/b&ns=x",
            "from=a%2Fb&mount=sha256%3Aab",
            "&from=a/b&&mount=sha256:ab&mount=sha256:cd",
        ] {
            let query = Query::parse(Some(query));
            assert_eq!((query.get("mount"), query.get("from")), (Some("sha256:ab"), Some("a/b")), "{query:?}");
        }
        let tags = Query::parse(Some("tag=a&tag=&tag=b"));
        assert_eq!(tags.values("tag").collect::<Vec<_>>(), ["a", "b"]);
        assert!(tags.has("tag") && !tags.has("n"));
        assert_eq!(Query::parse(None), Query::default());
    }
}
