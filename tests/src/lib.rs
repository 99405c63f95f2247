//! What the tests of Berth stand on: real servers and clients, faults, and images made on the spot.
//!
//! - [`tools`]: where the programs are that the tests run, and what to do when one is missing
//! - [`process`]: a child process that does not outlive its test
//! - [`s3_server`]: a real S3 server with a bucket (versitygw, or MinIO with `BERTH_S3=minio`)
//! - [`proxy`]: stands between a registry and its S3 server; counts, delays, breaks
//! - [`registry_process`]: the `registry` program, started, watched, stopped or killed
//! - [`pod`]: a pod of Berth without a node: operator and registry, and the folder that they share
//! - [`site`]: the objects and users of a registry
//! - [`round_robin`]: a balancer without affinity in front of several registries
//! - [`images`]: deterministic images, indexes and layers
//! - [`client`]: a client that pushes and pulls in every way the specification knows
//! - [`command`]: other people's clients, run and judged by their exit code
//! - [`fake_s3`]: an S3 server with the defect that a test asks for
//! - [`control_plane`]: a real Kubernetes control plane (etcd, API server, controller manager), shared by one test program
//! - [`store_conformance`]: what every implementation of the registry's store must do
//!
//! Nothing here skips: a tool that is missing is a failure that names `make tools`.

pub mod client;
pub mod command;
pub mod control_plane;
pub mod fake_s3;
pub mod images;
pub mod pod;
pub mod process;
pub mod proxy;
pub mod registry_process;
pub mod round_robin;
pub mod s3_server;
pub mod site;
pub mod store_conformance;
pub mod tools;

/// Prints a figure for people: `make test` repeats such lines under the step they belong to.
///
/// Tests show their output only when they fail, unless it is written past the test harness, as here.
pub fn report(line: impl std::fmt::Display) {
    use std::io::Write as _;
    // A closed standard error is no reason to fail a test.
    let _ = writeln!(std::io::stderr(), "    | {line}");
}
