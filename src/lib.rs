//! placeholder
pub mod cli;
pub mod client;
pub mod cluster;
pub mod command;
pub mod config;
pub mod coordinator;
mod logging;
pub mod node;
pub mod resp;
pub mod server;
pub mod stats;
pub mod store;
