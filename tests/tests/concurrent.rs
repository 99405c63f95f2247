//! Ten pushes at once of images that share layers: all succeed, and what they share is there for all of them.
#![allow(clippy::unwrap_used)]

use berth_tests::images::{self, Image};
use berth_tests::registry_process::Settings;
use berth_tests::report;
use berth_tests::s3_server::S3Server;
use berth_tests::site::{Site, developer};

const IMAGE: &str = "team/app";
const PUSHES: u64 = 10;

/// Two layers that all images share, one small and one that takes several parts of a multipart upload, and one of its own.
fn sharing(number: u64) -> Image {
    Image::of_layers(
        "amd64",
        &[images::layer(100, 20_000_000), images::layer(101, 50_000), images::layer(number, 50_000)],
    )
}

#[tokio::test]
async fn ten_pushes_of_images_that_share_layers_all_succeed() {
    let server = S3Server::start().await.unwrap();
    let bucket = server.create_bucket("sharing").await.unwrap();
    let site = Site::of_public_repositories(&[IMAGE]).unwrap();
    let registry = Settings::on_bucket(&server.endpoint(), &bucket, &site).start().await.unwrap();
    let client = developer(&registry.url()).unwrap();
    let images: Vec<Image> = (0..PUSHES).map(sharing).collect();

    // All of them find nothing there at first, so that they upload the shared layers at the same time.
    let tags: Vec<String> = (0..PUSHES).map(|number| format!("v{number}")).collect();
    let pushes = images.iter().zip(&tags).map(|(image, tag)| client.push_image(IMAGE, tag, image));
    for result in futures::future::join_all(pushes).await {
        result.unwrap();
    }
    for (image, tag) in images.iter().zip(&tags) {
        client.check_image(IMAGE, tag, image).await.unwrap();
    }

    // Later pushes find the shared layers and send only their own.
    let before: u64 = server.list(&bucket).await.unwrap().iter().map(|(_, size)| size).sum();
    let late: Vec<Image> = (PUSHES..2 * PUSHES).map(sharing).collect();
    let late_tags: Vec<String> = (PUSHES..2 * PUSHES).map(|number| format!("v{number}")).collect();
    let pushes = late.iter().zip(&late_tags).map(|(image, tag)| client.push_image(IMAGE, tag, image));
    for result in futures::future::join_all(pushes).await {
        result.unwrap();
    }
    for (image, tag) in late.iter().zip(&late_tags) {
        client.check_image(IMAGE, tag, image).await.unwrap();
    }
    let after: u64 = server.list(&bucket).await.unwrap().iter().map(|(_, size)| size).sum();
    let own: u64 = late.iter().map(|image| (image.layers[2].bytes.len() + image.config.bytes.len()) as u64).sum();
    let grown = after - before;
    assert!(grown < own + 100_000, "{PUSHES} images whose own layers are {own} bytes took {grown} bytes more");
    report(format!(
        "{PUSHES} pushes at once of 20 MB images that share all but 50 kB: then {grown} bytes for {PUSHES} more"
    ));
}
