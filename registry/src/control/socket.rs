//! The socket itself: made so that nobody else can open it, removed when the registry stops.

use std::fmt;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Where the socket is, as the command line names it: `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(PathBuf);

impl FromStr for Place {
    type Err = SocketError;

    fn from_str(text: &str) -> Result<Self, SocketError> {
        let path = text.strip_prefix("unix:").filter(|path| !path.is_empty());
        path.map(|path| Self(path.into())).ok_or_else(|| SocketError::Place(text.to_owned()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:{}", self.0.display())
    }
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("\"{0}\" is not a socket: write unix:PATH, such as unix:/run/berth/control.sock")]
    Place(String),
    #[error("{0} is served by another process: give each registry a socket of its own")]
    Taken(Place),
    #[error("{0} cannot be made: {1} (its folder has to exist and be ours, its path to have at most 100 bytes)")]
    Io(Place, std::io::Error),
}

/// A socket being served.
#[derive(Debug)]
pub struct Socket {
    place: Place,
    task: JoinHandle<std::io::Result<()>>,
}

impl Socket {
    /// Makes the socket, in the place of one that nobody serves any more, and serves a router on it until `stop`.
    ///
    /// # Errors
    /// [`SocketError::Taken`] while another process answers there, [`SocketError::Io`] when it cannot be made.
    pub async fn serve(place: Place, router: Router, stop: CancellationToken) -> Result<Self, SocketError> {
        if UnixStream::connect(&place.0).await.is_ok() {
            return Err(SocketError::Taken(place));
        }
        let listener = bind(&place.0).map_err(|error| SocketError::Io(place.clone(), error))?;
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        Ok(Self { place, task: tokio::spawn(serving.into_future()) })
    }

    /// Removes the socket and waits at most `patience` for the answers under way. To be called after `stop`.
    pub async fn end(self, patience: Duration) {
        if let Err(error) = std::fs::remove_file(&self.place.0) {
            tracing::warn!(%error, socket = %self.place, "the socket stays; the next start replaces it");
        }
        match tokio::time::timeout(patience, self.task).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(%error, socket = %self.place, "the control socket failed"),
            Ok(Err(error)) => tracing::error!(%error, socket = %self.place, "the control socket failed unexpectedly"),
            Err(_) => tracing::warn!(socket = %self.place, "requests of the operator were cut"),
        }
    }
}

/// A socket gets its name when its mode is right: under that name nobody else can ever open it. The name may be that of
/// a dead socket, which it replaces.
fn bind(path: &Path) -> std::io::Result<UnixListener> {
    let mut making = path.as_os_str().to_owned();
    making.push(".new");
    match std::fs::remove_file(&making) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&making)?;
    std::fs::set_permissions(&making, Permissions::from_mode(0o600))?;
    std::fs::rename(&making, path)?;
    Ok(listener)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_socket_is_replaced_a_living_one_is_not_and_nobody_else_can_open_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let place: Place = format!("unix:{}", path.display()).parse().unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a listener leaves its name behind");

        let stop = CancellationToken::new();
        let socket = Socket::serve(place.clone(), Router::new(), stop.clone()).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let taken = Socket::serve(place, Router::new(), stop.clone()).await.unwrap_err();
        assert!(matches!(taken, SocketError::Taken(_)), "{taken}");
        stop.cancel();
        socket.end(Duration::from_secs(60)).await;
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_cannot_be_a_socket_is_refused_with_advice() {
        for text in ["/run/control.sock", "unix:", "tcp:1"] {
            assert!(text.parse::<Place>().unwrap_err().to_string().contains("write unix:PATH"), "{text}");
        }
        let nowhere: Place = "unix:/does/not/exist/control.sock".parse().unwrap();
        let refused = Socket::serve(nowhere, Router::new(), CancellationToken::new()).await.unwrap_err();
        assert!(refused.to_string().contains("its folder has to exist"), "{refused}");
    }
}
