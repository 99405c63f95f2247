#![allow(clippy::unwrap_used)]

use super::*;

const REPOSITORY: &str =
    "apiVersion: berth.dev/v1alpha1\nkind: ContainerRepository\nmetadata: {namespace: team-a, name: shop}\n";

fn problems(text: &str) -> Vec<String> {
    read([("a.yaml", text)]).problems.iter().map(ToString::to_string).collect()
}

#[test]
fn reads_every_kind_and_skips_documents_without_content() {
    let text = format!(
        "# nothing\n---\n{REPOSITORY}---\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: team-a, labels: {{tier: prod}}}}\n\
         ---\napiVersion: berth.dev/v1alpha1\nkind: RegistryVisibility\nmetadata: {{namespace: team-a, name: x}}\n\
         spec: {{visibility: Private}}\n\
         ---\napiVersion: berth.dev/v1alpha1\nkind: CleanupPolicy\nmetadata: {{namespace: team-a, name: x}}\n\
         spec: {{schedule: {{cadence: 1d}}, remove: {{tagsMatching: ['.*'], olderThan: 90d}}}}\n"
    );
    let reading = read([("a.yaml", text.as_str())]);
    assert_eq!(reading.problems, []);
    let ids: Vec<String> = reading.objects.iter().map(|object| object.id().to_string()).collect();
    let expected = [
        "ContainerRepository team-a/shop",
        "Namespace team-a",
        "RegistryVisibility team-a/x",
        "CleanupPolicy team-a/x",
    ];
    assert_eq!(ids, expected);
    let Object::Namespace(namespace) = &reading.objects[1] else { panic!("{:?}", reading.objects[1]) };
    let labels: Vec<_> = namespace.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("kubernetes.io/metadata.name", "team-a"), ("tier", "prod")]);
}

#[test]
fn fills_in_the_defaults_that_an_api_server_fills_in() {
    let text = "apiVersion: berth.dev/v1alpha1\nkind: CleanupPolicy\nmetadata: {namespace: team-a, name: x}\n\
                spec: {schedule: {cron: 0 3 * * *}, keep: {mostRecent: 3}, remove: {tagsMatching: ['.*']}, limits: null}\n";
    let Object::Policy(policy) = parse("a.yaml", text).remove(0).unwrap() else { panic!("not a policy") };
    assert_eq!(policy.spec.schedule.time_zone, "Etc/UTC");
    assert_eq!(policy.spec.limits, crate::kinds::Limits::default());
    assert_eq!(policy.spec.keep.in_use, crate::kinds::InUse::Required);
    let Object::Repository(repository) = parse("a.yaml", REPOSITORY).remove(0).unwrap() else {
        panic!("not a repository")
    };
    assert_eq!(repository.spec, crate::kinds::ContainerRepositorySpec::default());
}

#[test]
fn one_bad_document_does_not_spoil_its_neighbours() {
    let text = format!("{REPOSITORY}---\nkind: X\n---\n{}", REPOSITORY.replace("shop", "other"));
    let reading = read([("a.yaml", text.as_str())]);
    assert_eq!(reading.objects.len(), 2);
    assert_eq!(reading.problems.len(), 1);
    assert_eq!(reading.problems[0].place, Place { file: "a.yaml".to_owned(), document: 2, line: 5 });
}

#[test]
fn a_problem_says_where_it_is() {
    let text = format!("{REPOSITORY}spec: {{quotas: 50Gi, indexes: Loose}}\n");
    assert_eq!(
        problems(&text),
        [
            "a.yaml, document 1, line 1: ContainerRepository team-a/shop: spec.indexes: \"Loose\" is not one of Lenient, \
             Strict\n\
             a.yaml, document 1, line 1: ContainerRepository team-a/shop: spec.quotas: unknown field, did you mean \"quota\"?"
        ]
    );
    let broken = problems("a: 1\n---\na: [1\n");
    assert!(broken.last().unwrap().starts_with("a.yaml, document 2, line "), "{broken:?}");
}

#[test]
fn an_object_that_was_read_before_is_reported_with_both_places() {
    let other = REPOSITORY.replace("metadata", "spec: {quota: 1Gi}\nmetadata");
    let reading = read([("a.yaml", REPOSITORY), ("b.yaml", other.as_str())]);
    assert_eq!(reading.objects, parse("a.yaml", REPOSITORY).into_iter().map(Result::unwrap).collect::<Vec<_>>());
    let expected = "b.yaml, document 1, line 1: ContainerRepository team-a/shop: is the same object as in a.yaml, document 1, \
                    line 1: remove one of them";
    assert_eq!(reading.problems[0].to_string(), expected);
}

#[test]
fn what_kubectl_get_writes_can_be_read() {
    let text = "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\nitems:\n\
                - apiVersion: berth.dev/v1alpha1\n  kind: ContainerRepository\n  metadata:\n    name: shop\n    namespace: team-a\n\
                \x20   uid: 6f1b\n    generation: 2\n    resourceVersion: '12'\n    creationTimestamp: 2026-01-01T00:00:00Z\n\
                \x20   managedFields: [{manager: kubectl, operation: Update, fieldsV1: {'f:spec': {}}}]\n\
                \x20 status: {tags: 3}\n\
                - {apiVersion: v1, kind: Secret}\n";
    let reading = read([("a.yaml", text)]);
    assert_eq!(reading.objects.len(), 1);
    assert!(reading.problems[0].to_string().contains("Secret of v1 means nothing"), "{:?}", reading.problems);
}

#[test]
fn a_list_is_a_list_of_objects() {
    for text in ["apiVersion: v1\nkind: List\n", "apiVersion: v1\nkind: List\nitems: {}\n"] {
        assert!(problems(text)[0].contains("items: must be a list of objects"), "{text}");
    }
}

#[test]
fn a_directory_holds_other_files_too() {
    for name in ["a.yaml", "b.yml", "c.d.json"] {
        assert!(is_manifest(name), "{name}");
    }
    for name in ["README.md", ".yaml", ".hidden", "yaml", "a.yaml~", "a.YAML.swp"] {
        assert!(!is_manifest(name), "{name}");
    }
}
