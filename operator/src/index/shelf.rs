//! All objects of one kind, as a watch has shown them.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use kube::Resource;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::watcher::Event;

use super::meaning::Meaning;

/// Which object of a kind: namespace (empty for cluster-wide kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn of(object: &impl Resource) -> Self {
        let meta = object.meta();
        Self { namespace: meta.namespace.clone().unwrap_or_default(), name: meta.name.clone().unwrap_or_default() }
    }
}

/// One object as it was last seen.
#[derive(Clone, Debug)]
pub(crate) struct Kept<K> {
    pub(crate) object: Arc<K>,
    /// The resourceVersion at which its meaning last changed: whoever has seen this one acts on it.
    pub(crate) since: u64,
    /// Why the newest state cannot be read; `object` is then the last readable one, or what is assumed instead.
    pub(crate) problem: Option<String>,
}

/// All objects of one kind.
#[derive(Debug)]
pub(crate) struct Shelf<K> {
    kept: BTreeMap<Key, Kept<K>>,
    /// Objects that cannot be read and mean nothing meanwhile, with the reason.
    unreadable: BTreeMap<Key, InvalidObject>,
    /// What a running list has named so far. Until it is complete the old state stays.
    listing: Option<Vec<DeserializeGuard<K>>>,
    seen: u64,
    complete: bool,
}

/// What an event changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Objects of which anything changed, their status included.
    pub(crate) touched: Vec<Key>,
    /// Whether anything changed that decides something.
    pub(crate) meaning: bool,
}

impl<K> Default for Shelf<K> {
    fn default() -> Self {
        Self { kept: BTreeMap::new(), unreadable: BTreeMap::new(), listing: None, seen: 0, complete: false }
    }
}

impl<K: Meaning> Shelf<K> {
    /// Takes one event of a watch in.
    pub(crate) fn take(&mut self, event: Event<DeserializeGuard<K>>) -> Changes {
        let mut changes = Changes::default();
        match event {
            Event::Init => self.listing = Some(Vec::new()),
            Event::InitApply(object) => self.listing.get_or_insert_default().push(object),
            Event::InitDone => {
                let listed = mem::take(&mut self.listing).unwrap_or_default();
                let names: std::collections::BTreeSet<Key> = listed.iter().map(Key::of).collect();
                let known = self.kept.keys().chain(self.unreadable.keys());
                let gone: Vec<Key> = known.filter(|key| !names.contains(key)).cloned().collect();
                for key in gone {
                    self.remove(key, &mut changes);
                }
                for object in listed {
                    self.put(object, &mut changes);
                }
                changes.meaning |= !self.complete;
                self.complete = true;
            }
            Event::Apply(object) => self.put(object, &mut changes),
            Event::Delete(object) => {
                self.see(&object);
                self.remove(Key::of(&object), &mut changes);
            }
        }
        changes
    }

    fn put(&mut self, object: DeserializeGuard<K>, changes: &mut Changes) {
        self.see(&object);
        let key = Key::of(&object);
        let (object, problem) = match object.0 {
            Ok(object) => (object, None),
            Err(invalid) => {
                let last = self.kept.get(&key).filter(|kept| kept.object.meta().uid == invalid.metadata.uid);
                let assumed = last.map(|kept| K::clone(&kept.object)).or_else(|| K::unreadable(&invalid.metadata));
                let Some(assumed) = assumed else {
                    changes.touched.push(key.clone());
                    changes.meaning |= self.kept.remove(&key).is_some();
                    self.unreadable.insert(key, invalid);
                    return;
                };
                (assumed, Some(invalid.error))
            }
        };
        let before = self.kept.get(&key);
        let same = before.is_some_and(|kept| kept.object.means_the_same(&object) && kept.problem == problem);
        let since = match before {
            Some(kept) if same => kept.since,
            // Without a number nobody can be said to have seen it.
            _ => revision(object.meta().resource_version.as_deref()).unwrap_or(u64::MAX),
        };
        changes.meaning |= !same;
        changes.touched.push(key.clone());
        self.unreadable.remove(&key);
        self.kept.insert(key, Kept { object: Arc::new(object), since, problem });
    }

    fn remove(&mut self, key: Key, changes: &mut Changes) {
        let known = self.kept.remove(&key).is_some();
        let unreadable = self.unreadable.remove(&key).is_some();
        changes.meaning |= known;
        if known || unreadable {
            changes.touched.push(key);
        }
    }

    fn see(&mut self, object: &impl Resource) {
        self.seen = self.seen.max(revision(object.meta().resource_version.as_deref()).unwrap_or(0));
    }
}

impl<K> Shelf<K> {
    pub(crate) fn get(&self, key: &Key) -> Option<&Kept<K>> {
        self.kept.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Kept<K>)> {
        self.kept.iter()
    }

    pub(crate) fn unreadable(&self) -> &BTreeMap<Key, InvalidObject> {
        &self.unreadable
    }

