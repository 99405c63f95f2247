//! Where the configuration comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use berth_crds::configuration::Configuration;

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
    Ok(Loaded { configuration, remarks: Vec::new() })
}

fn read_manifests(folder: &Path) -> Result<Loaded, Vec<String>> {
    Err(vec![format!("{}: folders of manifests are read from the next change on", folder.display())])
}
