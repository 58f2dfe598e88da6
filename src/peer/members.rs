//! The members of the quorum, and the way to each.

use super::link::{Link, Unreachable};
use super::{COMMAND, QUORUM, RAFT, VERSION};
use crate::cluster::{Unsent, Way};
use crate::config::HostPort;
use crate::types::{BrokerId, ErrorCode, Uuid};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use storage::kafka_uuid;

/// Messages up to this size (votes, heartbeats) have a connection of their own, so that they never wait behind entries
/// and snapshots. Bytes.
const SMALL: usize = 512;
/// The first byte of an answer to a message: it was for this member.
const TAKEN: u8 = 0;
const NOT_ME: u8 = 1;

/// The connections from this member to the others.
#[derive(Clone, Debug)]
pub struct Members {
    me: u64,
    links: Arc<Mutex<HashMap<String, Arc<Links>>>>,
}

#[derive(Debug)]
struct Links {
    small: Link,
    large: Link,
}

/// Where a node is, and which of its lives it is: a wiped node has another metadata directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub node: BrokerId,
    pub at: HostPort,
    /// Of its metadata directory; nil where that is not known.
    pub directory: Uuid,
    /// It may vote. One that is a broker only follows.
    pub is_controller: bool,
}

/// After the address of a node that is a broker only.
const BROKER: &str = ";broker";

/// How the quorum writes it down: `node@host:port/directory`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.at)?;
        if !self.directory.is_nil() {
            write!(f, "/{}", kafka_uuid::encode(self.directory))?;
        }
        if self.is_controller { Ok(()) } else { f.write_str(BROKER) }
    }
}

impl Address {
    /// Reads what was written. An older log has no directories.
    pub fn parse(text: &str) -> Option<Address> {
        let whole = text.strip_suffix(BROKER);
        let (node, rest) = whole.unwrap_or(text).split_once('@')?;
        let (at, directory) = match rest.split_once('/') {
            Some((at, directory)) => (at, kafka_uuid::decode(directory)?),
            None => (rest, Uuid::nil()),
        };
        let (node, at) = (node.parse().ok()?, HostPort::parse(at)?);
        Some(Address { node, at, directory, is_controller: whole.is_none() })
    }
}

impl Members {
    /// Nobody is dialled before there is something to say.
    pub fn new(me: u64) -> Members {
        Members { me, links: Arc::default() }
    }

    /// Whether anyone accepts connections at `address`.
    pub async fn dial(&self, address: &str, limit: Duration) -> bool {
        match self.links(address) {
            Some(links) => links.small.dial(limit).await,
            None => false,
        }
    }

