//! All listeners and connections of a process: what they share, and how they end.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::accept;
use super::budget::Budgets;
use super::listener::Listener;
use super::quiet::Quiet;
use super::registry::{Limits, Phase, Registry};
use crate::wire::{Frame, Outgoing, Peer};

/// What answers requests. A connection's next request waits until the future is done: requests take effect in the
/// order they came. The frame's bytes are charged to the budget for as long.
pub trait Service: Clone + Send + Sync + 'static {
    fn call(&self, peer: Arc<Peer>, frame: Frame) -> impl Future<Output = Outgoing> + Send;
}

impl<F, Fut> Service for F
where
    F: Fn(Arc<Peer>, Frame) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Outgoing> + Send,
{
    fn call(&self, peer: Arc<Peer>, frame: Frame) -> impl Future<Output = Outgoing> + Send {
        self(peer, frame)
    }
}

/// The configuration of all connections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `socket.request.max.bytes`
    pub max_request_bytes: usize,
    /// `connections.max.idle.ms`
    pub max_idle: Duration,
    /// `max.connections`
    pub max_connections: usize,
    /// `max.connections.per.ip`
    pub max_connections_per_ip: usize,
    /// `max.connections.per.ip.overrides`
    pub per_ip_overrides: HashMap<IpAddr, usize>,
    /// `socket.send.buffer.bytes`; the kernel's choice if `None`.
    pub send_buffer: Option<usize>,
    /// `socket.receive.buffer.bytes`; the kernel's choice if `None`.
    pub receive_buffer: Option<usize>,
    /// `queued.max.request.bytes`, with [`super::budget::bytes_at_hand`] for -1.
    pub queued_max_request_bytes: usize,
}

/// The listeners and connections of one process.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    accepting: Mutex<Vec<JoinHandle<()>>>,
}

/// What every connection uses.
#[derive(Debug)]
pub(super) struct Shared {
    pub settings: Settings,
    pub budgets: Budgets,
    pub registry: Arc<Registry>,
    pub quiet: Quiet,
}

impl Server {
    pub fn new(settings: Settings) -> Server {
        let limits = Limits {
            all: settings.max_connections,
            per_ip: settings.max_connections_per_ip,
            overrides: settings.per_ip_overrides.clone(),
        };
        let shared = Shared {
            budgets: Budgets::new(settings.queued_max_request_bytes),
            registry: Arc::new(Registry::new(limits)),
            quiet: Quiet::default(),
            settings,
        };
        Server { shared: Arc::new(shared), stop: watch::Sender::new(false), accepting: Mutex::default() }
    }

    /// Accepts connections on `listener` and answers them by `service`, in tasks of the runtime around it.
    pub fn serve<S: Service>(&self, listener: Listener, service: S) {
        let accepting = accept::run(listener, service, self.shared.clone(), self.stop.subscribe());
        self.accepting.lock().push(tokio::spawn(accepting));
    }

    /// Connections now open.
    pub fn connections(&self) -> usize {
        self.shared.registry.len()
    }

    /// Closes the listeners, lets connections answer what they have read for at most `grace`, and closes them.
    pub async fn stop(&self, grace: Duration) {
        self.stop.send_replace(true);
        let accepting = std::mem::take(&mut *self.accepting.lock());
        for task in accepting {
            // It can only have ended or been cancelled with its runtime; the listener is closed either way.
            let _ = task.await;
        }
        self.shared.registry.raise(Phase::Draining);
        if timeout(grace, self.shared.registry.emptied()).await.is_err() {
            self.shared.registry.raise(Phase::Closing);
            self.shared.registry.emptied().await;
        }
    }
}
