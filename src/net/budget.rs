//! One bound for the bytes of all requests that are being received or handled: `queued.max.request.bytes`.
//!
//! A frame is charged in steps as its bytes arrive, so that a claimed length costs nobody anything, and given back when its handler
//! is done. Whoever finds no room waits, holding what it has; so that such waiters cannot block each other for ever, one of
//! them at a time may overdraw. In all: never more than the
//! budget and one frame of `socket.request.max.bytes`, and the same once more for the reserve.

use std::fs;
use std::sync::Arc;

use crate::wire::frame::Hold;
use kafka_protocol::messages::ApiKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Room is counted in these, bytes.
const UNIT: usize = 1024;

/// The rooms of a process: what clients produce never keeps out what the cluster lives by.
#[derive(Debug)]
pub struct Budgets {
    produce: Budget,
    /// Followers' fetches, Raft, heartbeats, and everything else that is no Produce: a quarter beside the budget.
    reserve: Budget,
}

/// Room for request bytes, shared by all connections.
#[derive(Debug)]
pub struct Budget {
    room: Arc<Semaphore>,
    overdraft: Arc<Semaphore>,
    /// How many wait for room.
    waiting: watch::Sender<usize>,
}

/// One that waits, for as long as it lives.
struct Waiting<'a>(&'a watch::Sender<usize>);

/// What one frame has taken of the budget; given back on drop.
#[derive(Debug, Default)]
pub struct Charge {
    units: u32,
    taken: Option<OwnedSemaphorePermit>,
    overdrawn: Option<OwnedSemaphorePermit>,
}

impl Budgets {
    /// `bytes` is `queued.max.request.bytes`.
    pub fn new(bytes: usize) -> Budgets {
        Budgets { produce: Budget::new(bytes), reserve: Budget::new(bytes / 4) }
    }

    pub fn of(&self, api_key: i16) -> &Budget {
        if api_key == ApiKey::Produce as i16 { &self.produce } else { &self.reserve }
    }

    /// Of what is received before it is known what it is: batches, if it is much.
    pub fn ahead(&self) -> &Budget {
        &self.produce
    }
}

impl Budget {
    fn new(bytes: usize) -> Budget {
        let units = bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Budget {
            room: Arc::new(Semaphore::new(units)),
            overdraft: Arc::new(Semaphore::new(1)),
            waiting: watch::Sender::new(0),
        }
    }

    /// Raises `charge` to `bytes` if there is room for it now.
    pub fn try_raise(&self, charge: &mut Charge, bytes: usize) -> bool {
        let units = bytes.div_ceil(UNIT) as u32;
        let more = units.saturating_sub(charge.units);
        if more == 0 || charge.overdrawn.is_some() {
            return true;
        }
        let permit = self.room.clone().try_acquire_many_owned(more);
        permit.map(|permit| charge.add(permit, units)).is_ok()
    }

    /// Resolves once somebody waits for room.
    pub async fn wanted(&self) {
        // The sender lives as long as the budget: waiting cannot fail.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await;
    }

    /// Raises `charge` to `bytes`, waiting for room. Cancelling leaves it as it was.
    pub async fn raise(&self, charge: &mut Charge, bytes: usize) {
        if self.try_raise(charge, bytes) {
            return;
        }
        let units = bytes.div_ceil(UNIT) as u32;
        let more = units - charge.units;
        let _waiting = Waiting::of(&self.waiting);
        let room = self.room.clone().acquire_many_owned(more);
        let overdraft = self.overdraft.clone().acquire_owned();
        // Neither semaphore is ever closed, so that both branches always match.
        tokio::select! {
            biased;
            Ok(permit) = room => charge.add(permit, units),
            Ok(permit) = overdraft => charge.overdrawn = Some(permit),
        }
    }
}

impl Waiting<'_> {
    fn of(count: &watch::Sender<usize>) -> Waiting<'_> {
        count.send_modify(|waiting| *waiting += 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl Charge {
    pub fn is_nothing(&self) -> bool {
        self.taken.is_none() && self.overdrawn.is_none()
    }

    /// Given back when nobody holds it any more; `None` of nothing.
    pub fn hold(self) -> Option<Hold> {
        (!self.is_nothing()).then(|| Arc::new(self) as Hold)
    }

    fn add(&mut self, permit: OwnedSemaphorePermit, units: u32) {
        self.units = units;
        match &mut self.taken {
            Some(taken) => taken.merge(permit),
            None => self.taken = Some(permit),
        }
    }
}

/// The budget where the configuration says -1: an eighth of the memory this process may use at start.
pub fn bytes_at_hand() -> usize {
    const UNKNOWN: usize = 4 << 30;
    let available = mem_available().unwrap_or(UNKNOWN);
    available.min(cgroup_limit().unwrap_or(usize::MAX)) / 8
}

fn mem_available() -> Option<usize> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok()? * 1024)
}

/// The limit of this process's own cgroup (v2); `max` and v1 count as none.
fn cgroup_limit() -> Option<usize> {
    fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}
