//! `registry serve`: the registry itself. Reads what it was given, opens the store, listens, and drains when told to
//! stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use berth_crds::duration::Span;
use berth_crds::quantity::Quantity;
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::exit::{Exit, Failure};
use crate::admin::{self, Readiness};
use crate::args::{Clocks, StorageUrl};
use crate::auth::authority::{Authority, Nobody};
use crate::auth::identity::IdentityService;
use crate::auth::{Access, Clock, Keys, ServiceName, TrustedProxies, UsersAuthority, UsersFile, token_router};
use crate::cleanup::{Clusters, Runs, Scheduler, Status, StatusPlace};
use crate::configuration::{Current, LastDocument, Source};
use crate::control::{Control, Socket};
use crate::http::Api;
use crate::http::rest::Rest;
use crate::http::server::Server;
use crate::metrics::{ConfigurationMetrics, HttpMetrics};
use crate::storage::Storage;
use crate::store::{Store, probe};
use crate::{auth, configuration, control, http, metrics, storage, telemetry};

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
    /// Socket to answer the operator on, unix:PATH. Only with --config.
    #[arg(long, value_name = "unix:PATH")]
    pub control: Option<control::Place>,
    /// Whether due cleanup policies run by themselves. With --config the operator starts them.
    #[arg(long, value_name = "on|off", default_value = "on")]
    pub schedule: Switch,
    #[command(flatten)]
    pub clocks: Clocks,
    /// Longest life of a token given out at /token; never longer than the credential it was given for.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub token_ttl: Span,
    /// Name of this installation in challenges and tokens, the same for all its replicas. Data belongs to the
    /// installation that first used it.
    #[arg(long, value_name = "NAME", default_value = "registry.berth.dev")]
    pub service: ServiceName,
    /// Networks whose X-Forwarded-For, -Host and -Proto headers are believed, such as 10.0.0.0/8,192.0.2.7.
    #[arg(long, value_name = "NETWORKS", default_value = "")]
    pub trusted_proxies: TrustedProxies,
    /// Answer repeated existence checks of a blob from memory for this long instead of asking the store.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub head_cache: Span,
    /// Share the bytes of equal large blobs between all repositories, also where their members may not see each
    /// other: who can measure time can then learn that a blob exists.
    #[arg(long)]
    pub global_dedup: bool,
    /// Memory for upload buffers and bodies of pushed manifests; pushes beyond it wait.
    #[arg(long, value_name = "SIZE", default_value = "96Mi")]
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

/// How long an upload may take from its first request to its last.
const SESSION_TTL: Duration = Duration::from_secs(24 * 3600);

/// How long the operator may take to write --config FILE before the bucket's last document is served.
const PATIENCE: Duration = Duration::from_secs(20);