    /// The highest resourceVersion seen.
    pub(crate) const fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether a whole list was seen.
    pub(crate) const fn is_complete(&self) -> bool {
        self.complete
    }
}

fn revision(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use berth_crds::kinds::{ContainerRepository, ContainerRepositoryStatus, RegistryVisibility};
    use serde_json::json;

    use super::*;

    fn repository(name: &str, version: u64, labels: &[(&str, &str)]) -> DeserializeGuard<ContainerRepository> {
        let mut object = ContainerRepository::new(name, Default::default());
        object.metadata.namespace = Some("team-a".to_owned());
        object.metadata.uid = Some(format!("uid-{name}"));
        object.metadata.resource_version = Some(version.to_string());
        object.metadata.labels =
            Some(labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
        DeserializeGuard(Ok(object))
    }

    fn key(name: &str) -> Key {
        Key { namespace: "team-a".to_owned(), name: name.to_owned() }
    }

    fn listed(objects: Vec<DeserializeGuard<ContainerRepository>>) -> Shelf<ContainerRepository> {
        let mut shelf = Shelf::default();
        shelf.take(Event::Init);
        for object in objects {
            shelf.take(Event::InitApply(object));
        }
        assert!(!shelf.is_complete());
        assert!(shelf.take(Event::InitDone).meaning);
        shelf
    }

    #[test]
    fn a_status_is_no_change_of_meaning_and_moves_only_what_was_seen() {
        let mut shelf = listed(vec![repository("shop", 5, &[])]);
        let DeserializeGuard(Ok(mut with_status)) = repository("shop", 9, &[]) else { unreachable!() };
        with_status.status = Some(ContainerRepositoryStatus { tags: Some(1), ..Default::default() });
        let changes = shelf.take(Event::Apply(DeserializeGuard(Ok(with_status))));
        assert_eq!(changes, Changes { touched: vec![key("shop")], meaning: false });
        assert_eq!((shelf.get(&key("shop")).unwrap().since, shelf.seen()), (5, 9));
        let changes = shelf.take(Event::Apply(repository("shop", 11, &[("tier", "prod")])));
        assert!(changes.meaning);
        assert_eq!(shelf.get(&key("shop")).unwrap().since, 11);
    }

    #[test]
    fn a_new_list_replaces_the_old_state_only_when_it_is_complete() {
        let mut shelf = listed(vec![repository("shop", 5, &[]), repository("old", 6, &[])]);
        shelf.take(Event::Init);
        shelf.take(Event::InitApply(repository("shop", 5, &[])));
        assert!(shelf.get(&key("old")).is_some(), "a list that is cut removes nothing");
        let changes = shelf.take(Event::InitDone);
        assert_eq!(changes, Changes { touched: vec![key("old"), key("shop")], meaning: true });
        assert!(shelf.get(&key("old")).is_none());
        shelf.take(Event::Init);
        shelf.take(Event::InitApply(repository("shop", 5, &[])));
        assert!(!shelf.take(Event::InitDone).meaning, "the same list again is no change");
    }

    #[test]
    fn an_unreadable_object_keeps_its_last_state_and_an_unknown_visibility_closes_its_namespace() {
        let broken = |version: &str| {
            let text = json!({"apiVersion": "berth.dev/v1alpha1", "kind": "ContainerRepository", "spec": {"quota": []},
                "metadata": {"namespace": "team-a", "name": "shop", "uid": "uid-shop", "resourceVersion": version}});
            serde_json::from_value::<DeserializeGuard<ContainerRepository>>(text).unwrap()
        };
        let mut shelf = listed(vec![repository("shop", 5, &[("tier", "prod")])]);
        assert!(shelf.take(Event::Apply(broken("7"))).meaning, "its problem is to be told");
        let kept = shelf.get(&key("shop")).unwrap();
        assert_eq!(kept.object.metadata.labels.as_ref().unwrap()["tier"], "prod");
        assert!(kept.problem.is_some());
        let mut shelf = listed(vec![broken("7")]);
        assert!(shelf.get(&key("shop")).is_none());
        assert_eq!(shelf.unreadable().len(), 1);
        assert!(shelf.take(Event::Apply(repository("shop", 8, &[]))).meaning);
        assert!(shelf.unreadable().is_empty());

        let text = json!({"apiVersion": "berth.dev/v1alpha1", "kind": "RegistryVisibility", "spec": {"visibility": "Odd"},
            "metadata": {"namespace": "team-a", "name": "odd", "uid": "u", "resourceVersion": "3"}});
        let mut shelf = Shelf::<RegistryVisibility>::default();
        shelf.take(Event::Apply(serde_json::from_value(text).unwrap()));
        let kept = shelf.get(&key("odd")).unwrap();
        assert_eq!(kept.object.spec.access, berth_crds::kinds::Access::MembersOnly);
        assert!(kept.problem.is_some());
    }
}
