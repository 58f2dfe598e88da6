//! Real processes for tests: brokers of this build, and other programs under a time limit.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

pub mod broker;
pub mod cluster;
pub mod kafka;
pub mod port;
pub mod process;
pub mod quorum;
pub mod quorum_table;
pub mod small_disk;
pub mod survivors;
pub mod tool_server;
pub mod wire;
