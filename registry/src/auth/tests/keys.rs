//! Signing and verifying over one bucket: publication before use, renewal, look-ups, and everything that is not ours.

use jsonwebtoken::{Algorithm as Alg, EncodingKey, Header};
use serde_json::json;

use super::*;
use crate::auth::keys::{TokenType, VerifyError};
use crate::store::memory::Operation;
use crate::store::{NewObject, Store as _};

const AUDIENCE: &str = "registry.berth.dev";

async fn open(store: &MemoryStore, time: &TestClock) -> Keys {
    Keys::open(Arc::new(store.clone()), time.clock()).await.unwrap()
}

fn sign(keys: &Keys) -> String {
    keys.sign(TokenType::Access, &json!({ "aud": AUDIENCE, "says": "hello" })).unwrap()
}

async fn verifies(keys: &Keys, token: &str) -> bool {
    match keys.verify::<Value>(TokenType::Access, AUDIENCE, token).await {
        Ok(claims) => {
            assert_eq!(claims["says"], "hello");
            true
        }
        Err(VerifyError::Invalid) => false,
        Err(error) => panic!("{error}"),
    }
}

fn published(store: &MemoryStore) -> Vec<String> {
    store.snapshot().into_keys().filter(|key| key.starts_with("meta/keys/")).collect()
}

fn count(store: &MemoryStore, operation: Operation) -> u64 {
    store.counts().get(&operation).copied().unwrap_or_default()
}

#[tokio::test]
async fn a_public_half_is_in_the_bucket_before_anything_is_signed() {
    let (store, time) = (MemoryStore::new(), TestClock::new());
    let keys = open(&store, &time).await;
    let [key] = published(&store).try_into().unwrap();
    let object: Value = serde_json::from_slice(&store.snapshot()[&key].bytes).unwrap();
    assert_eq!(object["jwk"]["kty"], "OKP");
    assert_eq!(object["jwk"].get("d"), None, "the private half never leaves memory");
    let header = jsonwebtoken::decode_header(sign(&keys)).unwrap();
    assert_eq!(format!("meta/keys/{}", header.kid.unwrap()), key);
    assert_eq!((header.alg, header.typ.as_deref()), (Alg::EdDSA, Some("berth-access+jwt")));
}

#[tokio::test]
async fn another_replicas_key_is_looked_up_once() {
    let (store, time) = (MemoryStore::new(), TestClock::new());
    let (ours, theirs) = (open(&store, &time).await, open(&store, &time).await);
    let token = sign(&theirs);
    assert!(verifies(&ours, &token).await);
    let (lists, gets) = (count(&store, Operation::List), count(&store, Operation::Get));
    assert_eq!((lists, gets), (1, 1));
    for _ in 0..10 {
        assert!(verifies(&ours, &token).await);
        assert!(verifies(&ours, &sign(&ours)).await);
    }
    assert_eq!((count(&store, Operation::List), count(&store, Operation::Get)), (lists, gets));
}

#[tokio::test]
async fn invented_key_ids_become_no_flood_of_requests() {
    let (store, time) = (MemoryStore::new(), TestClock::new());
    let (ours, theirs) = (Arc::new(open(&store, &time).await), open(&store, &time).await);
    let forged = |number: u32| {
        let mut header = Header::new(Alg::EdDSA);
        header.typ = Some("berth-access+jwt".to_owned());
        header.kid = Some(format!("{number:064x}"));
        let key = EncodingKey::from_ed_der(&pkcs8(&[7; 32]));
        jsonwebtoken::encode(&header, &json!({ "aud": AUDIENCE, "says": "hello" }), &key).unwrap()
    };
    let flood = (0..500).map(|number| {
        let (ours, token) = (Arc::clone(&ours), forged(number));
        tokio::spawn(async move { verifies(&ours, &token).await })
    });
    let flood: Vec<_> = flood.collect();
    assert!(verifies(&ours, &sign(&theirs)).await, "a real key is found all the same");
    for forged in flood {
        assert!(!forged.await.unwrap());
    }
    // One a second, however slow this machine is; without the limit there would be 500.
    assert!(count(&store, Operation::List) <= 30, "{:?}", store.counts());
    assert_eq!(count(&store, Operation::Get), 1);

    let lists = count(&store, Operation::List);
    assert!(!verifies(&ours, &forged(1)).await);
    assert_eq!(count(&store, Operation::List), lists, "what is known to be absent is not looked up again");
}

