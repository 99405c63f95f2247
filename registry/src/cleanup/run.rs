//! [`Runs`]: starting a run, continuing it, and asking about it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use berth_crds::cleanup::Plan;
use berth_crds::duration::Span;
use berth_crds::kinds::{RunResult, RunSummary};
use berth_crds::name::{ImageName, TagName};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ulid::Ulid;

use super::execute::{End, Executor, Permit, planned};
use super::in_use::Clusters;
use super::inventory::Source;
use super::names::{PolicyName, PolicyNameError, RunId};
use super::planning;
use super::state::{Phase, RunFailure, RunState};
use super::store::{Done, Head, LastRun, Pieces, RunStore, StoredRun};
use super::summary::{report, whole_second, with_outcomes};
use crate::configuration::Current;
use crate::storage::Storage;
use crate::store::{Store, StoreError};

/// Time for the deletions of a saved plan: it names them all, so this only stops what hangs.
const SAVED_TIMEOUT: Span = Span::minutes(60);

/// The runs of one registry process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    source: Source,
    runs: RunStore,
    /// Attempts under way in this process; whoever asks for the same run joins.
    active: Mutex<HashMap<RunId, watch::Receiver<RunState>>>,
    /// Counts the runs that ended here, for who shows the last one.
    ended: watch::Sender<u64>,
    /// Asks attempts to end at the next batch.
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What starting a run asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub run: RunId,
    /// Plan only; a policy with `dryRun` never does more.
    pub dry_run: bool,
    /// The generation of the policy that this replica must have loaded.
    pub minimum_revision: Option<u64>,
}

/// Why a run does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("there is no cleanup policy {0} here, or it was not accepted: `registry status` says which are")]
    UnknownPolicy(PolicyName),
    /// 412: this replica is behind.
    #[error(
        "this replica has loaded revision {loaded} of the policy {policy} and not {wanted}: ask again in a few seconds"
    )]
    Behind { policy: PolicyName, loaded: u64, wanted: u64 },
    #[error("the policy {0} was read from a file and has no generation to wait for: leave the minimum revision out")]
    NoRevision(PolicyName),
    #[error("there is another run {run}, {what}: give this one an id of its own")]
    AnotherRun { run: RunId, what: String },
    #[error("{0} is the name of a scheduled run of another policy: give this run an id without periods")]
    ReservedId(RunId),
    #[error("the plan cannot be executed: {0}")]
    Plan(String),
    #[error("the run could not be looked up: {0}")]
    Store(#[from] StoreError),
}

