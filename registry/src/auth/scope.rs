//! The scope grammar of the token endpoint, `type[(class)]:name:actions`
//! (distribution, docs/content/spec/auth/scope.md).

use std::fmt;

use berth_crds::name::ImageName;
use serde::{Deserialize, Serialize};

/// What a scope lets its holder try. The order is the one every challenge lists them in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeAction {
    Pull,
    Push,
    Delete,
}

impl ScopeAction {
    pub const ALL: [Self; 3] = [Self::Pull, Self::Push, Self::Delete];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// A set of [`ScopeAction`]s, sorted and without repetitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopeActions(Vec<ScopeAction>);

impl ScopeActions {
    pub fn contains(&self, action: ScopeAction) -> bool {
        self.0.contains(&action)
    }

    pub fn iter(&self) -> impl Iterator<Item = ScopeAction> + '_ {
        self.0.iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<ScopeAction> for ScopeActions {
    fn from_iter<I: IntoIterator<Item = ScopeAction>>(actions: I) -> Self {
        let mut actions: Vec<ScopeAction> = actions.into_iter().collect();
        actions.sort_unstable();
        actions.dedup();
        Self(actions)
    }
}

impl fmt::Display for ScopeActions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, action) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(action.as_str())?;
        }
        Ok(())
    }
}

/// One thing a client may ask a token for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `repository:<image>:<actions>`.
    Image { image: ImageName, actions: ScopeActions },
    /// `registry:catalog:*`.
    Catalog,
}

impl Scope {
    pub fn image(image: &ImageName, actions: impl IntoIterator<Item = ScopeAction>) -> Self {
        Self::Image { image: image.clone(), actions: actions.into_iter().collect() }
    }

    fn is_about_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Image { image, .. }, Self::Image { image: other, .. }) => image == other,
            (Self::Catalog, Self::Catalog) => true,
            _ => false,
        }
    }

    /// Adds the actions of a scope that is about the same.
    fn absorb(&mut self, other: Self) {
        if let (Self::Image { actions, .. }, Self::Image { actions: more, .. }) = (self, other) {
            *actions = actions.iter().chain(more.iter()).collect();
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { image, actions } => write!(f, "repository:{image}:{actions}"),
            Self::Catalog => f.write_str("registry:catalog:*"),
        }
    }
}

/// Scopes as one parameter value: separated by blanks.
pub(super) fn join(scopes: &[Scope]) -> String {
    let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    scopes.join(" ")
}

/// Most scopes one token request may name; the rest is dropped. Keeps a token well below what proxies accept as a
/// header and bounds the decisions one request can cause.
pub const MAX_SCOPES: usize = 32;

/// Reads the values of every `scope` parameter: repeated ones, and several in one separated by blanks.
///
/// What is not understood (unknown types, names that cannot exist here, unknown actions) is dropped: the token
/// endpoint grants the intersection of what was asked and what is possible, it does not judge the question.
/// Scopes of the same image become one.
pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<Scope> {
    let mut scopes: Vec<Scope> = Vec::new();
    for scope in values.into_iter().flat_map(str::split_ascii_whitespace).filter_map(parse_one) {
        if let Some(earlier) = scopes.iter_mut().find(|earlier| earlier.is_about_the_same(&scope)) {
            earlier.absorb(scope);
        } else if scopes.len() < MAX_SCOPES {
            scopes.push(scope);
        }
    }
    scopes
}

/// A name may itself hold a colon (`host:port/name`), so the cuts are at the first and the last one. The class in
/// parentheses is ignored. `*` asks for everything.
fn parse_one(text: &str) -> Option<Scope> {
    let (kind, rest) = text.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let kind = match kind.split_once('(') {
        Some((kind, class)) if class.ends_with(')') => kind,
        Some(_) => return None,
        None => kind,
    };
    let asked: Vec<&str> = actions.split(',').collect();
    match kind {
        "repository" => {
            let actions: ScopeActions = if asked.contains(&"*") {
                ScopeAction::ALL.into_iter().collect()
            } else {
                asked.into_iter().filter_map(ScopeAction::parse).collect()
            };
            if actions.is_empty() {
                return None;
            }
            Some(Scope::Image { image: name.parse().ok()?, actions })
        }
        "registry" if name == "catalog" && asked.contains(&"*") => Some(Scope::Catalog),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> String {
        join(&parse(values.iter().copied()))
    }

    #[test]
    fn scopes_come_repeated_and_separated_by_blanks() {
        assert_eq!(
            read(&["repository:a/b:pull,push repository:c/d:pull", "repository:e/f:delete"]),
            "repository:a/b:pull,push repository:c/d:pull repository:e/f:delete"
        );
        assert_eq!(read(&["  repository:a/b:pull \t repository:a/b:pull "]), "repository:a/b:pull");
        assert_eq!(read(&[]), "");
    }

    #[test]
    fn scopes_of_one_image_become_one_in_a_fixed_order_of_actions() {
        assert_eq!(read(&["repository:a/b:push", "repository:a/b:delete,pull"]), "repository:a/b:pull,push,delete");
        assert_eq!(read(&["repository:a/b:push,pull,push"]), "repository:a/b:pull,push");
    }

    #[test]
    fn a_star_asks_for_everything_and_a_class_says_nothing() {
        assert_eq!(read(&["repository:a/b:*"]), "repository:a/b:pull,push,delete");
        assert_eq!(read(&["repository:a/b:*,pull"]), "repository:a/b:pull,push,delete");
        assert_eq!(read(&["repository(plugin):a/b:pull"]), "repository:a/b:pull");
        assert_eq!(read(&["registry:catalog:*"]), "registry:catalog:*");
    }

    #[test]
    fn what_is_not_understood_is_dropped_and_the_rest_stands() {
        assert_eq!(read(&["repository:a/b:pull,frobnicate"]), "repository:a/b:pull");
        for scope in [
            "",
            "x",
            "repository",
            "repository:a/b",
            "repository:a/b:",
            "repository:a/b:frobnicate",
            "repository(plugin:a/b:pull",
            "repository:A/b:pull",
            "repository:only:pull",
            "repository:a/b/c/d/e:pull",
            // A host with a port in front of the name is one name to the grammar, and none that exists here.
            "repository:host:5000/a/b:pull",
            "registry:catalog:pull",
            "registry:metrics:*",
            "plugin:a/b:pull",
        ] {
            assert_eq!(read(&[scope, "repository:ok/ok:pull"]), "repository:ok/ok:pull", "{scope}");
        }
    }

    #[test]
    fn a_request_for_very_many_scopes_is_cut() {
        let scopes: Vec<String> = (0..100).map(|i| format!("repository:a/b{i}:pull")).collect();
        assert_eq!(parse(scopes.iter().map(String::as_str)).len(), MAX_SCOPES);
    }
}
