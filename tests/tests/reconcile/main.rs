//! What the operator makes of objects, against a real API server and under its own role.
#![allow(clippy::unwrap_used)]

mod access;
mod cleanup;
mod leadership;
mod statuses;
mod support;
