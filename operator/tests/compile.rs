//! `operator compile` from a folder of objects to the document that a registry reads.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use berth_crds::configuration::Configuration;
use berth_crds::kinds::{Access, Visibility};
use tempfile::TempDir;

/// A folder of objects and a place for the document.
struct Desk {
    folder: TempDir,
}

/// How a run ended.
struct Ended {
    code: Option<i32>,
    stderr: String,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("manifests")).unwrap();
        Self { folder }
    }

    fn with_quickstart() -> Self {
        let desk = Self::new();
        let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
        for entry in fs::read_dir(quickstart).unwrap() {
            let path = entry.unwrap().path();
            desk.put(path.file_name().unwrap().to_str().unwrap(), &fs::read_to_string(&path).unwrap());
        }
        desk
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join("manifests").join(name), text).unwrap();
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("current.json")
    }

    fn compile(&self, more: &[&str]) -> Ended {
        self.compile_to("current.json", more)
    }

    fn compile_to(&self, file: &str, more: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_operator"))
            .arg("compile")
            .arg("--manifests")
            .arg(self.folder.path().join("manifests"))
            .arg("--output")
            .arg(self.folder.path().join(file))
            .args(more)
            .output()
            .unwrap();
        assert!(output.stdout.is_empty(), "results are in the file, and what is said is on stderr");
        Ended { code: output.status.code(), stderr: String::from_utf8(output.stderr).unwrap() }
    }

    fn document(&self) -> Configuration {
        Configuration::from_json_bytes(&fs::read(self.output()).unwrap()).unwrap()
    }
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: berth.dev/v1alpha1\nkind: {kind}\nmetadata: {{namespace: team-a, name: {name}}}\nspec: {spec}\n"
    )
}

