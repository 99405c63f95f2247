//! What the commands that work on a store directly have in common.

use tokio::signal::unix::{SignalKind, signal};

use super::exit::Failure;
use crate::args::{Clocks, StorageUrl};
use crate::storage::{Settings, Storage};
use crate::store::StoreError;

/// Opens a store that is there already.
///
/// # Errors
/// [`Failure`] with exit code 78 for a folder or bucket that is not there or cannot be used.
pub(super) async fn open(url: &StorageUrl, settings: Settings) -> Result<Storage, Failure> {
    if let StorageUrl::Directory(path) = url
        && !path.is_dir()
    {
        return Err(Failure::invalid(format!("there is no folder {}: check --storage", path.display())));
    }
    let store = url.open().await.map_err(Failure::invalid)?;
    Ok(Storage::new(store, settings))
}

/// What the clocks on the command line set.
///
/// # Errors
/// [`Failure`] with exit code 78 for a clock that is too short.
pub(super) fn settings(clocks: Clocks) -> Result<Settings, Failure> {
    let [grace, quarantine, undo] = clocks.checked()?;
    Ok(Settings { grace, quarantine, undo, ..Settings::default() })
}

/// A failure of the store in the middle: what was done is done, the rest can be done again.
pub(super) fn failed(error: StoreError) -> Failure {
    match error {
        StoreError::Denied { .. } => Failure::not_permitted(error),
        StoreError::Misconfigured { .. } => Failure::invalid(error),
        _ => Failure::temporary(error),
    }
}

/// Listens from now on for being asked to end (SIGTERM, SIGINT); the future resolves when it is.
///
/// # Errors
/// [`Failure`] when the process may not listen for signals.
pub(super) fn told_to_end() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::temporary(format!("no signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
