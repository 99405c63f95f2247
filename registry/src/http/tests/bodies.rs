//! What becomes of bodies nobody reads, in process and over real connections (protocol rule R10).

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::Server;
use super::*;

/// More than is drained, and more than the buffers of a connection hold.
const LARGE: usize = 16 << 20;

#[tokio::test]
async fn a_short_body_is_drained_and_a_long_one_ends_the_connection() {
    let bed = Bed::new().await;
    let path = "/v2/team-a/shop/blobs/uploads/";
    let short = bed.send(post(path).by_nobody().body(vec![0; 1000])).await;
    assert_eq!((short.status, short.header("connection")), (StatusCode::UNAUTHORIZED, ""));
    let long = bed.send(post(path).by_nobody().stream(vec![Ok(vec![0; 600_000]), Ok(vec![0; 600_000])])).await;
    assert_eq!((long.status, long.header("connection")), (StatusCode::UNAUTHORIZED, "close"));
    let waiting = bed.send(post(path).by_nobody().header("expect", "100-continue").body(vec![0; 10])).await;
    assert_eq!((waiting.status, waiting.header("connection")), (StatusCode::UNAUTHORIZED, "close"));
}

/// Sends a request with a body that goes on and on, and reads the answer meanwhile.
async fn converse(bed: &Bed, head: &str, body: usize) -> String {
    let server = Server::start("127.0.0.1:0".parse().unwrap(), bed.router.clone()).await.unwrap();
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(head.as_bytes()).await.unwrap();
    let sending = tokio::spawn(async move {
        let piece = vec![0; 64 << 10];
        for _ in 0..body / piece.len() {
            writing.write_all(&piece).await?;
        }
        Ok::<_, std::io::Error>(writing)
    });
    let mut answer = Vec::new();
    reading.read_to_end(&mut answer).await.expect("an answer, not a reset");
    // Linux clients find the answer even behind a reset; others lose it with the reset.
    sending.await.unwrap().expect("the registry goes on reading what is on its way");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn an_early_refusal_of_a_large_body_arrives_as_an_answer() {
    let bed = Bed::new().await;
    let head = format!(
        "POST /v2/team-a/shop/blobs/uploads/?digest={} HTTP/1.1\r\nhost: registry.test\r\ncontent-length: {LARGE}\r\n\r\n",
        sha256(b"")
    );
    let answer = converse(&bed, &head, LARGE).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("www-authenticate: Bearer ") && answer.contains("connection: close"), "{answer}");
    assert!(answer.contains("\"code\":\"UNAUTHORIZED\""), "{answer}");
}

#[tokio::test]
async fn a_manifest_far_beyond_the_limit_is_told_so() {
    let bed = Bed::new().await;
    let credentials = STANDARD.encode("developer:developer");
    let head = format!(
        "PUT /v2/team-a/shop/manifests/x HTTP/1.1\r\nhost: registry.test\r\nauthorization: Basic {credentials}\r\n\
         content-type: {OCI_MANIFEST}\r\ncontent-length: {LARGE}\r\n\r\n"
    );
    let answer = converse(&bed, &head, LARGE).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("at most 4194304 bytes"), "{answer}");
}

#[tokio::test]
async fn a_body_beyond_its_length_is_another_request_and_stores_nothing() {
    let bed = Bed::new().await;
    let credentials = STANDARD.encode("developer:developer");
    let digest = sha256(b"abc");
    let head = format!(
        "POST /v2/team-a/shop/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: registry.test\r\n\
         authorization: Basic {credentials}\r\ncontent-length: 3\r\n\r\nabcdefgh\r\n\r\n"
    );
    let answer = converse(&bed, &head, 0).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(answer.contains("HTTP/1.1 400 "), "the rest is no request: {answer}");
    assert_eq!(bed.send(get(&format!("/v2/team-a/shop/blobs/{digest}"))).await.bytes, "abc");
}

#[tokio::test]
async fn a_drained_server_has_answered_what_was_under_way() {
    let bed = Bed::new().await;
    let server = Server::start("127.0.0.1:0".parse().unwrap(), bed.router.clone()).await.unwrap();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let credentials = STANDARD.encode("developer:developer");
    let digest = sha256(b"abcdef");
    let head = format!(
        "POST /v2/team-a/shop/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: registry.test\r\n\
         authorization: Basic {credentials}\r\ncontent-length: 6\r\n\r\nabc"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The head has arrived once the registry reads the body, which is when it counts the request as under way.
    while bed.objects() == 0 && !bed.under_way() {
        tokio::task::yield_now().await;
    }
    let draining = tokio::spawn(server.drain(Duration::from_secs(60)));
    stream.write_all(b"def").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    drop(stream);
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 201 "));
    assert!(draining.await.unwrap(), "nothing was cut");
    assert_eq!(bed.send(head_of(&digest)).await.status, StatusCode::OK);
}

fn head_of(digest: &Digest) -> Asking {
    super::head(&format!("/v2/team-a/shop/blobs/{digest}"))
}

#[tokio::test]
async fn an_early_refusal_arrives_over_http_2_as_well() {
    let bed = Bed::new().await;
    let server = Server::start("127.0.0.1:0".parse().unwrap(), bed.router.clone()).await.unwrap();
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let path = format!("http://{}/v2/team-a/shop/manifests/x", server.address());
    for (credentials, status) in [(None, 401), (Some("developer"), 413)] {
        let mut request = client.put(&path).header("content-type", OCI_MANIFEST).body(vec![b'{'; LARGE]);
        if let Some(name) = credentials {
            request = request.basic_auth(name, Some(name));
        }
        let answer = request.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (status, http::Version::HTTP_2));
        assert!(answer.text().await.unwrap().contains("\"errors\""));
    }
}

#[tokio::test]
async fn an_upload_comes_to_its_end_when_the_client_leaves_before_the_answer() {
    let bed = Bed::new().await;
    let digest = sha256(b"abcdef");
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let pieces = futures::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let mut asking = post(&format!("/v2/team-a/shop/blobs/uploads/?digest={digest}"));
    *asking.request.body_mut() = Body::from_stream(pieces);
    let mut answering = Box::pin(bed.router.clone().oneshot(asking.request));
    sender.send(Ok(b"abc".to_vec())).await.unwrap();
    while !bed.under_way() {
        assert!(futures::poll!(&mut answering).is_pending());
        tokio::task::yield_now().await;
    }
    drop(answering);
    sender.send(Ok(b"def".to_vec())).await.unwrap();
    drop(sender);
    bed.tasks.close();
    bed.tasks.wait().await;
    assert_eq!(bed.send(head_of(&digest)).await.status, StatusCode::OK);
}
