//! Drave: a Kafka-compatible partitioned log server.

pub mod api;
pub mod broker;
pub mod cluster;
pub mod config;
pub mod coordinator;
pub mod net;
pub mod partition;
pub mod peer;
pub mod probe;
pub mod quota;
pub mod replica;
pub mod seam;
pub mod types;
pub mod wire;
