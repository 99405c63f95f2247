//! Who issues the cluster's tokens.

use std::time::Duration;

use axum::http::Request;
use kube::Client;
use serde::Deserialize;
use tokio::sync::OnceCell;

/// A login waits for the discovery at most this long; without it every issuer is asked about.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The cluster's issuer, asked for until it is known (OpenID Connect Discovery; every ServiceAccount may read it).
pub(super) struct Issuer {
    client: Client,
    name: OnceCell<String>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl Issuer {
    pub(super) const fn new(client: Client) -> Self {
        Self { client, name: OnceCell::const_new() }
    }

    /// `None` while it cannot be found out.
    pub(super) async fn name(&self) -> Option<String> {
        match self.name.get_or_try_init(|| self.discover()).await {
            Ok(name) => Some(name.clone()),
            Err(reason) => {
                tracing::warn!(reason, "the issuer of the cluster's tokens is not known: every issuer is asked about");
                None
            }
        }
    }

    async fn discover(&self) -> Result<String, String> {
        let request = Request::get("/.well-known/openid-configuration").body(Vec::new());
        let request = request.map_err(|error| error.to_string())?;
        match tokio::time::timeout(TIMEOUT, self.client.request::<Discovery>(request)).await {
            Ok(Ok(Discovery { issuer })) => Ok(issuer),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    }
}
