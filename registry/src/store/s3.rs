//! The store in a bucket, by the AWS SDK.
//!
//! Bodies go out from memory, with their length, never as streams: that is the one form every S3 takes. Births are
//! sent once; everything else up to three times. What was answered is told apart by status and code in [`error`].

mod client;
mod error;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::{ByteStream as SdkStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete, MetadataDirective, ObjectIdentifier,
};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http_body_util::BodyExt as _;

use super::key::{check_key, check_prefix};
use super::misconfiguration::Misconfiguration;
use super::{
    ByteRange, Entry, ListQuery, Listing, MultipartId, NewObject, Object, ObjectHead, PartTag, Store, StoreError,
};
pub use client::Connection;
use client::{Endpoint, StoreClock, carrying, completing, copying, once};
use error::Asked;

/// User metadata that flags a retired object.
const RETIRED: &str = "berth-retired";

/// What an object without a media type is stored as; S3 has no objects without.
const NO_TYPE: &str = "application/octet-stream";

/// Deletions at once, where the store takes no batches.
const PARALLEL_DELETIONS: usize = 16;

/// A [`Store`] in a bucket, or in the part of it below a prefix.
#[derive(Clone, Debug)]
pub struct S3Store {
    bucket: Arc<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    client: Client,
    endpoint: Endpoint,
    name: String,
    /// Before every key; empty or with a closing `/`.
    prefix: String,
    /// The store wants a header for batches that went out of use: it gets single deletions.
    refuses_batches: AtomicBool,
}

impl S3Store {
    /// The bucket as the AWS SDK's own variables, files and roles say where it is and with which keys
    /// (`AWS_ENDPOINT_URL_S3`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, …, and `AWS_CA_BUNDLE`).
    ///
    /// `prefix` has no slash at either end. Outside AWS set `AWS_EC2_METADATA_DISABLED=true`, or a missing key is
    /// only noticed when nobody answers as an instance.
    ///
    /// # Errors
    /// [`Misconfiguration`] when no region or no credentials are found; the bucket itself is not asked.
    pub async fn from_environment(bucket: &str, prefix: &str) -> Result<Self, Misconfiguration> {
        Ok(Self::new(client::from_environment(bucket).await?, bucket, prefix))
    }

    /// The bucket at a place and with keys named outright.
    ///
    /// # Errors
    /// [`Misconfiguration::BadCaBundle`] when the certificates given are none.
    pub fn connect(bucket: &str, prefix: &str, connection: Connection) -> Result<Self, Misconfiguration> {
        Ok(Self::new(client::connected(connection)?, bucket, prefix))
    }

    fn new((client, endpoint): (Client, Endpoint), bucket: &str, prefix: &str) -> Self {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let name = bucket.to_owned();
        let bucket = Bucket { client, endpoint, name, prefix, refuses_batches: AtomicBool::new(false) };
        Self { bucket: Arc::new(bucket) }
    }

    /// The key in the bucket.
    fn full(&self, key: &str) -> Result<String, StoreError> {
        let full = format!("{}{key}", self.bucket.prefix);
        check_key(&full)?;
        Ok(full)
    }

    fn asked<'a>(&'a self, key: &'a str) -> Asked<'a> {
        Asked { endpoint: &self.bucket.endpoint, bucket: &self.bucket.name, key }
    }

    async fn write(&self, key: &str, object: NewObject, limits: Builder) -> Result<(), StoreError> {
        let full = self.full(key)?;
        let send = || {
            let request = self
                .bucket
                .client
                .put_object()
                .bucket(&self.bucket.name)
                .key(&full)
                .content_type(object.content_type.as_deref().unwrap_or(NO_TYPE))
                .body(SdkStream::from(object.bytes.clone()))
                .customize()
                .config_override(limits.clone());
            let request = if self.bucket.endpoint.encrypted { request.disable_payload_signing() } else { request };
            request.send()
        };
        client::past_vanished_folders(send).await.map_err(|error| self.asked(key).failed(error))?;
        Ok(())
    }

    /// A copy request. Type and metadata of the source are not taken over.
    fn copy(
        &self,
        from: &str,
        to: &str,
        content_type: Option<&str>,
    ) -> Result<aws_sdk_s3::operation::copy_object::builders::CopyObjectFluentBuilder, StoreError> {
        let source = format!("{}/{}", self.bucket.name, self.full(from)?);
        Ok(self
            .bucket
            .client
            .copy_object()
            .bucket(&self.bucket.name)
            .key(self.full(to)?)
            .copy_source(percent_encoding::utf8_percent_encode(&source, IN_COPY_SOURCE).to_string())
            .metadata_directive(MetadataDirective::Replace)
            .content_type(content_type.unwrap_or(NO_TYPE)))
    }

