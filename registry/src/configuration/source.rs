//! Where the configuration comes from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_crds::configuration::{Configuration, Objects, Outcome, compile};
use berth_crds::kinds::SYSTEM_NAMESPACE;
use berth_crds::manifest::{self, Reading};

/// How often it is looked whether a document is there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder of YAML objects (`--manifests`), read as `kubectl apply -f DIR` reads it.
    Manifests(PathBuf),
    /// The document that the operator writes (`--config`).
    Document(PathBuf),
}

/// A state that can be put in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub configuration: Configuration,
    /// What wants attention and is still usable, one sentence each.
    pub remarks: Vec<String>,
    /// What became of each object; empty for a document, whose writer knows.
    pub outcomes: Vec<Outcome>,
}

impl Loaded {
    /// A document by itself, as its writer vouches for it.
    pub const fn of(configuration: Configuration) -> Self {
        Self { configuration, remarks: Vec::new(), outcomes: Vec::new() }
    }
}

impl Source {
    /// Reads the whole state.
    ///
    /// # Errors
    /// One sentence per problem. A single one spoils the state: a folder in which one object cannot be read may mean
    /// something wider without it.
    pub fn read(&self) -> Result<Loaded, Vec<String>> {
        match self {
            Self::Manifests(folder) => read_manifests(folder),
            Self::Document(file) => read_document(file),
        }
    }

    /// Waits until there is something to read: the operator writes its document when it knows enough. A folder is read
    /// as it is.
    pub(super) async fn appears(&self) {
        let Self::Document(file) = self else { return };
        // What cannot be looked at is there: reading it says what is wrong.
        while !tokio::fs::try_exists(file).await.unwrap_or(true) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The folder whose changes matter. A file is watched through its folder, because it is replaced as a whole.
    pub(super) fn watched(&self) -> &Path {
        match self {
            Self::Manifests(folder) => folder,
            Self::Document(file) => match file.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            },
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifests(folder) => write!(f, "{}", folder.display()),
            Self::Document(file) => write!(f, "{}", file.display()),
        }
    }
}

fn read_document(file: &Path) -> Result<Loaded, Vec<String>> {
    let problem = |cause: &dyn fmt::Display| vec![format!("{}: {cause}", file.display())];
    let bytes = std::fs::read(file).map_err(|cause| problem(&cause))?;
    let configuration = Configuration::from_json_bytes(&bytes).map_err(|cause| problem(&cause))?;
    Ok(Loaded::of(configuration))
}

