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
    pub cluster_id: Option<String>,
}

/// What a node knows of itself and of its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub node: BrokerId,
    pub member: u64,
    /// The id of its metadata directory.
    pub directory: Uuid,
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

/// A node wants to be told what the quorum decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    pub member: u64,
    /// As `members` writes it.
    pub address: String,
}

/// What came of a [`Pulse`] or a [`Join`].
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