/// Serves until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// [`Exit::Invalid`] for what cannot be served and will not be after a retry, [`Exit::Temporary`] when the store is
/// away or an address is taken.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let level = telemetry::init(&arguments.log_level).map_err(Failure::invalid)?;
    if arguments.control.is_some() && arguments.config.is_none() {
        return Err(Failure::invalid(
            "--control is for the operator that writes --config FILE: with --manifests the files decide alone, and a \
             second voice could remove what they name; leave --control out",
        ));
    }
    let settings = storage_settings(&arguments)?;
    let clock = Clock::system();
    let authority = authority(&arguments, &clock).await?;

    let mut signals = Signals::listen()?;
    let source = source(&arguments);
    // Mistakes in files are told before anything is asked of the storage.
    let folder = if arguments.manifests.is_some() { Some(read(&source).await?) } else { None };
    let store = open(&arguments).await?;
    let keys = Keys::open(Arc::clone(&store), clock.clone()).await.map_err(|error| {
        Failure::temporary(format!("the storage {} cannot be written to: {error}", arguments.storage))
    })?;
    let keys = Arc::new(keys);

    let mut families = metrics::registry();
    let http_metrics = HttpMetrics::register(&mut families);
    let configuration_metrics = ConfigurationMetrics::register(&mut families);
    let readiness = Readiness::default();
    let operators =
        listen(arguments.admin, admin::router(Arc::new(families), level, readiness.clone()), "--admin").await?;
    tracing::info!(address = %operators.address(), "admin listening");

    let last = LastDocument::new(Arc::clone(&store));
    let current = match folder {
        Some(current) => current,
        None => tokio::select! {
            begun = configuration::begin(&source, &last, PATIENCE) => {
                begun.map_err(|problems| Failure::invalid(problems.join("\n")))?
            }
            () = signals.stopped() => return Ok(Exit::Done),
        },
    };
    let storage = Storage::new(store, settings);
    let access = auth::Settings {
        service: arguments.service.clone(),
        token_ttl: signed(arguments.token_ttl.into()),
        session_ttl: signed(SESSION_TTL),
        trusted_proxies: arguments.trusted_proxies.clone(),
        tls: false,
    };
    let access = Arc::new(Access::new(access, Arc::clone(&keys), current.document(), authority, clock));

    let api = Api {
        storage: storage.clone(),
        access: Arc::clone(&access),
        configuration: current.clone(),
        tasks: TaskTracker::new(),
    };
    let clusters = if arguments.manifests.is_some() { Clusters::None } else { Clusters::Recorded };
    let runs = Runs::new(storage.clone(), current.clone(), clusters);
    let status = Status::new(runs.clone(), current.clone());
    let rest = Rest { api: api.clone(), runs: runs.clone(), status: status.clone() };
    let beside = token_router(access).merge(http::rest::router(rest));
    let clients = listen(arguments.listen, http::router(api.clone(), beside, http_metrics), "--listen").await?;
    tracing::info!(address = %clients.address(), storage = %arguments.storage, "listening");

    let stop = CancellationToken::new();
    let socket = match &arguments.control {
        Some(place) => {
            let control = Control { api: api.clone(), runs: runs.clone(), stop: stop.clone() };
            let socket = Socket::serve(place.clone(), control::router(control), stop.clone()).await;
            Some(socket.map_err(|error| Failure::temporary(format!("--control: {error}")))?)
        }
        None => None,
    };
    let background = TaskTracker::new();
    let (collector, collect) = (storage.clone(), stop.clone());
    background.spawn(async move { collector.run_collector(collect.cancelled()).await });
    let counting = metrics::follow_configuration(configuration_metrics, current.changes());
    background.spawn(stop.clone().run_until_cancelled_owned(counting));
    if arguments.manifests.is_some() {
        let place = match &arguments.storage {
            StorageUrl::Directory(folder) => StatusPlace::File(folder.join("status.json")),
            StorageUrl::S3 { .. } => StatusPlace::Bucket,
        };
        background.spawn(status.follow(place, stop.clone()));
        if arguments.schedule == Switch::On {
            background.spawn(Scheduler::new(runs.clone(), current.clone()).run(stop.clone()));
        }
    }
    if arguments.config.is_some() {
        let keeping = configuration::keep_last(current.clone(), last);
        background.spawn(stop.clone().run_until_cancelled_owned(keeping));
    }
    background.spawn(stop.clone().run_until_cancelled_owned(configuration::follow(current, source)));
    background.spawn(stop.clone().run_until_cancelled_owned(keys.keep_renewed()));
    background.close();
    readiness.set(true);
    signals.stopped().await;

    readiness.set(false);
    stop.cancel();
    // Runs end at their next batch, and with them the answers that follow them.
    runs.stop().await;
    drain(clients, &api, arguments.drain.into()).await;
    background.wait().await;
    if let Some(socket) = socket {
        socket.end(Duration::from_secs(1)).await;
    }
    operators.drain(Duration::from_secs(1)).await;
    if let Err(error) = storage.close().await {
        tracing::warn!(%error, "what was noted for review is lost; the next fsck finds it");
    }
    tracing::info!("stopped");
    Ok(Exit::Done)
}

