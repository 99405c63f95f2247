//! The client of `control.sock`: what the registry beside us is asked (DESIGN §1).

use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_crds::wire::control::{LOADED, LONGEST_WAIT, Loaded, Refused};
use reqwest::{Response, StatusCode};

/// The registry beside us.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    client: reqwest::Client,
}

/// Why the registry did not answer, or refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("the registry beside this operator cannot be reached: {0}")]
    Away(#[from] reqwest::Error),
    #[error("the registry refused ({status}): {reason}")]
    Refused { status: StatusCode, reason: String },
}

impl Control {
    /// A client of the registry's socket, which need not exist yet.
    pub(crate) fn new(socket: PathBuf) -> Result<Self, ControlError> {
        let client = reqwest::Client::builder()
            .unix_socket(socket.as_path() as &Path)
            .timeout(LONGEST_WAIT + Duration::from_secs(10))
            .no_proxy()
            .build()?;
        Ok(Self { client })
    }

    /// What is in force, at once if its state is not `after`, else at the next change or after [`LONGEST_WAIT`].
    pub(crate) async fn loaded(&self, after: Option<&str>) -> Result<Loaded, ControlError> {
        let request = self.client.get(format!("http://control{LOADED}"));
        let request = if let Some(after) = after { request.query(&[("after", after)]) } else { request };
        Ok(accepted(request.send().await?).await?.json().await?)
    }
}

async fn accepted(response: Response) -> Result<Response, ControlError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await?;
    let reason = serde_json::from_str::<Refused>(&text).map_or(text, |refused| refused.error);
    Err(ControlError::Refused { status, reason })
}
