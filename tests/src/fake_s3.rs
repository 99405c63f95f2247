//! A server that speaks just enough S3 to be wrong about it: every defect that the registry must notice, on demand.
//!
//! What lies in it is a [`MemoryStore`]. For everything but defects take a real server.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use berth_registry::store::memory::MemoryStore;
use berth_registry::store::{
    ByteRange, ListQuery, Listing, MultipartId, NewObject, ObjectHead, PartTag, Store, StoreError, read_all,
};
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// What a server can be wrong about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// 403 to every PutObject.
    DeniesPut,
    /// 200 to DeleteObjects, with AccessDenied for every key.
    DeniesDelete,
    /// 403 to every LIST.
    DeniesList,
    /// 403 to every GET and HEAD, also of absent keys.
    DeniesGet,
    /// 403 RequestTimeTooSkewed to everything.
    RefusesOurClock,
    /// Looks at no signature, and its clock is 20 minutes ahead.
    ClockAhead,
    /// Says that the bucket is in another region.
    OtherRegion,
    /// Answers every request with a page for people.
    IsAWebPage,
    /// LIST answers backwards.
    ListsBackwards,
    /// LIST ignores `start-after`.
    ListsFromTheBeginning,
    /// LIST answers as of before the last writes.
    ListsLate,
    /// LIST still shows what was deleted.
    ListsTheDeleted,
    /// CompleteMultipartUpload uses the parts it has, whatever ETags are named.
    CompletesAnyParts,
    /// CopyObject keeps the metadata of the source.
    CopiesMetadata,
    /// CopyObject is not there.
    NoCopy,
    /// PutObject overwrites in spite of `If-None-Match: *`.
    IgnoresConditions,
    /// DeleteObjects wants a Content-MD5.
    WantsContentMd5,
    /// DeleteObjects answers 200 and mentions no key.
    SaysNothingOfDeletions,
    /// CompleteMultipartUpload answers 200 with an error inside.
    FailsCompletionLate,
    /// An object is cut off in the middle of its bytes.
    BreaksBodies,
}

/// The requests of one kind that fail next.
#[derive(Debug)]
struct Failing {
    operation: &'static str,
    times: usize,
    status: u16,
    code: &'static str,
}

/// A running fake. Dropping it closes it.
#[derive(Debug)]
pub struct FakeS3 {
    address: String,
    state: Arc<State>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct State {
    store: MemoryStore,
    defects: Vec<Defect>,
    failing: Mutex<Vec<Failing>>,
    seen: Mutex<BTreeMap<&'static str, usize>>,
    headers: Mutex<BTreeMap<&'static str, HeaderMap>>,
    /// What a late LIST answers from.
    earlier: Mutex<Vec<String>>,
}

impl FakeS3 {
    /// Starts a server with one bucket, `images`, and these defects.
    pub async fn start(defects: &[Defect]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            store: MemoryStore::new(),
            defects: defects.to_vec(),
            failing: Mutex::default(),
            seen: Mutex::default(),
            headers: Mutex::default(),
            earlier: Mutex::default(),
        });
        let served = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&served);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, Infallible>(state.answer(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, state, accepting: accepting.abort_handle() }
    }

    /// The endpoint, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next requests of an operation (`PutObject`, …) fail with this status and code, before any effect.
    pub fn fail(&self, operation: &'static str, times: usize, status: u16, code: &'static str) {
        self.state.failing.lock().unwrap().push(Failing { operation, times, status, code });
    }

    /// How often each operation was asked for since the last call.
    pub fn take_seen(&self) -> BTreeMap<&'static str, usize> {
        std::mem::take(&mut self.state.seen.lock().unwrap())
    }

    /// The headers of the last request of an operation.
    pub fn headers_of(&self, operation: &str) -> HeaderMap {
        self.state.headers.lock().unwrap().get(operation).cloned().unwrap_or_default()
    }

    /// What lies in the bucket, to look behind the client's back.
    pub fn store(&self) -> &MemoryStore {
        &self.state.store
    }
}

