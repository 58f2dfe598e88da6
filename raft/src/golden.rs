//! Bytes as the first release writes them. Later releases read them: never change one, add others.

use std::collections::BTreeMap;

use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use openraft::{EntryPayload, Membership};

use crate::codec::{Coded, decode};
use crate::message::{Chunk, Request, Response};
use crate::store::{Frame, Head, Record, frame};
use crate::types::{Command, Entry, LogId, Member, SnapshotMeta, StoredMembership, Vote};

fn id(term: u64, index: u64) -> LogId {
    LogId::new(term.into(), index)
}

fn members() -> crate::types::Membership {
    let member = |addr: &str| Member { addr: addr.into() };
    let nodes = BTreeMap::from([(1, member("a:1")), (2, member("b:2")), (9, member(""))]);
    Membership::new(vec![[1].into(), [1, 2].into()], nodes).unwrap()
}

fn meta() -> SnapshotMeta {
    SnapshotMeta {
        last_log_id: Some(id(3, 4)),
        last_membership: StoredMembership::new(Some(id(1, 2)), members()),
    }
}

fn entries() -> Vec<Entry> {
    let payloads = [EntryPayload::Blank, EntryPayload::Normal(Command(Bytes::from_static(b"abc")))];
    let payloads = payloads.into_iter().chain([EntryPayload::Membership(members())]);
    payloads.zip(5..).map(|(payload, index)| <Entry as RaftEntry>::new(id(3, index), payload)).collect()
}

fn records() -> Vec<Record> {
    let head = Head { node_id: 7, vote: Some(Vote::new(3, 1)), committed: None, purged: Some(id(1, 2)) };
    let others =
        [Record::Vote(Vote::new_committed(3, 1)), Record::Truncate(None), Record::Truncate(Some(id(3, 5)))];
    let more = [Record::Purge(id(3, 4)), Record::Committed(id(3, 5))];
    let entries = entries().into_iter().map(Record::Entry);
    [Record::Head(head)].into_iter().chain(others).chain(more).chain(entries).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn requests() -> Vec<Request> {
    let (vote, last) = (Vote::new(3, 1), Some(id(2, 9)));
    let append = AppendEntriesRequest { vote, prev_log_id: last, entries: entries(), leader_commit: None };
    let part = Bytes::from_static(b"part");
    let chunk = Chunk { vote, meta: meta(), total: 10, crc: 11, offset: 6, part };
    vec![
        Request::Append(append),
        Request::Vote(VoteRequest { vote, last_log_id: last, leadership_transfer: true }),
        Request::PreVote(VoteRequest { vote, last_log_id: None, leadership_transfer: false }),
        Request::Chunk(chunk),
        Request::TransferLeader(openraft::raft::TransferLeaderRequest::new(vote, 2, last)),
    ]
}

fn responses() -> Vec<Response> {
    let (vote, last) = (Vote::new(3, 1), Some(id(2, 9)));
    vec![
        Response::Append(AppendEntriesResponse::Success),
        Response::Append(AppendEntriesResponse::PartialSuccess(last)),
        Response::Append(AppendEntriesResponse::Conflict),
        Response::Append(AppendEntriesResponse::HigherVote(vote)),
        Response::Vote(VoteResponse { vote, vote_granted: true, last_log_id: last }),
        Response::Chunk(true),
        Response::Installed(vote),
        Response::TransferLeader(false),
    ]
}

#[test]
fn frames() {
    let bytes = frame(258, &records());
    assert_eq!(hex(&bytes), include_str!("golden/frame.hex").trim_end());
    let parsed = Frame::parse(&bytes.into()).unwrap();
    assert_eq!((parsed.number, parsed.records().unwrap()), (258, records()));
}

#[test]
fn snapshot_meta() {
    let mut bytes = Vec::new();
    meta().put(&mut bytes);
    assert_eq!(hex(&bytes), include_str!("golden/meta.hex").trim_end());
    assert_eq!(decode::<SnapshotMeta>(bytes.into()).unwrap(), meta());
}

#[test]
fn messages() {
    let sent: Vec<Bytes> =
        requests().iter().map(Request::encode).chain(responses().iter().map(Response::encode)).collect();
    let lines: Vec<String> = sent.iter().map(|bytes| hex(bytes)).collect();
    assert_eq!(lines, include_str!("golden/messages.hex").lines().collect::<Vec<_>>());
    let (asked, answered) = sent.split_at(requests().len());
    let again = asked.iter().map(|bytes| Request::decode(bytes.clone()).unwrap().encode());
    let again: Vec<Bytes> =
        again.chain(answered.iter().map(|bytes| Response::decode(bytes.clone()).unwrap().encode())).collect();
    assert_eq!(again, sent);
}

/// What is cut short anywhere, or goes on, is an error: never a panic, never another value.
#[test]
fn nothing_shorter_or_longer_is_read() {
    for bytes in requests().iter().map(Request::encode) {
        for len in 0..bytes.len() {
            assert!(Request::decode(bytes.slice(..len)).is_err());
        }
        assert!(Request::decode([&bytes[..], &[0]].concat().into()).is_err());
    }
    let bytes = Bytes::from(frame(1, &records()));
    assert!((0..bytes.len()).all(|len| Frame::parse(&bytes.slice(..len)).is_none()));
}
