//! Numbers of connections, and the budget of request bytes.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::Ordering;

use super::toy::{Client, Toy, peer_request, request, serve, serve_clients, settings, soon, until};
use crate::net::{Server, Settings};

#[tokio::test]
async fn a_thousand_connections_are_served() {
    let (server, address) = serve(settings(), &Toy::default());
    let mut clients = Vec::new();
    for _ in 0..1_000 {
        clients.push(Client::connect(address).await);
    }
    for (id, client) in clients.iter_mut().enumerate() {
        client.send(&request(id as i32, b"n")).await;
    }
    for (id, client) in clients.iter_mut().enumerate() {
        assert_eq!(soon(client.reply()).await.unwrap().0, id as i32);
    }
    assert_eq!(server.connections(), 1_000);
    drop(clients);
    until(|| server.connections() == 0).await;
}

#[tokio::test]
async fn the_limits_on_connections_hold_and_free_up() {
    for (all, per_ip) in [(2, usize::MAX), (usize::MAX, 2)] {
        let limits = Settings { max_connections: all, max_connections_per_ip: per_ip, ..settings() };
        let (server, address) = serve(limits, &Toy::default());
        let mut first = Client::connect(address).await;
        let mut second = Client::connect(address).await;
        assert!(soon(first.ask(1, b"n")).await.is_some());
        assert!(soon(second.ask(1, b"n")).await.is_some());
        let mut third = Client::connect(address).await;
        soon(third.closed()).await;
        drop(first);
        until(|| server.connections() == 1).await;
        let mut fourth = Client::connect(address).await;
        assert!(soon(fourth.ask(1, b"n")).await.is_some());
    }
}

#[tokio::test]
async fn an_address_may_have_a_limit_of_its_own() {
    let overrides = [("127.0.0.1".parse().unwrap(), 1), ("10.0.0.1".parse().unwrap(), 7)];
    let limits = Settings { per_ip_overrides: overrides.into(), ..settings() };
    let (_server, address) = serve(limits, &Toy::default());
    let mut first = Client::connect(address).await;
    assert!(soon(first.ask(1, b"n")).await.is_some());
    let mut second = Client::connect(address).await;
    soon(second.closed()).await;
}

#[tokio::test]
async fn small_socket_buffers_change_nothing_but_speed() {
    let limits = Settings { send_buffer: Some(4096), receive_buffer: Some(4096), ..settings() };
    let (_server, address) = serve(limits, &Toy::default());
    let mut client = Client::connect(address).await;
    assert!(soon(client.ask(1, &vec![b'n'; 100_000])).await.is_some());
}

/// The body of a request of `len` bytes that waits for its gate.
fn waiting(len: usize) -> Vec<u8> {
    vec![b'w'; len]
}

fn tight() -> Settings {
    Settings { queued_max_request_bytes: 256 * 1024, ..settings() }
}

#[tokio::test]
async fn a_request_above_the_whole_budget_gets_through_alone() {
    let (_server, address) = serve(tight(), &Toy::default());
    let mut clients = [Client::connect(address).await, Client::connect(address).await];
    let body = vec![b'n'; 1_000_000];
    for client in &mut clients {
        client.send(&request(1, &body)).await;
    }
    for client in &mut clients {
        assert_eq!(soon(client.reply()).await.unwrap().1.len(), body.len());
    }
}

#[tokio::test]
async fn held_requests_keep_others_out_until_they_are_handled() {
    let toy = Toy::default();
    let (_server, address) = serve(tight(), &toy);
    let mut clients = Vec::new();
    for id in 0..4 {
        let mut client = Client::connect(address).await;
        client.send(&request(id, &waiting(200_000))).await;
        clients.push(client);
    }
    // One within the budget, one in overdraft; small requests pay nothing.
    until(|| toy.begun.load(Ordering::SeqCst) == 2).await;
    assert!(soon(Client::connect(address).await.ask(9, b"n")).await.is_some());
    let mut broker = Client::connect(address).await;
    broker.send(&peer_request(8, &vec![b'n'; 100_000])).await;
    assert!(soon(broker.reply()).await.is_some(), "brokers have their own reserve");
    assert_eq!(toy.begun.load(Ordering::SeqCst), 4);
    for id in 0..4 {
        toy.open(id);
    }
    for client in &mut clients {
        assert!(soon(client.reply()).await.is_some());
    }
}

