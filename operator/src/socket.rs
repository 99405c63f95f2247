//! Serving HTTP on a Unix socket.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::Router;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

/// Serves until told to stop. A socket left behind by an earlier process is replaced; only our own user may connect.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) async fn serve(path: &Path, router: Router, stop: CancellationToken) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}
