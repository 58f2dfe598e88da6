//! Notices nodes that are gone: by their connections at once, by their silence in time.
//!
//! ```text
//!   connection ends ──► dialled once more ──► nobody there ──► a broker is fenced, a leader of the quorum is replaced
//!   no heartbeat for broker.session.timeout.ms ───────────────► the broker is fenced
//! ```
//! A process that dies closes its connections; a machine that is cut off or stands still does not. To fence a broker that
//! lives does no harm: it says that it is there, and leads again.

use super::members::{Address, Members};
use crate::cluster::controller::FenceBroker;
use crate::cluster::image::Broker;
use crate::cluster::liveness::Liveness;
use crate::cluster::{Image, Metadata};
use crate::config::HostPort;
use crate::seam::Clock;
use crate::types::{BrokerId, Mono};
use parking_lot::Mutex;
use raft::{Quorum, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Refused, unreachable, of an unknown name, or silent for so long: nobody is there.
const DIAL: Duration = Duration::from_millis(200);
/// Voters that see the leader go stand one after the other, so that votes are not split.
const STAGGER: Duration = Duration::from_millis(120);
/// So late a timer is not late for want of a core: this process stood still.
const OVERSLEPT: Duration = Duration::from_millis(200);
/// Ties of one connection. A node has two; whoever claims more is none.
const TIES: usize = 8;
/// Longest wait for the next deadline.
const IDLE: Duration = Duration::from_secs(3600);

/// What the guard is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A broker's heartbeat reached this node, which leads the quorum.
    Heard { broker: BrokerId, epoch: i64 },
    /// The last connection by which this was heard of has ended.
    Closed(Tie),
}

/// Whose words came by a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    Broker { broker: BrokerId, epoch: i64 },
    Member(u64),
}

/// All whose words came by one connection. Its end is news.
#[derive(Debug, Default)]
pub struct Ties(Mutex<Option<(Vec<Tie>, mpsc::Sender<News>)>>);

impl Ties {
    /// A tie to each member, and one to the newest epoch of a broker.
    pub fn add(&self, tie: Tie, news: &mpsc::Sender<News>) {
        let mut held = self.0.lock();
        let (ties, _) = held.get_or_insert_with(|| (Vec::new(), news.clone()));
        if !ties.contains(&tie) {
            ties.retain(|other| !matches!((other, tie), (Tie::Broker { .. }, Tie::Broker { .. })));
            ties.truncate(TIES - 1);
            ties.push(tie);
        }
    }
}

impl Drop for Ties {
    fn drop(&mut self) {
        if let Some((ties, news)) = self.0.get_mut().take() {
            // A full queue: silence will tell.
            for tie in ties {
                let _ = news.try_send(News::Closed(tie));
            }
        }
    }
}

/// The guard of one node. It acts as the leader of the quorum for brokers, and as a voter for the leader.
pub struct Guard {
    pub node: BrokerId,
    pub quorum: Quorum,
    pub metadata: Metadata,
    pub members: Members,
    /// The listener by which brokers reach each other.
    pub listener: String,
    pub session: Duration,
    /// A leader is replaced only after so much silence, unless it is known to be gone or gives way.
    pub silence: Duration,
    pub clock: Clock,
}

