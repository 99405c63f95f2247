//! The data plane of Berth: the OCI Distribution API served from an object store.
//!
//! | Room | Is |
//! |---|---|
//! | [`http`] | what clients reach: one file per endpoint, errors, bodies, the access log |
//! | [`auth`] | who asks, and may they: tokens, users, live decisions, `/token` |
//! | [`storage`] | the protocol on top of a store: uploads, blobs, manifests, tags, the collector |
//! | [`store`] | what a bucket can do, and three that do it |
//! | [`oci`] | what manifests say |
//! | [`configuration`] | the objects in force, followed as they change |
//! | [`cleanup`] | runs of cleanup policies, and their schedule |
//! | [`control`] | what the operator beside it asks: `control.sock` |
//! | [`commands`], [`args`] | the binary |
//! | [`admin`], [`metrics`], [`telemetry`] | what its operator sees |

pub mod admin;
pub mod args;
pub mod auth;
pub mod cleanup;
pub mod commands;
pub mod configuration;
pub mod control;
pub mod http;
pub mod metrics;
pub mod oci;
pub mod storage;
pub mod store;
pub mod telemetry;
