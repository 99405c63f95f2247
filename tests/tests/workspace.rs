//! What holds for the source tree as a whole: who may depend on whom, and that nothing is left half done.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Names of crates in a `cargo tree` of normal dependencies.
fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{lib} {p}"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| Some(line.split(' ').nth(1)?.to_owned())).collect()
}

#[test]
fn decisions_know_no_network_and_no_runtime() {
    let below = tree(&["--package", "berth-crds"]);
    assert!(below.contains("serde"), "cargo tree prints crates: {below:?}");
    let banned = ["tokio", "axum", "hyper", "reqwest", "aws-sdk-s3", "kube-client", "berth-registry", "berth-operator"];
    for name in banned {
        assert!(!below.contains(name), "berth-crds must not depend on {name}");
    }
}

#[test]
fn the_data_plane_and_the_control_plane_do_not_know_each_other() {
    let registry = tree(&["--package", "berth-registry"]);
    assert!(
        registry.contains("berth-crds") && !registry.contains("berth-operator") && !registry.contains("kube-client")
    );
    let operator = tree(&["--package", "berth-operator"]);
    assert!(operator.contains("berth-crds") && !operator.contains("berth-registry"));
}

#[test]
fn nothing_depends_on_the_operator_or_on_the_tests() {
    for name in ["berth-operator", "berth-tests"] {
        let above = tree(&["--workspace", "--edges", "all", "--invert", name]);
        let others: Vec<_> = above.iter().filter(|other| other.starts_with("berth-") && *other != name).collect();
        assert!(others.is_empty() || others == ["berth-tests"], "{others:?} depend on {name}");
    }
    assert!(tree(&["--package", "berth-registry"]).is_disjoint(&BTreeSet::from(["berth-tests".to_owned()])));
}

#[test]
fn nothing_is_left_half_done() {
    let files = Command::new("git").current_dir(root()).args(["ls-files", "-z"]).output().unwrap();
    assert!(files.status.success(), "this test reads the files that git knows");
    // In two halves, so that this file does not accuse itself.
    let marks = [["to", "do!"].concat(), ["unimple", "mented!"].concat(), ["not", " yet"].concat()];
    let mut found = Vec::new();
    let mut read = 0;
    for name in String::from_utf8(files.stdout).unwrap().split_terminator('\0') {
        // Binary files, and those deleted in the work tree, hold no sentences.
        let Ok(text) = std::fs::read_to_string(root().join(name)) else { continue };
        read += 1;
        for (number, line) in (1..).zip(text.lines()) {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(read > 20, "only {read} files were read");
    assert!(found.is_empty(), "unfinished work:\n{}", found.join("\n"));
}
