//! The key pairs that sign tokens: one per replica and day, private half in memory only, public half in the bucket.
//!
//! No secret is shared between replicas and none is stored (DESIGN §4). A replica makes an Ed25519 pair, writes the
//! public half to `meta/keys/<kid>` *before* the first signature, and signs with it for a day. Whoever meets a `kid`
//! it does not know reads it there. The public half outlives the last signature by the life of an upload session, the
//! longest-lived thing that is signed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::clock::Clock;
use crate::store::{self, NewObject, Store, StoreError};

/// A pair is renewed this long after it was made.
const RENEW_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// A pair never signs after this: a replica that could not renew for a day stops signing.
const SIGNS_FOR: SignedDuration = SignedDuration::from_hours(48);
/// Longest life of anything that is signed; bounds how long a public half is of use.
pub(super) const LONGEST_TTL: SignedDuration = SignedDuration::from_hours(24);
/// Public halves this old by the store's own clock vouch for nothing any more and are removed.
const REMOVE_AFTER: Duration = Duration::from_secs(4 * 24 * 60 * 60);
/// How long to wait after a renewal that failed.
const RETRY_AFTER: Duration = Duration::from_secs(60);

const PREFIX: &str = "meta/keys/";
/// Characters of a `kid`: a SHA-256 in hexadecimal.
const KID_LENGTH: usize = 64;
/// Longest token that is looked at, in bytes; twice what proxies accept in a header.
const LONGEST_TOKEN: usize = 16 * 1024;

/// Signs with this replica's pair and verifies with everybody's.
#[derive(Debug)]
pub struct Keys {
    store: Arc<dyn Store>,
    clock: Clock,
    signing: ArcSwap<SigningKey>,
    /// Public halves by `kid`. Bounded: the bucket holds a handful per replica.
    known: moka::future::Cache<String, Arc<PublicKey>>,
    /// `kid`s the bucket was seen not to have. Safe to remember: a `kid` is a hash nobody can name before its key is
    /// made, and its key is in the bucket before anything is signed with it.
    absent: moka::future::Cache<String, ()>,
    listing: Mutex<KeyListing>,
    /// Least time between two listings of the bucket's keys. However many tokens with invented `kid`s arrive, the
    /// bucket sees one LIST in this time, and a token with a real one waits no longer than it.
    listing_interval: Duration,
}

/// The pair this replica signs with.
#[derive(Debug)]
struct SigningKey {
    kid: String,
    key: EncodingKey,
    made: Timestamp,
}

/// Another replica's (or our own) public half.
struct PublicKey {
    key: DecodingKey,
    not_after: Timestamp,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicKey").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// The object at `meta/keys/<kid>`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublishedKey {
    jwk: Jwk,
    not_after: Timestamp,
}

/// The `kid`s in the bucket, as of a LIST begun at `begun`.
#[derive(Debug, Default)]
struct KeyListing {
    begun: Option<Instant>,
    kids: BTreeSet<String>,
}

/// What a signature is about; the header's `typ` (RFC 8725 §3.11), so that no token is ever taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    /// A registry token: a credential.
    Access,
    /// The state of an upload in its Location: never a credential.
    Upload,
}

impl TokenType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "berth-access+jwt",
            Self::Upload => "berth-upload+jwt",
        }
    }

    /// Whether a text claims to be a token of this type, whatever it is worth.
    pub(super) fn claimed_by(self, token: &str) -> bool {
        token.len() <= LONGEST_TOKEN
            && jsonwebtoken::decode_header(token).is_ok_and(|header| header.typ.as_deref() == Some(self.as_str()))
    }
}

/// Why a token proves nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum VerifyError {
    /// Forged, altered, of another type or audience, or signed with a key that is not (or no longer) ours.
    #[error("the token is not valid")]
    Invalid,
    /// The key could not be looked up.
    #[error("the signing key could not be looked up: {0}")]
    Unavailable(#[source] StoreError),
}

/// Why nothing is signed.
#[derive(Debug, thiserror::Error)]
#[error("this replica's signing key is too old and could not be renewed: check that the storage accepts writes")]
pub(super) struct SigningError;

