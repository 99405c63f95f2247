//! A request that has no answer in time has failed like any other: kube waits for ever by itself.

use std::time::Duration;

/// What the request says within `limit`.
///
/// # Errors
/// Its own, or that it took too long.
pub(crate) async fn within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    tokio::time::timeout(limit, request).await.unwrap_or_else(|_| Err(kube::Error::Service("timed out".into())))
}
