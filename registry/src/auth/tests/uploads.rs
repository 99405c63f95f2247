//! Locations of uploads: bound to everything, of use for nothing else (amendment R10).

use super::*;
use crate::storage::{Progress, UploadState};

const IMAGE: &str = "team-a/private/app";
const PUSH: &[&str] = &["repository:team-a/private/app:pull,push"];
const UNKNOWN: &str = "404 BLOB_UPLOAD_UNKNOWN";
const BAD: &str = "401 invalid_token";

fn state(session: &str) -> UploadState {
    UploadState { session: session.to_owned(), algorithm: None, offset: 7, progress: Progress::Empty }
}

/// Begins an upload and seals its Location.
async fn begin(bed: &Bed, credential: &Credential, path: &str, session: &str) -> String {
    let caller = bed.access.authorize(&request(credential), &image(path), &Action::Push).await.unwrap();
    let upload = bed.access.begin_upload(state(session));
    bed.access.seal_upload(&caller, &image(path), &upload).unwrap()
}

async fn go_on(bed: &Bed, credential: &Credential, path: &str, session: &str, sealed: &str) -> String {
    match bed.access.authorize_upload(&request(credential), &image(path), session, sealed).await {
        Ok((_, upload)) => {
            assert_eq!(upload.state, state(session));
            "ok".to_owned()
        }
        Err(refusal) => outcome_of(refusal).await,
    }
}

#[tokio::test]
async fn a_location_is_good_for_its_own_image_session_and_subject_only() {
    let bed = Bed::new().await;
    let developer = Credential::user("developer");
    let sealed = begin(&bed, &developer, IMAGE, "s1").await;
    assert_eq!(go_on(&bed, &developer, IMAGE, "s1", &sealed).await, "ok");
    let token = Credential::bearer(bed.token(&developer, PUSH).await);
    assert_eq!(go_on(&bed, &token, IMAGE, "s1", &sealed).await, "ok", "another credential of the same subject");

    assert_eq!(go_on(&bed, &developer, "team-a/private/other", "s1", &sealed).await, UNKNOWN);
    assert_eq!(go_on(&bed, &developer, "team-a/public", "s1", &sealed).await, UNKNOWN);
    assert_eq!(go_on(&bed, &developer, IMAGE, "s2", &sealed).await, UNKNOWN);
    assert_eq!(go_on(&bed, &Credential::user("maintainer"), IMAGE, "s1", &sealed).await, UNKNOWN);
    assert_eq!(go_on(&bed, &Credential::deploy(WRITE_TOKEN), IMAGE, "s1", &sealed).await, UNKNOWN);
    assert_eq!(go_on(&bed, &Credential::user("reporter"), IMAGE, "s1", &sealed).await, "401 insufficient_scope");
    assert_eq!(go_on(&bed, &Credential::Nothing, IMAGE, "s1", &sealed).await, "401", "it is no credential");
}

#[tokio::test]
async fn an_altered_location_is_unknown() {
    let bed = Bed::new().await;
    let developer = Credential::user("developer");
    let sealed = begin(&bed, &developer, IMAGE, "s1").await;
    for at in 0..sealed.len() {
        let mut altered = sealed.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        // The last character of unpadded base64 has bits that mean nothing; a decoder may ignore or refuse them.
        if at != sealed.len() - 1 {
            assert_eq!(go_on(&bed, &developer, IMAGE, "s1", &altered).await, UNKNOWN, "byte {at}");
        }
    }
    for nothing in ["", "x", "..", "a.b.c", &sealed[..sealed.len() - 2]] {
        assert_eq!(go_on(&bed, &developer, IMAGE, "s1", nothing).await, UNKNOWN, "{nothing:?}");
    }
}

