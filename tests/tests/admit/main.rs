//! What the API server admits: objects, rights, mistakes.
#![allow(clippy::unwrap_used)]

mod levers;
