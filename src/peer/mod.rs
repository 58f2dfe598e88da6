//! What the nodes of a cluster say to each other: private APIs on the ordinary listener code, never advertised.
//!
//! ```text
//!   Link ── one connection to an address, dialled when it is needed, requests pipelined
//!     ▲
//!     ├── Members       Raft's messages and forwarded commands, from member to member of the quorum
//!     ├── FirstStart    who is there, who has a cluster already
//!     ├── Membership    where this node is, told to a leader that does not know
//!     ├── QuorumAdmin   what administrators ask of the quorum's leader
//!     ├── Heart         a broker's heartbeat to the controller
//!     └── Brokers       Kafka's own requests from broker to broker
//!   Line ── a connection that one asker has to itself: what a follower fetches
//!   Service ── answers all of these; what it hears, and whose connection ends ──► Guard ── fences, elects
//! ```

mod brokers;
mod first_start;
mod guard;
mod line;
mod link;
mod lost;
mod members;
mod membership;
mod message;
mod places;
mod pulse;
mod quorum_admin;
mod service;

pub use brokers::Brokers;
pub use first_start::{FirstStart, FirstStartError};
pub use guard::{Guard, News};
pub use line::Line;
pub use link::{Link, Unreachable};
pub use members::{Address, Members};
pub use membership::{Me, Membership};
pub use pulse::{Heart, Wish};
pub use quorum_admin::{Described, QuorumAdmin, Refusal, Replica, Voter};
pub use service::Service;

use crate::wire::header::PEER_KEYS;

/// Who are you, and what do you know of a cluster?
const HELLO: i16 = PEER_KEYS.start;
/// A message of the quorum.
const RAFT: i16 = PEER_KEYS.start + 1;
/// A command for the controller.
const COMMAND: i16 = PEER_KEYS.start + 2;
/// A broker lives.
const PULSE: i16 = PEER_KEYS.start + 3;
/// A node wants to follow the quorum, or to be called at another address.
const JOIN: i16 = PEER_KEYS.start + 4;
/// How is the quorum, and should others vote?
const QUORUM: i16 = PEER_KEYS.start + 5;

/// The one version of all of them.
const VERSION: i16 = 0;
