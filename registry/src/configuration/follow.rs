//! Following files: read again soon after every change, and now and then in case a change was missed.

use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{Current, Source};

/// How long changes may go on before they are read: editors and mounts change several files at once.
const SETTLE: Duration = Duration::from_millis(100);
/// Some file systems notify of nothing.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Keeps `current` at the state of `source` until dropped; to be spawned once.
pub async fn follow(current: Current, source: Source) {
    // Without a document there is no news of it either, and its folder may not be there to be watched.
    source.appears().await;
    let (notice, mut changes) = mpsc::channel(1);
    let watching = watch(&source, notice);
    if let Err(error) = &watching {
        tracing::warn!(
            %error, path = %source, every_seconds = LOOK_EVERY.as_secs(),
            "changes are not notified here; the configuration is looked at regularly instead"
        );
    }
    loop {
        // First of all once: what changed between the first reading and the watch was notified to nobody.
        let (to, from) = (current.clone(), source.clone());
        if let Err(error) = tokio::task::spawn_blocking(move || to.update(from.read())).await {
            tracing::error!(%error, path = %source, "reading the configuration failed unexpectedly");
        }
        match timeout(LOOK_EVERY, changes.recv()).await {
            Ok(Some(())) => {
                sleep(SETTLE).await;
                while changes.try_recv().is_ok() {}
            }
            // Nobody notifies.
            Ok(None) => sleep(LOOK_EVERY).await,
            Err(_) => {}
        }
    }
}

/// Sends a notice per change; one waiting notice is enough. The watcher lives as long as what is returned.
fn watch(source: &Source, notice: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too, and would keep us reading for ever.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = notice.try_send(());
        }
    })?;
    watcher.watch(source.watched(), RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SHOP: &str = "
apiVersion: berth.dev/v1alpha1
kind: ContainerRepository
metadata: {namespace: team-a, name: shop}
";

    #[tokio::test]
    async fn a_changed_folder_is_in_force_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.yaml");
        let source = Source::Manifests(folder.path().to_owned());
        let current = Current::new(source.read().unwrap()).unwrap();
        let mut changes = current.changes();
        let following = tokio::spawn(follow(current.clone(), source));

        let shop = "team-a/shop".parse().unwrap();
        std::fs::write(&file, SHOP).unwrap();
        let status = changes.wait_for(|status| status.remarks.is_empty()).await.unwrap().clone();
        assert!(current.document().load().repositories.contains_key(&shop));

        std::fs::write(&file, format!("{SHOP}spec: {{unknown: 1}}")).unwrap();
        let broken = changes.wait_for(|status| !status.problems.is_empty()).await.unwrap().clone();
        assert_eq!(broken.revision, status.revision);
        assert!(broken.problems[0].contains("objects.yaml"), "{broken:?}");
        assert!(current.document().load().repositories.contains_key(&shop), "the last good state stays");

        std::fs::remove_file(&file).unwrap();
        changes.wait_for(|status| status.problems.is_empty() && !status.remarks.is_empty()).await.unwrap();
        assert!(current.document().load().repositories.is_empty());
        following.abort();
    }
}
