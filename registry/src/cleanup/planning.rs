//! From a policy's name to its plan.

use berth_crds::cleanup::{self, Plan};
use jiff::Timestamp;

use super::inventory::Source;
use super::names::PolicyName;
use super::state::RunFailure;

/// Plans a run of a policy as it is loaded at this moment, over the images that it governs.
pub(super) async fn plan(
    source: &Source,
    policy: &PolicyName,
    now: Timestamp,
    seen: impl FnMut(usize),
) -> Result<Plan, RunFailure> {
    let compiled = source.configuration.compiled();
    let rules = compiled.policy(policy.as_str()).map(|policy| &policy.rules);
    let rules = rules.ok_or_else(|| RunFailure::lasting(format!("the policy {policy} was removed meanwhile")))?;
    let inventory = source.of_images(|image| compiled.governs(policy.as_str(), image), now, seen).await?;
    Ok(cleanup::plan(policy.as_str(), rules, &inventory, now))
}
