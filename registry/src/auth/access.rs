//! [`Access`]: one method per thing a route can ask.

use std::sync::Arc;

use arc_swap::ArcSwap;
use berth_crds::access::{Action, Denial};
use berth_crds::configuration::Configuration;
use berth_crds::name::ImageName;
use http::request::Parts;
use jiff::SignedDuration;

use super::authority::{Authority, AuthorityError};
use super::clock::Clock;
use super::keys::{Keys, LONGEST_TTL, VerifyError};
use super::live::{self, Live, Standing};
use super::origin::Origin;
use super::prove::Unproven;
use super::refusal::{Challenge, ChallengeError, Kind, Refusal};
use super::scope::{Scope, ScopeAction};
use super::settings::Settings;
use super::subject::{Bounds, Caller};
use super::upload_token::{self, Binding, Upload};
use crate::storage::UploadState;

/// Most images a mount without `from` looks at.
const MOUNT_SOURCES: usize = 16;

/// Decides about every request. Shared behind an `Arc`.
#[derive(Debug)]
pub struct Access {
    settings: Settings,
    pub(super) keys: Arc<Keys>,
    pub(super) configuration: Arc<ArcSwap<Configuration>>,
    pub(super) authority: Arc<dyn Authority>,
    pub(super) clock: Clock,
}

impl Access {
    /// `configuration` is the document in force; whoever follows the objects swaps it.
    pub fn new(
        settings: Settings,
        keys: Arc<Keys>,
        configuration: Arc<ArcSwap<Configuration>>,
        authority: Arc<dyn Authority>,
        clock: Clock,
    ) -> Self {
        let Settings { token_ttl, session_ttl, .. } = settings;
        let settings =
            Settings { token_ttl: token_ttl.min(LONGEST_TTL), session_ttl: session_ttl.min(LONGEST_TTL), ..settings };
        Self { settings, keys, configuration, authority, clock }
    }

    /// `GET /v2/`: always a challenge without credentials, also where anonymous pull is allowed, because some clients
    /// take the challenge from nowhere else (protocol rule R1). Any valid credential passes.
    ///
    /// # Errors
    /// A [`Refusal`] to answer with.
    pub async fn authorize_ping(&self, parts: &Parts) -> Result<Caller, Refusal> {
        self.require_credentials(parts, Vec::new()).await
    }

    /// The catalog: any caller with a valid credential, anonymous tokens included. What it shows is filtered with
    /// [`listable`](Self::listable).
    ///
    /// # Errors
    /// A [`Refusal`] to answer with.
    pub async fn authorize_listing(&self, parts: &Parts) -> Result<Caller, Refusal> {
        let caller = self.require_credentials(parts, vec![Scope::Catalog]).await?;
        if caller.bounds.allow(&Scope::Catalog) {
            Ok(caller)
        } else {
            Err(self.refuse(parts, vec![Scope::Catalog], Some(ChallengeError::InsufficientScope)))
        }
    }

    /// Whether the sender of a request may do `action` to `image`, by credential and by the state of this moment.
    /// Called before the first read of the body. For tags and deletions whose rules are not known yet this is the
    /// first of two questions; [`demand`](Self::demand) is the second.
    ///
    /// # Errors
    /// A [`Refusal`] to answer with.
    pub async fn authorize(&self, parts: &Parts, image: &ImageName, action: &Action) -> Result<Caller, Refusal> {
        self.authorize_for(parts, image, action, scope_of(image, action).into_iter().collect()).await
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
        let mut scopes: Vec<Scope> = scope_of(image, &Action::Push).into_iter().collect();
        scopes.extend(from.filter(|from| *from != image).map(|from| Scope::image(from, [ScopeAction::Pull])));
        self.authorize_for(parts, image, &Action::Push, scopes).await
    }

    /// Whether the caller's subject may read an image at this moment, whatever its token names (protocol rule R11).
    ///
    /// # Errors
    /// A 503 [`Refusal`] when it cannot be found out.
    pub async fn readable(&self, caller: &Caller, image: &ImageName) -> Result<bool, Refusal> {
        Ok(matches!(self.live().standing(&caller.subject, image, &Action::Pull).await?, Standing::Allowed))
    }

    /// Whether listings show an image to the caller at this moment.
    ///
    /// # Errors
    /// A 503 [`Refusal`] when it cannot be found out.
    pub async fn listable(&self, caller: &Caller, image: &ImageName) -> Result<bool, Refusal> {
        Ok(matches!(self.live().standing(&caller.subject, image, &Action::List).await?, Standing::Allowed))
    }

