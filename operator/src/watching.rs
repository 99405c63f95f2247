//! From the watches of the API server to the [`Index`], in every replica.

use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use berth_crds::kinds::{CleanupPolicy, ContainerRepository, RegistryVisibility};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::index::{Index, Meaning, Shelf};

/// The index, and who wants to know of its changes.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    index: Arc<RwLock<Index>>,
    /// How often something changed that decides anything.
    changes: watch::Sender<u64>,
}

impl Observed {
    pub(crate) fn new() -> Self {
        Self { index: Arc::default(), changes: watch::Sender::new(0) }
    }

    /// The index at this moment; to be let go of before anything is waited for.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of every change, statuses included; the value moves with those that decide anything.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Watches all kinds until told to stop. Whatever fails is tried again, with growing pauses.
    pub(crate) async fn watch(&self, client: &Client, stop: CancellationToken) {
        let watching = async {
            tokio::join!(
                self.follow(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), |index| &mut index.namespaces),
                self.follow(Api::<ContainerRepository>::all(client.clone()), |index| &mut index.repositories),
                self.follow(Api::<RegistryVisibility>::all(client.clone()), |index| &mut index.visibilities),
                self.follow(Api::<CleanupPolicy>::all(client.clone()), |index| &mut index.policies),
            )
        };
        stop.run_until_cancelled(watching).await;
    }

    /// One malformed object must not end the watch of its kind, so each is guarded by itself.
    async fn follow<K>(&self, api: Api<K>, shelf: impl Fn(&mut Index) -> &mut Shelf<K>)
    where
        K: Meaning + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let kind = K::kind(&()).into_owned();
        let api: Api<DeserializeGuard<K>> = Api::all(api.into_client());
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event, &shelf),
                Err(error) => tracing::warn!(kind, %error, "the watch is interrupted and goes on"),
            }
        }
    }

    fn take<K: Meaning>(
        &self,
        event: watcher::Event<DeserializeGuard<K>>,
        shelf: impl Fn(&mut Index) -> &mut Shelf<K>,
    ) {
        let changes = {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            shelf(&mut index).take(event)
        };
        if changes.meaning || !changes.touched.is_empty() {
            self.changes.send_modify(|count| *count += u64::from(changes.meaning));
        }
    }
}