impl Drop for FakeS3 {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A request, taken apart.
struct Asked {
    operation: &'static str,
    key: String,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    async fn read(request: Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(head.uri.query().unwrap_or("").as_bytes()).into_owned().collect();
        let path = decode(head.uri.path());
        let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key).to_owned();
        let has = |name| query.contains_key(name);
        let operation = match head.method {
            Method::GET if key.is_empty() => "ListObjectsV2",
            Method::GET => "GetObject",
            Method::HEAD => "HeadObject",
            Method::PUT if head.headers.contains_key("x-amz-copy-source") => "CopyObject",
            Method::PUT if has("partNumber") => "UploadPart",
            Method::PUT => "PutObject",
            Method::POST if has("delete") => "DeleteObjects",
            Method::POST if has("uploads") => "CreateMultipartUpload",
            Method::POST => "CompleteMultipartUpload",
            Method::DELETE if has("uploadId") => "AbortMultipartUpload",
            _ => "DeleteObject",
        };
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Self { operation, key, query, headers: head.headers, body }
    }
}

type Answer = Response<BoxBody<Bytes, std::io::Error>>;

impl State {
    fn has(&self, defect: Defect) -> bool {
        self.defects.contains(&defect)
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let asked = Asked::read(request).await;
        *self.seen.lock().unwrap().entry(asked.operation).or_default() += 1;
        self.headers.lock().unwrap().insert(asked.operation, asked.headers.clone());
        let mut answer = match self.refusal(&asked) {
            Some(answer) => answer,
            None => self.obey(&asked).await.unwrap_or_else(|error| refuse_as(&error)),
        };
        if self.has(Defect::IsAWebPage) {
            return answer;
        }
        let ahead = if self.has(Defect::ClockAhead) { Duration::from_secs(20 * 60) } else { Duration::ZERO };
        answer.headers_mut().insert("x-amz-request-id", "fake".parse().unwrap());
        answer.headers_mut().insert("date", http_date(SystemTime::now() + ahead).parse().unwrap());
        answer
    }

    fn refusal(&self, asked: &Asked) -> Option<Answer> {
        let mut failing = self.failing.lock().unwrap();
        if let Some(fault) = failing.iter_mut().find(|it| it.operation == asked.operation && it.times > 0) {
            fault.times -= 1;
            return Some(refuse(fault.status, fault.code));
        }
        let denied = match asked.operation {
            "PutObject" => self.has(Defect::DeniesPut),
            "ListObjectsV2" => self.has(Defect::DeniesList),
            "GetObject" | "HeadObject" => self.has(Defect::DeniesGet),
            _ => false,
        };
        if self.has(Defect::IsAWebPage) {
            let page = whole("<!DOCTYPE html><html><body>Welcome</body></html>");
            return Some(Response::builder().header("content-type", "text/html").body(page).unwrap());
        }
        if self.has(Defect::RefusesOurClock) {
            return Some(refuse(403, "RequestTimeTooSkewed"));
        }
        if self.has(Defect::OtherRegion) {
            let mut answer = refuse(301, "PermanentRedirect");
            answer.headers_mut().insert("x-amz-bucket-region", "eu-north-1".parse().unwrap());
            return Some(answer);
        }
        denied.then(|| refuse(403, "AccessDenied"))
    }

    async fn obey(&self, asked: &Asked) -> Result<Answer, StoreError> {
        let store = &self.store;
        let upload = MultipartId(asked.query("uploadId").to_owned());
        match asked.operation {
            "ListObjectsV2" => self.list(asked).await,
            "GetObject" | "HeadObject" => self.read(asked).await,
            "PutObject" => {
                let exists = store.head(&asked.key).await?.is_some();
                if exists && asked.headers.contains_key("if-none-match") && !self.has(Defect::IgnoresConditions) {
                    return Ok(refuse(412, "PreconditionFailed"));
                }
                let content_type = asked.header("content-type").map(str::to_owned);
                store.put(&asked.key, NewObject { bytes: asked.body.clone(), content_type }).await?;
                Ok(xml(""))
            }
            "CopyObject" => self.copy(asked).await,
            "DeleteObject" => store.delete(&asked.key).await.map(|()| status(204)),
            "DeleteObjects" => self.delete_many(asked).await,
            "CreateMultipartUpload" => {
                let upload = store.create_multipart(&asked.key).await?;
                Ok(xml(&format!(
                    "<InitiateMultipartUploadResult><UploadId>{}</UploadId></InitiateMultipartUploadResult>",
                    upload.0
                )))
            }
            "UploadPart" => {
                let number = asked.query("partNumber").parse().unwrap();
                let tag = store.upload_part(&asked.key, &upload, number, asked.body.clone()).await?;
                let mut answer = status(200);
                answer.headers_mut().insert("etag", format!("\"{}\"", tag.0).parse().unwrap());
                Ok(answer)
            }
            "CompleteMultipartUpload" => self.complete(asked, &upload).await,
            _ => store.abort_multipart(&asked.key, &upload).await.map(|()| status(204)),
        }
    }

