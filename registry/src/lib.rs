//! The data plane of Berth: the OCI Distribution API served from an object store.
//!
//! Rooms: [`store`] is what a bucket can do, [`storage`] the protocol on top of it, [`oci`] what manifests say,
//! [`auth`] who may do what.

pub mod admin;
pub mod args;
pub mod auth;
pub mod cleanup;
pub mod commands;
pub mod configuration;
pub mod http;
pub mod metrics;
pub mod oci;
pub mod storage;
pub mod store;
pub mod telemetry;
