//! The command line of the `operator` binary (DESIGN §7).

use std::net::SocketAddr;
use std::num::NonZeroUsize;
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
    /// Watch the objects of a cluster and configure the registry beside this process.
    ///
    /// Runs in the registry's pod, in every replica. Needs the rights of the ClusterRole
    /// berth-operator. The API server is found through the pod's ServiceAccount or KUBECONFIG.
    Run(Box<Run>),
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

/// Arguments of `operator run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Folder that this process and the registry share: config/current.json, identity.sock and
    /// control.sock are in it. Only their common user should be able to read it.
    #[arg(long, value_name = "DIR", default_value = "/run/berth")]
    pub(crate) shared: PathBuf,
    /// Namespace of this installation: Leases and cleanup Jobs are here, and objects here may be
    /// defaults for others.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", default_value = SYSTEM_NAMESPACE)]
    pub(crate) namespace: String,
    /// Name of this pod, different for every replica.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub(crate) pod: String,
    /// Service of the registry: its endpoints are the replicas that have to act on an object
    /// before that is called Enforced.
    #[arg(long, value_name = "NAME", default_value = "berth")]
    pub(crate) service: String,
    /// Host, and port if it needs one, under which clients reach the registry; shown in status.address.
    #[arg(long, value_name = "HOST")]
    pub(crate) address: Option<String>,
    /// Audience that a ServiceAccount token must have to be a password here. It is also the
    /// registry's --service.
    #[arg(long, value_name = "NAME", default_value = "registry.berth.dev")]
    pub(crate) audience: String,
    /// Image with the registry binary, for cleanup Jobs. Without it there are none, and no policy
    /// runs by itself.
    #[arg(long, value_name = "IMAGE", requires = "registry_url")]
    pub(crate) registry_image: Option<String>,
    /// Address under which the Pods of cleanup Jobs reach the registry, such as
    /// http://berth.berth-system.svc:5000.
    #[arg(long, value_name = "URL", requires = "registry_image")]
    pub(crate) registry_url: Option<String>,
    /// Most cleanup Jobs that run at once; the others wait, and the oldest is next.
    #[arg(long, value_name = "NUMBER", default_value = "2")]
    pub(crate) max_concurrent_runs: NonZeroUsize,
    /// Address for /healthz and /readyz. Port 0 takes a free one and logs it.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5002")]
    pub(crate) admin: SocketAddr,
    /// What is logged: error, warn, info, debug, trace, or a filter such as info,kube=debug.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(crate) log_level: String,
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