    async fn list(&self, asked: &Asked) -> Result<Answer, StoreError> {
        let after = Some(asked.query("start-after")).filter(|_| !self.has(Defect::ListsFromTheBeginning));
        let query = ListQuery {
            prefix: asked.query("prefix"),
            start_after: after.filter(|it| !it.is_empty()),
            max_keys: asked.query("max-keys").parse().unwrap_or(1000),
            fold: !asked.query("delimiter").is_empty(),
        };
        let mut listing: Listing = self.store.list(query).await?;
        if self.has(Defect::ListsBackwards) {
            listing.entries.reverse();
        }
        let now: Vec<String> = listing.entries.iter().map(|entry| entry.key.clone()).collect();
        let earlier = std::mem::replace(&mut *self.earlier.lock().unwrap(), now);
        let shown: Vec<(String, u64)> = if self.has(Defect::ListsTheDeleted) && listing.entries.is_empty() {
            earlier.into_iter().map(|key| (key, 0)).collect()
        } else {
            let late = self.has(Defect::ListsLate);
            let entries = listing.entries.iter().filter(|entry| !late || earlier.contains(&entry.key));
            entries.map(|entry| (entry.key.clone(), entry.size)).collect()
        };
        let mut body = format!("<ListBucketResult><IsTruncated>{}</IsTruncated>", listing.more);
        for (key, size) in shown {
            let _ = write!(
                body,
                "<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
            );
        }
        for folder in &listing.folders {
            let _ = write!(body, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>");
        }
        Ok(xml(&(body + "</ListBucketResult>")))
    }

    async fn read(&self, asked: &Asked) -> Result<Answer, StoreError> {
        let range = asked.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let range = range.and_then(|(first, last)| ByteRange::new(first.parse().ok()?, last.parse().ok()?));
        let Some(object) = self.store.get(&asked.key, range).await? else {
            return Ok(refuse(404, "NoSuchKey"));
        };
        let head = object.head;
        let bytes = read_all(object.body).await?;
        let mut answer = Response::builder().status(if range.is_some() { 206 } else { 200 });
        if let Some(range) = range {
            let last = range.first() + bytes.len() as u64 - 1;
            answer = answer.header("content-range", format!("bytes {}-{last}/{}", range.first(), head.size));
        }
        let answer = describe(answer, &head);
        if asked.operation == "HeadObject" {
            return Ok(answer.header("content-length", head.size).body(whole("")).unwrap());
        }
        if self.has(Defect::BreaksBodies) {
            let half = Ok(Frame::data(bytes.slice(..bytes.len() / 2)));
            // What was sent reaches the client before the connection ends.
            let end = stream::once(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(std::io::Error::other("as told"))
            });
            let body = BodyExt::boxed(StreamBody::new(stream::iter([half]).chain(end)));
            return Ok(answer.header("content-length", bytes.len()).body(body).unwrap());
        }
        Ok(answer.body(whole(bytes)).unwrap())
    }

