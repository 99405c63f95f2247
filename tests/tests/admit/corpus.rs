//! Files and clusters speak one language: an API server gives every object of the corpus the verdict that `validate()`
//! gives it, and accepts every example of the repository.

use berth_tests::control_plane::{ControlPlane, root, yaml_files};
use berth_tests::report;
use futures::{StreamExt as _, stream};
use kube::Client;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A line of this beginning says why files and clusters cannot agree on a file.
const EXEMPTION: &str = "# files only: ";

/// Sends every object of a text as kubectl does, without keeping any. `Err` holds the first refusal.
async fn create(client: &Client, text: &str) -> Result<(), String> {
    for document in split(text) {
        let value: Value = serde_yaml::from_str(document).map_err(|error| format!("cannot be read: {error}"))?;
        match value.get("kind").and_then(Value::as_str) {
            _ if value.is_null() => {}
            Some("List") => {
                for item in value["items"].as_array().into_iter().flatten() {
                    post(client, item, &item.to_string()).await?;
                }
            }
            // The text itself, and not what our parser made of it.
            _ => post(client, &value, document).await?,
        }
    }
    Ok(())
}

/// The documents of a YAML stream.
fn split(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let mut begin = 0;
    let mut position = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            documents.push(&text[begin..position]);
            begin = position + line.len();
        }
        position += line.len();
    }
    documents.push(&text[begin..]);
    documents
}

async fn post(client: &Client, value: &Value, text: &str) -> Result<(), String> {
    let plural = match (value["apiVersion"].as_str(), value["kind"].as_str()) {
        (Some("berth.dev/v1alpha1"), Some("ContainerRepository")) => "containerrepositories",
        (Some("berth.dev/v1alpha1"), Some("RegistryVisibility")) => "registryvisibilities",
        (Some("berth.dev/v1alpha1"), Some("CleanupPolicy")) => "cleanuppolicies",
        (Some("v1"), Some("Namespace")) => return Ok(()),
        other => return Err(format!("no matches for {other:?}")),
    };
    let namespace = value["metadata"]["namespace"].as_str().unwrap_or("default");
    let path = format!(
        "/apis/berth.dev/v1alpha1/namespaces/{namespace}/{plural}?dryRun=All&fieldValidation=Strict&fieldManager=corpus"
    );
    let request = http::Request::post(path).header("content-type", "application/yaml").body(text.into()).unwrap();
    match client.request::<Value>(request).await {
        Ok(_) => Ok(()),
        // A namespace that the test forgot to make would refuse anything: that is no verdict. One whose name no namespace can
        // have is.
        Err(kube::Error::Api(status)) if status.code == 404 && namespace == namespace.to_lowercase() => {
            panic!("{namespace} is missing: {}", status.message)
        }
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(error) => panic!("{error}"),
    }
}

/// A client, with the namespaces that the files name.
async fn prepared() -> Client {
    let plane = ControlPlane::shared().await.unwrap();
    for namespace in ["team-a", "team-b"] {
        let object = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}");
        plane.apply(&object).await.unwrap();
    }
    plane.admin().await.unwrap()
}

/// Name, whether it is accepted, for each file that is meant for clusters too. And how many are not.
async fn verdicts(folder: &str) -> (Vec<(String, Result<(), String>)>, usize) {
    let client = prepared().await;
    let files = yaml_files(&root().join("crds/tests/corpus").join(folder)).unwrap();
    let texts: Vec<(String, String)> = files.iter().map(|path| (name(path), read(path))).collect();
    let all = texts.len();
    let shared: Vec<_> =
        texts.into_iter().filter(|(_, text)| !text.lines().any(|line| line.starts_with(EXEMPTION))).collect();
    let exempt = all - shared.len();
    let client = &client;
    let judged = stream::iter(shared).map(|(name, text)| async move { (name, create(client, &text).await) });
    (judged.buffered(8).collect().await, exempt)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn admit_what_the_corpus_accepts() {
    let (verdicts, exempt) = verdicts("accept").await;
    report(format!("corpus: {} files to accept, {exempt} for files only", verdicts.len()));
    assert!(verdicts.len() > 30, "only {} files", verdicts.len());
    let refused: Vec<_> = verdicts.into_iter().filter(|(_, verdict)| verdict.is_err()).collect();
    assert!(refused.is_empty(), "the API server refuses {refused:#?}");
}

#[tokio::test]
async fn admit_nothing_that_the_corpus_refuses() {
    let (verdicts, exempt) = verdicts("refuse").await;
    report(format!("corpus: {} files to refuse, {exempt} for files only", verdicts.len()));
    assert!(verdicts.len() > 130, "only {} files", verdicts.len());
    let accepted: Vec<_> = verdicts.into_iter().filter(|(_, verdict)| verdict.is_ok()).map(|(name, _)| name).collect();
    assert!(accepted.is_empty(), "the API server accepts {accepted:#?}");
}

#[tokio::test]
async fn admit_every_example() {
    let client = prepared().await;
    let mut texts: Vec<(String, String)> = Vec::new();
    for folder in ["examples", "examples/quickstart"] {
        texts.extend(yaml_files(&root().join(folder)).unwrap().iter().map(|path| (name(path), read(path))));
    }
    assert!(texts.len() >= 6, "only {} files", texts.len());
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(root().join("docs")).unwrap().map(|page| page.unwrap().path()).collect();
    pages.push(root().join("README.md"));
    for page in pages.into_iter().filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let text = read(&page);
        // Every second piece between fences is code.
        let blocks = text.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
        let objects = blocks.filter(|(language, code)| *language == "yaml" && code.contains("apiVersion: berth.dev"));
        texts.extend(objects.map(|(_, code)| (name(&page), code.to_owned())));
    }
    for (name, text) in texts {
        if let Err(refusal) = create(&client, &text).await {
            panic!("{name}: {refusal}");
        }
    }
}
