//! Planning without a registry: a policy from a file, tags from a file, the decision of the registry itself.

use std::io::Read as _;
use std::path::Path;

use berth_crds::cleanup::{self, Inventory, Plan, Rules, Selection};
use berth_crds::kinds::CleanupPolicySpec;
use berth_crds::manifest::{self, Object};
use berth_crds::problem::Problem;
use jiff::Timestamp;

use super::exit::Failure;
use crate::cleanup::PolicyName;

/// Reads a file; `-` is stdin.
///
/// # Errors
/// [`Failure`] with the name of what cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::invalid(format!("{} cannot be read: {error}", path.display()));
    if path == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).map_err(failed)?;
        return Ok(text);
    }
    std::fs::read(path).map_err(failed)
}

/// Plans what the policy in one file would do to the tags in another.
///
/// # Errors
/// [`Failure`] with exit code 78 when a file cannot be read, the policy is invalid, or the inventory lacks what the
/// policy asks for.
pub(super) fn plan(policy: &Path, inventory: &Path, now: Timestamp) -> Result<Plan, Failure> {
    let (name, spec) = read_policy(policy)?;
    let text = read(inventory)?;
    let all: Inventory = serde_json::from_slice(&text)
        .map_err(|error| Failure::invalid(format!("{} is not an inventory: {error}", inventory.display())))?;
    let invalid = |problems: Vec<Problem>| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        Failure::invalid(format!("the policy in {} is invalid:{}", policy.display(), lines.concat()))
    };
    let rules = Rules::new(&spec).map_err(invalid)?;
    let selection = Selection::new(name.namespace(), &spec).map_err(invalid)?;
    let selected = selection.select(&all).map_err(Failure::invalid)?;
    Ok(cleanup::plan(name.as_str(), &rules, &selected, now))
}

/// The one CleanupPolicy of a file, read as an API server reads it; other objects in it are passed over.
fn read_policy(path: &Path) -> Result<(PolicyName, CleanupPolicySpec), Failure> {
    let file = path.display().to_string();
    let text = String::from_utf8(read(path)?).map_err(|_| Failure::invalid(format!("{file} is not a text file")))?;
    let mut policies = Vec::new();
    for outcome in manifest::parse(&file, &text) {
        match outcome.map_err(Failure::invalid)? {
            Object::Policy(policy) => policies.push(policy),
            Object::Namespace(_) | Object::Repository(_) | Object::Visibility(_) => {}
        }
    }
    let policy = match (policies.pop(), policies.is_empty()) {
        (Some(policy), true) => policy,
        (None, _) => return Err(Failure::invalid(format!("{file} holds no CleanupPolicy"))),
        (Some(_), false) => {
            return Err(Failure::invalid(format!(
                "{file} holds several CleanupPolicies: give a file with one of them"
            )));
        }
    };
    let meta = &policy.metadata;
    let name = PolicyName::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
    Ok((name.map_err(Failure::invalid)?, policy.spec))
}
