//! The command line of the `operator` binary (DESIGN §7).

use std::path::PathBuf;

use berth_crds::kinds::SYSTEM_NAMESPACE;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// The control plane of Berth: Kubernetes objects in, configuration of the registry out.
#[derive(Debug, Parser)]
#[command(name = "operator", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the CustomResourceDefinitions of the three kinds.
    ///
    /// Install them with: operator crds | kubectl apply --server-side -f -
    Crds(Crds),
    /// Turn a folder of objects into the configuration document of a registry.
    ///
    /// Reads every *.yaml, *.yml and *.json file of the folder, in the order of their names,
    /// as an API server would take them, and says on stderr what became of each object.
    ///
    /// An object that cannot be read leaves the document as it is: without it the others may
    /// mean something wider than intended. An object that can be read and is not accepted,
    /// such as one of two policies in conflict, has no effect, and the document is written.
    /// Both end with exit code 78.
    Compile(Compile),
}

/// Arguments of `operator crds`.
#[derive(Debug, Args)]
pub(crate) struct Crds {
    /// How to print them: YAML documents, or one JSON List.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) output: Format,
}

/// Formats of definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Yaml,
    Json,
}

/// Arguments of `operator compile`.
#[derive(Debug, Args)]
pub(crate) struct Compile {
    /// Folder of objects: ContainerRepository, RegistryVisibility, CleanupPolicy, and Namespace
    /// for the labels that spec.namespaceSelector selects by. Folders in it are not read.
    #[arg(long, value_name = "DIR")]
    pub(crate) manifests: PathBuf,
    /// File to write the document to, for `registry serve --config`. It is replaced as a whole:
    /// whoever reads it sees the old document or the new one.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Namespace whose objects may be defaults for others, with spec.namespaceSelector.
    #[arg(long, value_name = "NAMESPACE", default_value = SYSTEM_NAMESPACE)]
    pub(crate) system_namespace: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
