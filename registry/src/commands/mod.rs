//! The subcommands of the `registry` binary, one file each, and what they share: how a command ends ([`exit`]), how
//! results look ([`output`]), who the caller is ([`login`]) and how a registry is asked ([`client`]).

mod challenge;
pub mod cleanup;
pub mod client;
pub mod deploy_token;
pub mod exit;
pub mod fsck;
pub mod gc;
pub mod hash_password;
pub mod login;
mod offline;
pub mod output;
pub mod plan;
pub mod plan_view;
pub mod progress;
pub mod report;
pub mod repositories;
pub mod serve;
mod site;
pub mod status;
pub mod tags;
