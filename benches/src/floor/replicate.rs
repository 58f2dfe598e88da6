//! Copies of a log: a stream of its bytes to each follower, and the number of bytes that it has back.

use super::log::Log;
use anyhow::{Result, ensure};
use std::os::fd::AsFd;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Key of the request that turns a connection into a log's stream; Kafka has none of this number.
pub const FOLLOW: i16 = i16::MAX;
/// Key of the request to let go of all files.
pub const FORGET: i16 = i16::MAX - 1;
const RECEIVED_AT_ONCE: usize = 1 << 20;

/// Sends what `log` has, as it comes, to its `nth` follower. Ends when the log is forgotten: a floor has no failures.
pub async fn lead(log: Arc<Log>, nth: usize, follower: String, name: Vec<u8>) -> Result<()> {
    let mut socket = TcpStream::connect(&follower).await?;
    socket.set_nodelay(true)?;
    let body = [&FOLLOW.to_be_bytes()[..], &name].concat();
    socket.write_all(&[&(body.len() as u32).to_be_bytes()[..], &body].concat()).await?;
    let socket = Arc::new(socket);
    // Ends with this.
    let mut listener = JoinSet::new();
    listener.spawn(acknowledgements(socket.clone(), log.clone(), nth));
    let mut appended = log.appended.subscribe();
    let mut sent = 0;
    loop {
        let end = *appended.wait_for(|end| *end > sent).await?;
        send(&socket, &log, sent, end - sent).await?;
        sent = end;
    }
}

/// `len` bytes of the log from `from` on, without a copy.
pub async fn send(socket: &TcpStream, log: &Log, from: u64, len: u64) -> std::io::Result<()> {
    let (mut from, end) = (from, from + len);
    while from < end {
        let rest = (end - from) as usize;
        let sent = socket.async_io(Interest::WRITABLE, || {
            Ok(rustix::fs::sendfile(socket.as_fd(), log.file.as_fd(), Some(&mut from), rest)?)
        });
        sent.await?;
    }
    Ok(())
}

async fn acknowledgements(socket: Arc<TcpStream>, log: Arc<Log>, nth: usize) -> Result<()> {
    let mut ends = [0; 4096];
    loop {
        // The last number of those that came is the largest; each is sent in one piece.
        let read = socket.async_io(Interest::READABLE, || socket.try_read(&mut ends)).await?;
        ensure!(read >= 8 && read % 8 == 0, "the follower has gone");
        log.kept[nth].send_replace(u64::from_be_bytes(ends[read - 8..read].try_into()?));
    }
}

/// The follower's side: receives, checks what it costs to check, appends, tells. `early` came with the request.
pub async fn follow(mut socket: TcpStream, log: Arc<Log>, early: &[u8]) -> Result<()> {
    let mut buffer = vec![0; RECEIVED_AT_ONCE];
    buffer[..early.len()].copy_from_slice(early);
    let mut received = early.len();
    loop {
        std::hint::black_box(crc32c::crc32c(&buffer[..received]));
        let end = log.append(&buffer[..received])?;
        socket.write_all(&end.to_be_bytes()).await?;
        received = socket.read(&mut buffer).await?;
        ensure!(received > 0, "the leader has gone");
    }
}

/// One sync for all that was appended before it, again and again.
pub async fn sync(log: Arc<Log>, nth: usize) -> Result<()> {
    let mut appended = log.appended.subscribe();
    let mut synced = 0;
    loop {
        let end = *appended.wait_for(|end| *end > synced).await?;
        let syncing = log.clone();
        tokio::task::spawn_blocking(move || syncing.file.sync_data()).await??;
        synced = end;
        log.kept[nth].send_replace(end);
    }
}
