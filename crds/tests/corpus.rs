//! Every file of the corpus is judged as its folder and its first line say.
//!
//! The same files are meant for a real API server, whose verdict must be the same, except where a line
//! `# files only: <why>` says that the two cannot agree.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use berth_crds::manifest;

fn corpus(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn what_is_to_be_accepted_is_accepted() {
    let files = corpus("accept");
    assert!(files.len() >= 15, "only {} files", files.len());
    for (name, text) in &files {
        let reading = manifest::read([(name.as_str(), text.as_str())]);
        assert_eq!(reading.problems, [], "{name}");
        assert!(!reading.objects.is_empty(), "{name} holds no object");
    }
}

#[test]
fn what_is_to_be_refused_is_refused_for_the_reason_given() {
    let files = corpus("refuse");
    assert!(files.len() >= 40, "only {} files", files.len());
    let mut wrong = Vec::new();
    for (name, text) in &files {
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# expect: ")).unwrap_or_else(|| {
            panic!("{name} must begin with a line \"# expect: <part of the message>\"");
        });
        let problems: Vec<String> =
            manifest::read([(name.as_str(), text.as_str())]).problems.iter().map(ToString::to_string).collect();
        if !problems.iter().any(|problem| problem.contains(expected)) {
            wrong.push(format!("{name}: expected \"{expected}\", got {problems:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
