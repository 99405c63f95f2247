//! A client of the Distribution API that pushes and pulls in every way the specification knows.
//!
//! Written from the specification, apart from the registry's own client, so that one mistake cannot hide in both.

use crate::images::{Content, Image, digest_of};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Body, Method, RequestBuilder, StatusCode, Url};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A client of one registry, as one user or as nobody.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    login: Option<(String, String)>,
    /// Tokens by scope. They live for minutes; a test's client lives shorter or asks for [`Self::forget_tokens`].
    tokens: Arc<Mutex<HashMap<String, Option<String>>>>,
}

/// What the registry answered, to its last byte.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    what: String,
}

impl Answer {
    /// The answer, if it has this status.
    ///
    /// # Errors
    /// It has another; the message holds the request and the body.
    pub fn expect(self, status: StatusCode) -> anyhow::Result<Self> {
        if self.status != status {
            bail!("{}: {} instead of {status}: {}", self.what, self.status, String::from_utf8_lossy(&self.body));
        }
        Ok(self)
    }

    /// A header, or nothing if it is absent or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{}: no JSON: {}", self.what, String::from_utf8_lossy(&self.body)))
    }

    /// The first error code of an error body, such as `NAME_UNKNOWN`.
    pub fn error_code(&self) -> Option<String> {
        Some(self.json().ok()?["errors"][0]["code"].as_str()?.to_owned())
    }
}

