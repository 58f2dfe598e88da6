//! Drave: a Kafka-compatible partitioned log server.

pub mod types;
pub mod wire;
