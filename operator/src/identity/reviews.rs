//! The two questions as reviews of the API server.

use std::fmt::Debug;
use std::time::Duration;

use berth_crds::kinds::GROUP;
use berth_crds::wire::identity::{AuthorizeRequest, User};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

/// How many reviews are in the air at once: the budget that clients with bad tokens can use up and no more.
const AT_ONCE: usize = 16;
/// How long a question waits for its turn and its answer together. The registry gives up after ten seconds.
const TIMEOUT: Duration = Duration::from_secs(8);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReviewError {
    #[error("the API server did not answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("the API server cannot be asked: {0}")]
    Failed(#[from] kube::Error),
}

/// Asks the API server.
pub(super) struct Reviewer {
    client: Client,
    audience: String,
    turns: Semaphore,
}

impl Reviewer {
    /// `client` must not retry by itself: somebody is waiting.
    pub(super) const fn new(client: Client, audience: String) -> Self {
        Self { client, audience, turns: Semaphore::const_new(AT_ONCE) }
    }

    pub(super) fn audience(&self) -> &str {
        &self.audience
    }

    /// Who a token proves its holder to be; `None` for nobody.
    pub(super) async fn authenticate(&self, token: String) -> Result<Option<User>, ReviewError> {
        let spec = TokenReviewSpec { token: Some(token), audiences: Some(vec![self.audience.clone()]) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let status = self.ask(review).await?.status.unwrap_or_default();
        let for_us = status.audiences.unwrap_or_default().contains(&self.audience);
        let user = status.user.filter(|_| for_us && status.authenticated == Some(true));
        Ok(user.and_then(|user| {
            Some(User {
                name: user.username?,
                uid: user.uid.unwrap_or_default(),
                groups: user.groups.unwrap_or_default(),
                extra: user.extra.unwrap_or_default(),
            })
        }))
    }

    /// Whether RBAC allows something. An authorizer's error is a refusal, as the API server itself would take it.
    pub(super) async fn authorize(&self, question: AuthorizeRequest) -> Result<bool, ReviewError> {
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        let attributes = ResourceAttributes {
            group: Some(GROUP.to_owned()),
            version: Some("*".to_owned()),
            resource: Some(question.resource),
            subresource: text(question.subresource),
            namespace: Some(question.namespace),
            name: text(question.name),
            verb: Some(question.verb),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(question.user),
            uid: text(question.uid),
            groups: Some(question.groups),
            extra: Some(question.extra),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        Ok(self.ask(review).await?.status.is_some_and(|status| status.allowed))
    }

    async fn ask<K>(&self, review: K) -> Result<K, ReviewError>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
    {
        let asking = async {
            // It is never closed.
            let _turn = self.turns.acquire().await;
            Api::<K>::all(self.client.clone()).create(&PostParams::default(), &review).await
        };
        tokio::time::timeout(TIMEOUT, asking).await.map_err(|_| ReviewError::TimedOut)?.map_err(ReviewError::from)
    }
}