#[tokio::test]
async fn a_key_id_that_is_none_never_reaches_the_bucket() {
    let (store, time) = (MemoryStore::new(), TestClock::new());
    let keys = open(&store, &time).await;
    let before = store.counts();
    for kid in ["", "x", "../../config", &"A".repeat(64), &"g".repeat(64), &"a".repeat(65)] {
        let mut header = Header::new(Alg::EdDSA);
        header.typ = Some("berth-access+jwt".to_owned());
        header.kid = Some(kid.to_owned());
        let key = EncodingKey::from_ed_der(&pkcs8(&[7; 32]));
        let token = jsonwebtoken::encode(&header, &json!({ "aud": AUDIENCE }), &key).unwrap();
        assert!(!verifies(&keys, &token).await, "{kid}");
    }
    assert_eq!(store.counts(), before);
}

/// PKCS #8 of an Ed25519 seed.
fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend_from_slice(seed);
    der
}

/// `header.claims.signature` with other parts.
fn with_parts(token: &str, header: Option<&Value>, claims: Option<&Value>, signature: Option<&str>) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let encode = |value: &Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let header = header.map_or_else(|| parts[0].to_owned(), encode);
    let claims = claims.map_or_else(|| parts[1].to_owned(), encode);
    format!("{header}.{claims}.{}", signature.unwrap_or(parts[2]))
}

#[tokio::test]
async fn confused_algorithms_types_and_audiences_are_refused() {
    let (store, time) = (MemoryStore::new(), TestClock::new());
    let keys = open(&store, &time).await;
    let token = sign(&keys);
    assert!(verifies(&keys, &token).await);
    let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
    let header = |alg: &str| json!({ "alg": alg, "typ": "berth-access+jwt", "kid": kid });

    assert!(!verifies(&keys, &with_parts(&token, Some(&header("none")), None, Some(""))).await, "alg none");
    assert!(!verifies(&keys, &with_parts(&token, Some(&header("ES256")), None, None)).await);
    // The classic: the public key, which anybody may read, as an HMAC secret.
    let published: Value = serde_json::from_slice(&store.snapshot()[&format!("meta/keys/{kid}")].bytes).unwrap();
    let x = published["jwk"]["x"].as_str().unwrap();
    for secret in [x.as_bytes().to_vec(), data_encoding::BASE64URL_NOPAD.decode(x.as_bytes()).unwrap()] {
        let mut hmac = Header::new(Alg::HS256);
        hmac.typ = Some("berth-access+jwt".to_owned());
        hmac.kid = Some(kid.clone());
        let claims = json!({ "aud": AUDIENCE, "says": "hello" });
        let forged = jsonwebtoken::encode(&hmac, &claims, &EncodingKey::from_secret(&secret)).unwrap();
        assert!(!verifies(&keys, &forged).await, "HS256 with the public key");
    }
    let other_type = json!({ "alg": "EdDSA", "typ": "JWT", "kid": kid });
    assert!(!verifies(&keys, &with_parts(&token, Some(&other_type), None, None)).await);
    let critical = json!({ "alg": "EdDSA", "typ": "berth-access+jwt", "kid": kid, "crit": ["x"] });
    assert!(!verifies(&keys, &with_parts(&token, Some(&critical), None, None)).await);
    let claims = json!({ "aud": AUDIENCE, "says": "hello", "more": true });
    assert!(!verifies(&keys, &with_parts(&token, None, Some(&claims), None)).await);

    let upload = keys.sign(TokenType::Upload, &json!({ "aud": AUDIENCE, "says": "hello" })).unwrap();
    assert!(!verifies(&keys, &upload).await, "another type");
    for audience in [json!("other"), json!(["other"]), Value::Null] {
        let token = keys.sign(TokenType::Access, &json!({ "aud": audience, "says": "hello" })).unwrap();
        assert!(!verifies(&keys, &token).await, "audience {audience}");
    }
    for nothing in ["", ".", "..", "a.b.c", "a.b.c.d", &"a".repeat(100_000)] {
        assert!(!verifies(&keys, nothing).await);
    }
}

