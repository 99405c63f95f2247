//! The subcommands of the `registry` binary, one file each, and what they share: how a command ends ([`exit`]), how
//! results look ([`output`]), who the caller is ([`login`]) and how a registry is asked ([`client`]).

mod challenge;
pub mod client;
pub mod deploy_token;
pub mod exit;
pub mod hash_password;
pub mod login;
pub mod output;
pub mod serve;
