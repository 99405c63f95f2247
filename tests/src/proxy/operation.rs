//! Which S3 operation a request is, and which kind of key it touches.

use hyper::{Method, Request};
use std::fmt;

/// The S3 operations that a registry uses, by their names in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    GetObject,
    HeadObject,
    HeadBucket,
    PutObject,
    CopyObject,
    DeleteObject,
    DeleteObjects,
    ListObjectsV2,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
    ListMultipartUploads,
    Other,
}

/// What a key holds, by the key layout of the storage protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `a/…`
    Certificate,
    /// `k/…`
    Data,
    /// `b/…`
    Holding,
    /// `r/…/m/…/<n>`
    Body,
    /// `r/…/m/…/<n>.<refs>`
    Seal,
    /// A LIST of `r/…/m/…`, where bodies and seals stand side by side.
    Manifest,
    /// `r/…/t/…`
    TagVersion,
    /// `r/…/c/…`
    ChildLink,
    /// `r/…/f/…`
    Referrer,
    /// `r/…/w/…`
    Watch,
    /// `u/…`
    Upload,
    /// `g/…`
    Note,
    /// `meta/…`
    Meta,
    /// The bucket itself, or nothing of the layout.
    Other,
}

/// A request as the proxy saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub operation: Operation,
    pub kind: Kind,
    /// The key, the prefix of a LIST, or the first key of DeleteObjects.
    pub key: String,
}

/// `PutObject Holding`
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Other => write!(f, "{:?}", self.operation),
            kind => write!(f, "{:?} {kind:?}", self.operation),
        }
    }
}

impl Seen {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
        let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let copies = request.headers().contains_key("x-amz-copy-source");
        // Path-style addresses: /BUCKET/KEY. Keys of the protocol need no escapes.
        let key = request.uri().path().trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
        let has = |name: &str| value(name).is_some();
        let operation = match *request.method() {
            Method::GET if has("list-type") => Operation::ListObjectsV2,
            Method::GET if has("uploads") => Operation::ListMultipartUploads,
            Method::GET if has("uploadId") => Operation::ListParts,
            Method::GET if !key.is_empty() => Operation::GetObject,
            Method::HEAD if key.is_empty() => Operation::HeadBucket,
            Method::HEAD => Operation::HeadObject,
            Method::PUT if has("partNumber") && copies => Operation::UploadPartCopy,
            Method::PUT if has("partNumber") => Operation::UploadPart,
            Method::PUT if copies => Operation::CopyObject,
            Method::PUT if !key.is_empty() => Operation::PutObject,
            Method::POST if has("delete") => Operation::DeleteObjects,
            Method::POST if has("uploads") => Operation::CreateMultipartUpload,
            Method::POST if has("uploadId") => Operation::CompleteMultipartUpload,
            Method::DELETE if has("uploadId") => Operation::AbortMultipartUpload,
            Method::DELETE => Operation::DeleteObject,
            _ => Operation::Other,
        };
        let key = if operation == Operation::ListObjectsV2 { value("prefix").unwrap_or_default() } else { key };
        let kind = match Kind::of(key) {
            Kind::Body | Kind::Seal if operation == Operation::ListObjectsV2 => Kind::Manifest,
            kind => kind,
        };
        Self { operation, kind, key: key.to_owned() }
    }

    /// Takes key and kind from the body of DeleteObjects, whose keys are of one kind.
    pub(super) fn name_first_key(&mut self, body: &str) {
        let first = body.split_once("<Key>").and_then(|(_, rest)| rest.split_once("</Key>"));
        if let Some((key, _)) = first {
            self.kind = Kind::of(key);
            self.key = key.to_owned();
        }
    }
}

impl Kind {
    fn of(key: &str) -> Self {
        let mut segments = key.split('/');
        match segments.next().unwrap_or_default() {
            "a" => Self::Certificate,
            "k" => Self::Data,
            "b" => Self::Holding,
            "u" => Self::Upload,
            "g" => Self::Note,
            "meta" | "stats" => Self::Meta,
            "r" => match segments.nth(1).unwrap_or_default() {
                "m" if segments.nth(1).is_some_and(|instance| instance.contains('.')) => Self::Seal,
                "m" => Self::Body,
                "t" => Self::TagVersion,
                "c" => Self::ChildLink,
                "f" => Self::Referrer,
                "w" => Self::Watch,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn seen(method: &str, uri: &str, copy: bool) -> String {
        let mut request = Request::builder().method(method).uri(uri);
        if copy {
            request = request.header("x-amz-copy-source", "bucket/b/x");
        }
        Seen::of(&request.body(()).unwrap()).to_string()
    }

    #[test]
    fn operations_and_kinds_are_told_apart() {
        let cases = [
            ("PUT", "/bucket/b/sha256/ab/abcd/team!shop!/01.000000?x-id=PutObject", false, "PutObject Holding"),
            ("PUT", "/bucket/b/sha256/ab/abcd/team!shop!/01.000000?x-id=CopyObject", true, "CopyObject Holding"),
            ("GET", "/bucket/?list-type=2&prefix=r%2Fteam!shop!%2Ft%2Fv1!%2F", false, "ListObjectsV2 TagVersion"),
            ("GET", "/bucket?list-type=2&prefix=r%2Fteam!shop!%2Fm%2Fsha256-ab%2F01.", false, "ListObjectsV2 Manifest"),
            ("HEAD", "/bucket/a/xx/01", false, "HeadObject Certificate"),
            ("GET", "/bucket/r/team!shop!/m/sha256-ab/01?x-id=GetObject", false, "GetObject Body"),
            ("PUT", "/bucket/r/team!shop!/m/sha256-ab/01.abcdef", false, "PutObject Seal"),
            ("POST", "/bucket/k/xx/01?uploads", false, "CreateMultipartUpload Data"),
            ("PUT", "/bucket/k/xx/01?partNumber=1&uploadId=7", false, "UploadPart Data"),
            ("POST", "/bucket/k/xx/01?uploadId=7", false, "CompleteMultipartUpload Data"),
            ("DELETE", "/bucket/k/xx/01?uploadId=7", false, "AbortMultipartUpload Data"),
            ("DELETE", "/bucket/g/0001.x", false, "DeleteObject Note"),
            ("POST", "/bucket?delete", false, "DeleteObjects"),
            ("HEAD", "/bucket", false, "HeadBucket"),
        ];
        for (method, uri, copy, expected) in cases {
            assert_eq!(seen(method, uri, copy), expected, "{method} {uri}");
        }
    }
}