#[tokio::test]
async fn what_is_kept_beyond_its_handler_is_charged_for_as_long() {
    let toy = Toy::default();
    let (_server, address) = serve(tight(), &toy);
    let mut brokers = Vec::new();
    for id in 0..4 {
        let mut broker = Client::connect(address).await;
        broker.send(&peer_request(id, &vec![b'h'; 60_000])).await;
        brokers.push(broker);
    }
    // One within the reserve, one in overdraft.
    until(|| toy.begun.load(Ordering::SeqCst) == 2).await;
    assert!(soon(Client::connect(address).await.ask(9, b"n")).await.is_some());
    assert_eq!(toy.begun.load(Ordering::SeqCst), 3);
    (0..4).for_each(|id| toy.open(id));
    for broker in &mut brokers {
        assert!(soon(broker.reply()).await.is_some());
    }
}

#[tokio::test]
async fn claims_without_bytes_cost_nobody_anything() {
    let (server, address) = serve(tight(), &Toy::default());
    let mut idlers = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(address).await;
        client.send(&request(1, &waiting(1_000_000))[..20]).await;
        idlers.push(client);
    }
    until(|| server.connections() == 20).await;
    let mut honest = Client::connect(address).await;
    assert!(soon(honest.ask(1, &vec![b'n'; 200_000])).await.is_some());
}

/// Time stands still until nothing else is left to do, then jumps to the next timer: no test waits.
#[tokio::test(start_paused = true)]
async fn frames_that_stop_coming_give_way_to_others() {
    let serves: [fn(Settings, &Toy) -> _; 2] = [serve, serve_clients];
    for (serve, len) in serves.iter().flat_map(|serve| [(serve, 1_000_000), (serve, 100_000)]) {
        stopped_frames_give_way(serve(tight(), &Toy::default()), len).await;
    }
}

async fn stopped_frames_give_way((server, address): (Server, SocketAddr), len: usize) {
    let mut stuck = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(address).await;
        client.send(&request(1, &waiting(len))[..20_000]).await;
        stuck.push(client);
    }
    until(|| server.connections() == 20).await;
    let mut honest = Client::connect(address).await;
    let begun = tokio::time::Instant::now();
    assert!(soon(honest.ask(1, &vec![b'n'; 200_000])).await.is_some());
    assert!(begun.elapsed() < std::time::Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn brokers_requests_are_not_received_where_clients_are_served() {
    let listener = crate::net::Listener::bind("TEST", "127.0.0.1", 0, 64).unwrap();
    let address = listener.local_addr().unwrap();
    let server = crate::net::Server::new(settings());
    let toy = Toy::default();
    server.serve(listener, move |_, frame| toy.clone().answer(frame));
    let mut client = Client::connect(address).await;
    client.send(&peer_request(8, &vec![b'n'; 100_000])[..20]).await;
    soon(client.closed()).await;
}

/// Runs the same test in a process that may open only a few files.
#[test]
fn a_full_file_table_delays_connections_and_loses_none() {
    const CHILD: &str = "FULL_FILE_TABLE_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(more_clients_than_descriptors());
    }
    let name = "net::tests::limits::a_full_file_table_delays_connections_and_loses_none";
    let status = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1"])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

async fn more_clients_than_descriptors() {
    let listener = crate::net::Listener::bind("TEST", "127.0.0.1", 0, 64).unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = Vec::new();
    for id in 0..40 {
        let mut client = Client::connect(address).await;
        client.send(&request(id, b"n")).await;
        clients.push(client);
    }
    let server = crate::net::Server::new(settings());
    let toy = Toy::default();
    server.serve(listener, move |_, frame| toy.clone().answer(frame));
    // Each that is answered goes, and so makes room for one that waits in the kernel.
    for (id, mut client) in clients.into_iter().enumerate() {
        assert_eq!(soon(client.reply()).await.unwrap().0, id as i32);
    }
}
