//! Pages of listings: `n`, `last` and the `Link` to the next page (distribution-spec, "Listing Tags").

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::Problem;
use super::query::Query;

/// What a query value may hold unescaped.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The page a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageRequest {
    /// Most entries of the page; 0 asks for none.
    pub limit: usize,
    /// Only entries behind this one, which need not exist.
    pub last: Option<String>,
}

impl PageRequest {
    /// Reads `n` and `last`. Without `n`, and for an `n` beyond it, the page has `most` entries.
    ///
    /// # Errors
    /// 400 for an `n` that is no number.
    pub(super) fn parse(query: &Query, most: usize) -> Result<Self, Problem> {
        let limit = match query.get("n") {
            None => most,
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                // What does not fit is beyond every limit.
                text.parse().unwrap_or(usize::MAX).min(most)
            }
            Some(text) => return Err(Problem::page_size(text)),
        };
        Ok(Self { limit, last: query.get("last").map(str::to_owned) })
    }
}

/// The header that leads to the next page: origin-relative, one header, beginning with `<` (protocol rule R4).
/// `path` is already safe in a URL; `parameters` are escaped here.
pub(super) fn next_link(path: &str, parameters: &[(&str, &str)]) -> Option<HeaderValue> {
    let query: Vec<String> =
        parameters.iter().map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, VALUE))).collect();
    HeaderValue::try_from(format!("<{path}?{}>; rel=\"next\"", query.join("&"))).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<PageRequest, Problem> {
        PageRequest::parse(&Query::parse(Some(query)), 100)
    }

    #[test]
    fn a_page_has_a_size_and_a_beginning() {
        for (query, limit, last) in [
            ("", 100, None),
            ("n=", 100, None),
            ("n=0", 0, None),
            ("n=7&last=v1", 7, Some("v1")),
            ("n=101", 100, None),
            ("n=99999999999999999999999", 100, None),
            ("last=", 100, None),
            ("last=not%20a%20tag", 100, Some("not a tag")),
        ] {
            assert_eq!(parse(query).unwrap(), PageRequest { limit, last: last.map(str::to_owned) }, "{query}");
        }
        for query in ["n=-1", "n=x", "n=1.5", "n=%201", "n=+1"] {
            assert!(parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn the_link_is_relative_and_escaped() {
        let link = next_link("/v2/a/b/tags/list", &[("last", "v1&x"), ("n", "2")]).unwrap();
        assert_eq!(link, "</v2/a/b/tags/list?last=v1%26x&n=2>; rel=\"next\"");
    }
}