    async fn head_output(&self, key: &str) -> Result<Option<(HeadObjectOutput, SystemTime)>, StoreError> {
        let clock = StoreClock::default();
        let request = self.bucket.client.head_object().bucket(&self.bucket.name).key(self.full(key)?);
        match request.customize().interceptor(clock.clone()).send().await {
            Ok(output) => Ok(Some((output, clock.time()))),
            Err(error) => absent_is_none(self.asked(key).failed(error)),
        }
    }

    async fn delete_batch(&self, keys: Vec<String>) -> Result<Vec<(String, StoreError)>, StoreError> {
        let mut objects = Vec::with_capacity(keys.len());
        for key in &keys {
            let object = ObjectIdentifier::builder().key(self.full(key)?).build();
            objects.push(object.expect("a key is all that the SDK requires of it"));
        }
        let batch = Delete::builder().set_objects(Some(objects)).build();
        let batch = batch.expect("objects are all that the SDK requires of it");
        let request = self.bucket.client.delete_objects().bucket(&self.bucket.name).delete(batch);
        let output = match request.send().await {
            Ok(output) => output,
            Err(error) if error.code() == Some("MissingContentMD5") => {
                self.bucket.refuses_batches.store(true, Ordering::Relaxed);
                return Ok(self.delete_singly(keys).await);
            }
            Err(error) => return Err(self.asked("").failed(error)),
        };
        let failures = keys.into_iter().filter_map(|key| {
            let full = format!("{}{key}", self.bucket.prefix);
            if let Some(error) = output.errors().iter().find(|error| error.key() == Some(&full)) {
                let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
                let refused = self.asked(&key).refused_in_batch(code, message);
                return Some((key, refused));
            }
            let gone = output.deleted().iter().any(|deleted| deleted.key() == Some(&full));
            // Silence is not success: whoever goes on relies on the key being gone.
            let reason = "the answer to a batch of deletions does not mention the key".to_owned();
            (!gone).then(|| (key.clone(), StoreError::Unavailable { key, reason }))
        });
        Ok(failures.collect())
    }

    async fn delete_singly(&self, keys: Vec<String>) -> Vec<(String, StoreError)> {
        stream::iter(keys)
            .map(|key| async move { self.delete(&key).await.err().map(|error| (key, error)) })
            .buffer_unordered(PARALLEL_DELETIONS)
            .filter_map(|failure| async { failure })
            .collect()
            .await
    }
}

#[async_trait]
impl Store for S3Store {
    async fn birth(&self, key: &str, object: NewObject) -> Result<(), StoreError> {
        let limits = once(carrying(object.bytes.len()));
        self.write(key, object, limits).await
    }

    async fn put(&self, key: &str, object: NewObject) -> Result<(), StoreError> {
        let limits = carrying(object.bytes.len());
        self.write(key, object, limits).await
    }

    async fn copy_new(&self, from: &str, to: &str, content_type: Option<&str>) -> Result<(), StoreError> {
        let request = self.copy(from, to, content_type)?;
        let send = || request.clone().customize().config_override(once(copying())).send();
        client::past_vanished_folders(send).await.map_err(|error| self.asked(from).failed(error))?;
        Ok(())
    }

    /// A HEAD and a copy of the object onto itself: the copy has to repeat whatever it does not mean to drop.
    async fn retire(&self, key: &str) -> Result<(), StoreError> {
        let Some((seen, _)) = self.head_output(key).await? else { return Ok(()) };
        if is_retired(seen.metadata()) {
            return Ok(());
        }
        let request = self
            .copy(key, key, seen.content_type())?
            .metadata(RETIRED, "1")
            .set_storage_class(seen.storage_class)
            .set_server_side_encryption(seen.server_side_encryption)
            .set_ssekms_key_id(seen.ssekms_key_id)
            .set_bucket_key_enabled(seen.bucket_key_enabled);
        match request.customize().config_override(copying()).send().await {
            Ok(_) => Ok(()),
            Err(error) => absent_is_none(self.asked(key).failed(error)).map(|_: Option<()>| ()),
        }
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        let Some((output, store_time)) = self.head_output(key).await? else { return Ok(None) };
        Ok(Some(ObjectHead {
            size: length(key, output.content_length())?,
            content_type: media_type(output.content_type()),
            retired: is_retired(output.metadata()),
            modified: time(key, output.last_modified())?,
            store_time,
        }))
    }

