//! What peers say to each other, as bytes: version (1) | kind (1) | body.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};

use crate::codec::{Coded, decode, malformed};
use crate::types::{Entry, LogId, SnapshotMeta, Types, Vote};

const VERSION: u8 = 1;

pub(crate) enum Request {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<Types>),
    PreVote(VoteRequest<Types>),
    Chunk(Chunk),
    TransferLeader(TransferLeaderRequest<Types>),
}

/// A part of a snapshot. The parts come in order; the first begins a new one.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub vote: Vote,
    pub meta: SnapshotMeta,
    /// Bytes of the whole, and its crc32c.
    pub total: u64,
    pub crc: u64,
    /// Where this part stands in the whole.
    pub offset: u64,
    pub part: Bytes,
}

pub(crate) enum Response {
    Append(AppendEntriesResponse<Types>),
    /// To [`Request::Vote`] and [`Request::PreVote`].
    Vote(VoteResponse<Types>),
    /// The part was taken, more are wanted; `false` if it was not the one wanted: begin again.
    Chunk(bool),
    /// The snapshot was installed, or refused in favour of this vote.
    Installed(Vote),
    /// Whether the leadership is taken over.
    TransferLeader(bool),
}

impl Request {
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Request::Append(append) => {
                out.put_u8(1);
                append.put(&mut out);
            }
            Request::Vote(vote) => {
                out.put_u8(2);
                vote.put(&mut out);
            }
            Request::PreVote(vote) => {
                out.put_u8(3);
                vote.put(&mut out);
            }
            Request::Chunk(chunk) => {
                out.put_u8(4);
                chunk.put(&mut out);
            }
            Request::TransferLeader(transfer) => {
                out.put_u8(5);
                transfer.put(&mut out);
            }
        }
        out.into()
    }

    pub fn decode(bytes: Bytes) -> io::Result<Request> {
        match open(bytes)? {
            (1, body) => decode(body).map(Request::Append),
            (2, body) => decode(body).map(Request::Vote),
            (3, body) => decode(body).map(Request::PreVote),
            (4, body) => decode(body).map(Request::Chunk),
            (5, body) => decode(body).map(Request::TransferLeader),
            (kind, _) => Err(malformed(format!("a request of unknown kind {kind}"))),
        }
    }
}

impl Response {
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Response::Append(answer) => {
                out.put_u8(1);
                answer.put(&mut out);
            }
            Response::Vote(answer) => {
                out.put_u8(2);
                answer.put(&mut out);
            }
            Response::Chunk(taken) => {
                out.put_u8(3);
                taken.put(&mut out);
            }
            Response::Installed(vote) => {
                out.put_u8(4);
                vote.put(&mut out);
            }
            Response::TransferLeader(taken) => {
                out.put_u8(5);
                taken.put(&mut out);
            }
        }
        out.into()
    }

    pub fn decode(bytes: Bytes) -> io::Result<Response> {
        match open(bytes)? {
            (1, body) => decode(body).map(Response::Append),
            (2, body) => decode(body).map(Response::Vote),
            (3, body) => decode(body).map(Response::Chunk),
            (4, body) => decode(body).map(Response::Installed),
            (5, body) => decode(body).map(Response::TransferLeader),
            (kind, _) => Err(malformed(format!("an answer of unknown kind {kind}"))),
        }
    }
}

/// The kind and the body.
fn open(mut bytes: Bytes) -> io::Result<(u8, Bytes)> {
    match bytes.try_get_u8()? {
        VERSION => Ok((bytes.try_get_u8()?, bytes)),
        other => Err(malformed(format!("a message of unknown version {other}"))),
    }
}

impl Coded for AppendEntriesRequest<Types> {
    fn put(&self, out: &mut Vec<u8>) {
        self.vote.put(out);
        self.prev_log_id.put(out);
        self.leader_commit.put(out);
        self.entries.put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<Self> {
        let (vote, prev_log_id) = (Vote::get(from)?, Option::get(from)?);
        let leader_commit = Option::<LogId>::get(from)?;
        Ok(AppendEntriesRequest { vote, prev_log_id, entries: Vec::<Entry>::get(from)?, leader_commit })
    }
}

impl Coded for VoteRequest<Types> {
    fn put(&self, out: &mut Vec<u8>) {
        self.vote.put(out);
        self.last_log_id.put(out);
        self.leadership_transfer.put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<Self> {
        let (vote, last_log_id) = (Vote::get(from)?, Option::get(from)?);
        Ok(VoteRequest { vote, last_log_id, leadership_transfer: bool::get(from)? })
    }
}

impl Coded for VoteResponse<Types> {
    fn put(&self, out: &mut Vec<u8>) {
        self.vote.put(out);
        self.vote_granted.put(out);
        self.last_log_id.put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<Self> {
        let (vote, vote_granted) = (Vote::get(from)?, bool::get(from)?);
        Ok(VoteResponse { vote, vote_granted, last_log_id: Option::get(from)? })
    }
}

impl Coded for AppendEntriesResponse<Types> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            AppendEntriesResponse::Success => out.put_u8(0),
            AppendEntriesResponse::PartialSuccess(upto) => {
                out.put_u8(1);
                upto.put(out);
            }
            AppendEntriesResponse::Conflict => out.put_u8(2),
            AppendEntriesResponse::HigherVote(vote) => {
                out.put_u8(3);
                vote.put(out);
            }
        }
    }

    fn get(from: &mut Bytes) -> io::Result<Self> {
        match from.try_get_u8()? {
            0 => Ok(AppendEntriesResponse::Success),
            1 => Ok(AppendEntriesResponse::PartialSuccess(Option::get(from)?)),
            2 => Ok(AppendEntriesResponse::Conflict),
            3 => Ok(AppendEntriesResponse::HigherVote(Vote::get(from)?)),
            other => Err(malformed(format!("an append answer of unknown kind {other}"))),
        }
    }
}

impl Coded for TransferLeaderRequest<Types> {
    fn put(&self, out: &mut Vec<u8>) {
        self.from_leader().put(out);
        self.to_node_id().put(out);
        self.last_log_id().copied().put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<Self> {
        let (vote, to) = (Vote::get(from)?, u64::get(from)?);
        Ok(TransferLeaderRequest::new(vote, to, Option::get(from)?))
    }
}

impl Coded for Chunk {
    fn put(&self, out: &mut Vec<u8>) {
        self.vote.put(out);
        self.meta.put(out);
        self.total.put(out);
        self.crc.put(out);
        self.offset.put(out);
        self.part.put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<Self> {
        let (vote, meta) = (Vote::get(from)?, SnapshotMeta::get(from)?);
        let (total, crc, offset) = (u64::get(from)?, u64::get(from)?, u64::get(from)?);
        Ok(Chunk { vote, meta, total, crc, offset, part: Bytes::get(from)? })
    }
}
