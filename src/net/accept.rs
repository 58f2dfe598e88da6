//! The accept loop: goes on through whatever a single connection or a full file table throws at it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::debug;

use super::connection;
use super::listener::Listener;
use super::reader::Reader;
use super::server::{Service, Settings, Shared};
use crate::seam::net::{TcpStream, tune};
use crate::wire::Peer;

/// Pause after an accept that failed for want of descriptors or memory: the connection stays in the kernel's queue, and trying at
/// once would fail at once.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Accepts until `stop` turns true, then closes the listening socket.
pub(super) async fn run<S: Service>(
    listener: Listener,
    service: S,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => welcome(stream, remote, &listener, &service, &shared),
            Err(e) if concerns_one_connection(&e) => debug!("accept: {e}"),
            Err(e) => {
                shared.quiet.warn(format_args!("listener {}: cannot accept connections: {e}", listener.name));
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// The client gave up before we took it.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn welcome<S: Service>(
    stream: TcpStream,
    remote: SocketAddr,
    listener: &Listener,
    service: &S,
    shared: &Arc<Shared>,
) {
    // An IPv4 client of a socket for both families.
    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
    let place = match shared.registry.enter(remote.ip()) {
        Ok(place) => place,
        Err(refusal) => {
            return shared
                .quiet
                .warn(format_args!("listener {}: {remote} is turned away: {refusal}", listener.name));
        }
    };
    let Settings { send_buffer, receive_buffer, .. } = shared.settings;
    if let Err(e) = tune(&stream, send_buffer, receive_buffer) {
        return debug!("{remote}: {e}");
    }
    let peer = Arc::new(Peer::new(place.id, remote, listener.name.clone()));
    let reader = Reader::new(shared.settings.max_request_bytes, listener.for_peers);
    tokio::spawn(connection::run(stream, peer, place, reader, service.clone(), shared.clone()));
}
