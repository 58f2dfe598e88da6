//! How quorum members reach each other.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

/// Another member of the quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    pub id: u64,
    /// As given when it became a member; empty where the transport knows better.
    pub address: String,
}

/// Carries one request to a peer, and its answer back.
///
/// Requests and answers are opaque and carry their own version. The receiving side hands the request to
/// [`crate::Quorum::answer`]. Messages may be lost, delayed or answered twice; they must not be altered, and must
/// not reach another node than `to` (the implementation checks the identity of who answers).
pub trait Transport: Send + Sync + 'static {
    /// Resolves within `limit`, whatever the peer does.
    fn call(
        &self,
        to: &Peer,
        request: Bytes,
        limit: Duration,
    ) -> impl Future<Output = Result<Bytes, Unreachable>> + Send;
}

/// No answer: refused, no route, unknown name, cut off, or silent for too long. All are treated alike.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("peer {id} cannot be reached: {why}")]
pub struct Unreachable {
    pub id: u64,
    pub why: String,
}

/// For a quorum of one: there is nobody to reach.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Transport for Alone {
    async fn call(&self, to: &Peer, _request: Bytes, _limit: Duration) -> Result<Bytes, Unreachable> {
        Err(Unreachable { id: to.id, why: "this quorum has no transport".into() })
    }
}