impl Guard {
    /// Runs until the quorum has stopped.
    pub async fn run(self, mut news: mpsc::Receiver<News>) {
        let mut status = self.quorum.status();
        let mut watched: Option<(u64, Liveness)> = None;
        let mut before = None;
        loop {
            let now = status.borrow_and_update().clone();
            self.take_office(&now, &mut watched, before);
            before = self.led_by(&now).or(before);
            let deadline = watched.as_ref().and_then(|(_, liveness)| liveness.next_deadline());
            let due = self.clock.mono().plus(self.until(deadline));
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                Some(news) = news.recv() => self.hear(news, watched.as_mut().map(|(_, liveness)| liveness)),
                () = sleep(self.until(deadline)) => {}
            }
            if let Some((_, liveness)) = &mut watched {
                self.end_sessions(liveness, due);
            }
        }
    }

    /// Fences brokers that are silent. Who slept longer than meant to has been silent itself, and heard nobody meanwhile.
    fn end_sessions(&self, liveness: &mut Liveness, meant: Mono) {
        let (image, now) = (self.metadata.image(), self.clock.mono());
        if now.since(meant) > OVERSLEPT {
            *liveness = Liveness::take_over(&image, now, self.session);
            return;
        }
        liveness.see(&image, now);
        liveness.due(now).into_iter().for_each(|(broker, epoch)| self.fence(broker, epoch));
    }

    fn until(&self, deadline: Option<Mono>) -> Duration {
        deadline.map_or(IDLE, |deadline| deadline.since(self.clock.mono()))
    }

    fn led_by(&self, status: &Status) -> Option<BrokerId> {
        Address::parse(status.leader_address()?).map(|leader| leader.node).filter(|node| *node != self.node)
    }

    /// A new leader gives every broker a whole session, and looks at once who is there. Only the leader `before` it has been
    /// silent for some time already; if it gave way instead, its next heartbeat comes in good time.
    fn take_office(&self, status: &Status, watched: &mut Option<(u64, Liveness)>, before: Option<BrokerId>) {
        if !status.leader_ready {
            *watched = None;
            return;
        }
        if watched.as_ref().is_some_and(|(term, _)| *term == status.term) {
            return;
        }
        let image = self.metadata.image();
        let mut liveness = Liveness::take_over(&image, self.clock.mono(), self.session);
        if let Some(before) = before {
            liveness.was_silent(before, self.silence.min(self.session / 2));
        }
        *watched = Some((status.term, liveness));
        for broker in image.brokers.alive().filter(|broker| broker.id != self.node) {
            self.verify_broker(&image, broker.id, broker.epoch);
        }
    }

    fn hear(&self, news: News, liveness: Option<&mut Liveness>) {
        match (news, liveness) {
            (News::Heard { broker, epoch }, Some(liveness)) => {
                liveness.heard(broker, epoch, self.clock.mono())
            }
            (News::Closed(Tie::Broker { broker, epoch }), Some(_)) => {
                self.verify_broker(&self.metadata.image(), broker, epoch);
            }
            (News::Closed(Tie::Member(member)), _) => self.verify_leader(member),
            (News::Heard { .. } | News::Closed(Tie::Broker { .. }), None) => {}
        }
    }

    fn verify_broker(&self, image: &Image, broker: BrokerId, epoch: i64) {
        // One that stops says so, and is fenced by its own wish.
        let serves = |known: &&Arc<Broker>| known.epoch == epoch && known.is_active();
        let Some(known) = image.brokers.get(broker).filter(serves) else { return };
        let Some(listener) = known.listener(&self.listener).or(known.listeners.first()) else { return };
        let at = HostPort { host: listener.host.clone(), port: listener.port };
        let metadata = self.metadata.clone();
        tokio::spawn(async move {
            if !super::Link::new(at).dial(DIAL).await {
                tracing::warn!(broker, "a broker's connection has ended, and it cannot be dialled");
                fence(metadata, broker, epoch).await;
            }
        });
    }

    fn fence(&self, broker: BrokerId, epoch: i64) {
        tracing::warn!(broker, "no heartbeat of a broker within its session");
        tokio::spawn(fence(self.metadata.clone(), broker, epoch));
    }

    /// Voters take their turns by their ids.
    fn verify_leader(&self, member: u64) {
        let status = self.quorum.status().borrow().clone();
        if status.leader != Some(member) || status.is_leader() {
            return;
        }
        let Some(address) = status.leader_address().cloned() else { return };
        let others = status.voters.keys().filter(|id| **id != member);
        let rank = others.take_while(|id| **id != status.node_id).count() as u32;
        let (members, quorum) = (self.members.clone(), self.quorum.clone());
        tokio::spawn(async move {
            if members.dial(&address, DIAL).await {
                return;
            }
            sleep(STAGGER * rank).await;
            let node = Address::parse(&address).map(|known| known.node);
            tracing::warn!(node, "the controller is gone");
            quorum.overrule(status.term).await;
        });
    }
}

/// Decided here or nowhere: whoever leads by now has heard other brokers than this node.
async fn fence(metadata: Metadata, id: BrokerId, epoch: i64) {
    if let Err(code) = metadata.submit_here(FenceBroker { id, epoch }).await {
        tracing::debug!(broker = id, %code, "a broker was not fenced");
    }
}
