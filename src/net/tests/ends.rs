//! How connections end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BufMut;
use tokio::io::AsyncWriteExt;

use super::toy::{BIG_REPLY, Client, Toy, peer_request, request, serve, settings, soon, until};
use crate::net::{BindError, Listener};

#[tokio::test]
async fn garbage_closes_its_connection_and_no_other() {
    let (_server, address) = serve(settings(), &Toy::default());
    let mut bystander = Client::connect(address).await;
    let mut unknown_key = request(1, b"n");
    unknown_key[4..6].copy_from_slice(&999_i16.to_be_bytes());
    let mut tagged_beyond_its_end = peer_request(1, b"n");
    tagged_beyond_its_end[14] = 0xff;
    let mut metadata_of_5_mib = 5_i32.to_be_bytes().to_vec();
    metadata_of_5_mib[1] = 0x50;
    metadata_of_5_mib.put_i16(3);
    let cases: [(&str, &[u8]); 9] = [
        ("negative length", &(-1_i32).to_be_bytes()),
        ("zero length", &0_i32.to_be_bytes()),
        ("too large", &(1_048_577_i32).to_be_bytes()),
        ("text", b"GET / HTTP/1.1\r\n\r\n"),
        ("one byte", &[0, 0, 0, 1, 7]),
        ("header cut", &[0, 0, 0, 5, 0x4e, 0x20, 0, 0, 1]),
        ("unknown key", &unknown_key),
        ("tag section", &tagged_beyond_its_end),
        ("too large for its API", &metadata_of_5_mib),
    ];
    for (what, bytes) in cases {
        let mut client = Client::connect(address).await;
        client.send(bytes).await;
        tokio::time::timeout(Duration::from_secs(5), client.closed()).await.expect(what);
        assert!(soon(bystander.ask(1, b"n")).await.is_some(), "{what}");
    }
}

#[tokio::test]
async fn a_service_may_close_after_earlier_replies() {
    let (_server, address) = serve(settings(), &Toy::default());
    let mut client = Client::connect(address).await;
    client.send(&[request(1, b"n"), request(2, b"c"), request(3, b"n")].concat()).await;
    assert_eq!(soon(client.reply()).await.unwrap().0, 1);
    soon(client.closed()).await;
}

#[tokio::test]
async fn a_reply_that_comes_to_nothing_closes_after_earlier_ones() {
    let toy = Toy::default();
    let (_server, address) = serve(settings(), &toy);
    let mut client = Client::connect(address).await;
    client.send(&[request(1, b"n"), request(2, b"e"), request(3, b"n")].concat()).await;
    assert_eq!(soon(client.reply()).await.unwrap().0, 1);
    toy.open(2);
    soon(client.closed()).await;
}