impl Runs {
    pub fn new(storage: Storage, configuration: Current, clusters: Clusters) -> Self {
        let runs = RunStore::new(Arc::clone(storage.store()));
        let inner = Inner {
            source: Source { storage, configuration, clusters },
            runs,
            active: Mutex::default(),
            ended: watch::Sender::new(0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What inventories are made from.
    pub(crate) fn source(&self) -> &Source {
        &self.inner.source
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.inner.source.storage.store())
    }

    /// Lets every attempt end at its next batch and waits for that. The runs stay unfinished; the same id continues
    /// them on another replica, or here after a restart.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Starts the run of a policy as this replica has loaded it, or continues it: what was planned under this id is
    /// never planned anew, and a finished run is only reported.
    ///
    /// # Errors
    /// [`StartError`]; nothing has happened then.
    pub async fn start(&self, policy: &PolicyName, start: Start) -> Result<watch::Receiver<RunState>, StartError> {
        let configuration = self.inner.source.configuration.document().load_full();
        let entry =
            configuration.policies.get(policy.as_str()).ok_or_else(|| StartError::UnknownPolicy(policy.clone()))?;
        if let Some(wanted) = start.minimum_revision {
            // The generation and not the resourceVersion: that moves with every write of a status.
            let loaded = entry.source.generation.and_then(|generation| u64::try_from(generation).ok());
            let loaded: u64 = loaded.ok_or_else(|| StartError::NoRevision(policy.clone()))?;
            if loaded < wanted {
                return Err(StartError::Behind { policy: policy.clone(), loaded, wanted });
            }
        }
        let dry_run = start.dry_run || entry.spec.dry_run;
        let head = Head {
            policy: policy.clone(),
            saved: false,
            dry_run,
            start_time: Timestamp::now(),
            max_deletions: usize::try_from(entry.spec.limits.max_deletions).unwrap_or(usize::MAX),
            timeout: entry.spec.limits.timeout,
            revision: configuration.revision.clone(),
            stored: Pieces::default(),
        };
        let permit = Arc::new(RulePermit { configuration: self.inner.source.configuration.clone() });
        self.begin(start.run, head, None, permit).await
    }

    /// Executes a plan that somebody brought along, as far as `permit` lets them.
    ///
    /// # Errors
    /// As [`Runs::start`].
    pub async fn execute(
        &self,
        run: RunId,
        plan: Plan,
        permit: Arc<impl Permit + 'static>,
    ) -> Result<watch::Receiver<RunState>, StartError> {
        let policy = plan.policy.parse().map_err(|error: PolicyNameError| StartError::Plan(error.to_string()))?;
        let head = Head {
            policy,
            saved: true,
            dry_run: false,
            start_time: Timestamp::now(),
            max_deletions: planned(&plan),
            timeout: SAVED_TIMEOUT,
            revision: self.inner.source.configuration.document().load().revision.clone(),
            stored: Pieces::default(),
        };
        self.begin(run, head, Some(plan), permit).await
    }

    async fn begin(
        &self,
        run: RunId,
        head: Head,
        plan: Option<Plan>,
        permit: Arc<impl Permit + 'static>,
    ) -> Result<watch::Receiver<RunState>, StartError> {
        if !run.may_be_given_to((!head.saved).then_some(&head.policy)) {
            return Err(StartError::ReservedId(run));
        }
        if let Some(stored) = self.inner.runs.head(&run).await? {
            stored.check_same_run(&run, &head)?;
        }
        let first = RunState::planning(run.clone(), head.policy.clone(), head.dry_run, head.start_time);
        let (sender, receiver) = watch::channel(first);
        {
            let mut active = self.active();
            if let Some(attempt) = active.get(&run) {
                return Ok(attempt.clone());
            }
            active.insert(run.clone(), receiver.clone());
        }
        let inner = Arc::clone(&self.inner);
        self.inner.tasks.spawn(async move {
            let attempt = Attempt { inner: &inner, run: &run, sender: &sender };
            let end = attempt.make(head, plan, permit.as_ref()).await;
            // Out of the map before the last state is seen: who asks after that asks the bucket.
            inner.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
            sender.send_modify(|state| match end {
                Ok(report) => {
                    state.phase = Phase::Finished;
                    state.settled = state.planned;
                    state.report = Some(report);
                }
                Err(failure) => {
                    state.phase = Phase::Failed;
                    state.failure = Some(failure);
                }
            });
        });
        Ok(receiver)
    }

    /// Whether a run has a report.
    pub(super) async fn is_finished(&self, run: &RunId) -> Result<bool, StoreError> {
        Ok(self.inner.runs.report(run).await?.is_some())
    }

    /// Where a run is; `None` for one that nobody started, or that was forgotten.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    pub async fn state(&self, run: &RunId) -> Result<Option<RunState>, StoreError> {
        if let Some(attempt) = self.active().get(run) {
            return Ok(Some(attempt.borrow().clone()));
        }
        let Some(StoredRun { head, plan, .. }) = self.inner.runs.plan(run).await? else { return Ok(None) };
        let mut state = RunState::planning(run.clone(), head.policy, head.dry_run, head.start_time);
        state.count(&plan);
        state.report = self.inner.runs.report(run).await?;
        state.phase = if state.report.is_some() { Phase::Finished } else { Phase::Interrupted };
        state.settled = self.inner.runs.done(run).await?.outcomes.len() as u64;
        Ok(Some(state))
    }

    /// The plan of a run, with what became of it so far; `None` while it is being made, and for unknown runs.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    pub async fn plan(&self, run: &RunId) -> Result<Option<Plan>, StoreError> {
        let Some(stored) = self.inner.runs.plan(run).await? else { return Ok(None) };
        let done = self.inner.runs.done(run).await?;
        Ok(Some(with_outcomes(stored.plan, &done)))
    }

    /// Notifies of every run that ends in this process.
    pub(super) fn ended(&self) -> watch::Receiver<u64> {
        self.inner.ended.subscribe()
    }

    /// The last run of a policy that ended or failed.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    pub async fn last(&self, policy: &PolicyName) -> Result<Option<LastRun>, StoreError> {
        self.inner.runs.last(policy).await
    }

    fn active(&self) -> MutexGuard<'_, HashMap<RunId, watch::Receiver<RunState>>> {
        // Every change is one insert or removal: what a panicking thread left behind is whole.
        self.inner.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One attempt at a run: reports it, plans it, or goes on with it.
struct Attempt<'a> {
    inner: &'a Inner,
    run: &'a RunId,
    sender: &'a watch::Sender<RunState>,
}

