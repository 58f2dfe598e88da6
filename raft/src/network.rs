//! openraft's calls to peers, over the [`Transport`].

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use parking_lot::Mutex;

use crate::applier::RaftSnapshot;
use crate::message::{Chunk, Request, Response};
use crate::settings::Lane;
use crate::snapshot::Data;
use crate::transport::{Peer, Transport};
use crate::types::{Member, SnapshotMeta, Types, Vote};

/// Bytes of a snapshot sent at a time.
const CHUNK: usize = 1 << 20;
/// How long a peer may take for entries.
const ENTRIES_LIMIT: Duration = Duration::from_secs(2);
/// How long a peer may take for one part of a snapshot; the last one includes installing it.
const CHUNK_LIMIT: Duration = Duration::from_secs(10);

/// The term for which this member stands although the lease of the last leader may still run: that leader is known to
/// be dead. 0 for none.
pub(crate) type Overruled = Arc<AtomicU64>;

/// Where members are: openraft keeps its links to them although they move.
#[derive(Clone, Default)]
pub(crate) struct Addresses(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// In the newest membership.
    written: BTreeMap<u64, String>,
    /// Said by members that have moved since.
    noted: BTreeMap<u64, String>,
}

impl Addresses {
    /// From a membership that was not seen before. What it writes anew of a member is newer than anything that was heard of it.
    pub fn take(&self, members: impl Iterator<Item = (u64, String)>) {
        let mut known = self.0.lock();
        let written = members.collect();
        let before = std::mem::replace(&mut known.written, written);
        let Known { written, noted } = &mut *known;
        noted.retain(|id, _| written.contains_key(id) && written.get(id) == before.get(id));
    }

    /// What a member says of itself.
    pub fn note(&self, id: u64, address: String) {
        self.0.lock().noted.insert(id, address);
    }

    pub fn is(&self, id: u64, address: &str) -> bool {
        self.of(id).is_some_and(|known| known == address)
    }

    /// Where it is called.
    pub fn of(&self, id: u64) -> Option<String> {
        let known = self.0.lock();
        known.noted.get(&id).or_else(|| known.written.get(&id)).cloned()
    }
}

/// Makes a [`Link`] for each peer.
pub(crate) struct Links<T> {
    pub transport: Arc<T>,
    pub lane: Lane,
    pub overruled: Overruled,
    pub addresses: Addresses,
}

/// The way to one peer.
pub(crate) struct Link<T> {
    transport: Arc<T>,
    lane: Lane,
    overruled: Overruled,
    addresses: Addresses,
    /// As it was when the link was made.
    peer: Peer,
}

impl<T: Transport> RaftNetworkFactory<Types> for Links<T> {
    type Network = Link<T>;

    async fn new_client(&mut self, target: u64, node: &Member) -> Link<T> {
        let peer = Peer { id: target, address: node.addr.clone() };
        let (transport, overruled) = (self.transport.clone(), self.overruled.clone());
        Link { transport, lane: self.lane.clone(), overruled, addresses: self.addresses.clone(), peer }
    }
}

type Failure = Unreachable<Types>;

impl<T: Transport> Link<T> {
    /// Any failure counts as unreachable: openraft then backs off instead of trying again at once.
    async fn call(&self, request: &Request, limit: Duration) -> Result<Response, Failure> {
        let Peer { id, address } = &self.peer;
        let peer = Peer { id: *id, address: self.addresses.of(*id).unwrap_or_else(|| address.clone()) };
        let answer = self.transport.call(&peer, request.encode(), limit).await;
        Response::decode(answer.map_err(|e| Failure::new(&e))?).map_err(|e| Failure::new(&e))
    }

    fn unexpected(&self) -> Failure {
        Failure::from_string(format!("peer {} gave an answer to another question", self.peer.id))
    }

    /// Sends all parts. The answer to the last one is the peer's vote.
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: RaftSnapshot,
    ) -> Result<SnapshotResponse<Types>, Failure> {
        let RaftSnapshot { meta, snapshot: data } = snapshot;
        let whole = self.lane.run(move || data.read()).await.map_err(|e| Failure::new(&e))?;
        let mut chunk = first_chunk(vote, meta, &whole);
        loop {
            match self.call(&Request::Chunk(chunk.clone()), CHUNK_LIMIT).await? {
                Response::Installed(vote) => return Ok(SnapshotResponse::new(vote)),
                Response::Chunk(true) => next_chunk(&mut chunk, &whole).map_err(|e| Failure::new(&e))?,
                _ => return Err(self.unexpected()),
            }
        }
    }
}

fn first_chunk(vote: Vote, meta: SnapshotMeta, whole: &Bytes) -> Chunk {
    let (total, crc) = (whole.len() as u64, u64::from(crc32c::crc32c(whole)));
    Chunk { vote, meta, total, crc, offset: 0, part: part(whole, 0) }
}

fn next_chunk(chunk: &mut Chunk, whole: &Bytes) -> io::Result<()> {
    chunk.offset += chunk.part.len() as u64;
    chunk.part = part(whole, chunk.offset as usize);
    if chunk.part.is_empty() { Err(io::Error::other("the peer wants more than there is")) } else { Ok(()) }
}

fn part(whole: &Bytes, from: usize) -> Bytes {
    whole.slice(from..whole.len().min(from + CHUNK))
}

impl<T: Transport> RaftNetworkV2<Types> for Link<T> {
    type SnapshotData = Data;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        // openraft allows no longer than a heartbeat takes; a large entry on a slow link needs more.
        let limit =
            if rpc.entries.is_empty() { option.hard_ttl() } else { option.hard_ttl().max(ENTRIES_LIMIT) };
        match self.call(&Request::Append(rpc), limit).await? {
            Response::Append(answer) => Ok(answer),
            _ => Err(self.unexpected().into()),
        }
    }

    async fn vote(
        &mut self,
        mut rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        // The lease only keeps members from disturbing a leader that lives: no promise rests on it.
        rpc.leadership_transfer |= rpc.vote.leader_id.term == self.overruled.load(Ordering::Relaxed);
        match self.call(&Request::Vote(rpc), option.soft_ttl()).await? {
            Response::Vote(answer) => Ok(answer),
            _ => Err(self.unexpected().into()),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        match self.call(&Request::PreVote(rpc), option.soft_ttl()).await? {
            Response::Vote(answer) => Ok(answer),
            _ => Err(self.unexpected().into()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: RaftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = self.send_snapshot(vote, snapshot) => Ok(sent?),
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        match self.call(&Request::TransferLeader(rpc), option.hard_ttl()).await? {
            Response::TransferLeader(true) => Ok(Ok(())),
            _ => Err(self.unexpected().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Addresses;

    #[test]
    fn what_a_member_said_counts_until_its_address_is_written_anew() {
        let addresses = Addresses::default();
        let write = |one: &str, two: &str| {
            addresses.take([(1, one.to_owned()), (2, two.to_owned())].into_iter());
        };
        write("old", "old");
        addresses.note(1, "new".into());
        addresses.note(2, "new".into());
        write("newer", "old");
        assert!(addresses.is(1, "newer") && addresses.is(2, "new"), "only one was written down");
        addresses.take([(1, "newer".to_owned())].into_iter());
        assert_eq!(addresses.of(2), None);
    }
}
