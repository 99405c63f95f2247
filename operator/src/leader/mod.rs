//! What one replica does for all: it acts on the cluster while it holds the leader's Lease, and stops when it does not.
//!
//! Losing the Lease stops these tasks only; watching, compiling and answering the registry go on (DESIGN §1).

mod claim;
mod cleanup;
mod election;
mod replicas;
mod statuses;

use std::collections::BTreeMap;

use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::configuration::State;
use crate::watching::Observed;
use cleanup::Cleanup;
use statuses::Statuses;

pub(crate) use cleanup::Settings as CleanupSettings;

/// Owner of the fields that a leader writes.
const MANAGER: &str = "berth-operator";

/// What a leader needs.
pub(crate) struct Leader {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) service: String,
    pub(crate) address: Option<String>,
    /// `None`: there is no image to make Jobs of, and policies run only when somebody runs them.
    pub(crate) cleanup: Option<CleanupSettings>,
    pub(crate) observed: Observed,
    pub(crate) state: watch::Receiver<Option<State>>,
}

impl Leader {
    /// Tries to lead until told to stop, and acts whenever it does.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let leads = watch::Sender::new(false);
        let campaign = election::run(self.client.clone(), &self.namespace, &self.pod, &leads, &stop);
        let acting = async {
            let mut leading = leads.subscribe();
            // Both fail only when the sender is gone, and that is this function's.
            while leading.wait_for(|leads| *leads).await.is_ok() {
                // Cut wherever it is, so that nothing is written any more when another may begin.
                tokio::select! {
                    () = self.act() => {}
                    _ = leading.wait_for(|leads| !*leads) => {}
                }
            }
        };
        tokio::join!(campaign, async { stop.clone().run_until_cancelled(acting).await });
    }

    /// Goes on until it is dropped.
    async fn act(&self) {
        let replicas = watch::Sender::new(Vec::new());
        let runs = watch::Sender::new(BTreeMap::new());
        let cleanup = self.cleanup.clone().map(|settings| Cleanup {
            client: self.client.clone(),
            observed: self.observed.clone(),
            state: self.state.clone(),
            settings,
            runs: runs.clone(),
        });
        let statuses = Statuses {
            client: self.client.clone(),
            observed: self.observed.clone(),
            state: self.state.clone(),
            replicas: replicas.subscribe(),
            runs: runs.subscribe(),
            address: self.address.clone(),
        };
        tokio::join!(
            replicas::follow(self.client.clone(), &self.namespace, &self.service, &replicas),
            statuses.run(),
            async {
                if let Some(cleanup) = cleanup {
                    cleanup.run().await;
                }
            },
        );
    }
}
