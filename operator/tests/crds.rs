//! `operator crds` prints what is committed, in two formats.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn operator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_operator")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_yaml_is_that_of_the_committed_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/manifests");
    let committed: String = ["containerrepositories", "registryvisibilities", "cleanuppolicies"]
        .iter()
        .map(|plural| format!("---\n{}", fs::read_to_string(folder.join(format!("{plural}.yaml"))).unwrap()))
        .collect();
    assert_eq!(stdout(&operator(&["crds"])), committed);
    assert_eq!(stdout(&operator(&["crds", "--output", "yaml"])), committed);
}

#[test]
fn the_json_is_one_list_of_the_same() {
    let json: serde_json::Value = serde_json::from_str(&stdout(&operator(&["crds", "--output", "json"]))).unwrap();
    assert_eq!(json["kind"], "List");
    assert_eq!(json["items"], serde_json::Value::from(berth_crds::schema::documents()));
}

#[test]
fn a_wrong_command_line_is_refused_and_help_is_a_result() {
    for arguments in [&["crds", "--output", "xml"][..], &["crds", "extra"], &["compile"], &["nothing"], &[]] {
        let output = operator(arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    for (arguments, expected) in [
        (&["--help"][..], "operator <COMMAND>"),
        (&["crds", "--help"], "kubectl apply"),
        (&["compile", "--help"], "--system-namespace"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        assert!(stdout(&operator(arguments)).contains(expected), "{arguments:?}");
    }
}