    async fn get(&self, key: &str, range: Option<ByteRange>) -> Result<Option<Object>, StoreError> {
        let clock = StoreClock::default();
        let range = range.map(|range| format!("bytes={}-{}", range.first(), range.last()));
        let request = self.bucket.client.get_object().bucket(&self.bucket.name).key(self.full(key)?).set_range(range);
        let output = match request.customize().interceptor(clock.clone()).send().await {
            Ok(output) => output,
            Err(error) => return absent_is_none(self.asked(key).failed(error)),
        };
        // Of a range, the content's whole length stands behind the slash: `bytes 0-9/1000`.
        let size = match output.content_range().and_then(|it| it.rsplit_once('/')).map(|(_, size)| size.parse()) {
            Some(Ok(size)) => size,
            _ => length(key, output.content_length())?,
        };
        let head = ObjectHead {
            size,
            content_type: media_type(output.content_type()),
            retired: is_retired(output.metadata()),
            modified: time(key, output.last_modified())?,
            store_time: clock.time(),
        };
        let key = key.to_owned();
        // Frames are handed on as they came from the connection.
        let body = output.body.into_inner().into_data_stream().map_err(move |error| StoreError::Unavailable {
            key: key.clone(),
            reason: format!("the connection broke while the object was read: {error}"),
        });
        Ok(Some(Object { head, body: body.boxed() }))
    }