impl Client {
    /// A client of the registry at `url` without credentials.
    ///
    /// # Errors
    /// `url` is none.
    pub fn anonymous(url: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { http, base: url.parse()?, login: None, tokens: Arc::default() })
    }

    /// A client of the registry at `url` that logs in.
    ///
    /// # Errors
    /// `url` is none.
    pub fn with_login(url: &str, user: &str, password: &str) -> anyhow::Result<Self> {
        let login = Some((user.to_owned(), password.to_owned()));
        Ok(Self { login, ..Self::anonymous(url)? })
    }

    /// The address of the registry.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Drops every token, so that the next request asks for a new one.
    pub fn forget_tokens(&self) {
        self.tokens.lock().expect("no holder of this lock panics").clear();
    }

    /// A request below the base address, with a token for `scope` where the registry asks for one.
    ///
    /// # Errors
    /// The token cannot be had.
    pub async fn request(&self, method: Method, path: &str, scope: &str) -> anyhow::Result<RequestBuilder> {
        let request = self.http.request(method, self.base.join(path)?);
        Ok(match self.token(scope).await? {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// There is none.
    pub async fn send(&self, request: RequestBuilder) -> anyhow::Result<Answer> {
        let request = request.build()?;
        let what = format!("{} {}", request.method(), request.url());
        let response = self.http.execute(request).await.with_context(|| what.clone())?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.with_context(|| format!("{what}: reading the answer"))?;
        Ok(Answer { status, headers, body, what })
    }

    /// A token for `scope`, by the challenge of `/v2/`; none if the registry does not challenge.
    ///
    /// # Errors
    /// The challenge is not understood, or the token is refused.
    pub async fn token(&self, scope: &str) -> anyhow::Result<Option<String>> {
        if let Some(token) = self.tokens.lock().expect("no holder of this lock panics").get(scope) {
            return Ok(token.clone());
        }
        let ping = self.send(self.http.get(self.base.join("/v2/")?)).await?;
        let token = match ping.header("www-authenticate") {
            None => None,
            Some(challenge) => Some(self.fetch_token(challenge, scope).await?),
        };
        self.tokens.lock().expect("no holder of this lock panics").insert(scope.to_owned(), token.clone());
        Ok(token)
    }

    async fn fetch_token(&self, challenge: &str, scope: &str) -> anyhow::Result<String> {
        let field = |name: &str| challenge.split_once(&format!("{name}=\""))?.1.split_once('"').map(|(value, _)| value);
        let mut url: Url =
            field("realm").with_context(|| format!("a challenge without realm: {challenge}"))?.parse()?;
        for (name, value) in [("service", field("service")), ("scope", Some(scope).filter(|scope| !scope.is_empty()))] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let mut request = self.http.get(url);
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user, Some(password));
        }
        let answer = self.send(request).await?.expect(StatusCode::OK)?.json()?;
        let token = answer["token"].as_str().or_else(|| answer["access_token"].as_str());
        Ok(token.context("a token answer without token")?.to_owned())
    }

    // ---- blobs ----

    /// POST: opens an upload session and returns its Location.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn open_upload(&self, image: &str) -> anyhow::Result<Url> {
        let request = self.request(Method::POST, &format!("/v2/{image}/blobs/uploads/"), &pushing(image)).await?;
        let answer = self.send(request.header(CONTENT_LENGTH, 0)).await?.expect(StatusCode::ACCEPTED)?;
        self.location(&answer)
    }

    /// PATCH with a body, and with a Content-Range if the offset is given. Returns the next Location.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn patch(&self, image: &str, to: &Url, body: Body, range: Option<(u64, u64)>) -> anyhow::Result<Url> {
        let mut request = self.request(Method::PATCH, to.as_str(), &pushing(image)).await?;
        request = request.header(CONTENT_TYPE, "application/octet-stream");
        if let Some((first, length)) = range {
            request =
                request.header(CONTENT_RANGE, format!("{first}-{}", first + length - 1)).header(CONTENT_LENGTH, length);
        }
        let answer = self.send(request.body(body)).await?.expect(StatusCode::ACCEPTED)?;
        self.location(&answer)
    }

    /// PUT: closes an upload under this digest, with a last body.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn close_upload(&self, image: &str, to: &Url, digest: &str, body: Body) -> anyhow::Result<()> {
        let mut to = to.clone();
        to.query_pairs_mut().append_pair("digest", digest);
        let request = self.request(Method::PUT, to.as_str(), &pushing(image)).await?;
        let answer = self.send(request.header(CONTENT_TYPE, "application/octet-stream").body(body)).await?;
        let answer = answer.expect(StatusCode::CREATED)?;
        anyhow::ensure!(
            answer.header("docker-content-digest") == Some(digest),
            "{} answered the digest {:?} instead of {digest}",
            answer.what,
            answer.header("docker-content-digest")
        );
        Ok(())
    }

    /// POST, then PUT with everything.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn push_blob_at_once(&self, image: &str, blob: &Content) -> anyhow::Result<()> {
        let location = self.open_upload(image).await?;
        self.close_upload(image, &location, &blob.digest, blob.bytes.clone().into()).await
    }

    /// As docker does: POST, one streamed PATCH without a length or range, PUT without a body.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn push_blob_streamed(&self, image: &str, blob: &Content) -> anyhow::Result<()> {
        let location = self.open_upload(image).await?;
        let bytes = blob.bytes.clone();
        let pieces = (0..bytes.len())
            .step_by(64 * 1024)
            .map(move |at| Ok::<_, std::io::Error>(bytes.slice(at..bytes.len().min(at + 64 * 1024))));
        let body = Body::wrap_stream(futures::stream::iter(pieces));
        let location = self.patch(image, &location, body, None).await?;
        self.close_upload(image, &location, &blob.digest, Body::default()).await
    }

    /// POST, PATCH after PATCH of `chunk` bytes with Content-Range, PUT without a body.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn push_blob_in_chunks(&self, image: &str, blob: &Content, chunk: usize) -> anyhow::Result<()> {
        let mut location = self.open_upload(image).await?;
        for at in (0..blob.bytes.len()).step_by(chunk) {
            let piece = blob.bytes.slice(at..blob.bytes.len().min(at + chunk));
            let range = (at as u64, piece.len() as u64);
            location = self.patch(image, &location, piece.into(), Some(range)).await?;
        }
        self.close_upload(image, &location, &blob.digest, Body::default()).await
    }

    /// Mounts a blob of another image: whether the registry did (201), or opened an upload instead (202).
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn mount(&self, image: &str, from: &str, digest: &str) -> anyhow::Result<bool> {
        let path = format!("/v2/{image}/blobs/uploads/?mount={digest}&from={from}");
        let scope = format!("{} repository:{from}:pull", pushing(image));
        let request = self.request(Method::POST, &path, &scope).await?;
        let answer = self.send(request.header(CONTENT_LENGTH, 0)).await?;
        match answer.status {
            StatusCode::CREATED => Ok(true),
            StatusCode::ACCEPTED => Ok(false),
            _ => answer.expect(StatusCode::CREATED).map(|_| true),
        }
    }

    /// Whether the blob is there.
    ///
    /// # Errors
    /// The registry answers anything but 200 or 404.
    pub async fn has_blob(&self, image: &str, digest: &str) -> anyhow::Result<bool> {
        let request = self.request(Method::HEAD, &format!("/v2/{image}/blobs/{digest}"), &pulling(image)).await?;
        let answer = self.send(request).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(false),
            _ => answer.expect(StatusCode::OK).map(|_| true),
        }
    }

    /// A blob, compared with its digest.
    ///
    /// # Errors
    /// The registry refuses, or sends other bytes.
    pub async fn blob(&self, image: &str, digest: &str) -> anyhow::Result<Bytes> {
        let request = self.request(Method::GET, &format!("/v2/{image}/blobs/{digest}"), &pulling(image)).await?;
        let bytes = self.send(request).await?.expect(StatusCode::OK)?.body;
        anyhow::ensure!(digest_of(&bytes) == digest, "{image}@{digest} has other bytes");
        Ok(bytes)
    }

    /// Deletes a blob from an image.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn delete_blob(&self, image: &str, digest: &str) -> anyhow::Result<()> {
        let scope = format!("repository:{image}:pull,push,delete");
        let request = self.request(Method::DELETE, &format!("/v2/{image}/blobs/{digest}"), &scope).await?;
        self.send(request).await?.expect(StatusCode::ACCEPTED).map(|_| ())
    }

    // ---- manifests, tags, referrers ----

    /// Puts a manifest under a tag or its digest.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn put_manifest(&self, image: &str, reference: &str, manifest: &Content) -> anyhow::Result<()> {
        let path = format!("/v2/{image}/manifests/{reference}");
        let request = self.request(Method::PUT, &path, &pushing(image)).await?;
        let request = request.header(CONTENT_TYPE, &manifest.media_type).body(manifest.bytes.clone());
        self.send(request).await?.expect(StatusCode::CREATED).map(|_| ())
    }

    /// The manifest a tag or digest names; none if there is none.
    ///
    /// # Errors
    /// The registry answers anything but 200 or 404, or a digest that is not that of the bytes.
    pub async fn manifest(&self, image: &str, reference: &str) -> anyhow::Result<Option<Content>> {
        let path = format!("/v2/{image}/manifests/{reference}");
        let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json";
        let request = self.request(Method::GET, &path, &pulling(image)).await?.header("accept", accept);
        let answer = self.send(request).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.expect(StatusCode::OK)?;
        let media_type = answer.header("content-type").context("a manifest without media type")?.to_owned();
        let content = Content::new(&media_type, answer.body.clone());
        anyhow::ensure!(
            answer.header("docker-content-digest") == Some(&content.digest),
            "{image}:{reference} came with another digest than that of its bytes"
        );
        Ok(Some(content))
    }

    /// Deletes a tag or manifest.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn delete_manifest(&self, image: &str, reference: &str) -> anyhow::Result<()> {
        let path = format!("/v2/{image}/manifests/{reference}");
        let scope = format!("repository:{image}:pull,push,delete");
        let request = self.request(Method::DELETE, &path, &scope).await?;
        self.send(request).await?.expect(StatusCode::ACCEPTED).map(|_| ())
    }

    /// Every tag, page after page.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn tags(&self, image: &str) -> anyhow::Result<Vec<String>> {
        let mut path = format!("/v2/{image}/tags/list");
        let mut tags = Vec::new();
        loop {
            let request = self.request(Method::GET, &path, &pulling(image)).await?;
            let answer = self.send(request).await?.expect(StatusCode::OK)?;
            let page = answer.json()?;
            let page = page["tags"].as_array().context("a tag list without tags")?;
            tags.extend(page.iter().filter_map(|tag| Some(tag.as_str()?.to_owned())));
            match next_page(&answer) {
                Some(next) => path = next,
                None => return Ok(tags),
            }
        }
    }

    /// The descriptors of everything that refers to `digest`, page after page.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn referrers(&self, image: &str, digest: &str) -> anyhow::Result<Vec<Value>> {
        let mut path = format!("/v2/{image}/referrers/{digest}");
        let mut descriptors = Vec::new();
        loop {
            let request = self.request(Method::GET, &path, &pulling(image)).await?;
            let answer = self.send(request).await?.expect(StatusCode::OK)?;
            descriptors.extend(answer.json()?["manifests"].as_array().context("no manifests")?.iter().cloned());
            match next_page(&answer) {
                Some(next) => path = next,
                None => return Ok(descriptors),
            }
        }
    }

    /// Pushes an image as docker does: HEAD each blob, stream those that are missing, put the manifest.
    ///
    /// # Errors
    /// The registry refuses any of it.
    pub async fn push_image(&self, image: &str, tag: &str, content: &Image) -> anyhow::Result<()> {
        for blob in content.blobs() {
            if !self.has_blob(image, &blob.digest).await? {
                self.push_blob_streamed(image, blob).await?;
            }
        }
        self.put_manifest(image, tag, &content.manifest).await
    }

    /// Pulls what a tag names and compares every byte with `expected`.
    ///
    /// # Errors
    /// Anything is missing or different.
    pub async fn check_image(&self, image: &str, tag: &str, expected: &Image) -> anyhow::Result<()> {
        let manifest = self.manifest(image, tag).await?.with_context(|| format!("{image}:{tag} is gone"))?;
        anyhow::ensure!(manifest.digest == expected.manifest.digest, "{image}:{tag} names another manifest");
        for blob in expected.blobs() {
            self.blob(image, &blob.digest).await?;
        }
        Ok(())
    }

    fn location(&self, answer: &Answer) -> anyhow::Result<Url> {
        let location = answer.headers.get(LOCATION).with_context(|| format!("{}: no Location", answer.what))?;
        Ok(self.base.join(location.to_str()?)?)
    }
}

/// The scope of a push.
pub fn pushing(image: &str) -> String {
    format!("repository:{image}:pull,push")
}

/// The scope of a pull.
pub fn pulling(image: &str) -> String {
    format!("repository:{image}:pull")
}

/// The target of `Link: <…>; rel="next"`.
fn next_page(answer: &Answer) -> Option<String> {
    let (target, relation) = answer.header("link")?.split_once('>')?;
    relation.contains("next").then(|| target.trim_start_matches('<').to_owned())
}
