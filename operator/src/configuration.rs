//! From the index to the document that the registry beside us reads, in every replica.
//!
//! ```text
//! Observed ─▶ compile ─▶ config/current.json ─▶ registry ─▶ GET /v1/loaded ─▶ Loaded: seen up to this watermark
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use berth_crds::configuration::{Configuration, Outcome, compile};
use berth_crds::manifest::ObjectId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::index::Watermark;
use crate::replacement;
use crate::watching::Observed;

/// Changes that come together are compiled together: a burst costs one document, and a single change this delay.
const TOGETHER: Duration = Duration::from_millis(20);
/// Until the volume can be written again.
const AGAIN: Duration = Duration::from_secs(1);

/// What follows from the objects at one moment.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) outcomes: Arc<BTreeMap<ObjectId, Outcome>>,
    /// How far the cluster had been seen when it was compiled.
    pub(crate) compiled_at: Watermark,
    /// How far the cluster has been seen without anything that would change it: statuses move this one only.
    pub(crate) watermark: Watermark,
}

/// What the registry beside us acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// See [`State::compiled_at`].
    pub(crate) compiled_at: Watermark,
    /// See [`State::watermark`].
    pub(crate) watermark: Watermark,
}

/// Compiles whenever something changed that decides anything, and writes the document.
#[derive(Debug)]
pub(crate) struct Compiler {
    pub(crate) observed: Observed,
    pub(crate) system_namespace: String,
    pub(crate) file: PathBuf,
}

impl Compiler {
    /// Runs until told to stop. `None` in `state` until every kind has been listed once.
    pub(crate) async fn run(self, state: watch::Sender<Option<State>>, stop: CancellationToken) {
        let mut changes = self.observed.changes();
        let mut seen = None;
        loop {
            let now = *changes.borrow_and_update();
            if self.observed.index().is_complete() && seen != Some(now) {
                seen = match self.compile(&state).await {
                    Ok(()) => Some(now),
                    Err(error) => {
                        tracing::error!(%error, file = %self.file.display(), "the configuration cannot be written; trying again");
                        tokio::time::sleep(AGAIN).await;
                        changes.mark_changed();
                        None
                    }
                };
            } else if seen == Some(now) {
                // Nothing means anything else; what was seen moves on with every event.
                let watermark = self.observed.index().watermark();
                state.send_if_modified(|state| match state {
                    Some(state) if state.watermark != watermark => {
                        state.watermark = watermark;
                        true
                    }
                    _ => false,
                });
            }
            match stop.run_until_cancelled(changes.changed()).await {
                Some(Ok(())) => tokio::time::sleep(TOGETHER).await,
                _ => return,
            }
        }
    }

    async fn compile(&self, state: &watch::Sender<Option<State>>) -> std::io::Result<()> {
        let (objects, watermark) = {
            let index = self.observed.index();
            (index.objects(&self.system_namespace), index.watermark())
        };
        let file = self.file.clone();
        // Patterns and many objects take time that requests must not wait for.
        let compiled = tokio::task::spawn_blocking(move || {
            let (configuration, outcomes) = compile(&objects);
            let written = replacement::replace(&file, &configuration.to_json_bytes())?;
            Ok::<_, std::io::Error>((configuration, outcomes, written))
        });
        let (configuration, outcomes, written) = compiled.await.map_err(std::io::Error::other)??;
        if written {
            tracing::info!(revision = configuration.revision, "the configuration is written");
        }
        let outcomes = outcomes.into_iter().map(|outcome| (outcome.object.clone(), outcome)).collect();
        state.send_replace(Some(State {
            configuration: Arc::new(configuration),
            outcomes: Arc::new(outcomes),
            compiled_at: watermark,
            watermark,
        }));
        Ok(())
    }
}

/// Keeps `loaded` at what the registry beside us acts on: how far the cluster had been seen in the last compiled state
/// whose document it has loaded.
pub(crate) async fn follow_registry(
    control: Control,
    mut state: watch::Receiver<Option<State>>,
    loaded: watch::Sender<Option<Loaded>>,
    stop: CancellationToken,
) {
    let revisions = watch::Sender::new(None);
    let asking = async {
        let mut after = None;
        loop {
            match control.loaded(after.as_deref()).await {
                Ok(answer) => {
                    for problem in &answer.problems {
                        tracing::error!(problem, "the registry keeps its last good configuration");
                    }
                    revisions.send_replace(Some(answer.revision));
                    after = Some(answer.state);
                }
                Err(error) => {
                    tracing::debug!(%error, "the registry does not say what it has loaded");
                    revisions.send_replace(None);
                    after = None;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    };
    let comparing = async {
        let mut revision = revisions.subscribe();
        loop {
            let in_force = revision.borrow_and_update().clone();
            let compiled = state.borrow_and_update().as_ref().map(|state| {
                let acting_on = Loaded { compiled_at: state.compiled_at, watermark: state.watermark };
                (state.configuration.revision.clone(), acting_on)
            });
            if let (Some(in_force), Some((compiled, acting_on))) = (in_force, compiled)
                && in_force == compiled
            {
                loaded.send_if_modified(|before| before.replace(acting_on) != Some(acting_on));
            }
            tokio::select! {
                changed = revision.changed() => if changed.is_err() { return },
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = asking => {}
        () = comparing => {}
    }
}
