//! Who is connected: the limits on their number, and the way to tell each to end.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Context;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Notify;

/// How far a connection's end has come; only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    Serving = 0,
    /// Reads no more, answers what it has read, then closes.
    Draining = 1,
    /// Closes at once.
    Closing = 2,
}

/// Tells one connection's task to end.
#[derive(Debug, Default)]
pub(super) struct Control {
    phase: AtomicU8,
    task: AtomicWaker,
}

impl Control {
    fn raise(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
        self.task.wake();
    }

    /// The phase, and a promise to be polled again when it changes.
    pub fn poll_phase(&self, cx: &mut Context<'_>) -> Phase {
        self.task.register(cx.waker());
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Serving,
            1 => Phase::Draining,
            _ => Phase::Closing,
        }
    }
}

/// The limits on connections, of the whole process.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub all: usize,
    pub per_ip: usize,
    /// Addresses with a limit of their own.
    pub overrides: HashMap<IpAddr, usize>,
}

impl Limits {
    fn of(&self, ip: IpAddr) -> usize {
        self.overrides.get(&ip).copied().unwrap_or(self.per_ip)
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum Refusal {
    #[error("max.connections={0} is reached")]
    All(usize),
    #[error("max.connections.per.ip={0} is reached for this address")]
    PerIp(usize),
    #[error("the server stops")]
    Stopping,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Registry {
    limits: Limits,
    table: Mutex<Table>,
    /// Notified whenever a connection leaves.
    left: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next_id: u64,
    stopping: bool,
    controls: HashMap<u64, Arc<Control>>,
    per_ip: HashMap<IpAddr, usize>,
}

/// A connection's place in the registry, given back on drop.
#[derive(Debug)]
pub(super) struct Place {
    registry: Arc<Registry>,
    pub id: u64,
    ip: IpAddr,
    pub control: Arc<Control>,
}

impl Registry {
    pub fn new(limits: Limits) -> Registry {
        Registry { limits, table: Mutex::default(), left: Notify::new() }
    }

    pub fn enter(self: &Arc<Registry>, ip: IpAddr) -> Result<Place, Refusal> {
        let mut table = self.table.lock();
        table.check(ip, &self.limits)?;
        let id = table.next_id;
        let control = Arc::new(Control::default());
        table.next_id += 1;
        table.controls.insert(id, control.clone());
        *table.per_ip.entry(ip).or_default() += 1;
        Ok(Place { registry: self.clone(), id, ip, control })
    }

    pub fn len(&self) -> usize {
        self.table.lock().controls.len()
    }

    /// Raises the phase of every connection; none enters from now on.
    pub fn raise(&self, phase: Phase) {
        let mut table = self.table.lock();
        table.stopping = true;
        for control in table.controls.values() {
            control.raise(phase);
        }
    }

    /// Waits until nobody is connected.
    pub async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            if self.len() == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Table {
    fn check(&self, ip: IpAddr, limits: &Limits) -> Result<(), Refusal> {
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        if self.controls.len() >= limits.all {
            return Err(Refusal::All(limits.all));
        }
        if self.per_ip.get(&ip).copied().unwrap_or(0) >= limits.of(ip) {
            return Err(Refusal::PerIp(limits.of(ip)));
        }
        Ok(())
    }

    fn leave(&mut self, id: u64, ip: IpAddr) {
        self.controls.remove(&id);
        if let Some(count) = self.per_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.per_ip.remove(&ip);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.table.lock().leave(self.id, self.ip);
        self.registry.left.notify_waiters();
    }
}
