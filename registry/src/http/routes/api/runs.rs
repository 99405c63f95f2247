//! Starting runs, following them, reading their plans.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use berth_crds::access::{Action, Guard};
use berth_crds::cleanup;
use berth_crds::name::{ImageName, TagName};
use bytes::Bytes;
use futures::stream;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tokio::sync::watch;

use super::Rest;
use super::answers::{document, invalid, not_started, read};
use super::wire::{ExecutePlan, StartRun};
use crate::auth::{Access, Caller};
use crate::cleanup::{HEARTBEAT, Permit, Phase, PolicyName, RunFailure, RunId, RunState, Start};
use crate::configuration::Current;
use crate::http::api::identified;
use crate::http::error::{Code, Problem};
use crate::store::StoreError;

/// Longest body that starts a run, in bytes.
const START: usize = 64 * 1024;
/// Longest saved plan, in bytes: some hundred thousand tags.
const PLAN: usize = 64 * 1024 * 1024;

/// `POST /api/v1/policies/{namespace}/{name}/runs`
pub(super) async fn start(
    State(rest): State<Rest>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let policy = PolicyName::new(&namespace, &name).map_err(|error| invalid(error.to_string()))?;
    let caller = rest.api.access.authorize_run(&parts, policy.namespace()).await?;
    identified(&parts, &caller);
    rest.api.refuse_while_waiting()?;
    let StartRun { run_id, dry_run, minimum_revision } = read(body, START).await?;
    let start = Start { run: run_id, dry_run, minimum_revision };
    let states = rest.runs.start(&policy, start).await.map_err(not_started)?;
    Ok(follow(states))
}

/// `POST /api/v1/plans`
pub(super) async fn execute(State(rest): State<Rest>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    // Who nobody knows sends no megabytes.
    let caller = rest.api.access.authorize_ping(&parts).await?;
    identified(&parts, &caller);
    rest.api.refuse_while_waiting()?;
    let ExecutePlan { run_id, plan } = read(body, PLAN).await?;
    for image in &plan.images {
        let guard = Guard::default();
        match deletions(image) {
            0 => continue,
            1 => rest.api.access.authorize(&parts, &image.image, &Action::DeleteOne { guard }).await?,
            _ => rest.api.access.authorize(&parts, &image.image, &Action::DeleteMany { guard }).await?,
        };
    }
    let many = plan.images.iter().filter(|image| deletions(image) > 1).map(|image| image.image.clone()).collect();
    let permit = CallerPermit {
        access: Arc::clone(&rest.api.access),
        configuration: rest.api.configuration.clone(),
        caller,
        many,
    };
    let states = rest.runs.execute(run_id, plan, Arc::new(permit)).await.map_err(not_started)?;
    Ok(follow(states))
}

/// `GET /api/v1/runs/{run}`
pub(super) async fn state(
    State(rest): State<Rest>,
    Path(run): Path<String>,
    parts: Parts,
) -> Result<Response, Problem> {
    let (_, state) = visible(&rest, &run, &parts).await?;
    Ok(document(&state))
}

/// `GET /api/v1/runs/{run}/plan`
pub(super) async fn plan(State(rest): State<Rest>, Path(run): Path<String>, parts: Parts) -> Result<Response, Problem> {
    let (run, _) = visible(&rest, &run, &parts).await?;
    let plan = rest.runs.plan(&run).await?;
    plan.map(|plan| document(&plan)).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, Code::Unknown, format!("the run {run} is still being planned: ask again"))
    })
}

/// A run that the caller may see. To everybody else it does not exist.
async fn visible(rest: &Rest, run: &str, parts: &Parts) -> Result<(RunId, RunState), Problem> {
    let caller = rest.api.access.authorize_ping(parts).await?;
    identified(parts, &caller);
    let absent = || {
        let message = format!(
            "there is no run {run}, or you may not see it: it takes the right to run policies of its namespace. Only \
             the newest runs of a policy are kept"
        );
        Problem::new(StatusCode::NOT_FOUND, Code::Unknown, message)
    };
    let run: RunId = run.parse().map_err(|_| absent())?;
    let state = rest.runs.state(&run).await?.ok_or_else(absent)?;
    if rest.api.access.may_run(&caller, state.policy.namespace()).await? { Ok((run, state)) } else { Err(absent()) }
}

/// What a caller may do by its own rights, asked again before every batch.
#[derive(Debug)]
struct CallerPermit {
    access: Arc<Access>,
    configuration: Current,
    caller: Caller,
    /// Images of which the plan deletes several tags.
    many: BTreeSet<ImageName>,
}

impl Permit for CallerPermit {
    async fn refusals(&self, image: &ImageName, tags: &[TagName]) -> Result<BTreeMap<TagName, String>, StoreError> {
        let mut asked: Vec<(Guard, Option<String>)> = Vec::new();
        let mut refusals = BTreeMap::new();
        for tag in tags {
            let guard = self.configuration.guard(image.repository(), tag);
            let known = asked.iter().find(|(other, _)| *other == guard).map(|(_, answer)| answer.clone());
            let answer = match known {
                Some(answer) => answer,
                None => {
                    let action = if self.many.contains(image) {
                        Action::DeleteMany { guard: guard.clone() }
                    } else {
                        Action::DeleteOne { guard: guard.clone() }
                    };
                    let answer = self.access.demand(&self.caller, image, &action).await.err();
                    let answer = answer.map(|refusal| refusal.message());
                    asked.push((guard, answer.clone()));
                    answer
                }
            };
            refusals.extend(answer.map(|message| (tag.clone(), message)));
        }
        Ok(refusals)
    }
}

fn deletions(image: &cleanup::ImagePlan) -> usize {
    image.verdicts.iter().filter(|verdict| verdict.action == cleanup::Action::Delete).count()
}

/// One JSON line for every state, and one every [`HEARTBEAT`] so that nobody takes silence for death. The run does not
/// need its listener.
fn follow(states: watch::Receiver<RunState>) -> Response {
    let lines = stream::unfold(Some((states, true)), |position| async move {
        let (mut states, first) = position?;
        let alive = match first {
            true => true,
            // An elapsed heartbeat says the same again.
            false => !matches!(tokio::time::timeout(HEARTBEAT, states.changed()).await, Ok(Err(_))),
        };
        let mut state = states.borrow_and_update().clone();
        if !alive && !state.is_final() {
            state.phase = Phase::Failed;
            let message = "the run ended unexpectedly, the log of the registry says why".to_owned();
            state.failure = Some(RunFailure { message, temporary: true });
        }
        let next = (!state.is_final()).then_some((states, false));
        Some((Ok::<Bytes, Infallible>(line(&state)), next))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

fn line(state: &RunState) -> Bytes {
    let mut text = serde_json::to_vec(state).expect("numbers and texts always serialise");
    text.push(b'\n');
    text.into()
}