    /// Images a mount into `image` may take a blob from: `from` if the caller may read it at this moment; without
    /// `from` those the caller's own token names and that are readable (amendment R11). Empty is an answer: then the
    /// mount becomes an upload (protocol rule R2).
    ///
    /// # Errors
    /// A 503 [`Refusal`] when it cannot be found out.
    pub async fn mount_sources(
        &self,
        caller: &Caller,
        image: &ImageName,
        from: Option<&ImageName>,
    ) -> Result<Vec<ImageName>, Refusal> {
        let candidates = match from {
            Some(from) => vec![from.clone()],
            None => {
                let mut named = caller.pullable_by_token();
                named.retain(|named| named != image);
                named.insert(0, image.clone());
                named.truncate(MOUNT_SOURCES);
                named
            }
        };
        let mut sources = Vec::new();
        for candidate in candidates {
            if self.readable(caller, &candidate).await? {
                sources.push(candidate);
            }
        }
        Ok(sources)
    }

    /// A further right on top of what was authorized, for what is known only later: several tags at once, protected or
    /// immutable tags.
    ///
    /// # Errors
    /// A 403 [`Refusal`] that says what is missing: by now the caller may know of the image.
    pub async fn demand(&self, caller: &Caller, image: &ImageName, action: &Action) -> Result<(), Refusal> {
        let missing = || Err(Refusal::denied(live::missing_right(action, image.repository())));
        match self.live().standing(&caller.subject, image, action).await? {
            Standing::Denied(Denial::Forbidden(reason)) => Err(Refusal::denied(reason.to_string())),
            Standing::Denied(Denial::Unauthorized | Denial::Hidden) | Standing::Revoked => missing(),
            _ if !within_bounds(caller, image, action) => missing(),
            Standing::NoRepository => Err(Refusal::no_repository(image.repository())),
            Standing::Allowed => Ok(()),
        }
    }

    /// Whether the sender of a request may start and follow runs of the policies of a namespace. Takes a password or
    /// token of a person or ServiceAccount; a registry token is for images only.
    ///
    /// # Errors
    /// A [`Refusal`] to answer with.
    pub async fn authorize_run(&self, parts: &Parts, namespace: &str) -> Result<Caller, Refusal> {
        let caller = self.require_credentials(parts, Vec::new()).await?;
        if self.may_run(&caller, namespace).await? {
            Ok(caller)
        } else {
            Err(self.refuse(parts, Vec::new(), Some(ChallengeError::NotForPolicies)))
        }
    }

    /// Whether a caller may start and follow runs of the policies of a namespace at this moment.
    ///
    /// # Errors
    /// A 503 [`Refusal`] when it cannot be found out.
    pub async fn may_run(&self, caller: &Caller, namespace: &str) -> Result<bool, Refusal> {
        Ok(caller.bounds == Bounds::Subject && self.live().may_run(&caller.subject, namespace).await?)
    }

    /// A new upload session, to be sealed into its Location.
    pub fn begin_upload(&self, state: UploadState) -> Upload {
        Upload { state, ends: self.clock.now() + self.settings.session_ttl }
    }

    /// The token for the Location of an upload: signed, bound to image, session, subject and end (amendment R10).
    ///
    /// # Errors
    /// A 503 [`Refusal`] when this replica has no valid signing key.
    pub fn seal_upload(&self, caller: &Caller, image: &ImageName, upload: &Upload) -> Result<String, Refusal> {
        let sealed = upload_token::seal(&self.keys, self.binding(caller, image), upload, caller.token.as_deref());
        sealed.map_err(|error| Refusal::unavailable("the signing key of this replica", &error))
    }

    /// Authorizes a request to an upload's Location and opens its token. A registry token that has expired may go on
    /// with exactly the session it was last used for, while the push is still allowed.
    ///
    /// # Errors
    /// A [`Refusal`] to answer with; 404 BLOB_UPLOAD_UNKNOWN for a Location that is wrong in any way.
    pub async fn authorize_upload(
        &self,
        parts: &Parts,
        image: &ImageName,
        session: &str,
        sealed: &str,
    ) -> Result<(Caller, Upload), Refusal> {
        let scopes: Vec<Scope> = scope_of(image, &Action::Push).into_iter().collect();
        let (caller, expired) = match self.prove(parts).await {
            Ok(caller) => (caller, false),
            Err(Unproven::Expired(token)) => (self.caller_by(token, parts), true),
            Err(unproven) => return Err(self.explain(parts, scopes, unproven)),
        };
        if !expired {
            self.decide(parts, &caller, image, &Action::Push, &scopes).await?;
        }
        let opened = upload_token::open(&self.keys, self.binding(&caller, image), session, sealed, self.clock.now());
        let opened = match opened.await {
            Ok(opened) => opened,
            Err(VerifyError::Invalid) if expired => return Err(self.explain(parts, scopes, Unproven::Bad)),
            Err(VerifyError::Invalid) => return Err(Kind::UploadUnknown.into()),
            Err(VerifyError::Unavailable(error)) => {
                return Err(Refusal::unavailable("the store of signing keys", &error));
            }
        };
        if expired {
            if opened.under.is_none() || opened.under != caller.token {
                return Err(self.explain(parts, scopes, Unproven::Bad));
            }
            self.decide(parts, &caller, image, &Action::Push, &scopes).await?;
        }
        Ok((caller, opened.upload))
    }

