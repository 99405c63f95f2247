//! [`Access`]: one method per thing a route can ask.

use berth_crds::name::ImageName;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};

use super::origin::{Origin, TrustedProxies};
use super::refusal::{Challenge, ChallengeError, Kind, Refusal};
use super::scope::{Scope, ScopeAction};
use super::subject::Caller;
use crate::storage::UploadState;

/// What a route is about to do to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read manifests, blobs, tags and referrers.
    Pull,
    /// Upload blobs, push manifests, move tags; begin, continue and cancel uploads.
    Push,
    /// Delete one tag, a manifest with at most one tag, or a blob.
    Delete,
    /// Delete several tags, a manifest with several tags, an image or a repository.
    DeleteMany,
    /// Push to a protected tag, on top of [`Action::Push`].
    PushProtected,
    /// Delete a protected tag, on top of [`Action::Delete`] or [`Action::DeleteMany`].
    DeleteProtected,
}

impl Action {
    /// What a registry token must name for it. Pushing includes pulling: clients look before they upload.
    const fn scope_actions(self) -> &'static [ScopeAction] {
        match self {
            Self::Pull => &[ScopeAction::Pull],
            Self::Push | Self::PushProtected => &[ScopeAction::Pull, ScopeAction::Push],
            Self::Delete | Self::DeleteMany | Self::DeleteProtected => &[ScopeAction::Delete],
        }
    }
}

/// What [`Access`] is made from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of this installation: `service` of every challenge and audience of every token. Never taken from `Host`.
    pub service: String,
    /// Longest life of a registry token (`--token-ttl`, 5 minutes by default).
    pub token_ttl: SignedDuration,
    /// Longest life of an upload session, at most 24 hours.
    pub session_ttl: SignedDuration,
    pub trusted_proxies: TrustedProxies,
    /// Whether this process itself speaks TLS; decides the scheme of the realm unless a trusted proxy states it.
    pub tls: bool,
}

/// An upload as its Location carries it: where it stands, and when it ends whatever happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    pub state: UploadState,
    /// Fixed when the upload began; going on with it never moves it.
    ends: Timestamp,
}

impl Upload {
    /// The same session, further on.
    pub fn advanced_to(&self, state: UploadState) -> Self {
        Self { state, ends: self.ends }
    }
}

/// Decides about every request. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Access {
    settings: Settings,
}

impl Access {
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// `GET /v2/`: always a challenge without credentials, also where anonymous pull is allowed, because clients take
    /// the challenge from nowhere else (protocol rule R1). Any valid credential passes.
    ///
    /// # Errors
    /// A [`Refusal`] to answer with.
    pub async fn authorize_ping(&self, parts: &Parts) -> Result<Caller, Refusal> {
        Err(self.challenge(parts, Vec::new()))
    }

    /// Whether the sender of a request may do `action` to `image`, by credential and by the state of this moment.
    /// Call it before the first read of the body.
    ///
    /// # Errors
    /// A [`Refusal`] to answer with.
    pub async fn authorize(&self, parts: &Parts, image: &ImageName, action: Action) -> Result<Caller, Refusal> {
        Err(self.challenge(parts, vec![Scope::image(image, action.scope_actions().iter().copied())]))
    }

    /// [`authorize`](Self::authorize) to push for `POST …/uploads/?mount=…`: a challenge also names the source, so
    /// that the client's token will. A source the caller may not read is no error here (see
    /// [`mount_sources`](Self::mount_sources)).
    ///
    /// # Errors
    /// A [`Refusal`] to answer with.
    pub async fn authorize_mount(
        &self,
        parts: &Parts,
        image: &ImageName,
        from: Option<&ImageName>,
    ) -> Result<Caller, Refusal> {
        let mut scopes = vec![Scope::image(image, Action::Push.scope_actions().iter().copied())];
        scopes.extend(from.map(|from| Scope::image(from, [ScopeAction::Pull])));
        Err(self.challenge(parts, scopes))
    }

    /// The catalog: any caller with a valid credential, anonymous tokens included. What it shows is filtered with
    /// [`readable`](Self::readable).
    ///
    /// # Errors
    /// A [`Refusal`] to answer with.
    pub async fn authorize_listing(&self, parts: &Parts) -> Result<Caller, Refusal> {
        Err(self.challenge(parts, vec![Scope::Catalog]))
    }

    /// Whether the caller's subject may read an image at this moment, whatever its token names (protocol rule R11).
    ///
    /// # Errors
    /// [`Refusal`] only when it cannot be found out (503).
    pub async fn readable(&self, _caller: &Caller, _image: &ImageName) -> Result<bool, Refusal> {
        Ok(false)
    }

    /// Images a mount into `image` may take a blob from: `from` if the caller may read it at this moment; without
    /// `from` those the caller's own token names and that are readable (amendment R11). Empty is an answer: then the
    /// mount becomes an upload (protocol rule R2).
    pub async fn mount_sources(
        &self,
        _caller: &Caller,
        _image: &ImageName,
        _from: Option<&ImageName>,
    ) -> Result<Vec<ImageName>, Refusal> {
        Ok(Vec::new())
    }

    /// A further right on top of what was authorized: several tags at once, protected tags.
    ///
    /// # Errors
    /// A 403 [`Refusal`] that says which right is missing.
    pub async fn demand(&self, _caller: &Caller, _image: &ImageName, _action: Action) -> Result<(), Refusal> {
        Err(Refusal::denied("this needs a right that nobody has here"))
    }

    /// A new upload session of `image`, to be sealed into its Location.
    pub fn begin_upload(&self, state: UploadState) -> Upload {
        Upload { state, ends: Timestamp::now() + self.settings.session_ttl }
    }

    /// The token for the Location of an upload: signed, bound to image, session, subject and end (amendment R10).
    ///
    /// # Errors
    /// A 503 [`Refusal`] when this replica has no valid signing key.
    pub fn seal_upload(&self, _caller: &Caller, _image: &ImageName, _upload: &Upload) -> Result<String, Refusal> {
        Err(Kind::Unavailable("this replica cannot sign at the moment: try again".to_owned()).into())
    }

    /// Authorizes a request to an upload's Location and opens its token. A registry token that has expired may go on
    /// with exactly the session it was last used for, while the push is still allowed.
    ///
    /// # Errors
    /// A [`Refusal`] to answer with; 404 BLOB_UPLOAD_UNKNOWN for a token that is wrong in any way.
    pub async fn authorize_upload(
        &self,
        parts: &Parts,
        image: &ImageName,
        _session: &str,
        _sealed: &str,
    ) -> Result<(Caller, Upload), Refusal> {
        Err(self.challenge(parts, vec![Scope::image(image, Action::Push.scope_actions().iter().copied())]))
    }

    fn challenge(&self, parts: &Parts, scopes: Vec<Scope>) -> Refusal {
        let origin = Origin::of(parts, &self.settings.trusted_proxies, self.settings.tls);
        let Some(base) = origin.base else { return Kind::NoHost.into() };
        let error = shows_credentials(&parts.headers).then_some(ChallengeError::InvalidToken);
        let challenge =
            Challenge { realm: format!("{base}/token"), service: self.settings.service.clone(), scopes, error };
        Kind::Challenge { challenge, message: "log in to use this registry".to_owned() }.into()
    }
}

fn shows_credentials(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION)
}
