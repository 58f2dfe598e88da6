//! Members in one process, over a network that delays, loses and cuts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use raft::{Lane, Peer, Quorum, Settings, State, Status, Transport, Unreachable};
use storage::disk::fault::{FaultDisk, Rng};

use crate::common::{Diary, settings};

/// What all ends of the network share.
#[derive(Clone)]
pub struct Net {
    state: Arc<Mutex<Inner>>,
}

struct Inner {
    up: BTreeMap<u64, Quorum>,
    /// One way: from, to.
    cuts: BTreeSet<(u64, u64)>,
    /// Who is no longer where it was, and where it is.
    moved: BTreeMap<u64, String>,
    rng: Rng,
    /// One message in so many is lost; 0 for none.
    loss: u32,
}

/// One member's end.
pub struct End {
    net: Net,
    from: u64,
}

impl Net {
    pub fn new(seed: u64, loss: u32) -> Net {
        let inner = Inner {
            up: BTreeMap::new(),
            cuts: BTreeSet::new(),
            moved: BTreeMap::new(),
            rng: Rng::new(seed),
            loss,
        };
        Net { state: Arc::new(Mutex::new(inner)) }
    }

    /// Cuts `node` off from the others, or one way only.
    pub fn cut(&self, node: u64, inwards: bool, outwards: bool) {
        let cuts = &mut self.state.lock().unwrap().cuts;
        for other in 1..=3 {
            if inwards {
                cuts.insert((other, node));
            }
            if outwards {
                cuts.insert((node, other));
            }
        }
    }

    /// Nobody is at the member's old address any more.
    pub fn relocate(&self, id: u64, address: &str) {
        self.state.lock().unwrap().moved.insert(id, address.into());
    }

    fn address(&self, id: u64) -> String {
        let moved = self.state.lock().unwrap().moved.get(&id).cloned();
        moved.unwrap_or_else(|| format!("node {id}"))
    }

    pub fn heal(&self) {
        let mut inner = self.state.lock().unwrap();
        inner.cuts.clear();
        inner.loss = 0;
    }

    /// How long a message takes; `None` if it never arrives.
    fn travel(&self, from: u64, to: u64) -> Option<Duration> {
        let Inner { cuts, rng, loss, .. } = &mut *self.state.lock().unwrap();
        let lost = cuts.contains(&(from, to)) || (*loss > 0 && rng.one_in(*loss));
        (!lost).then(|| Duration::from_millis(rng.below(10) as u64))
    }

    async fn carry(&self, from: u64, to: u64, request: Bytes) -> Option<Bytes> {
        tokio::time::sleep(self.travel(from, to)?).await;
        let there = self.state.lock().unwrap().up.get(&to).cloned();
        let answer = there?.answer(request).await?;
        tokio::time::sleep(self.travel(to, from)?).await;
        Some(answer)
    }
}

impl Transport for End {
    async fn call(&self, to: &Peer, request: Bytes, limit: Duration) -> Result<Bytes, Unreachable> {
        let is_there = to.address == self.net.address(to.id);
        let carried = tokio::time::timeout(limit, async {
            match if is_there { self.net.carry(self.from, to.id, request).await } else { None } {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        });
        carried.await.map_err(|_| Unreachable { id: to.id, why: "silence".into() })
    }
}

/// Three members, each with a disk of its own.
pub struct Trio {
    pub net: Net,
    pub disks: BTreeMap<u64, FaultDisk>,
    pub up: BTreeMap<u64, (Quorum, Diary)>,
    pub settings: Settings,
}

impl Trio {
    pub async fn start(seed: u64, loss: u32, settings: Settings) -> Trio {
        let disks = (1..=3).map(|id| (id, FaultDisk::new(seed * 3 + id))).collect();
        let mut trio = Trio { net: Net::new(seed, loss), disks, up: BTreeMap::new(), settings };
        for id in 1..=3 {
            trio.boot(id).await;
        }
        let voters = (1..=3).map(|id| (id, format!("node {id}"))).collect();
        trio.up[&1].0.initialize(voters).await.unwrap();
        trio
    }

    pub async fn boot(&mut self, id: u64) {
        let settings = Settings { node_id: id, ..self.settings.clone() };
        let (disk, diary) = (Arc::new(self.disks[&id].clone()), Diary::default());
        let end = End { net: self.net.clone(), from: id };
        let quorum = Quorum::start(settings, disk, Box::new(diary.clone()), end).await.unwrap();
        self.net.state.lock().unwrap().up.insert(id, quorum.clone());
        self.up.insert(id, (quorum, diary));
    }

    /// Takes the power away from a member.
    pub async fn crash(&mut self, id: u64) {
        self.net.state.lock().unwrap().up.remove(&id);
        self.disks[&id].power_off_after(0);
        if let Some((quorum, _)) = self.up.remove(&id) {
            quorum.shutdown().await;
        }
        self.disks[&id].crash();
    }

    /// The member that may decide, other than `but`.
    pub async fn leader(&self, but: u64) -> u64 {
        loop {
            let ready = |id: &u64, status: &Status| *id != but && status.leader_ready;
            let found = self.up.iter().find(|(id, (quorum, _))| ready(id, &quorum.status().borrow()));
            if let Some((id, _)) = found {
                return *id;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until all that are up have applied the same commands; returns them.
    pub async fn agree(&self, last: &[u8]) -> Vec<Vec<u8>> {
        loop {
            let diaries: Vec<_> =
                self.up.values().map(|(_, diary)| diary.lines.lock().unwrap().clone()).collect();
            let done = diaries.iter().all(|lines| lines.last().is_some_and(|(_, command)| command == last));
            if done {
                assert!(diaries.windows(2).all(|pair| pair[0] == pair[1]), "histories differ");
                return diaries[0].iter().map(|(_, command)| command.clone()).collect();
            }
            assert!(self.up.values().all(|(quorum, _)| quorum.status().borrow().state == State::Running));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Snapshots after few entries, so that a lagging member needs one.
pub fn hasty() -> Settings {
    Settings { segment_bytes: 2000, snapshot_entries: 10, keep_entries: 5, ..settings(Lane::Inline) }
}
