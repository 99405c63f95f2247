//! Byte ranges: what a client wants to read (`Range`) and where a chunk belongs (`Content-Range`).

use http::HeaderMap;
use http::header::{CONTENT_RANGE, IF_RANGE, RANGE};

use crate::storage::{ChunkRange, RangeRequest};

/// What the `Range` header of a GET asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, several ranges, another unit or nonsense, which RFC 9110 §14.2 lets a server ignore.
    Whole,
    Part(RangeRequest),
    /// A single range that no content can satisfy, such as `500-0` or `-0`: 416.
    Impossible,
}

/// Reads `Range` and `If-Range`; `etag` is the quoted one of the content.
pub(super) fn wanted(headers: &HeaderMap, etag: &str) -> Wanted {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let Some(range) = text(RANGE) else { return Wanted::Whole };
    if text(IF_RANGE).is_some_and(|condition| condition.trim() != etag) {
        return Wanted::Whole;
    }
    let Some(range) = range.trim().strip_prefix("bytes=") else { return Wanted::Whole };
    let Some((first, last)) = range.split_once('-') else { return Wanted::Whole };
    match (number(first), number(last)) {
        (Field::Number(first), Field::Number(last)) if first > last => Wanted::Impossible,
        (Field::Number(first), Field::Number(last)) => Wanted::Part(RangeRequest::From { first, last: Some(last) }),
        (Field::Number(first), Field::Absent) => Wanted::Part(RangeRequest::From { first, last: None }),
        (Field::Absent, Field::Number(0)) => Wanted::Impossible,
        (Field::Absent, Field::Number(length)) => Wanted::Part(RangeRequest::Suffix { length }),
        _ => Wanted::Whole,
    }
}

/// Reads the `Content-Range` of a chunk: `first-last` as the distribution-spec writes it; the HTTP form
/// `bytes first-last/…` is understood as well.
///
/// # Errors
/// A sentence for the client when the header is there and says anything else.
pub(super) fn chunk(headers: &HeaderMap) -> Result<Option<ChunkRange>, String> {
    let Some(value) = headers.get(CONTENT_RANGE) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let numbers = text.strip_prefix("bytes").unwrap_or(text).trim_start_matches([' ', '=']);
    let numbers = numbers.split('/').next().unwrap_or_default();
    if let Some((first, last)) = numbers.split_once('-')
        && let (Field::Number(first), Field::Number(last)) = (number(first), number(last))
        && first <= last
    {
        return Ok(Some(ChunkRange { first, last }));
    }
    Err(format!("the Content-Range \"{text}\" is not <first byte>-<last byte>, such as 0-1023"))
}

#[derive(Clone, Copy)]
enum Field {
    Absent,
    Number(u64),
    Nonsense,
}

/// Digits only; a number beyond 64 bits lies behind the end of everything, so it may as well be the largest.
fn number(text: &str) -> Field {
    let text = text.trim();
    if text.is_empty() {
        Field::Absent
    } else if text.bytes().all(|b| b.is_ascii_digit()) {
        Field::Number(text.parse().unwrap_or(u64::MAX))
    } else {
        Field::Nonsense
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_range_header_asks_for_a_part_or_for_all_of_it() {
        let from = |first, last| Wanted::Part(RangeRequest::From { first, last });
        for (range, expected) in [
            ("bytes=0-0", from(0, Some(0))),
            ("bytes=5-", from(5, None)),
            ("bytes= 5 - 9 ", from(5, Some(9))),
            ("bytes=0-99999999999999999999999", from(0, Some(u64::MAX))),
            ("bytes=-7", Wanted::Part(RangeRequest::Suffix { length: 7 })),
            ("bytes=500-0", Wanted::Impossible),
            ("bytes=-0", Wanted::Impossible),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=--1", Wanted::Whole),
            ("bytes=1", Wanted::Whole),
            ("bytes 0-1", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(wanted(&headers(&[(RANGE, range)]), "\"e\""), expected, "{range}");
        }
        assert_eq!(wanted(&HeaderMap::new(), "\"e\""), Wanted::Whole);
    }

    #[test]
    fn a_part_of_another_content_is_never_sent() {
        let part = Wanted::Part(RangeRequest::From { first: 5, last: None });
        for (condition, expected) in [("\"e\"", part), ("\"other\"", Wanted::Whole), ("W/\"e\"", Wanted::Whole)] {
            assert_eq!(wanted(&headers(&[(RANGE, "bytes=5-"), (IF_RANGE, condition)]), "\"e\""), expected);
        }
    }

    #[test]
    fn a_chunk_says_where_it_belongs() {
        assert_eq!(chunk(&HeaderMap::new()), Ok(None));
        for text in ["3-9", "bytes 3-9/*", "bytes 3-9/10", "bytes=3-9", " 3-9 "] {
            assert_eq!(chunk(&headers(&[(CONTENT_RANGE, text)])), Ok(Some(ChunkRange { first: 3, last: 9 })), "{text}");
        }
        for text in ["", "3", "9-3", "-3", "3-", "a-b", "bytes */10", "3--9", "3-9-12"] {
            let error = chunk(&headers(&[(CONTENT_RANGE, text)])).unwrap_err();
            assert!(error.contains("<first byte>-<last byte>"), "{text}: {error}");
        }
    }
}
