//! What operator and registry say to each other over the two sockets of their pod (DESIGN §1), as JSON.
//!
//! Both sides belong to one release, but during a rollout an old container may talk to a new one for a moment: an answer
//! may gain fields, which the older reader skips; a question is refused when it says something unknown.

pub mod control;
pub mod identity;
