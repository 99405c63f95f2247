//! The language both sides of Berth speak.
//!
//! The three kinds a user writes, what they mean as pure functions, and the configuration document that
//! follows from them. Nothing here reads a clock, a file, the environment or the network: callers pass
//! values in and get values back, so the operator, the registry, the cleanup Job and the offline planner
//! decide with literally the same code.

pub mod access;
pub mod cleanup;
pub mod configuration;
pub mod digest;
pub mod duration;
pub mod generated;
pub mod kinds;
pub mod manifest;
pub mod name;
pub mod pattern;
pub mod problem;
pub mod quantity;
mod reference;
pub mod samples;
pub mod schedule;
pub mod schema;
mod structural;
pub mod wire;
