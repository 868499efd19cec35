//! The one integration-test binary (links are dear): real processes, driven over real sockets.

// Everything is a test here, its helpers too.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod util;

mod client;
mod cluster;
mod commands;
mod failure;
mod limits;
mod metrics;
mod protocol;
mod redis_rs;
mod startup;
mod statistics;
mod stats;
mod tidy;
mod tools;