/// Opens the store and makes it show that data can be entrusted to it.
async fn open(arguments: &Arguments) -> Result<Arc<dyn Store>, Failure> {
    let store = arguments.storage.open().await.map_err(Failure::invalid)?;
    let examined = probe::examine(&*store, arguments.service.as_str()).await;
    let findings = examined.map_err(|refusal| {
        let message = format!("--storage {}: {refusal}", arguments.storage);
        if refusal.is_temporary() { Failure::temporary(message) } else { Failure::invalid(message) }
    })?;
    for warning in findings.warnings {
        tracing::warn!(storage = %arguments.storage, "{warning}");
    }
    Ok(store)
}

fn storage_settings(arguments: &Arguments) -> Result<storage::Settings, Failure> {
    let [grace, quarantine, undo] = arguments.clocks.checked()?;
    let upload_memory = usize::try_from(arguments.upload_memory.bytes()).unwrap_or(usize::MAX);
    Ok(storage::Settings {
        grace,
        quarantine,
        undo,
        upload_memory,
        global_dedup: arguments.global_dedup,
        session_ttl: SESSION_TTL,
        head_cache: arguments.head_cache.into(),
    })
}

/// Who knows users and their rights. Without anybody the registry keeps to this machine: what it would show the network
/// is for everybody.
async fn authority(arguments: &Arguments, clock: &Clock) -> Result<Arc<dyn Authority>, Failure> {
    if let Some(path) = &arguments.users {
        let (file, users) = UsersFile::open(path.clone()).await.map_err(Failure::invalid)?;
        let users = Arc::new(UsersAuthority::new(users, clock.clone()));
        tokio::spawn(Arc::clone(&users).follow(file));
        return Ok(users);
    }
    if let Some(place) = &arguments.identity {
        let service = IdentityService::at(place, arguments.token_ttl.into(), clock.clone());
        return Ok(Arc::new(service.map_err(Failure::invalid)?));
    }
    if !arguments.listen.ip().is_loopback() {
        return Err(Failure::invalid(format!(
            "--listen {} is reachable from other machines, and without --users or --identity nobody can log in: add \
             --users FILE (registry hash-password makes its passwords), or listen on 127.0.0.1",
            arguments.listen
        )));
    }
    tracing::warn!(
        "everybody is anonymous: without --users or --identity only public repositories and deploy tokens work"
    );
    Ok(Arc::new(Nobody))
}

fn source(arguments: &Arguments) -> Source {
    match (&arguments.manifests, &arguments.config) {
        (Some(folder), _) => Source::Manifests(folder.clone()),
        (None, file) => Source::Document(file.clone().unwrap_or_default()),
    }
}

/// The first state has to be good: there is no last good one to keep.
async fn read(source: &Source) -> Result<Current, Failure> {
    let from = source.clone();
    let read = tokio::task::spawn_blocking(move || from.read().and_then(Current::new)).await;
    let read = read.map_err(|error| Failure::temporary(format!("{source} could not be read: {error}")))?;
    read.map_err(|problems| Failure::invalid(problems.join("\n")))
}

async fn listen(address: SocketAddr, router: axum::Router, flag: &str) -> Result<Server, Failure> {
    let server = Server::start(address, router).await;
    server.map_err(|error| Failure::temporary(format!("{flag} {address} cannot be used: {error}")))
}

/// SIGTERM and SIGINT, heard from the beginning: a registry that waits for its operator can be told to stop, too.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::temporary(format!("no signals: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for one of them.
    async fn stopped(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping: running requests go on, new connections are refused");
    }
}

/// Lets requests under way come to their end, and what their clients left behind.
async fn drain(clients: Server, api: &Api, deadline: Duration) {
    let begun = std::time::Instant::now();
    if !clients.drain(deadline).await {
        tracing::warn!(seconds = deadline.as_secs(), "requests were cut: they took longer than --drain");
    }
    api.tasks.close();
    let left = deadline.saturating_sub(begun.elapsed());
    if tokio::time::timeout(left, api.tasks.wait()).await.is_err() {
        tracing::warn!("work on requests whose clients had left was cut");
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