impl Attempt<'_> {
    async fn make(&self, head: Head, plan: Option<Plan>, permit: &impl Permit) -> Result<RunSummary, RunFailure> {
        let policy = head.policy.clone();
        let saved = head.saved;
        let begin = head.start_time;
        let dry_run = head.dry_run;
        match self.go_on(head, plan, permit).await {
            Ok(report) => Ok(report),
            Err(failure) => {
                let (began, end) = (whole_second(begin), whole_second(Timestamp::now()));
                let failed = RunSummary::ended(self.run.to_string(), began, end, RunResult::Failed);
                let failed = RunSummary { dry_run, ..failed };
                tracing::warn!(%policy, run = %self.run, "the run failed: {}", failure.message);
                if !saved {
                    self.note_last(&policy, failed, Some(failure.message.clone())).await;
                }
                Err(failure)
            }
        }
    }

    async fn go_on(&self, head: Head, plan: Option<Plan>, permit: &impl Permit) -> Result<RunSummary, RunFailure> {
        let Inner { source, runs, stop, .. } = self.inner;
        if let Some(report) = runs.report(self.run).await? {
            return Ok(report);
        }
        let stored = match runs.plan(self.run).await? {
            Some(stored) => stored,
            None => {
                let ours = match runs.any_plan(self.run).await? {
                    Some(plan) => plan,
                    None => self.plan(head.clone(), plan).await?,
                };
                runs.agree(self.run, ours).await?
            }
        };
        // Somebody else may have begun another run under this id since it was looked up.
        stored.head.check_same_run(self.run, &head).map_err(|error| RunFailure::lasting(error.to_string()))?;
        self.sender.send_modify(|state| {
            state.phase = Phase::Deleting;
            state.start_time = stored.head.start_time;
            state.count(&stored.plan);
        });
        let done = if stored.head.dry_run {
            Done::default()
        } else {
            let mut executor = Executor::new(&source.storage, runs, self.run);
            let settled = |settled: usize| self.sender.send_modify(|state| state.settled = settled as u64);
            let (done, end) = executor.delete(&stored, permit, stop, settled).await?;
            match end {
                End::Settled | End::Limit => done,
                End::Stopped => return Err(RunFailure::temporary("this replica is shutting down")),
                End::Failed(error) => return Err(error.into()),
            }
        };
        let report = report(self.run, &stored.head, &stored.plan, &done, Timestamp::now());
        runs.put_report(self.run, &report).await?;
        tracing::info!(
            policy = %stored.head.policy, run = %self.run, result = ?report.result, deleted = report.deleted,
            kept = report.kept, dry_run = report.dry_run, "the run has ended"
        );
        if !stored.head.saved {
            self.note_last(&stored.head.policy, report.clone(), None).await;
        }
        if let Err(error) = runs.forget_old_runs(&stored.head).await {
            tracing::warn!(%error, "old runs could not be forgotten; the next run tries again");
        }
        Ok(report)
    }

    /// Makes a plan and stores it. Whether it is this one that is executed is for all replicas to agree.
    async fn plan(&self, head: Head, plan: Option<Plan>) -> Result<Ulid, RunFailure> {
        let Inner { source, runs, .. } = self.inner;
        let plan = match plan {
            Some(plan) => plan,
            None => {
                let seen = |tags: usize| {
                    self.sender.send_modify(|state| {
                        state.images += 1;
                        state.tags += tags as u64;
                    });
                };
                planning::plan(source, &head.policy, head.start_time, seen).await?
            }
        };
        runs.note_run(&head, self.run).await?;
        Ok(runs.put_plan(self.run, head, &plan).await?)
    }

    /// The policy's status shows its last run. Not being able to write it down does not make the run a failure.
    async fn note_last(&self, policy: &PolicyName, summary: RunSummary, failure: Option<String>) {
        if let Err(error) = self.inner.runs.put_last(policy, &LastRun { summary, failure }).await {
            tracing::warn!(%policy, %error, "the policy's last run could not be written down");
        }
        self.inner.ended.send_modify(|count| *count += 1);
    }
}

impl Head {
    /// Whether who asks for a run of this kind means this one.
    fn check_same_run(&self, run: &RunId, asked: &Self) -> Result<(), StartError> {
        if (&self.policy, self.saved, self.dry_run) == (&asked.policy, asked.saved, asked.dry_run) {
            return Ok(());
        }
        let what = match (self.saved, self.dry_run) {
            (true, _) => format!("of a saved plan of {}", self.policy),
            (false, true) => format!("a dry run of {}", self.policy),
            (false, false) => format!("of {}", self.policy),
        };
        Err(StartError::AnotherRun { run: run.clone(), what })
    }
}

/// What a run of a policy goes by between plan and deletion: tags that a rule protects by now stay.
struct RulePermit {
    configuration: Current,
}

impl Permit for RulePermit {
    async fn refusals(&self, image: &ImageName, tags: &[TagName]) -> Result<BTreeMap<TagName, String>, StoreError> {
        let refusals = tags.iter().filter_map(|tag| {
            let guard = self.configuration.guard(image.repository(), tag);
            let rule = guard.immutable.or(guard.protected)?;
            Some((tag.clone(), format!("the rule \"{rule}\" protects it since the plan was made")))
        });
        Ok(refusals.collect())
    }
}
