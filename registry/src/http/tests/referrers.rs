//! `/v2/<name>/referrers/<digest>`.

use super::*;

/// Pushes an artifact that refers to `subject`.
async fn attach(bed: &Bed, artifact_type: Option<&str>, subject: &[u8], note: &str) -> Value {
    let empty = bed.push_blob("team-a/shop", b"{}").await;
    let mut manifest = json!({
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
        "subject": descriptor(OCI_MANIFEST, subject),
        "annotations": {"note": note},
    });
    if let Some(artifact_type) = artifact_type {
        manifest["artifactType"] = json!(artifact_type);
    }
    let bytes = manifest.to_string().into_bytes();
    let digest = sha256(&bytes);
    let answer = bed.push_manifest("team-a/shop", &digest.to_string(), OCI_MANIFEST, &bytes).await;
    assert_eq!(answer.header("oci-subject"), sha256(subject).to_string(), "{answer:?}");
    json!({
        "mediaType": OCI_MANIFEST, "digest": digest, "size": bytes.len(),
        "artifactType": artifact_type.unwrap_or("application/vnd.oci.empty.v1+json"),
        "annotations": {"note": note},
    })
}

fn sorted(mut descriptors: Vec<Value>) -> Value {
    descriptors.sort_by_key(|descriptor| descriptor["digest"].to_string());
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors})
}

#[tokio::test]
async fn referrers_are_listed_exactly_and_filtered_by_type() {
    let bed = Bed::new().await;
    let signature = attach(&bed, Some("application/signature"), b"subject", "1").await;
    let sbom = attach(&bed, Some("application/sbom"), b"subject", "2").await;
    let plain = attach(&bed, None, b"subject", "3").await;
    attach(&bed, Some("application/sbom"), b"another", "4").await;
    let path = format!("/v2/team-a/shop/referrers/{}", sha256(b"subject"));
    let all = bed.send(get(&path)).await;
    assert_eq!(all.header("content-type"), OCI_INDEX);
    assert_eq!(all.header("oci-filters-applied"), "");
    assert_eq!(all.json(), sorted(vec![signature, sbom.clone(), plain]));
    for (query, expected) in [
        ("artifactType=application/sbom", vec![sbom.clone()]),
        ("artifactType=application%2Fsbom&unknown=x", vec![sbom.clone()]),
        ("artifactType=application/none", Vec::new()),
    ] {
        let answer = bed.send(get(&format!("{path}?{query}"))).await;
        assert_eq!(answer.json(), sorted(expected), "{query}");
        assert_eq!(answer.header("oci-filters-applied"), "artifactType", "{query}");
    }
    let gone = format!("/v2/team-a/shop/manifests/{}", sbom["digest"].as_str().unwrap());
    assert_eq!(bed.send(delete(&gone)).await.status, StatusCode::ACCEPTED);
    let left = bed.send(get(&format!("{path}?artifactType=application/sbom"))).await;
    assert_eq!(left.json(), sorted(Vec::new()), "a deleted referrer is gone at once");
}

#[tokio::test]
async fn who_refers_to_nothing_is_an_empty_list_and_never_404() {
    let bed = Bed::new().await;
    let zeros = format!("sha256:{}", "0".repeat(64));
    let sha512_zeros = format!("sha512:{}", "0".repeat(128));
    for path in [
        format!("/v2/team-a/shop/referrers/{zeros}"),
        format!("/v2/team-a/shop/never/pushed/referrers/{sha512_zeros}"),
        format!("/v2/team-a/new/referrers/{zeros}"),
        format!("/v2/team-a/shop/referrers/blake3:{}", "0".repeat(64)),
    ] {
        let answer = bed.send(get(&path)).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, OCI_INDEX), "{path}");
        assert_eq!(answer.json(), sorted(Vec::new()), "{path}");
    }
    for digest in ["latest", "sha256:abc", "sha256:", &zeros.replace('0', "G")] {
        let answer = bed.send(get(&format!("/v2/team-a/shop/referrers/{digest}"))).await;
        answer.assert_error(400, "DIGEST_INVALID", "");
    }
    for request in [get(&format!("/v2/team-a/shop/referrers/{zeros}")), get("/v2/team-a/shop/referrers/latest")] {
        bed.send(request.by("guest")).await.assert_error(401, "UNAUTHORIZED", "");
    }
}
