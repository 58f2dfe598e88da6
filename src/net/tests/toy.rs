//! The toy service, and a client for it.
//!
//! A request's first byte says what becomes of it: `n` answered now, `l` later, once its gate opens, `h` likewise, keeping its charge for as long,
//! `e` likewise, but nothing comes of it, `w` waits for
//! its gate before its effect, `x` no reply, `c` close, `b` a reply of 64 KiB, `f` the toy's file.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use parking_lot::Mutex;
use storage::disk::FileSlice;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::net::{Listener, Server, Settings};
use crate::wire::header::PEER_KEYS;
use crate::wire::{Chunk, Chunks, Frame, Outgoing};

pub const BIG_REPLY: usize = 64 * 1024;
pub const LONG: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
pub struct Toy {
    pub gates: Arc<Mutex<HashMap<i32, Arc<Semaphore>>>>,
    /// Requests whose handling began.
    pub begun: Arc<AtomicUsize>,
    /// Parked replies that exist.
    pub parked: Arc<AtomicUsize>,
    pub file: Option<FileSlice>,
}

/// Counts itself for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::SeqCst);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Toy {
    fn gate(&self, id: i32) -> Arc<Semaphore> {
        self.gates.lock().entry(id).or_insert_with(|| Arc::new(Semaphore::new(0))).clone()
    }

    pub fn open(&self, id: i32) {
        self.gate(id).add_permits(1);
    }

    pub async fn answer(self, frame: Frame) -> Outgoing {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let id = frame.header.correlation_id;
        let gate = self.gate(id);
        match frame.body[0] {
            b'n' => Outgoing::Now(reply(id, &[Chunk::Bytes(frame.body)])),
            b'x' => Outgoing::Nothing,
            b'c' => Outgoing::Close("the toy was asked to"),
            b'b' => Outgoing::Now(reply(id, &[Chunk::Bytes(vec![7; BIG_REPLY].into())])),
            b'f' => Outgoing::Now(reply(id, &[Chunk::File(self.file.unwrap()), Chunk::Bytes("end".into())])),
            b'w' => {
                let _ = gate.acquire().await.unwrap();
                Outgoing::Now(reply(id, &[Chunk::Bytes(frame.body)]))
            }
            b'e' => Outgoing::Later(Box::pin(async move {
                let _ = gate.acquire().await.unwrap();
                Chunks::default()
            })),
            b'h' => Outgoing::Later(Box::pin(async move {
                let _charged = frame.hold;
                let _ = gate.acquire().await.unwrap();
                reply(id, &[Chunk::Bytes(frame.body)])
            })),
            b'l' => {
                let counted = Counted::new(&self.parked);
                Outgoing::Later(Box::pin(async move {
                    let _ = gate.acquire().await.unwrap();
                    drop(counted);
                    reply(id, &[Chunk::Bytes(frame.body)])
                }))
            }
            other => panic!("the toy does not know {other}"),
        }
    }
}

fn reply(id: i32, body: &[Chunk]) -> Chunks {
    let len: usize = body.iter().map(Chunk::len).sum();
    let mut head = BytesMut::new();
    head.put_u32(4 + len as u32);
    head.put_i32(id);
    let mut chunks = vec![Chunk::Bytes(head.freeze())];
    chunks.extend(body.iter().map(|chunk| match chunk {
        Chunk::Bytes(bytes) => Chunk::Bytes(bytes.clone()),
        Chunk::File(slice) => Chunk::File(slice.clone()),
    }));
    Chunks(chunks)
}

pub fn settings() -> Settings {
    Settings {
        max_request_bytes: 1 << 20,
        max_idle: Duration::from_secs(600),
        max_connections: usize::MAX,
        max_connections_per_ip: usize::MAX,
        per_ip_overrides: Default::default(),
        send_buffer: None,
        receive_buffer: None,
        queued_max_request_bytes: 1 << 30,
    }
}

/// A server that answers by `toy`, and its address.
pub fn serve(settings: Settings, toy: &Toy) -> (Server, SocketAddr) {
    serve_on(Listener::bind("TEST", "127.0.0.1", 0, 64).unwrap().for_peers(), settings, toy)
}

/// Likewise, where no brokers come.
pub fn serve_clients(settings: Settings, toy: &Toy) -> (Server, SocketAddr) {
    serve_on(Listener::bind("TEST", "127.0.0.1", 0, 64).unwrap(), settings, toy)
}

fn serve_on(listener: Listener, settings: Settings, toy: &Toy) -> (Server, SocketAddr) {
    let address = listener.local_addr().unwrap();
    let server = Server::new(settings);
    let toy = toy.clone();
    server.serve(listener, move |_, frame| toy.clone().answer(frame));
    (server, address)
}

/// A whole Produce frame, as far as its header.
pub fn request(id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.put_u32(10 + body.len() as u32);
    frame.put_i16(ApiKey::Produce as i16);
    frame.put_i16(3);
    frame.put_i32(id);
    frame.put_i16(-1);
    frame.put_slice(body);
    frame
}

/// The same from another broker; its header is flexible.
pub fn peer_request(id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = request(id, &[&[0], body].concat());
    frame[4..6].copy_from_slice(&PEER_KEYS.start.to_be_bytes());
    frame
}

pub struct Client(pub TcpStream);

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client(stream)
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next reply's correlation id and body; `None` once the server has closed.
    pub async fn reply(&mut self) -> Option<(i32, Bytes)> {
        let len = self.0.read_u32().await.ok()? as usize;
        let id = self.0.read_i32().await.ok()?;
        let mut body = vec![0; len - 4];
        self.0.read_exact(&mut body).await.ok()?;
        Some((id, body.into()))
    }

    pub async fn ask(&mut self, id: i32, body: &[u8]) -> Option<Bytes> {
        self.send(&request(id, body)).await;
        let (answered, body) = self.reply().await?;
        assert_eq!(answered, id);
        Some(body)
    }

    /// Waits until the server has closed, without a further reply.
    pub async fn closed(&mut self) {
        assert_eq!(self.reply().await, None);
    }
}

/// Fails a test that waits for what does not come.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(LONG, work).await.expect("it takes too long")
}

/// Waits for something that other tasks bring about.
pub async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
