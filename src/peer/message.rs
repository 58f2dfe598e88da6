//! The bodies of the private APIs, in postcard; each is the first version of its API.

use crate::types::{BrokerId, Uuid};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A node introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub node: BrokerId,
    /// Its id in the quorum: that of its metadata directory.
    pub member: u64,
    /// As `members` writes it.
    pub address: String,
    pub cluster_id: Option<String>,
}

/// What a node knows of itself and of its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub node: BrokerId,
    pub member: u64,
    /// The id of its metadata directory.
    pub directory: Uuid,
    /// It may vote: its `process.roles` say so.
    pub is_controller: bool,
    pub cluster_id: Option<String>,
    /// It has been in a quorum, or has at least voted in one.
    pub has_log: bool,
    pub leader: Option<u64>,
    /// Member and address, as `members` writes it.
    pub voters: Vec<(u64, String)>,
}

/// A broker of this epoch lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    pub broker: BrokerId,
    pub epoch: i64,
}

/// A node wants to be told what the quorum decides, at this address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    pub member: u64,
    /// As `members` writes it: it says which node this is, and whether it may vote.
    pub address: String,
    pub cluster_id: Option<String>,
}

/// What came of a [`Join`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Joined {
    Yes,
    /// This node does not lead the quorum, or another change is under way.
    NotNow,
    /// It answers at the address that is known of it.
    IsElsewhere,
    /// The node belongs to another cluster than this.
    OtherCluster(String),
}

/// What came of a [`Pulse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Taken {
    Yes,
    /// This node does not lead the quorum.
    NotLeader,
}

pub fn encode<T: Serialize>(message: &T) -> Bytes {
    // Only maps of unknown length and the like cannot be encoded; no message has any.
    postcard::to_stdvec(message).unwrap_or_default().into()
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}
