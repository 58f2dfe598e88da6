//! Answers what other nodes say.

use super::guard::{News, Tie, Ties};
use super::members::{Members, taken, unsealed};
use super::membership::{Me, is_at};
use super::message::{Hello, Join, Joined, Known, Pulse, Taken, decode, encode};
use super::quorum_admin::QuorumAdmin;
use super::{COMMAND, HELLO, JOIN, PULSE, QUORUM, RAFT, VERSION};
use crate::cluster::Metadata;
use crate::wire::frame::Hold;
use crate::wire::{Chunk, Chunks, Frame, Outgoing, Peer};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use raft::{Quorum, VotersError};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::mpsc;

/// This node, as others see it.
#[derive(Clone)]
pub struct Service {
    pub me: Me,
    pub quorum: Quorum,
    pub admin: QuorumAdmin,
    pub members: Members,
    pub metadata: Metadata,
    pub news: mpsc::Sender<News>,
}

impl Service {
    /// Serves one request of another node.
    pub async fn serve(&self, peer: Arc<Peer>, frame: Frame) -> Outgoing {
        let Frame { header, body, hold } = frame;
        if header.version != VERSION {
            return Outgoing::Close("another release's version of a private API");
        }
        let id = header.correlation_id;
        match header.api_key {
            HELLO => reply(id, decode::<Hello>(&body).map(|hello| encode(&self.known(hello)))),
            PULSE => reply(id, decode::<Pulse>(&body).map(|pulse| encode(&self.pulse(&peer, pulse)))),
            RAFT => match unsealed(body, self.me.member) {
                Ok((from, message)) => self.raft(&peer, id, from, message, hold),
                Err(refusal) => reply(id, Some(refusal)),
            },
            COMMAND => match unsealed(body, self.me.member) {
                Ok((_, command)) => self.command(id, command, hold),
                Err(refusal) => reply(id, Some(refusal)),
            },
            QUORUM => match unsealed(body, self.me.member) {
                Ok((_, question)) => self.question(id, question),
                Err(refusal) => reply(id, Some(refusal)),
            },
            JOIN => match decode::<Join>(&body) {
                Some(join) => self.join(id, join),
                None => reply(id, None),
            },
            _ => Outgoing::Close("no private API has this key"),
        }
    }

    fn known(&self, asker: Hello) -> Known {
        let (status, cluster_id) =
            (self.quorum.status().borrow().clone(), self.metadata.image().cluster_id.clone());
        if asker.cluster_id == cluster_id {
            self.note(asker);
        }
        let Me { member, address } = &self.me;
        Known {
            node: address.node,
            member: *member,
            directory: address.directory,
            is_controller: address.is_controller,
            cluster_id,
            has_log: !self.quorum.is_empty(),
            leader: status.leader,
            voters: status.voters.into_iter().collect(),
        }
    }

    /// A member may have moved. If another answers in its name where it was, one of them runs on a copy of the other's directory,
    /// and would vote twice.
    fn note(&self, asker: Hello) {
        let known = self.quorum.address_of(asker.member).filter(|known| *known != asker.address);
        let Some(known) = known.filter(|_| asker.member != self.me.member) else { return };
        let (quorum, members) = (self.quorum.clone(), self.members.clone());
        let hello = self.me.hello(asker.cluster_id);
        tokio::spawn(async move {
            if is_at(&members, &hello, &known, asker.member).await {
                tracing::warn!(
                    known,
                    says = asker.address,
                    "a member answers at two addresses: it is called at the first"
                );
            } else {
                quorum.note_address(asker.member, asker.address);
            }
        });
    }

    fn pulse(&self, peer: &Peer, pulse: Pulse) -> Taken {
        if !self.quorum.status().borrow().is_leader() {
            return Taken::NotLeader;
        }
        let Pulse { broker, epoch } = pulse;
        self.tie(peer, Tie::Broker { broker, epoch });
        // A full queue has news enough; the next heartbeat says the same.
        let _ = self.news.try_send(News::Heard { broker, epoch });
        Taken::Yes
    }

    /// Messages are answered side by side: one that waits for the disk holds up no heartbeat.
    fn raft(&self, peer: &Peer, id: i32, from: u64, message: Bytes, hold: Option<Hold>) -> Outgoing {
        self.tie(peer, Tie::Member(from));
        let quorum = self.quorum.clone();
        later(id, async move {
            let _charged = hold;
            quorum.answer(message).await.map(|answer| taken(&answer))
        })
    }

    fn command(&self, id: i32, command: Bytes, hold: Option<Hold>) -> Outgoing {
        let metadata = self.metadata.clone();
        later(id, async move {
            let _charged = hold;
            Some(taken(&metadata.answer(command).await))
        })
    }

    fn question(&self, id: i32, question: Bytes) -> Outgoing {
        let admin = self.admin.clone();
        later(id, async move { Some(taken(&admin.answer(&question).await)) })
    }

    fn join(&self, id: i32, join: Join) -> Outgoing {
        let (quorum, ours) = (self.quorum.clone(), self.metadata.image().cluster_id.clone());
        if let (Some(ours), Some(theirs)) = (&ours, &join.cluster_id)
            && ours != theirs
        {
            tracing::warn!(
                address = join.address,
                "refused: the node belongs to cluster {theirs}, not to {ours}"
            );
            return reply(id, Some(encode(&Joined::OtherCluster(ours.clone()))));
        }
        later(id, async move {
            let joined = quorum.add_learner(join.member, join.address).await;
            Some(encode(&match joined {
                Ok(()) => Joined::Yes,
                Err(VotersError::IsElsewhere) => Joined::IsElsewhere,
                Err(_) => Joined::NotNow,
            }))
        })
    }

    fn tie(&self, peer: &Peer, tie: Tie) {
        if let Some(ties) = peer.state::<Ties>() {
            ties.add(tie, &self.news);
        }
    }
}

fn reply(id: i32, body: Option<Bytes>) -> Outgoing {
    match body {
        Some(body) => Outgoing::Now(answer(id, &body)),
        None => Outgoing::Close("the body of a private API cannot be read"),
    }
}

/// An empty answer ends the connection.
fn later(id: i32, work: impl Future<Output = Option<Bytes>> + Send + 'static) -> Outgoing {
    let work = tokio::spawn(work);
    let answered =
        async move { work.await.ok().flatten().map_or_else(Chunks::default, |body| answer(id, &body)) };
    Outgoing::Later(answered.boxed())
}

/// A frame with a flexible header (v1).
fn answer(id: i32, body: &[u8]) -> Chunks {
    let mut frame = BytesMut::with_capacity(4 + 5 + body.len());
    frame.put_i32((5 + body.len()) as i32);
    frame.put_i32(id);
    frame.put_u8(0);
    frame.put_slice(body);
    Chunks(vec![Chunk::Bytes(frame.freeze())])
}
