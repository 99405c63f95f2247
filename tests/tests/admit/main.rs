//! What the API server admits: objects, rights, mistakes.
#![allow(clippy::unwrap_used)]

mod corpus;
mod harness;
mod levers;
mod mistakes;
mod roles;
