use super::*;
use crate::storage::id::Ids;

fn digest(algorithm: Algorithm) -> Digest {
    Digest::new(algorithm, "5f".repeat(algorithm.hex_len() / 2)).unwrap()
}

fn longest_image() -> ImageName {
    format!("{}/{}/{}", "n".repeat(63), "r".repeat(63), "i".repeat(72)).parse().unwrap()
}

#[test]
fn keys_read_what_they_write() {
    let ids = Ids::seeded(1);
    let image: ImageName = "team-a/shop/api".parse().unwrap();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = digest(algorithm);
        for data in [None, Some(ids.next())] {
            for size in [0, 35, 36, u64::MAX] {
                let holding = Holding { image: image.clone(), digest: digest.clone(), id: ids.next(), size, data };
                assert_eq!(Holding::parse(&holding.key()), Some(holding));
            }
        }
        let version = TagVersion {
            image: image.clone(),
            tag: "v1.0_a-b".parse().unwrap(),
            seq: 42,
            id: ids.next(),
            instance: ids.next(),
            digest: digest.clone(),
            kind: ManifestKind::Index,
            size: 123_456,
        };
        assert_eq!(TagVersion::parse(&version.key()), Some(version));
        let instance = ids.next();
        for mentions in [Mentions::of([]), Mentions::of([&digest, &digest]), Mentions::Unlisted] {
            let key =
                ManifestKey { image: image.clone(), digest: digest.clone(), instance, seal: Some(mentions.clone()) };
            assert_eq!(ManifestKey::parse(&seal(&image, &digest, instance, &mentions)), Some(key));
        }
        let key = ManifestKey { image: image.clone(), digest: digest.clone(), instance, seal: None };
        assert_eq!(ManifestKey::parse(&body(&image, &digest, instance)), Some(key));
        let link = ChildLink {
            image: image.clone(),
            child: digest.clone(),
            parent: digest.clone(),
            parent_instance: instance,
        };
        assert_eq!(ChildLink::parse(&link.key()), Some(link));
        let entry = referrer(&image, &digest, instance);
        assert_eq!(parse_referrer(&entry), Some((image.clone(), digest.clone(), instance)));
        assert_eq!(image_of_key(&entry), Some(image.clone()));
    }
    assert_eq!(id_of(&certificate(ids.next())).map(|id| id.to_string().len()), Some(26));
    assert_eq!(review_due(&review(77, ids.next())), Some(77));
}

#[test]
fn keys_of_others_are_not_misread() {
    for key in ["", "a/x", "b/sha256/aa/zz/r!/x", "r/a!b!/t/v1/x", "r/a!b!/m/sha256-00/x", "meta/format"] {
        assert_eq!(Holding::parse(key), None, "{key}");
        assert_eq!(TagVersion::parse(key), None, "{key}");
        assert_eq!(ManifestKey::parse(key), None, "{key}");
        assert_eq!(ChildLink::parse(key), None, "{key}");
    }
}

/// POSIX gateways take 255 bytes a segment, S3 1024 a key.
#[test]
fn the_longest_keys_fit() {
    let ids = Ids::seeded(2);
    let (image, digest) = (longest_image(), digest(Algorithm::Sha512));
    assert_eq!(image.as_str().len(), 200);
    let many: Vec<Digest> = (0..36).map(|_| digest.clone()).collect();
    let version = TagVersion {
        image: image.clone(),
        tag: "t".repeat(128).parse().unwrap(),
        seq: 9_999_999_999,
        id: ids.next(),
        instance: ids.next(),
        digest: digest.clone(),
        kind: ManifestKind::Artifact,
        size: u64::MAX,
    };
    let holding = Holding {
        image: image.clone(),
        digest: digest.clone(),
        id: ids.next(),
        size: u64::MAX,
        data: Some(ids.next()),
    };
    let link =
        ChildLink { image: image.clone(), child: digest.clone(), parent: digest.clone(), parent_instance: ids.next() };
    let keys = [
        version.key(),
        holding.key(),
        link.key(),
        seal(&image, &digest, ids.next(), &Mentions::of(&many)),
        referrer(&image, &digest, ids.next()),
    ];
    for key in keys {
        assert!(key.len() <= 1024, "{key}");
        assert!(key.split('/').all(|segment| segment.len() <= 255), "{key}");
    }
}

#[test]
fn a_short_mention_never_hides_a_digest() {
    let digests: Vec<Digest> =
        (0..20u8).map(|i| Digest::new(Algorithm::Sha256, format!("{i:02x}").repeat(32)).unwrap()).collect();
    let mentions = Mentions::of(&digests);
    assert!(digests.iter().all(|digest| mentions.may_name(digest)));
    assert!(!mentions.may_name(&Digest::new(Algorithm::Sha256, "ff".repeat(32)).unwrap()));
    let many: Vec<Digest> = (0..37).map(|_| digests[0].clone()).collect();
    assert_eq!(Mentions::of(&many), Mentions::Unlisted);
}

#[test]
fn versions_of_a_tag_sort_apart_from_longer_tags() {
    let image: ImageName = "a/b".parse().unwrap();
    let key = |tag: &str| super::tag(&image, &tag.parse().unwrap());
    let mut sorted = vec![key("v1-a"), key("v1"), key("v1.1"), key("v10"), key("v1_x")];
    sorted.sort();
    assert_eq!(sorted, [key("v1"), key("v1-a"), key("v1.1"), key("v10"), key("v1_x")]);
    assert!(after_tag(&image, "v1") > format!("{}0000000001.x", key("v1")));
    assert!(after_tag(&image, "v1") < key("v1-a"));
}