#[tokio::test]
async fn a_key_in_jwk_or_jku_of_the_token_itself_counts_for_nothing() {
    let (store, time) = (MemoryStore::new(), TestClock::new());
    let keys = open(&store, &time).await;
    let own = EncodingKey::from_ed_der(&pkcs8(&[7; 32]));
    let mut header = Header::new(Alg::EdDSA);
    header.typ = Some("berth-access+jwt".to_owned());
    header.jwk = Some(jsonwebtoken::jwk::Jwk::from_encoding_key(&own, Alg::EdDSA).unwrap());
    header.kid = jsonwebtoken::decode_header(sign(&keys)).unwrap().kid;
    let forged = jsonwebtoken::encode(&header, &json!({ "aud": AUDIENCE, "says": "hello" }), &own).unwrap();
    assert!(!verifies(&keys, &forged).await);
}

#[tokio::test]
async fn an_object_under_another_keys_name_is_not_that_key() {
    let (store, time) = (MemoryStore::new(), TestClock::new());
    let (ours, theirs) = (open(&store, &time).await, open(&store, &time).await);
    let token = sign(&theirs);
    let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
    let own = EncodingKey::from_ed_der(&pkcs8(&[7; 32]));
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&own, Alg::EdDSA).unwrap();
    let swapped = json!({ "jwk": jwk, "notAfter": "2100-01-01T00:00:00Z" }).to_string();
    store.put(&format!("meta/keys/{kid}"), NewObject::bytes(swapped)).await.unwrap();
    let mut header = Header::new(Alg::EdDSA);
    header.typ = Some("berth-access+jwt".to_owned());
    header.kid = Some(kid);
    let forged = jsonwebtoken::encode(&header, &json!({ "aud": AUDIENCE, "says": "hello" }), &own).unwrap();
    assert!(!verifies(&ours, &forged).await);
    assert!(!verifies(&ours, &token).await);
}

#[tokio::test]
async fn renewal_publishes_first_and_old_tokens_go_on_verifying() {
    let (store, time) = (MemoryStore::new(), TestClock::new());
    let keys = open(&store, &time).await;
    let old = sign(&keys);
    time.advance(SignedDuration::from_hours(24));
    keys.renew().await.unwrap();
    let new = sign(&keys);
    assert_eq!(published(&store).len(), 2);
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    assert_ne!(kid(&old), kid(&new));
    let replica = open(&store, &time).await;
    assert!(verifies(&replica, &old).await && verifies(&replica, &new).await);

    // 48 hours of signing and 24 of the longest-lived token after it was made, and not a second more.
    time.advance(SignedDuration::from_hours(48) - SignedDuration::from_secs(1));
    assert!(verifies(&keys, &old).await);
    time.advance(SignedDuration::from_secs(1));
    assert!(!verifies(&keys, &old).await && !verifies(&replica, &old).await);
    assert!(verifies(&keys, &new).await);
}

#[tokio::test]
async fn a_replica_that_cannot_renew_stops_signing() {
    let (store, time) = (MemoryStore::new(), TestClock::new());
    let keys = open(&store, &time).await;
    time.advance(SignedDuration::from_hours(47));
    sign(&keys);
    time.advance(SignedDuration::from_hours(1));
    assert!(keys.sign(TokenType::Access, &json!({ "aud": AUDIENCE })).is_err());
    keys.renew().await.unwrap();
    sign(&keys);
}

#[tokio::test]
async fn public_halves_nobody_needs_are_removed_at_renewal_and_no_others() {
    let (store, time) = (MemoryStore::new(), TestClock::new());
    let gone = open(&store, &time).await;
    store.put("meta/format", NewObject::marker()).await.unwrap();
    store.advance(std::time::Duration::from_secs(2 * 86_400));
    let younger = open(&store, &time).await;
    let keys = open(&store, &time).await;
    keys.renew().await.unwrap();
    assert_eq!(published(&store).len(), 4, "two days are too early");
    store.advance(std::time::Duration::from_secs(2 * 86_400 + 1));
    keys.renew().await.unwrap();
    let left = published(&store);
    let key = |keys: &Keys| format!("meta/keys/{}", jsonwebtoken::decode_header(sign(keys)).unwrap().kid.unwrap());
    assert!(!left.contains(&key(&gone)));
    assert!(left.contains(&key(&younger)) && left.contains(&key(&keys)));
    assert!(store.snapshot().contains_key("meta/format"));
}