#[test]
fn the_quickstart_becomes_a_document_that_says_what_its_objects_say() {
    let desk = Desk::with_quickstart();
    let ended = desk.compile(&[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let document = desk.document();
    let visibility = |path: &str| {
        let entry = &document.repositories[&path.parse().unwrap()];
        (entry.visibility, entry.access)
    };
    assert_eq!(visibility("team-a/shop"), (Visibility::Private, Access::Enabled));
    assert_eq!(visibility("team-a/website"), (Visibility::Public, Access::Enabled));
    assert_eq!(visibility("team-b/tools"), (Visibility::Internal, Access::Enabled));
    assert_eq!(document.policies.keys().collect::<Vec<_>>(), ["team-a/nightly"]);
    for object in [
        "CleanupPolicy team-a/nightly",
        "ContainerRepository team-a/shop",
        "ContainerRepository team-a/website",
        "ContainerRepository team-b/tools",
        "RegistryVisibility team-a/website-public",
        "RegistryVisibility team-b/tools-internal",
    ] {
        let lines = ended.stderr.lines().filter(|line| line.starts_with(&format!("accepted  {object} (Accepted)")));
        assert_eq!(lines.count(), 1, "{object}: {}", ended.stderr);
    }
    assert!(ended.stderr.contains("3 repositories, 1 policy, revision "), "{}", ended.stderr);
}

#[test]
fn equal_objects_give_equal_bytes_in_whatever_files_they_are() {
    let (one, other) = (Desk::new(), Desk::new());
    let objects = [object("ContainerRepository", "a", "{quota: 1Gi}"), object("ContainerRepository", "b", "{}")];
    one.put("all.yaml", &format!("{}---\n{}", objects[0], objects[1]));
    other.put("1.yml", &objects[1]);
    other.put("2.yaml", &objects[0]);
    assert_eq!((one.compile(&[]).code, other.compile(&[]).code), (Some(0), Some(0)));
    assert_eq!(fs::read(one.output()).unwrap(), fs::read(other.output()).unwrap());
    assert!(one.compile(&[]).stderr.contains("unchanged"));
}

#[test]
fn an_object_that_cannot_be_read_leaves_the_document_as_it_is() {
    let desk = Desk::with_quickstart();
    desk.put("private.yaml", &object("RegistryVisibility", "closed", "{visibility: Private}"));
    assert_eq!(desk.compile(&[]).code, Some(0));
    let before = fs::read(desk.output()).unwrap();
    // Without this object the website would be public again.
    desk.put("private.yaml", &object("RegistryVisibility", "closed", "{visibility: Privat, acess: Disabled}"));
    let ended = desk.compile(&[]);
    assert_eq!(ended.code, Some(78));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ended.stderr);
    let start = "invalid   private.yaml, document 1, line 1: RegistryVisibility team-a/closed: spec.";
    assert!(lines[..2].iter().all(|line| line.starts_with(start)), "{}", ended.stderr);
    assert!(lines[2].contains("is left as it is"), "{}", ended.stderr);
    assert_eq!(fs::read(desk.output()).unwrap(), before);
}

#[test]
fn an_object_that_is_not_accepted_has_no_effect_and_the_rest_is_written() {
    let desk = Desk::new();
    desk.put("a.yaml", &object("ContainerRepository", "shop", "{}"));
    let policy = "{schedule: {cadence: 1d}, remove: {tagsMatching: ['.*'], olderThan: 1d}}";
    desk.put("b.yaml", &object("CleanupPolicy", "one", policy));
    desk.put("c.yaml", &object("CleanupPolicy", "other", policy));
    let ended = desk.compile(&[]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    for name in ["one", "other"] {
        assert!(
            ended.stderr.contains(&format!("refused   CleanupPolicy team-a/{name} (Conflict): ")),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(desk.document().repositories.len(), 1);
}

#[test]
fn defaults_work_in_the_system_namespace_only() {
    let desk = Desk::with_quickstart();
    let default = "{visibility: Private, access: Disabled, namespaceSelector: {}}";
    desk.put("default.yaml", &object("RegistryVisibility", "closed", default).replace("team-a", "operations"));
    let access = |desk: &Desk| desk.document().repositories[&"team-b/tools".parse().unwrap()].access;
    let elsewhere = desk.compile(&[]);
    assert!(elsewhere.stderr.contains("(NotInSystemNamespace)"), "{}", elsewhere.stderr);
    assert_eq!((elsewhere.code, access(&desk)), (Some(78), Access::Enabled));
    let there = desk.compile(&["--system-namespace", "operations"]);
    assert_eq!((there.code, access(&desk)), (Some(0), Access::Disabled), "{}", there.stderr);
}

#[test]
fn only_files_of_objects_are_read() {
    let desk = Desk::new();
    desk.put("a.yaml", &object("ContainerRepository", "shop", "{}"));
    desk.put("README.md", "not an object");
    desk.put("a.yaml.orig", "not: {an, object");
    desk.put(".hidden", "not: {an, object");
    fs::create_dir(desk.folder.path().join("manifests/more.yaml")).unwrap();
    assert_eq!(desk.compile(&[]).code, Some(0));
}

#[test]
fn what_cannot_be_read_or_written_is_told_apart() {
    let desk = Desk::new();
    desk.put("a.yaml", &object("ContainerRepository", "shop", "{}"));
    let unwritable = desk.compile_to("missing/current.json", &[]);
    assert_eq!(unwritable.code, Some(75));
    assert!(unwritable.stderr.contains("Its folder must exist"), "{}", unwritable.stderr);
    fs::write(desk.folder.path().join("manifests/b.yaml"), [0xff, 0xfe]).unwrap();
    let binary = desk.compile(&[]);
    assert_eq!(binary.code, Some(78));
    assert!(binary.stderr.contains("b.yaml cannot be read"), "{}", binary.stderr);
    fs::remove_dir_all(desk.folder.path().join("manifests")).unwrap();
    let missing = desk.compile(&[]);
    assert_eq!(missing.code, Some(78));
    assert!(missing.stderr.contains("manifests cannot be read"), "{}", missing.stderr);
}