impl Keys {
    /// Makes this replica's first pair and publishes its public half.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be published; then nothing may be signed.
    pub async fn open(store: Arc<dyn Store>, clock: Clock) -> Result<Self, StoreError> {
        let (signing, published) = make_pair(clock.now());
        publish(&*store, &signing.kid, &published).await?;
        let keys = Self {
            store,
            clock,
            signing: ArcSwap::from_pointee(signing),
            known: moka::future::Cache::builder().max_capacity(1024).build(),
            absent: moka::future::Cache::builder().max_capacity(4096).time_to_live(Duration::from_secs(300)).build(),
            listing: Mutex::default(),
            listing_interval: Duration::from_secs(1),
        };
        keys.remember_own(&published).await;
        Ok(keys)
    }

    /// Makes and publishes a new pair, signs with it from now on, and removes public halves nobody needs any more.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be published; the pair so far goes on signing, for a day more at most.
    pub async fn renew(&self) -> Result<(), StoreError> {
        let (signing, published) = make_pair(self.clock.now());
        publish(&*self.store, &signing.kid, &published).await?;
        self.remember_own(&published).await;
        self.signing.store(Arc::new(signing));
        if let Err(error) = self.remove_outlived().await {
            tracing::warn!(%error, "old public keys stay in the bucket until the next renewal");
        }
        Ok(())
    }

