//! Kafka's configuration: one table of keys, read from file, environment and command line, kept typed.
//!
//! ```text
//! keys (the table) ─► check one value ─► Layers: dynamic broker > dynamic default > static > default
//!                                           ├─► BrokerConfig (typed)  ├─► TopicConfig (typed)  └─► describe (as text)
//! ```

mod broker;
mod describe;
mod key;
mod listeners;
mod topic;

pub use broker::{BrokerConfig, InternalTopic, Overrides, ReplicationFactor, Roles, Voter};
pub use describe::{Described, Source, Synonym};
pub use key::{Kind, Mode, Scope};
pub use listeners::{HostPort, Listener, SecurityProtocol};
pub use topic::{Compression, CompressionType, TimestampType, TopicConfig};
