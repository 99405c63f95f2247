//! A real S3 server on loopback, with its data in a folder that goes with it.
//!
//! versitygw by default: small, strict about keys. MinIO on demand (`BERTH_S3=minio`): another reading of the same API.

use crate::process::{PATIENCE, Process};
use crate::tools::Built;
use anyhow::{Context as _, bail};
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use std::net::TcpListener;
use tempfile::TempDir;
use tokio::process::Command;

/// The key pair of the server's only account.
pub const ACCESS_KEY: &str = "berth-tests";
/// See [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "berth-tests-secret";
/// The region the server believes to be in.
pub const REGION: &str = "us-east-1";

/// A running S3 server. Dropping it kills it and deletes its data.
#[derive(Debug)]
pub struct S3Server {
    process: Process,
    address: String,
    _data: TempDir,
}

impl S3Server {
    /// Starts the server that `BERTH_S3` names on a free port.
    ///
    /// # Errors
    /// Its program is missing (`make tools`), or it does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        match std::env::var("BERTH_S3").as_deref() {
            Err(_) | Ok("" | "versitygw") => Self::start_as(Built::Versitygw).await,
            Ok("minio") => Self::start_as(Built::Minio).await,
            Ok(other) => bail!("BERTH_S3={other}: the S3 servers for tests are versitygw and minio"),
        }
    }

    async fn start_as(kind: Built) -> anyhow::Result<Self> {
        let program = kind.path()?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let data = TempDir::with_prefix("berth-s3-")?;
            // Neither server tells which port it took if asked for any, so a free one is looked up first. Somebody else
            // may take it in between: then the server ends, and another port is tried.
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
            let mut command = Command::new(&program);
            match kind {
                Built::Minio => command
                    .env("MINIO_ROOT_USER", ACCESS_KEY)
                    .env("MINIO_ROOT_PASSWORD", SECRET_KEY)
                    .envs([("MINIO_BROWSER", "off"), ("MINIO_UPDATE", "off")])
                    .arg("server")
                    .arg(data.path())
                    .args(["--address", &address]),
                _ => command
                    .env("ROOT_ACCESS_KEY", ACCESS_KEY)
                    .env("ROOT_SECRET_KEY", SECRET_KEY)
                    .args(["--region", REGION, "--port", &address, "--quiet", "posix"])
                    .arg(data.path()),
            };
            let process = Process::start("the S3 server", command)?;
            let mut server = Self { process, address, _data: data };
            match server.wait_until_ready().await {
                Ok(()) => return Ok(server),
                Err(error) if attempts == 5 => return Err(error),
                Err(_) => {}
            }
        }
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = std::time::Instant::now() + PATIENCE;
        let client = self.client();
        while client.list_buckets().send().await.is_err() {
            if self.process.ended() || std::time::Instant::now() > deadline {
                bail!("the S3 server did not come up at {}:\n{}", self.address, self.process.printed());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The endpoint, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An S3 client of the server, for looking behind the registry's back.
    pub fn client(&self) -> aws_sdk_s3::Client {
        client_of(&self.endpoint())
    }

    /// Creates a bucket and returns its name.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn create_bucket(&self, name: &str) -> anyhow::Result<String> {
        self.client().create_bucket().bucket(name).send().await.with_context(|| format!("cannot create {name}"))?;
        Ok(name.to_owned())
    }

    /// Every key of a bucket with the size of its content in bytes, in byte order.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn list(&self, bucket: &str) -> anyhow::Result<Vec<(String, u64)>> {
        let client = self.client();
        let mut pages = client.list_objects_v2().bucket(bucket).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            for object in page?.contents.unwrap_or_default() {
                let size = u64::try_from(object.size.unwrap_or_default())?;
                keys.push((object.key.context("an object without a key")?, size));
            }
        }
        keys.sort();
        Ok(keys)
    }

    /// The content of an object.
    ///
    /// # Errors
    /// The server refuses, or there is no such key.
    pub async fn read(&self, bucket: &str, key: &str) -> anyhow::Result<bytes::Bytes> {
        let object = self.client().get_object().bucket(bucket).key(key).send().await;
        let object = object.with_context(|| format!("cannot read {key}"))?;
        Ok(object.body.collect().await?.into_bytes())
    }
}

/// An S3 client of any endpoint, with the account of [`S3Server`].
pub fn client_of(endpoint: &str) -> aws_sdk_s3::Client {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "tests"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .http_client(http)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// The variables by which a registry, or any program on an AWS SDK, finds the server at `endpoint`.
pub fn environment(endpoint: &str) -> [(&'static str, String); 5] {
    [
        ("AWS_ENDPOINT_URL_S3", endpoint.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        // The SDK would otherwise ask a link-local address for credentials when these are not enough.
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}
