//! How the quorum's own types are laid out in the log, in snapshots and between peers.
//!
//! Numbers are big-endian and of fixed width; what may be missing or repeated has a flag or a count before it. The
//! enclosing record, file or message carries the version, which changes whenever a layout here does.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::{Buf, BufMut, Bytes};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::vote::RaftVote;

use crate::types::{Command, Entry, LogId, Member, Membership, SnapshotMeta, StoredMembership, Vote};

/// A value with one layout in bytes.
pub(crate) trait Coded: Sized {
    fn put(&self, out: &mut Vec<u8>);
    /// Takes the value off the front. Bytes of any origin may be given: never panics, and allocates no more than
    /// they hold.
    fn get(from: &mut Bytes) -> io::Result<Self>;
}

/// Bytes that do not say what they should.
pub(crate) fn malformed(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Coded for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(*self);
    }

    fn get(from: &mut Bytes) -> io::Result<u64> {
        Ok(from.try_get_u64()?)
    }
}

impl Coded for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(*self));
    }

    fn get(from: &mut Bytes) -> io::Result<bool> {
        match from.try_get_u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(malformed(format!("{other} where 0 or 1 should stand"))),
        }
    }
}

impl Coded for Bytes {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.len()).expect("a command or a chunk is far smaller than 4 GiB"));
        out.put_slice(self);
    }

    fn get(from: &mut Bytes) -> io::Result<Bytes> {
        let len = from.try_get_u32()? as usize;
        if len > from.len() {
            return Err(malformed(format!("{len} bytes announced, {} there", from.len())));
        }
        Ok(from.split_to(len))
    }
}

impl Coded for String {
    fn put(&self, out: &mut Vec<u8>) {
        Bytes::copy_from_slice(self.as_bytes()).put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<String> {
        String::from_utf8(Bytes::get(from)?.to_vec()).map_err(|_| malformed("text that is not UTF-8"))
    }
}

impl<T: Coded> Coded for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(from: &mut Bytes) -> io::Result<Option<T>> {
        if bool::get(from)? { Ok(Some(T::get(from)?)) } else { Ok(None) }
    }
}

impl<T: Coded> Coded for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.len()).expect("lists here are short"));
        self.iter().for_each(|item| item.put(out));
    }

    fn get(from: &mut Bytes) -> io::Result<Vec<T>> {
        let count = from.try_get_u32()?;
        (0..count).map(|_| T::get(from)).collect()
    }
}

impl Coded for LogId {
    fn put(&self, out: &mut Vec<u8>) {
        self.leader_id.term.put(out);
        self.index.put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<LogId> {
        let term = u64::get(from)?;
        Ok(LogId::new(term.into(), u64::get(from)?))
    }
}

impl Coded for Vote {
    fn put(&self, out: &mut Vec<u8>) {
        self.leader_id.term.put(out);
        self.leader_id.voted_for.put(out);
        self.committed.put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<Vote> {
        let (term, voted_for) = (u64::get(from)?, u64::get(from)?);
        let leader_id = openraft::impls::leader_id_std::LeaderId { term, voted_for };
        Ok(Vote::from_leader_id(leader_id, bool::get(from)?))
    }
}

impl Coded for (u64, Member) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.addr.put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<(u64, Member)> {
        Ok((u64::get(from)?, Member { addr: String::get(from)? }))
    }
}

impl Coded for Membership {
    fn put(&self, out: &mut Vec<u8>) {
        let voters: Vec<Vec<u64>> =
            self.get_joint_config().iter().map(|ids| ids.iter().copied().collect()).collect();
        voters.put(out);
        let members: Vec<(u64, Member)> = self.nodes().map(|(id, member)| (*id, member.clone())).collect();
        members.put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<Membership> {
        let voters: Vec<BTreeSet<u64>> =
            Vec::<Vec<u64>>::get(from)?.into_iter().map(|ids| ids.into_iter().collect()).collect();
        let members: BTreeMap<u64, Member> = Vec::<(u64, Member)>::get(from)?.into_iter().collect();
        // Nobody is a member before the quorum is initialised.
        if voters.is_empty() && members.is_empty() {
            return Ok(Membership::default());
        }
        Membership::new(voters, members).map_err(|e| malformed(e.to_string()))
    }
}

impl Coded for StoredMembership {
    fn put(&self, out: &mut Vec<u8>) {
        self.log_id().put(out);
        self.membership().put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<StoredMembership> {
        let at = Option::<LogId>::get(from)?;
        Ok(StoredMembership::new(at, Membership::get(from)?))
    }
}

impl Coded for SnapshotMeta {
    fn put(&self, out: &mut Vec<u8>) {
        self.last_log_id.put(out);
        self.last_membership.put(out);
    }

    fn get(from: &mut Bytes) -> io::Result<SnapshotMeta> {
        let last_log_id = Option::get(from)?;
        Ok(SnapshotMeta { last_log_id, last_membership: StoredMembership::get(from)? })
    }
}

const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;

impl Coded for Entry {
    fn put(&self, out: &mut Vec<u8>) {
        self.log_id.put(out);
        match &self.payload {
            EntryPayload::Blank => out.put_u8(BLANK),
            EntryPayload::Normal(command) => {
                out.put_u8(COMMAND);
                command.0.put(out);
            }
            EntryPayload::Membership(membership) => {
                out.put_u8(MEMBERSHIP);
                membership.put(out);
            }
        }
    }

    fn get(from: &mut Bytes) -> io::Result<Entry> {
        let log_id = LogId::get(from)?;
        let payload = match from.try_get_u8()? {
            BLANK => EntryPayload::Blank,
            // Copied, so that one small command does not keep a whole file or message in memory.
            COMMAND => EntryPayload::Normal(Command(Bytes::copy_from_slice(&Bytes::get(from)?))),
            MEMBERSHIP => EntryPayload::Membership(Membership::get(from)?),
            other => return Err(malformed(format!("an entry of unknown kind {other}"))),
        };
        Ok(<Entry as RaftEntry>::new(log_id, payload))
    }
}

/// Bytes that an entry keeps in memory and in the log, roughly.
pub(crate) fn weight(entry: &Entry) -> u64 {
    const FIXED: u64 = 64;
    match &entry.payload {
        EntryPayload::Normal(command) => FIXED + command.0.len() as u64,
        EntryPayload::Blank | EntryPayload::Membership(_) => FIXED,
    }
}

/// The whole of `bytes` as one value.
pub(crate) fn decode<T: Coded>(mut bytes: Bytes) -> io::Result<T> {
    let value = T::get(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(malformed(format!("{} bytes too many", bytes.len()))) }
}
