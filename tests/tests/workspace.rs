//! What holds for the source tree as a whole: who may depend on whom, and that nothing is left half done.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The files that git knows, as paths from the root.
fn files() -> Vec<String> {
    let files = Command::new("git").current_dir(root()).args(["ls-files", "-z"]).output().unwrap();
    assert!(files.status.success(), "this test reads the files that git knows");
    String::from_utf8(files.stdout).unwrap().split_terminator('\0').map(str::to_owned).collect()
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
    // In two halves, so that this file does not accuse itself.
    let marks = [["to", "do!"].concat(), ["unimple", "mented!"].concat(), ["not", " yet"].concat()];
    let mut found = Vec::new();
    let mut read = 0;
    for name in files() {
        // Binary files, and those deleted in the work tree, hold no sentences.
        let Ok(text) = std::fs::read_to_string(root().join(&name)) else { continue };
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

/// Where the links of a Markdown text point to, those to other sites and what looks like one in code left out.
fn links(text: &str) -> Vec<String> {
    let prose: Vec<&str> = text.split('`').step_by(2).collect();
    let prose = prose.join("`");
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The anchors that headings of a Markdown text get.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    let anchor = |heading: &str| -> String {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|character| character.is_alphanumeric() || "-_".contains(*character)).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn no_link_of_the_documentation_is_dead() {
    let mut dead = Vec::new();
    let mut followed = 0;
    for page in files().into_iter().filter(|name| name.ends_with(".md")) {
        let Ok(text) = std::fs::read_to_string(root().join(&page)) else { continue };
        for link in links(&text) {
            followed += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if path.is_empty() { root().join(&page) } else { root().join(&page).parent().unwrap().join(path) };
            let has_anchor = || std::fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor));
            if !target.exists() || (!anchor.is_empty() && !has_anchor()) {
                dead.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(followed > 30, "only {followed} links were found");
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}