    async fn list(&self, query: ListQuery<'_>) -> Result<Listing, StoreError> {
        check_prefix(query.prefix)?;
        let clock = StoreClock::default();
        let max_keys = query.max_keys.clamp(1, ListQuery::MAX_KEYS);
        let request = self
            .bucket
            .client
            .list_objects_v2()
            .bucket(&self.bucket.name)
            .prefix(format!("{}{}", self.bucket.prefix, query.prefix))
            .set_start_after(query.bound().map(|bound| format!("{}{bound}", self.bucket.prefix)))
            .set_delimiter(query.fold.then(|| "/".to_owned()))
            .max_keys(i32::try_from(max_keys).expect("at most 1000"));
        let sent = request.customize().interceptor(clock.clone()).send().await;
        let output = sent.map_err(|error| self.asked(query.prefix).failed(error))?;
        let ours = |full: &str| full.strip_prefix(&self.bucket.prefix).map(str::to_owned);
        let mut entries = Vec::with_capacity(output.contents().len());
        for object in output.contents() {
            // Consoles and gateways leave objects that stand for folders; they are none of ours.
            let Some(key) = object.key().and_then(ours).filter(|key| !key.is_empty() && !key.ends_with('/')) else {
                continue;
            };
            let size = length(&key, object.size())?;
            let modified = time(&key, object.last_modified())?;
            entries.push(Entry { key, size, stored: size, modified });
        }
        let folders = output.common_prefixes().iter().filter_map(|it| it.prefix().and_then(ours)).collect();
        Ok(Listing { entries, folders, more: output.is_truncated() == Some(true), store_time: clock.time() })
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let request = self.bucket.client.delete_object().bucket(&self.bucket.name).key(self.full(key)?);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => absent_is_none(self.asked(key).failed(error)).map(|_: Option<()>| ()),
        }
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        let mut failures = Vec::new();
        let mut valid = Vec::with_capacity(keys.len());
        for key in keys {
            match self.full(key) {
                Ok(_) => valid.push(key.clone()),
                Err(error) => failures.push((key.clone(), error)),
            }
        }
        if self.bucket.refuses_batches.load(Ordering::Relaxed) {
            failures.extend(self.delete_singly(valid).await);
        } else if !valid.is_empty() {
            failures.extend(self.delete_batch(valid).await?);
        }
        Ok(failures)
    }

    async fn create_multipart(&self, key: &str) -> Result<MultipartId, StoreError> {
        let request = self.bucket.client.create_multipart_upload().bucket(&self.bucket.name).key(self.full(key)?);
        // Parts may carry only the checksum that their upload has named.
        let checksum = self.bucket.endpoint.checksums.then_some(ChecksumAlgorithm::Crc32);
        let request = request.content_type(NO_TYPE).set_checksum_algorithm(checksum);
        let output = request.send().await.map_err(|error| self.asked(key).failed(error))?;
        output.upload_id.map(MultipartId).ok_or_else(|| incomplete(key, "an upload id"))
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &MultipartId,
        number: u16,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        let limits = carrying(bytes.len());
        let request = self
            .bucket
            .client
            .upload_part()
            .bucket(&self.bucket.name)
            .key(self.full(key)?)
            .upload_id(&upload.0)
            .part_number(i32::from(number))
            .body(SdkStream::from(bytes))
            .customize()
            .config_override(limits);
        let request = if self.bucket.endpoint.encrypted { request.disable_payload_signing() } else { request };
        let output = request.send().await.map_err(|error| self.asked(key).failed(error))?;
        let tag = output.e_tag.ok_or_else(|| incomplete(key, "an ETag"))?;
        // AWS wants the checksum again at completion when the part had one.
        Ok(PartTag(match output.checksum_crc32 {
            Some(checksum) => format!("{tag}{CHECKSUM_MARK}{checksum}"),
            None => tag,
        }))
    }

    async fn complete_multipart(
        &self,
        key: &str,
        upload: &MultipartId,
        parts: &[(u16, PartTag)],
    ) -> Result<(), StoreError> {
        let parts = parts.iter().map(|(number, tag)| {
            let (tag, checksum) = match tag.0.split_once(CHECKSUM_MARK) {
                Some((tag, checksum)) => (tag, Some(checksum.to_owned())),
                None => (tag.0.as_str(), None),
            };
            let part = CompletedPart::builder().part_number(i32::from(*number)).e_tag(tag);
            part.set_checksum_crc32(checksum).build()
        });
        let request = self
            .bucket
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket.name)
            .key(self.full(key)?)
            .upload_id(&upload.0)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build())
            .customize()
            .config_override(completing());
        request.send().await.map_err(|error| self.asked(key).failed(error))?;
        Ok(())
    }

    async fn abort_multipart(&self, key: &str, upload: &MultipartId) -> Result<(), StoreError> {
        let request = self.bucket.client.abort_multipart_upload().bucket(&self.bucket.name).key(self.full(key)?);
        match request.upload_id(&upload.0).send().await {
            Ok(_) => Ok(()),
            Err(error) => absent_is_none(self.asked(key).failed(error)).map(|_: Option<()>| ()),
        }
    }

    fn completion_is_trusted(&self) -> bool {
        self.bucket.endpoint.is_aws
    }

    async fn honours_if_none_match(&self, scratch: &str) -> Result<bool, StoreError> {
        self.put(scratch, NewObject::marker()).await?;
        let request = self.bucket.client.put_object().bucket(&self.bucket.name).key(self.full(scratch)?);
        match request.if_none_match("*").send().await {
            Ok(_) => Ok(false),
            // Refusing the header altogether is honest too.
            Err(error) if matches!(status(&error), Some(409 | 412 | 501)) => Ok(true),
            Err(error) => Err(self.asked(scratch).failed(error)),
        }
    }
}

/// Between an ETag and a checksum in a [`PartTag`]; neither contains it.
const CHECKSUM_MARK: &str = " crc32=";

/// Everything but what a URL's path leaves alone.
const IN_COPY_SOURCE: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn absent_is_none<T>(error: StoreError) -> Result<Option<T>, StoreError> {
    match error {
        StoreError::NotFound(_) => Ok(None),
        error => Err(error),
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn is_retired(metadata: Option<&std::collections::HashMap<String, String>>) -> bool {
    metadata.is_some_and(|metadata| metadata.contains_key(RETIRED))
}

fn media_type(content_type: Option<&str>) -> Option<String> {
    content_type.filter(|it| !matches!(*it, NO_TYPE | "binary/octet-stream")).map(str::to_owned)
}

fn length(key: &str, length: Option<i64>) -> Result<u64, StoreError> {
    length.and_then(|length| u64::try_from(length).ok()).ok_or_else(|| incomplete(key, "a length"))
}

fn time(key: &str, time: Option<&DateTime>) -> Result<SystemTime, StoreError> {
    time.and_then(|time| SystemTime::try_from(*time).ok()).ok_or_else(|| incomplete(key, "a modification time"))
}

fn incomplete(key: &str, lacks: &str) -> StoreError {
    StoreError::Other { key: key.to_owned(), source: format!("the store's answer lacks {lacks}").into() }
}
