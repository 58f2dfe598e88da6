//! The receiving side of [`crate::network`].

use std::time::Duration;

use bytes::Bytes;
use openraft::storage::Snapshot;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::applier::Applier;
use crate::message::{Chunk, Request, Response};
use crate::snapshot::Data;
use crate::types::Types;

type Raft = openraft::Raft<Types, Applier>;

/// A snapshot larger than this is refused. Bytes.
const MAX_SNAPSHOT: u64 = 1 << 30;

/// What comes from a leader.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// A snapshot, as far as it has come.
    snapshot: Mutex<Vec<u8>>,
    heard: Mutex<Instant>,
}

impl Default for Incoming {
    fn default() -> Incoming {
        Incoming { snapshot: Mutex::default(), heard: Mutex::new(Instant::now()) }
    }
}

/// The answer, or `None` if there is none to give.
pub(crate) async fn answer(raft: &Raft, incoming: &Incoming, request: Bytes) -> Option<Bytes> {
    let request = match Request::decode(request) {
        Ok(request) => request,
        Err(e) => {
            tracing::warn!(error = %e, "a peer's message cannot be read");
            return None;
        }
    };
    if matches!(request, Request::Append(_) | Request::Chunk(_)) {
        *incoming.heard.lock() = Instant::now();
    }
    let response = match request {
        Request::Append(append) => Response::Append(raft.append_entries(append).await.ok()?),
        Request::Vote(vote) => Response::Vote(raft.vote(vote).await.ok()?),
        Request::PreVote(vote) => Response::Vote(raft.pre_vote(vote).await.ok()?),
        Request::Chunk(chunk) => take(raft, incoming, chunk).await?,
        Request::TransferLeader(transfer) => {
            Response::TransferLeader(matches!(raft.handle_transfer_leader(transfer).await, Ok(Ok(()))))
        }
    };
    Some(response.encode())
}

async fn take(raft: &Raft, incoming: &Incoming, chunk: Chunk) -> Option<Response> {
    let whole = match incoming.add(&chunk) {
        Added::Refused => return Some(Response::Chunk(false)),
        Added::Part => return Some(Response::Chunk(true)),
        Added::Whole(bytes) => bytes,
    };
    let snapshot = Snapshot { meta: chunk.meta, snapshot: Data::Received(whole) };
    let installed = raft.install_full_snapshot(chunk.vote, snapshot).await.ok()?;
    Some(Response::Installed(installed.vote))
}

enum Added {
    Refused,
    Part,
    Whole(Bytes),
}

impl Incoming {
    /// How long ago a leader was heard.
    pub fn silence(&self) -> Duration {
        self.heard.lock().elapsed()
    }

    /// Two leaders cannot mix: what they send is checked as a whole.
    fn add(&self, chunk: &Chunk) -> Added {
        let mut bytes = self.snapshot.lock();
        if chunk.offset == 0 {
            bytes.clear();
        }
        let end = chunk.offset.saturating_add(chunk.part.len() as u64);
        if chunk.total > MAX_SNAPSHOT || chunk.offset != bytes.len() as u64 || end > chunk.total {
            return Added::Refused;
        }
        bytes.extend_from_slice(&chunk.part);
        if end < chunk.total {
            return Added::Part;
        }
        let whole = std::mem::take(&mut *bytes);
        if u64::from(crc32c::crc32c(&whole)) == chunk.crc {
            Added::Whole(whole.into())
        } else {
            Added::Refused
        }
    }
}