fn read_manifests(folder: &Path) -> Result<Loaded, Vec<String>> {
    let files = read_files(folder).map_err(|(path, cause)| {
        let advice = "--manifests names a folder of YAML files that this user can read";
        vec![format!("{}: {cause} ({advice})", path.display())]
    })?;
    let Reading { objects, problems } = manifest::read(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    if !problems.is_empty() {
        return Err(problems.iter().map(ToString::to_string).collect());
    }
    let mut objects: Objects = objects.into_iter().collect();
    // A folder has no namespace of an installation: by its usual name a default means the same in a cluster.
    objects.system_namespace = Some(SYSTEM_NAMESPACE.to_owned());
    let (configuration, outcomes) = compile(&objects);
    let mut remarks: Vec<String> = outcomes.iter().flat_map(remarks_on).collect();
    if outcomes.is_empty() {
        remarks.push(format!("{} holds no objects: nothing can be pushed or pulled yet", folder.display()));
    }
    Ok(Loaded { configuration, remarks, outcomes })
}

/// What the author of an object should know, as far as it is not simply in force.
fn remarks_on(outcome: &Outcome) -> Vec<String> {
    let refused = (!outcome.accepted).then(|| format!("{} is not in force: {}", outcome.object, outcome.message));
    let warnings = outcome.warnings.iter().map(|warning| format!("{}: {warning}", outcome.object));
    refused.into_iter().chain(warnings).collect()
}

/// Name and text of every manifest directly in the folder, by name; links are followed, as mounted ConfigMaps need.
fn read_files(folder: &Path) -> Result<Vec<(String, String)>, (PathBuf, std::io::Error)> {
    let in_folder = |cause| (folder.to_owned(), cause);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(in_folder)? {
        let path = entry.map_err(in_folder)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| manifest::is_manifest(name))
        else {
            continue;
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => files.push((name.to_owned(), text)),
            // A folder named like a manifest is skipped, as kubectl does.
            Err(_) if path.is_dir() => {}
            Err(cause) => return Err((path, cause)),
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use berth_crds::kinds::Access;

    use super::*;

    const SHOP: &str = "
apiVersion: berth.dev/v1alpha1
kind: ContainerRepository
metadata: {namespace: team-a, name: shop}
";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn read(files: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
        Source::Manifests(folder(files).path().to_owned()).read()
    }

    #[test]
    fn a_folder_is_read_as_kubectl_reads_it() {
        let open = SHOP.replace("name: shop", "name: open");
        let files = [("b.yaml", SHOP), ("a.yml", &open), ("notes.txt", "nothing"), (".hidden.yaml", "")];
        let loaded = read(&files).unwrap();
        let names: Vec<&str> = loaded.configuration.repositories.keys().map(|name| name.as_str()).collect();
        assert_eq!((names, loaded.remarks), (vec!["team-a/open", "team-a/shop"], Vec::new()));
        let empty = read(&[]).unwrap();
        assert_eq!(empty.configuration.repositories.len(), 0);
        assert!(empty.remarks[0].contains("holds no objects"), "{:?}", empty.remarks);
    }

    #[test]
    fn one_bad_object_spoils_the_folder_and_is_named() {
        let problems = read(&[("a.yaml", SHOP), ("b.yaml", &SHOP.replace("kind:", "knd:"))]).unwrap_err();
        assert!(problems.iter().all(|problem| problem.contains("b.yaml")), "{problems:?}");
        let problems = read(&[("a.yaml", &format!("{SHOP}spec: {{quota: lots}}"))]).unwrap_err();
        assert!(problems[0].contains("a.yaml") && problems[0].contains("quota"), "{problems:?}");
        let problems = Source::Manifests("/does/not/exist".into()).read().unwrap_err();
        assert!(problems[0].starts_with("/does/not/exist: "), "{problems:?}");
    }

    #[test]
    fn an_object_that_is_not_in_force_is_remarked_on() {
        let public = "
apiVersion: berth.dev/v1alpha1
kind: RegistryVisibility
metadata: {namespace: team-a, name: public}
spec: {visibility: Public, repositories: {names: [nowhere]}}
";
        let loaded = read(&[("a.yaml", SHOP), ("b.yaml", public)]).unwrap();
        assert!(loaded.remarks.iter().any(|remark| remark.contains("RegistryVisibility team-a/public")), "{loaded:?}");
    }

    #[test]
    fn defaults_of_the_system_namespace_hold_and_others_do_not() {
        let default = "
apiVersion: berth.dev/v1alpha1
kind: RegistryVisibility
metadata: {namespace: berth-system, name: closed}
spec: {visibility: Private, access: Disabled, namespaceSelector: {}}
";
        let access = |default: &str| {
            let loaded = read(&[("a.yaml", SHOP), ("b.yaml", default)]).unwrap();
            let shop = &loaded.configuration.repositories[&"team-a/shop".parse().unwrap()];
            (shop.access, loaded.remarks.len())
        };
        assert_eq!(access(default), (Access::Disabled, 0));
        assert_eq!(access(&default.replace("berth-system", "team-b")), (Access::Enabled, 1));
    }

    #[test]
    fn the_operators_document_is_read_and_an_altered_one_is_not() {
        let Loaded { configuration, .. } = read(&[("a.yaml", SHOP)]).unwrap();
        let bytes = configuration.to_json_bytes();
        let folder = folder(&[("current.json", std::str::from_utf8(&bytes).unwrap())]);
        let source = Source::Document(folder.path().join("current.json"));
        assert_eq!(source.read().unwrap().configuration, configuration);
        let altered = String::from_utf8(bytes).unwrap().replace("team-a/shop", "team-a/shod");
        std::fs::write(folder.path().join("current.json"), altered).unwrap();
        assert!(source.read().unwrap_err()[0].contains("current.json"));
    }
}
