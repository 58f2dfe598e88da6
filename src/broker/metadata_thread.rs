//! The thread of the metadata: the quorum, the controller, and what other nodes say, on a runtime of their own.

use super::metadata_lane::{LaneError, Setup};
use crate::api::{Desk, serve_controller};
use crate::cluster::{Metadata, MetadataMachine, keep_balanced};
use crate::config::HostPort;
use crate::net::{Listener, Server};
use crate::peer::{FirstStart, Guard, Members, Membership, News, QuorumAdmin, Service};
use crate::wire::Frame;
use crate::wire::header::PEER_KEYS;
use raft::Quorum;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// What nodes may have to tell the guard at once.
const NEWS: usize = 1024;
/// How long other nodes are answered after the stop.
const GRACE: Duration = Duration::from_millis(200);

/// The thread, as the rest of the broker sees it.
#[derive(Clone)]
pub struct Running {
    pub metadata: Metadata,
    pub quorum: Quorum,
    pub members: Members,
    /// Answers other nodes.
    pub service: Service,
    /// What this node itself has to tell its guard.
    pub news: mpsc::Sender<News>,
    /// Where work belongs that must never wait for data.
    pub runtime: Handle,
}

/// Where the thread tells that it runs, or why not.
pub type Tell = oneshot::Sender<Result<Running, LaneError>>;

/// Runs until `stopped`. An empty node looks for its cluster meanwhile; `lost` is told if it can have none.
pub async fn run(setup: Setup, tell: Tell, lost: oneshot::Sender<LaneError>, stopped: oneshot::Receiver<()>) {
    let first = setup.first.clone();
    let server = Server::new(setup.server.clone());
    let running = match start(setup, &server).await {
        Ok(running) => running,
        Err(error) => return drop(tell.send(Err(error))),
    };
    // The starter is gone only if the process is ending.
    let _ = tell.send(Ok(running.clone()));
    tokio::spawn(find_cluster(first, running.clone(), lost));
    let _ = stopped.await;
    server.stop(GRACE).await;
    running.quorum.shutdown().await;
}

async fn start(setup: Setup, server: &Server) -> Result<Running, LaneError> {
    let Setup { settings, disk, seat, first, listeners, backlog, broker_listener, session, balance, .. } =
        setup;
    let bind = |(name, at): (String, HostPort)| Listener::bind(&name, &at.host, at.port, backlog);
    let listeners = listeners.into_iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    let (machine, images) = MetadataMachine::new();
    let (member, clock, silence) = (settings.node_id, seat.clock, settings.election_min);
    let config = Arc::new(seat.policy.config.clone());
    let members = Members::new(member);
    let quorum = Quorum::start(settings, disk, Box::new(machine), members.clone()).await?;
    let metadata = Metadata::start(quorum.clone(), images, seat, Arc::new(members.clone()));
    let (news, heard) = mpsc::channel(NEWS);
    let admin = QuorumAdmin::new(quorum.clone(), member, clock);
    let desk = Desk { config, metadata: metadata.clone(), quorum: admin.clone() };
    let service = Service {
        me: first.me.clone(),
        quorum: quorum.clone(),
        admin,
        members: members.clone(),
        metadata: metadata.clone(),
        news: news.clone(),
    };
    for listener in listeners {
        let (service, desk) = (service.clone(), desk.clone());
        server.serve(listener.for_peers(), move |peer, frame: Frame| {
            let (service, desk) = (service.clone(), desk.clone());
            async move {
                match PEER_KEYS.contains(&frame.header.api_key) {
                    true => service.serve(peer, frame).await,
                    false => serve_controller(desk, frame).await,
                }
            }
        });
    }
    let guard = Guard {
        node: first.me.address.node,
        quorum: quorum.clone(),
        metadata: metadata.clone(),
        members: members.clone(),
        listener: broker_listener,
        session,
        silence,
        clock,
    };
    tokio::spawn(guard.run(heard));
    if let Some(every) = balance {
        tokio::spawn(keep_balanced(metadata.clone(), every));
    }
    Ok(Running { metadata, quorum, members, news, service, runtime: Handle::current() })
}

/// Finds or begins the cluster, and stays in it.
async fn find_cluster(first: FirstStart, running: Running, lost: oneshot::Sender<LaneError>) {
    let Running { metadata, quorum, members, .. } = running;
    if let Err(error) = first.run(&quorum, &members).await {
        // Whoever would hear it is gone only if the process is ending.
        return drop(lost.send(error.into()));
    }
    Membership::new(first, quorum, metadata, members).run().await;
}
