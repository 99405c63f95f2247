//! Where a store is, as the command line says it (DESIGN §7).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::directory::{DirectoryError, DirectoryStore};
use super::key::check_key;
use super::s3::S3Store;
use super::{Misconfiguration, Store};

/// Longest prefix in bytes; the longest key below it has about 700 of S3's 1024.
const MAX_PREFIX: usize = 300;

/// Where the data is: `dir:PATH` or `s3://BUCKET[/PREFIX]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageUrl {
    /// A folder of this machine; created when it does not exist.
    Directory(PathBuf),
    /// A bucket, or the part of it below `prefix` (without leading or trailing slash; empty for all of it).
    S3 { bucket: String, prefix: String },
}

impl FromStr for StorageUrl {
    type Err = StorageUrlError;

    fn from_str(text: &str) -> Result<Self, StorageUrlError> {
        let error = || StorageUrlError(text.to_owned());
        if let Some(path) = text.strip_prefix("dir:") {
            return if path.is_empty() { Err(error()) } else { Ok(Self::Directory(PathBuf::from(path))) };
        }
        let rest = text.strip_prefix("s3://").ok_or_else(error)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let named = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        // What leads to every key has to follow the rules of keys and leave room for them.
        let leads_to_keys = prefix.is_empty() || check_key(prefix).is_ok() && prefix.len() <= MAX_PREFIX;
        if !named || !leads_to_keys {
            return Err(error());
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// A text that names no storage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a storage: write dir:PATH for a folder or s3://BUCKET[/PREFIX] for a bucket")]
pub struct StorageUrlError(String);

/// Why a store cannot be opened. All of it is configuration: nothing gets better by trying again.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Bucket(#[from] Misconfiguration),
}

impl StorageUrl {
    /// Opens the store. A directory is made if it is missing; of a bucket nothing is asked yet (see
    /// [`probe`](super::probe)). Endpoint, region and credentials come from the AWS SDK's own variables.
    ///
    /// # Errors
    /// [`OpenError`], whose text says what to do.
    pub async fn open(&self) -> Result<Arc<dyn Store>, OpenError> {
        Ok(match self {
            Self::Directory(path) => {
                let path = path.clone();
                // Opening makes folders and syncs them.
                let opened = tokio::task::spawn_blocking(move || DirectoryStore::open(&path)).await;
                Arc::new(opened.expect("opening a directory does not panic")?)
            }
            Self::S3 { bucket, prefix } => Arc::new(S3Store::from_environment(bucket, prefix).await?),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn storage_urls_name_a_folder_or_a_bucket() {
        for (text, written) in [
            ("dir:data", "dir:data"),
            ("dir:/var/lib/berth", "dir:/var/lib/berth"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ] {
            assert_eq!(text.parse::<StorageUrl>().unwrap().to_string(), written, "{text}");
        }
        let long = format!("s3://bucket/{}", ["x".repeat(150), "y".repeat(150)].join("/"));
        for text in [
            "",
            "data",
            "dir:",
            "s3://",
            "s3:///x",
            "s3:bucket",
            "s3://my bucket",
            "s3://bucket/../x",
            "s3://bucket/a//b",
            "s3://bucket/.a",
            "file:///x",
            &long,
        ] {
            let error = text.parse::<StorageUrl>().unwrap_err().to_string();
            assert!(error.contains("dir:PATH"), "{text}: {error}");
        }
    }
}
