//! The subcommands of the `registry` binary, one file each.

pub mod exit;
pub mod serve;
