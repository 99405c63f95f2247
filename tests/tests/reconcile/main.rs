//! What the operator makes of objects, against a real API server and under its own role.
#![allow(clippy::unwrap_used)]

mod access;
mod leadership;
mod statuses;
mod support;