#[tokio::test]
async fn a_location_logs_nobody_in_and_a_registry_token_continues_nothing() {
    let bed = Bed::new().await;
    let developer = Credential::user("developer");
    let sealed = begin(&bed, &developer, IMAGE, "s1").await;
    for credential in [Credential::bearer(&sealed), Credential::Basic("developer".to_owned(), sealed.clone())] {
        assert_eq!(bed.pull(&credential, IMAGE).await, BAD);
        assert_eq!(bed.pull(&credential, "team-a/public").await, BAD);
        assert_eq!(go_on(&bed, &credential, IMAGE, "s1", &sealed).await, BAD);
    }
    let (status, _) = bed.post_token(&[("grant_type", "refresh_token"), ("refresh_token", &sealed)]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    let token = bed.token(&developer, PUSH).await;
    assert_eq!(go_on(&bed, &developer, IMAGE, "s1", &token).await, UNKNOWN);
}

#[tokio::test]
async fn an_expired_token_goes_on_with_its_own_session_only() {
    let bed = Bed::new().await;
    let token = Credential::bearer(bed.token(&Credential::user("developer"), PUSH).await);
    let other = Credential::bearer(bed.token(&Credential::user("developer"), PUSH).await);
    let own = begin(&bed, &token, IMAGE, "s1").await;
    let others = begin(&bed, &other, IMAGE, "s2").await;
    let by_password = begin(&bed, &Credential::user("developer"), IMAGE, "s3").await;

    bed.time.advance(SignedDuration::from_hours(1));
    assert_eq!(bed.push(&token, IMAGE).await, BAD, "it begins nothing");
    assert_eq!(bed.pull(&token, IMAGE).await, BAD);
    assert_eq!(go_on(&bed, &token, IMAGE, "s1", &own).await, "ok");
    assert_eq!(go_on(&bed, &token, IMAGE, "s2", &others).await, BAD, "the session of another token");
    assert_eq!(go_on(&bed, &token, IMAGE, "s3", &by_password).await, BAD, "a session begun with a password");
    assert_eq!(go_on(&bed, &token, IMAGE, "s1", "nonsense").await, BAD);
    assert_eq!(go_on(&bed, &token, "team-a/private/other", "s1", &own).await, BAD);

    // What it seals in turn goes on too: the session stays its own.
    let (caller, upload) = bed.access.authorize_upload(&request(&token), &image(IMAGE), "s1", &own).await.unwrap();
    let next = bed.access.seal_upload(&caller, &image(IMAGE), &upload.advanced_to(state("s1"))).unwrap();
    bed.time.advance(SignedDuration::from_hours(22));
    assert_eq!(go_on(&bed, &token, IMAGE, "s1", &next).await, "ok");
}

#[tokio::test]
async fn an_expired_token_goes_on_only_while_the_push_is_allowed() {
    let bed = Bed::new().await;
    let token = Credential::bearer(bed.token(&Credential::user("developer"), PUSH).await);
    let deploy = Credential::bearer(bed.token(&Credential::deploy(WRITE_TOKEN), PUSH).await);
    let own = begin(&bed, &token, IMAGE, "s1").await;
    let deploys = begin(&bed, &deploy, IMAGE, "s2").await;
    bed.time.advance(SignedDuration::from_hours(1));
    assert_eq!(go_on(&bed, &deploy, IMAGE, "s2", &deploys).await, "ok");

    bed.change("team-a/private", |entry| entry.deploy_tokens.clear());
    assert_eq!(go_on(&bed, &deploy, IMAGE, "s2", &deploys).await, BAD);
    bed.change("team-a/private", |entry| entry.access = Openness::Disabled);
    assert_eq!(go_on(&bed, &token, IMAGE, "s1", &own).await, "403 DENIED");
    bed.change("team-a/private", |entry| entry.access = Openness::Enabled);
    assert_eq!(go_on(&bed, &token, IMAGE, "s1", &own).await, "ok");
    bed.users.replace(users(&[("developer", &[("team-a", "reporter")])]));
    assert_eq!(go_on(&bed, &token, IMAGE, "s1", &own).await, BAD);
}

#[tokio::test]
async fn a_session_ends_absolutely_however_often_it_goes_on() {
    let bed = Bed::new().await;
    let developer = Credential::user("developer");
    let mut sealed = begin(&bed, &developer, IMAGE, "s1").await;
    for _ in 0..23 {
        bed.time.advance(SignedDuration::from_hours(1));
        let opened = bed.access.authorize_upload(&request(&developer), &image(IMAGE), "s1", &sealed).await;
        let (caller, upload) = opened.unwrap();
        sealed = bed.access.seal_upload(&caller, &image(IMAGE), &upload.advanced_to(state("s1"))).unwrap();
    }
    bed.time.advance(SignedDuration::from_mins(59));
    assert_eq!(go_on(&bed, &developer, IMAGE, "s1", &sealed).await, "ok");
    bed.time.advance(SignedDuration::from_mins(1));
    assert_eq!(go_on(&bed, &developer, IMAGE, "s1", &sealed).await, UNKNOWN);
}

#[tokio::test]
async fn a_session_outlives_the_renewal_of_the_key_it_was_sealed_with() {
    let bed = Bed::new().await;
    let developer = Credential::user("developer");
    let sealed = begin(&bed, &developer, IMAGE, "s1").await;
    bed.time.advance(SignedDuration::from_hours(23));
    bed.keys.renew().await.unwrap();
    assert_eq!(go_on(&bed, &developer, IMAGE, "s1", &sealed).await, "ok");
}
