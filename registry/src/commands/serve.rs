//! `registry serve`: the registry itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use berth_crds::duration::Span;
use berth_crds::quantity::Quantity;
use clap::{Args, ValueEnum};

use super::exit::{Exit, Failure};
use crate::args::{Clocks, StorageUrl};

/// Flags of `registry serve`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("configuration").required(true).args(["manifests", "config"])))]
#[command(group(clap::ArgGroup::new("authority").args(["users", "identity"])))]
pub struct Arguments {
    /// Read ContainerRepository, RegistryVisibility and CleanupPolicy objects from the YAML files in this folder,
    /// again whenever they change.
    #[arg(long, value_name = "DIR")]
    pub manifests: Option<PathBuf>,
    /// Read the configuration document that the operator writes, again whenever it changes.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the data is: dir:PATH or s3://BUCKET[/PREFIX].
    #[arg(long, value_name = "URL")]
    pub storage: StorageUrl,
    /// Address to serve clients on. Port 0 takes a free one and logs it.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    pub listen: SocketAddr,
    /// Address for metrics, health and the log level. Port 0 takes a free one and logs it.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5001")]
    pub admin: SocketAddr,
    /// Users, their passwords and roles. Without it and --identity everybody is anonymous.
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,
    /// Socket of the operator's identity service, unix:PATH.
    #[arg(long, value_name = "unix:PATH")]
    pub identity: Option<String>,
    /// Whether due cleanup policies run by themselves. With --config the operator starts them.
    #[arg(long, value_name = "on|off", default_value = "on")]
    pub schedule: Switch,
    #[command(flatten)]
    pub clocks: Clocks,
    /// Longest life of a token given out at /token; never longer than the credential it was given for.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub token_ttl: Span,
    /// Name of this installation in challenges and tokens; the same for all replicas.
    #[arg(long, value_name = "NAME", default_value = "registry.berth.dev")]
    pub service: String,
    /// Networks whose X-Forwarded-For, -Host and -Proto headers are believed, such as 10.0.0.0/8,192.0.2.7.
    #[arg(long, value_name = "NETWORKS", default_value = "")]
    pub trusted_proxies: String,
    /// Answer repeated existence checks of a blob from memory for this long instead of asking the store.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub head_cache: Span,
    /// Share the bytes of equal large blobs between all repositories, also where their members may not see each
    /// other: who can measure time can then learn that a blob exists.
    #[arg(long)]
    pub global_dedup: bool,
    /// Memory for upload buffers; uploads beyond it wait.
    #[arg(long, value_name = "SIZE", default_value = "128Mi")]
    pub upload_memory: Quantity,
    /// How long running requests may go on after SIGTERM before they are cut.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub drain: Span,
    /// What is logged: error, warn, info, debug, trace, or a filter such as info,berth_registry=debug. Changed at
    /// run time by PUT /loglevel on the admin address.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log_level: String,
}

/// A flag that is `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

/// Serves until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// [`Exit::Invalid`] for a configuration that cannot be served, [`Exit::Temporary`] when an address is taken.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let _clocks = arguments.clocks.checked()?;
    Err(Failure::temporary("this build has no storage to serve"))
}