    /// Sends one request to whoever is at `address`, and returns the body of the answer.
    pub(super) async fn call(
        &self,
        address: &str,
        key: i16,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, Unreachable> {
        let links = self.links(address).ok_or_else(|| Unreachable {
            address: address.to_owned(),
            why: "this is no address".into(),
            unsent: true,
        })?;
        let link = if body.len() <= SMALL { &links.small } else { &links.large };
        link.call(key, VERSION, &body, limit).await
    }

    /// Brings a question to the member that leads. NOT_LEADER_OR_FOLLOWER if another should be asked.
    pub(super) async fn ask_leader(
        &self,
        leader: u64,
        address: &str,
        question: &[u8],
        limit: Duration,
    ) -> Result<Bytes, ErrorCode> {
        match self.call(address, QUORUM, sealed(leader, self.me, question), limit).await {
            Ok(answer) => opened(answer).map_err(|_| ErrorCode::NotLeaderOrFollower),
            Err(error) if error.unsent => Err(ErrorCode::NotLeaderOrFollower),
            Err(_) => Err(ErrorCode::RequestTimedOut),
        }
    }

    fn links(&self, address: &str) -> Option<Arc<Links>> {
        let mut links = self.links.lock();
        if let Some(known) = links.get(address) {
            return Some(known.clone());
        }
        let Address { at, .. } = Address::parse(address)?;
        let made = Arc::new(Links { small: Link::new(at.clone()), large: Link::new(at) });
        links.insert(address.to_owned(), made.clone());
        Some(made)
    }
}

/// A message to one member and from another: the ids go with it, so that a node that was wiped does not answer for the
/// one it was.
fn sealed(to: u64, from: u64, message: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(16 + message.len());
    body.put_u64(to);
    body.put_u64(from);
    body.put_slice(message);
    body.freeze()
}

/// Opens a message to the member `me`: who sent it, and what it says; or the answer that it was not meant for this member.
pub(super) fn unsealed(mut body: Bytes, me: u64) -> Result<(u64, Bytes), Bytes> {
    let head = body.try_get_u64().and_then(|to| Ok((to, body.try_get_u64()?)));
    match head {
        Ok((to, from)) if to == me => Ok((from, body)),
        _ => Err(Bytes::from_static(&[NOT_ME])),
    }
}

/// The answer to a message that was opened.
pub(super) fn taken(answer: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(1 + answer.len());
    body.put_u8(TAKEN);
    body.put_slice(answer);
    body.freeze()
}

fn opened(mut answer: Bytes) -> Result<Bytes, &'static str> {
    match answer.first() {
        Some(&TAKEN) => Ok(answer.split_off(1)),
        Some(&NOT_ME) => Err("another member of the quorum is at its address"),
        _ => Err("its answer makes no sense"),
    }
}

impl raft::Transport for Members {
    async fn call(
        &self,
        to: &raft::Peer,
        request: Bytes,
        limit: Duration,
    ) -> Result<Bytes, raft::Unreachable> {
        let unreachable = |why: String| raft::Unreachable { id: to.id, why };
        let answer = self.call(&to.address, RAFT, sealed(to.id, self.me, &request), limit).await;
        opened(answer.map_err(|error| unreachable(error.to_string()))?).map_err(|why| unreachable(why.into()))
    }
}

impl Way for Members {
    fn ask(
        &self,
        leader: u64,
        address: String,
        request: Bytes,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Option<Bytes>, Unsent>> {
        let members = self.clone();
        async move {
            match members.call(&address, COMMAND, sealed(leader, members.me, &request), limit).await {
                Ok(answer) => opened(answer).map(Some).map_err(|_| Unsent),
                Err(error) if error.unsent => Err(Unsent),
                Err(_) => Ok(None),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reaches_only_the_member_it_is_for() {
        let message = sealed(7, 3, b"vote");
        assert_eq!(unsealed(message.clone(), 7), Ok((3, Bytes::from_static(b"vote"))));
        let refusal = unsealed(message, 8).unwrap_err();
        assert_eq!(opened(refusal), Err("another member of the quorum is at its address"));
        assert!(unsealed(Bytes::from_static(b"short"), 7).is_err());
        assert_eq!(opened(taken(b"granted")), Ok(Bytes::from_static(b"granted")));
        assert!(opened(Bytes::new()).is_err());
    }

    #[test]
    fn an_address_is_read_as_it_was_written() {
        for (host, directory) in [("node1", 5), ("127.0.0.1", u128::MAX), ("::1", 0)] {
            for is_controller in [true, false] {
                let at = HostPort { host: host.into(), port: 9093 };
                let address = Address { node: 4, at, directory: Uuid::from_u128(directory), is_controller };
                assert_eq!(Address::parse(&address.to_string()), Some(address));
            }
        }
        let old = Address::parse("4@node1:9093").unwrap();
        assert_eq!((old.node, old.directory, old.is_controller), (4, Uuid::nil(), true));
        for wrong in ["node1:9093", "x@node1:9093", "4@node1:9093/x", "4@node1:9093/;broker"] {
            assert_eq!(Address::parse(wrong), None);
        }
    }
}