    async fn require_credentials(&self, parts: &Parts, scopes: Vec<Scope>) -> Result<Caller, Refusal> {
        let caller = match self.prove(parts).await {
            Ok(caller) => caller,
            Err(unproven) => return Err(self.explain(parts, scopes, unproven)),
        };
        if caller.shows_nothing() {
            return Err(self.refuse(parts, scopes, None));
        }
        // A registry token proves who somebody was when it was given out.
        if self.live().stands(&caller.subject).await? {
            Ok(caller)
        } else {
            Err(self.explain(parts, scopes, Unproven::Bad))
        }
    }

    async fn authorize_for(
        &self,
        parts: &Parts,
        image: &ImageName,
        action: &Action,
        scopes: Vec<Scope>,
    ) -> Result<Caller, Refusal> {
        match self.prove(parts).await {
            Ok(caller) => self.decide(parts, &caller, image, action, &scopes).await.map(|()| caller),
            Err(unproven) => Err(self.explain(parts, scopes, unproven)),
        }
    }

    /// The live decision and the token's bounds, as an answer. `scopes` are what a challenge would name.
    async fn decide(
        &self,
        parts: &Parts,
        caller: &Caller,
        image: &ImageName,
        action: &Action,
        scopes: &[Scope],
    ) -> Result<(), Refusal> {
        let insufficient = || {
            let error = (!caller.shows_nothing()).then_some(ChallengeError::InsufficientScope);
            self.refuse(parts, scopes.to_vec(), error)
        };
        match self.live().standing(&caller.subject, image, action).await? {
            Standing::Revoked => Err(self.explain(parts, scopes.to_vec(), Unproven::Bad)),
            Standing::Denied(Denial::Forbidden(reason)) => Err(Refusal::denied(reason.to_string())),
            Standing::Denied(Denial::Unauthorized | Denial::Hidden) => Err(insufficient()),
            _ if !within_bounds(caller, image, action) => Err(insufficient()),
            Standing::NoRepository => Err(Refusal::no_repository(image.repository())),
            Standing::Allowed => Ok(()),
        }
    }

    /// The answer to credentials that prove nobody.
    fn explain(&self, parts: &Parts, scopes: Vec<Scope>, unproven: Unproven) -> Refusal {
        match unproven {
            Unproven::Bad | Unproven::Expired(_) => self.refuse(parts, scopes, Some(ChallengeError::InvalidToken)),
            Unproven::Refused(refusal) => refusal,
        }
    }

    /// A challenge. What it says depends on what was shown and asked, never on what exists.
    fn refuse(&self, parts: &Parts, scopes: Vec<Scope>, error: Option<ChallengeError>) -> Refusal {
        let Some(base) = self.origin(parts).base else { return Kind::NoHost.into() };
        let service = self.service().to_owned();
        Kind::Challenge(Challenge { realm: format!("{base}/token"), service, scopes, error }).into()
    }

    fn binding<'a>(&'a self, caller: &'a Caller, image: &'a ImageName) -> Binding<'a> {
        Binding { service: self.service(), image, subject: &caller.subject }
    }

    pub(super) fn live(&self) -> Live<'_> {
        Live { configuration: self.configuration.load_full(), authority: &*self.authority, now: self.clock.now() }
    }

    pub(super) fn origin(&self, parts: &Parts) -> Origin {
        Origin::of(parts, &self.settings.trusted_proxies, self.settings.tls)
    }

    pub(super) fn service(&self) -> &str {
        self.settings.service.as_str()
    }

    pub(super) const fn token_ttl(&self) -> SignedDuration {
        self.settings.token_ttl
    }
}

impl From<AuthorityError> for Refusal {
    fn from(error: AuthorityError) -> Self {
        Self::unavailable("the authority over users and roles", &error)
    }
}

/// Whether the credential shown may be used for an action, whatever its subject may.
fn within_bounds(caller: &Caller, image: &ImageName, action: &Action) -> bool {
    caller.bounds == Bounds::Subject || scope_of(image, action).is_some_and(|scope| caller.bounds.allow(&scope))
}

/// What a registry token must name for an action; `None` for what no registry token is good for. Pushing includes
/// pulling: clients look before they upload.
fn scope_of(image: &ImageName, action: &Action) -> Option<Scope> {
    let actions: &[ScopeAction] = match action {
        Action::Pull | Action::List => &[ScopeAction::Pull],
        Action::Push | Action::PushTag { .. } => &[ScopeAction::Pull, ScopeAction::Push],
        Action::DeleteOne { .. } | Action::DeleteMany { .. } => &[ScopeAction::Delete],
        Action::Administer => return None,
    };
    Some(Scope::image(image, actions.iter().copied()))
}