#[tokio::test]
async fn a_client_that_goes_takes_its_parked_replies_along() {
    let toy = Toy::default();
    let (server, address) = serve(settings(), &toy);
    let mut client = Client::connect(address).await;
    for id in 0..3 {
        client.send(&request(id, b"l")).await;
    }
    until(|| toy.parked.load(Ordering::SeqCst) == 3).await;
    drop(client);
    until(|| toy.parked.load(Ordering::SeqCst) == 0 && server.connections() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_is_noticed_although_it_is_not_read_any_more() {
    let toy = Toy::default();
    let (_server, address) = serve(settings(), &toy);
    let mut client = Client::connect(address).await;
    let flood: Vec<u8> = (0..2_000).flat_map(|id| request(id, b"l and more")).collect();
    client.send(&flood).await;
    until(|| toy.parked.load(Ordering::SeqCst) == 256).await;
    client.0.shutdown().await.unwrap();
    client.closed().await;
    until(|| toy.parked.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_reply_does_not_keep_a_silent_client() {
    let settings = crate::net::Settings { max_idle: Duration::from_secs(60), ..settings() };
    let (_server, address) = serve(settings, &Toy::default());
    let mut client = Client::connect(address).await;
    client.send(&request(1, b"l")).await;
    client.closed().await;
}

/// Time stands still until nothing else is left to do, then jumps to the next timer: no test waits.
#[tokio::test(start_paused = true)]
async fn silence_and_half_requests_end_after_the_idle_time() {
    let settings = crate::net::Settings { max_idle: Duration::from_secs(60), ..settings() };
    let (server, address) = serve(settings, &Toy::default());
    let frame = request(1, b"n and more");
    for begun in [0, 1, 4, 5, 15] {
        let mut client = Client::connect(address).await;
        client.send(&frame[..begun]).await;
        client.closed().await;
    }
    until(|| server.connections() == 0).await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_not_read_for_ever() {
    let toy = Toy::default();
    let limits = crate::net::Settings { max_idle: Duration::from_millis(300), ..settings() };
    let (server, address) = serve(limits, &toy);
    let mut client = Client::connect(address).await;
    let flood: Vec<u8> = (0..10_000).flat_map(|id| request(id, b"b")).collect();
    let flooding = tokio::spawn(async move {
        // Ends with an error once the server has closed.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client.0, &flood).await;
        client
    });
    until(|| toy.begun.load(Ordering::SeqCst) > 0).await;
    until(|| server.connections() == 0).await;
    // The kernel's buffers of both ends, and ours, hold a few megabytes; ten thousand replies would be 640.
    let answered = toy.begun.load(Ordering::SeqCst) * BIG_REPLY;
    assert!(answered < 64 << 20, "{answered} bytes were prepared for nobody");
    flooding.await.unwrap();
}

#[tokio::test]
async fn stopping_answers_what_is_parked_and_refuses_the_rest() {
    let toy = Toy::default();
    let (server, address) = serve(settings(), &toy);
    let mut waiting = Client::connect(address).await;
    let mut idle = Client::connect(address).await;
    waiting.send(&request(1, b"l")).await;
    assert!(soon(idle.ask(2, b"n")).await.is_some());
    until(|| toy.parked.load(Ordering::SeqCst) == 1).await;
    let stopping = async {
        soon(server.stop(Duration::from_secs(10))).await;
        assert_eq!(server.connections(), 0);
    };
    let watching = async {
        soon(idle.closed()).await;
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        toy.open(1);
        assert_eq!(soon(waiting.reply()).await.unwrap().0, 1);
        soon(waiting.closed()).await;
    };
    tokio::join!(stopping, watching);
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_beyond_its_grace() {
    let toy = Toy::default();
    let (server, address) = serve(settings(), &toy);
    let mut parked = Client::connect(address).await;
    let mut awaiting = Client::connect(address).await;
    parked.send(&request(1, b"l")).await;
    awaiting.send(&request(2, b"w")).await;
    while toy.begun.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    server.stop(Duration::from_secs(10)).await;
    assert_eq!(server.connections(), 0);
    parked.closed().await;
    awaiting.closed().await;
}

#[tokio::test]
async fn a_busy_port_is_told_in_one_line() {
    let first = Listener::bind("PLAINTEXT", "127.0.0.1", 0, 64).unwrap();
    let port = first.local_addr().unwrap().port();
    let error = Listener::bind("PLAINTEXT", "127.0.0.1", port, 64).unwrap_err();
    assert!(matches!(error, BindError::Busy { .. }));
    let line = error.to_string();
    assert!(line.contains(&format!("127.0.0.1:{port}")) && !line.contains('\n'), "{line}");
    let error = Listener::bind("PLAINTEXT", "no such host", 1, 64).unwrap_err();
    assert!(matches!(error, BindError::Unresolved { .. }), "{error}");
}

#[tokio::test]
async fn no_host_means_every_address() {
    let listener = Listener::bind("PLAINTEXT", "", 0, 64).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = crate::net::Server::new(settings());
    server.serve(listener, |peer: std::sync::Arc<crate::wire::Peer>, _| async move {
        assert!(peer.remote.is_ipv4());
        crate::wire::Outgoing::Close("seen")
    });
    let mut client = Client::connect(([127, 0, 0, 1], port).into()).await;
    client.send(&request(1, b"n")).await;
    soon(client.closed()).await;
}