    /// Renews daily until dropped; to be spawned once.
    pub async fn keep_renewed(self: Arc<Self>) {
        loop {
            let due = self.signing.load().made + RENEW_AFTER;
            let wait = Duration::try_from(due.duration_since(self.clock.now())).unwrap_or(Duration::ZERO);
            tokio::time::sleep(wait).await;
            if let Err(error) = self.renew().await {
                tracing::error!(%error, "the signing key could not be renewed; trying again in a minute");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }

    /// Signs claims as a token of a type.
    ///
    /// # Errors
    /// [`SigningError`] when the pair could not be renewed for too long.
    pub(super) fn sign<T: Serialize>(&self, kind: TokenType, claims: &T) -> Result<String, SigningError> {
        let signing = self.signing.load();
        if self.clock.now() >= signing.made + SIGNS_FOR {
            return Err(SigningError);
        }
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(kind.as_str().to_owned());
        header.kid = Some(signing.kid.clone());
        Ok(jsonwebtoken::encode(&header, claims, &signing.key)
            .expect("an Ed25519 key that was just parsed signs, and claims are plain values"))
    }

    /// The claims of a token of a type, if one of our keys signed it for `audience`. Times are the caller's to judge:
    /// an expired registry token may still go on with its upload.
    pub(super) async fn verify<T: DeserializeOwned>(
        &self,
        kind: TokenType,
        audience: &str,
        token: &str,
    ) -> Result<T, VerifyError> {
        if token.len() > LONGEST_TOKEN {
            return Err(VerifyError::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| VerifyError::Invalid)?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(kind.as_str()) || header.crit.is_some() {
            return Err(VerifyError::Invalid);
        }
        let kid = header.kid.filter(|kid| is_kid(kid)).ok_or(VerifyError::Invalid)?;
        let public = self.look_up(&kid).await.map_err(VerifyError::Unavailable)?.ok_or(VerifyError::Invalid)?;
        if self.clock.now() >= public.not_after {
            return Err(VerifyError::Invalid);
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["aud"]);
        validation.validate_exp = false;
        let data = jsonwebtoken::decode(token, &public.key, &validation).map_err(|_| VerifyError::Invalid)?;
        Ok(data.claims)
    }

    async fn remember_own(&self, published: &PublishedKey) {
        let (kid, public) = published.read().expect("a pair made here has an Ed25519 public half");
        self.known.insert(kid, Arc::new(public)).await;
    }

    /// The public half of a `kid`, from memory or the bucket. Unknown ones are first looked for in a LIST that all
    /// waiting requests share: one begun after the token arrived names every key the token can be signed with.
    async fn look_up(&self, kid: &str) -> Result<Option<Arc<PublicKey>>, StoreError> {
        if let Some(public) = self.known.get(kid).await {
            return Ok(Some(public));
        }
        if self.absent.contains_key(kid) {
            return Ok(None);
        }
        let asked = Instant::now();
        let mut listing = self.listing.lock().await;
        if let Some(public) = self.known.get(kid).await {
            return Ok(Some(public));
        }
        if listing.begun.is_none_or(|begun| begun < asked) {
            if let Some(begun) = listing.begun {
                tokio::time::sleep_until(begun + self.listing_interval).await;
            }
            let begun = Instant::now();
            let entries = store::list_all(&*self.store, PREFIX).await?;
            let kids = entries.iter().filter_map(|entry| entry.key.strip_prefix(PREFIX)).map(str::to_owned).collect();
            *listing = KeyListing { begun: Some(begun), kids };
        }
        let public = if listing.kids.contains(kid) { self.read(kid).await? } else { None };
        match &public {
            Some(public) => self.known.insert(kid.to_owned(), Arc::clone(public)).await,
            None => self.absent.insert(kid.to_owned(), ()).await,
        }
        Ok(public)
    }

    async fn read(&self, kid: &str) -> Result<Option<Arc<PublicKey>>, StoreError> {
        let Some(object) = self.store.get(&format!("{PREFIX}{kid}"), None).await? else { return Ok(None) };
        let bytes = store::read_all(object.body).await?;
        let read = serde_json::from_slice::<PublishedKey>(&bytes).ok().and_then(|published| published.read());
        match read {
            Some((named, public)) if named == kid => Ok(Some(Arc::new(public))),
            _ => {
                tracing::warn!(kid, "the bucket holds something under this key's name that is not this key");
                Ok(None)
            }
        }
    }

    async fn remove_outlived(&self) -> Result<(), StoreError> {
        let own = format!("{PREFIX}{}", self.signing.load().kid);
        let mut start_after: Option<String> = None;
        loop {
            let query = store::ListQuery::below(PREFIX).after(start_after.as_deref());
            let page = self.store.list(query).await?;
            let outlived = |entry: &&store::Entry| {
                let age = page.store_time.duration_since(entry.modified).unwrap_or_default();
                age > REMOVE_AFTER && entry.key != own
            };
            let keys: Vec<String> = page.entries.iter().filter(outlived).map(|entry| entry.key.clone()).collect();
            if !keys.is_empty() {
                for (key, error) in self.store.delete_many(&keys).await? {
                    tracing::warn!(key, %error, "an old public key stays in the bucket until the next renewal");
                }
            }
            start_after = page.entries.last().map(|entry| entry.key.clone());
            if !page.more {
                return Ok(());
            }
        }
    }
}

impl PublishedKey {
    /// The `kid` these bytes deserve, and the key; `None` for anything but an Ed25519 public key.
    fn read(&self) -> Option<(String, PublicKey)> {
        let jsonwebtoken::jwk::AlgorithmParameters::OctetKeyPair(_) = self.jwk.algorithm else { return None };
        let key = DecodingKey::from_jwk(&self.jwk).ok()?;
        Some((kid_of(&self.jwk)?, PublicKey { key, not_after: self.not_after }))
    }
}

async fn publish(store: &dyn Store, kid: &str, published: &PublishedKey) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(published).expect("a JWK and a time always serialise");
    let object = NewObject { bytes: bytes.into(), content_type: Some("application/json".to_owned()) };
    store.put(&format!("{PREFIX}{kid}"), object).await
}

/// A fresh Ed25519 pair.
fn make_pair(now: Timestamp) -> (SigningKey, PublishedKey) {
    /// PKCS #8 around an Ed25519 seed (RFC 8410 §7): everything but the 32 bytes of the seed is constant.
    const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let seed: [u8; 32] = rand::random();
    let key = EncodingKey::from_ed_der(&[PKCS8.as_slice(), &seed].concat());
    let jwk = Jwk::from_encoding_key(&key, Algorithm::EdDSA).expect("any 32 bytes are an Ed25519 seed");
    let kid = kid_of(&jwk).expect("an Ed25519 key has a thumbprint");
    (SigningKey { kid, key, made: now }, PublishedKey { jwk, not_after: now + SIGNS_FOR + LONGEST_TTL })
}

/// The key's SHA-256 thumbprint (RFC 7638) in hexadecimal: a name that proves its content, and a safe key segment.
fn kid_of(jwk: &Jwk) -> Option<String> {
    let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
    Some(HEXLOWER.encode(&BASE64URL_NOPAD.decode(thumbprint.as_bytes()).ok()?))
}

fn is_kid(text: &str) -> bool {
    text.len() == KID_LENGTH && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
