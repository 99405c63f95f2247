//! `operator run`: puts the parts together.
//!
//! Every replica watches, compiles, answers the registry beside it and keeps its own Lease; the leader acts on the cluster.

use std::fs;
use std::time::Duration;

use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::arguments::Run;
use crate::configuration::{Compiler, follow_registry};
use crate::control::Control;
use crate::exit::{Exit, Failure};
use crate::leader::{CleanupSettings, Leader};
use crate::watching::Observed;
use crate::{admin, identity, replica};

/// Connecting to the API server.
const CONNECT: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(arguments: Run) -> Result<Exit, Failure> {
    let filter = EnvFilter::try_new(&arguments.log_level)
        .map_err(|error| Failure::invalid(format!("--log-level \"{}\": {error}", arguments.log_level)))?;
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(filter).init();
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::temporary)?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: Run) -> Result<Exit, Failure> {
    let mut config = Config::infer().await.map_err(|error| {
        Failure::invalid(format!("no way to the API server: {error}. Run in a cluster, or set KUBECONFIG"))
    })?;
    config.connect_timeout = Some(CONNECT);
    // Somebody waits for each answer, and every loop tries again by itself.
    config.default_retry = false;
    let client = Client::try_from(config).map_err(Failure::invalid)?;
    let shared = &arguments.shared;
    let folder = shared.join("config");
    fs::create_dir_all(&folder).map_err(|error| {
        Failure::temporary(format!("{} cannot be made: {error}. --shared must be writable", folder.display()))
    })?;
    let control = Control::new(shared.join("control.sock")).map_err(Failure::temporary)?;

    let stop = CancellationToken::new();
    let observed = Observed::new();
    let state = watch::Sender::new(None);
    let loaded = watch::Sender::new(None);
    let compiler = Compiler {
        observed: observed.clone(),
        system_namespace: arguments.namespace.clone(),
        file: folder.join("current.json"),
    };
    let leader = Leader {
        client: client.clone(),
        namespace: arguments.namespace.clone(),
        pod: arguments.pod.clone(),
        service: arguments.service.clone(),
        address: arguments.address.clone(),
        cleanup: cleanup_settings(&arguments),
        observed: observed.clone(),
        state: state.subscribe(),
    };
    let socket = shared.join("identity.sock");
    // If one of these two ends by itself, the registry has nobody to ask: end, and be started again.
    let serving = async {
        tokio::try_join!(
            identity::serve(&socket, client.clone(), arguments.audience.clone(), stop.clone()),
            admin::serve(arguments.admin, state.subscribe(), stop.clone()),
        )
    };
    let working = async {
        tokio::join!(
            observed.watch(&client, stop.clone()),
            compiler.run(state.clone(), stop.clone()),
            follow_registry(control, state.subscribe(), loaded.clone(), stop.clone()),
            replica::keep(
                client.clone(),
                arguments.namespace.clone(),
                arguments.pod.clone(),
                loaded.subscribe(),
                stop.clone()
            ),
            leader.run(stop.clone()),
        );
    };
    let (served, (), ()) = tokio::join!(
        async {
            let served = serving.await;
            stop.cancel();
            served
        },
        working,
        async {
            stop.run_until_cancelled(ended()).await;
            stop.cancel();
        }
    );
    served.map(|_| Exit::Done).map_err(|error| {
        Failure::temporary(format!("{} or --admin {} cannot be served: {error}", socket.display(), arguments.admin))
    })
}

/// What cleanup Jobs are made with, if they can be made.
fn cleanup_settings(arguments: &Run) -> Option<CleanupSettings> {
    let (Some(image), Some(registry)) = (arguments.registry_image.clone(), arguments.registry_url.clone()) else {
        tracing::warn!("without --registry-image and --registry-url there are no CronJobs: no policy runs by itself");
        return None;
    };
    Some(CleanupSettings {
        image,
        registry,
        audience: arguments.audience.clone(),
        namespace: arguments.namespace.clone(),
        max_concurrent_runs: arguments.max_concurrent_runs.get(),
    })
}

/// Waits until somebody wants this process to end.
async fn ended() {
    let on = |kind| async move {
        match signal(kind) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(error) => {
                tracing::error!(%error, "signals cannot be waited for");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = on(SignalKind::terminate()) => {}
        () = on(SignalKind::interrupt()) => {}
    }
}
