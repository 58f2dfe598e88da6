//! What answers on the listeners: other nodes at once, clients once this node serves.

use crate::api::{self, Node};
use crate::peer::Service;
use crate::wire::header::PEER_KEYS;
use crate::wire::{Frame, Outgoing, Peer};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a client's request waits for the node: while it does nobody notices a client that has gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way in for every connection.
pub struct Front {
    peers: Service,
    /// The listener by which other nodes reach this one, if it has none for that alone.
    for_nodes: Box<str>,
    node: OnceLock<Arc<Node>>,
    is_open: watch::Sender<bool>,
}

impl Front {
    pub fn new(peers: Service, for_nodes: &str) -> Front {
        let is_open = watch::Sender::new(false);
        Front { peers, for_nodes: for_nodes.into(), node: OnceLock::new(), is_open }
    }

    /// From now on clients are served by `node`.
    pub fn open(&self, node: Arc<Node>) {
        if self.node.set(node).is_ok() {
            self.is_open.send_replace(true);
        }
    }

    pub async fn call(self: Arc<Self>, peer: Arc<Peer>, frame: Frame) -> Outgoing {
        if PEER_KEYS.contains(&frame.header.api_key) {
            return match *peer.listener == *self.for_nodes {
                true => self.peers.serve(peer, frame).await,
                false => Outgoing::Close("the API is not served here"),
            };
        }
        match self.node().await {
            Some(node) => api::serve(node, peer, frame).await,
            None => Outgoing::Close("the node does not serve yet"),
        }
    }

    async fn node(&self) -> Option<Arc<Node>> {
        if let Some(node) = self.node.get() {
            return Some(node.clone());
        }
        let mut is_open = self.is_open.subscribe();
        timeout(PATIENCE, is_open.wait_for(|is_open| *is_open)).await.ok()?.ok()?;
        self.node.get().cloned()
    }
}
