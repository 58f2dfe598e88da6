//! Kafka's configuration: one table of keys, read from file, environment and command line, kept typed.
//!
//! ```text
//! sources (file, environment, --override) ─┐
//!                                          ▼
//! keys (the table) ─► check one value ─► Layers: dynamic broker > dynamic default > static > default
//!                                          ├─► BrokerConfig, TopicConfig (typed)
//!                                          └─► describe (as text, with origin)
//! ```

mod args;
mod broker;
mod check;
mod describe;
mod key;
pub mod keys;
mod layers;
mod listeners;
mod load;
mod network;
mod read;
mod rules;
mod sources;
mod topic;
mod validate;

pub use args::Args;
pub use broker::{BrokerConfig, InternalTopic, ReplicationFactor, Roles, Surroundings};
pub use check::{Invalid, Value, check, expected};
pub use describe::{Described, Source, Synonym};
pub use key::{Key, Kind, Mode, Rule, Scope};
pub use layers::{Layers, Overrides};
pub use listeners::{HostPort, Listener, SecurityProtocol};
pub use load::{ConfigError, Loaded, load};
pub use read::Voter;
pub use topic::{Compression, CompressionType, Replicas, TimestampType, TopicConfig};
pub use validate::{ListChange, change_list, validate, validate_all, validate_dynamic};

#[cfg(test)]
mod tests;