    async fn copy(&self, asked: &Asked) -> Result<Answer, StoreError> {
        if self.has(Defect::NoCopy) {
            return Ok(refuse(501, "NotImplemented"));
        }
        let source = decode(asked.header("x-amz-copy-source").unwrap_or(""));
        let from = source.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
        let Some(read) = self.store.get(from, None).await? else { return Ok(refuse(404, "NoSuchKey")) };
        let was_retired = read.head.retired;
        let flagged = asked.headers.contains_key("x-amz-meta-berth-retired");
        let content_type = asked.header("content-type");
        if from != asked.key {
            self.store.copy_new(from, &asked.key, content_type).await?;
        }
        if if self.has(Defect::CopiesMetadata) { was_retired } else { flagged } {
            self.store.retire(&asked.key).await?;
        }
        Ok(xml("<CopyObjectResult><ETag>x</ETag></CopyObjectResult>"))
    }

    async fn delete_many(&self, asked: &Asked) -> Result<Answer, StoreError> {
        if self.has(Defect::WantsContentMd5) {
            return Ok(refuse(400, "MissingContentMD5"));
        }
        let text = String::from_utf8_lossy(&asked.body).into_owned();
        let mut body = String::from("<DeleteResult>");
        for key in inside(&text, "Key") {
            if self.has(Defect::DeniesDelete) {
                let _ = write!(body, "<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>no</Message></Error>");
                continue;
            }
            self.store.delete(key).await?;
            if !self.has(Defect::SaysNothingOfDeletions) {
                let _ = write!(body, "<Deleted><Key>{key}</Key></Deleted>");
            }
        }
        Ok(xml(&(body + "</DeleteResult>")))
    }

    async fn complete(&self, asked: &Asked, upload: &MultipartId) -> Result<Answer, StoreError> {
        if self.has(Defect::FailsCompletionLate) {
            return Ok(xml("<Error><Code>InternalError</Code><Message>late</Message></Error>"));
        }
        let text = String::from_utf8_lossy(&asked.body).replace("&quot;", "\"");
        let numbers = inside(&text, "PartNumber").map(|number| number.parse().unwrap());
        let tags = inside(&text, "ETag").map(|tag| PartTag(tag.trim_matches('"').to_owned()));
        let parts: Vec<(u16, PartTag)> = numbers.zip(tags).collect();
        match self.store.complete_multipart(&asked.key, upload, &parts).await {
            Err(StoreError::InvalidPart(_)) if self.has(Defect::CompletesAnyParts) => {
                self.store.put(&asked.key, NewObject::bytes("mixed")).await?;
            }
            completed => completed?,
        }
        Ok(xml("<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"))
    }
}

fn whole(body: impl Into<Bytes>) -> BoxBody<Bytes, std::io::Error> {
    Full::new(body.into()).map_err(|never| match never {}).boxed()
}

fn describe(answer: http::response::Builder, head: &ObjectHead) -> http::response::Builder {
    let mut answer = answer.header("last-modified", http_date(head.modified));
    if let Some(content_type) = &head.content_type {
        answer = answer.header("content-type", content_type);
    }
    if head.retired { answer.header("x-amz-meta-berth-retired", "1") } else { answer }
}

/// The texts between `<name>` and `</name>`.
fn inside<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let pieces: Vec<&str> = text.split(open.as_str()).skip(1).collect();
    pieces.into_iter().filter_map(move |piece| piece.split(close.as_str()).next())
}

fn refuse_as(error: &StoreError) -> Answer {
    match error {
        StoreError::NotFound(what) if what.contains("upload") => refuse(404, "NoSuchUpload"),
        StoreError::NotFound(_) => refuse(404, "NoSuchKey"),
        StoreError::InvalidPart(_) => refuse(400, "InvalidPart"),
        StoreError::Invalid { .. } => refuse(416, "InvalidRange"),
        other => panic!("the fake's own store fails: {other}"),
    }
}

fn refuse(status: u16, code: &str) -> Answer {
    let mut answer = xml(&format!("<Error><Code>{code}</Code><Message>as told</Message></Error>"));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

fn xml(body: &str) -> Answer {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}");
    let text = if body.is_empty() { String::new() } else { text };
    Response::builder().header("content-type", "application/xml").body(whole(text)).unwrap()
}

fn status(status: u16) -> Answer {
    Response::builder().status(status).body(whole("")).unwrap()
}

fn http_date(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn decode(text: &str) -> String {
    // A plus sign means itself in a path.
    let pair = format!("key={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
