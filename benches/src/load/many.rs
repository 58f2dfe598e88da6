//! Many connections of one thread: each sends its next request when the last was answered.

use super::closed::histogram;
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection's turn: asks, waits, checks.
pub struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: &str) -> Result<Client> {
        let socket =
            TcpStream::connect(address).await.with_context(|| format!("nobody listens on {address}"))?;
        socket.set_nodelay(true)?;
        Ok(Client { socket, buffer: vec![0; 4096] })
    }

    pub async fn ask(&mut self, frame: &[u8]) -> Result<&[u8]> {
        self.socket.write_all(frame).await?;
        // Small answers come in one piece: one call for both the length and what follows it.
        let mut have = 0;
        loop {
            if have >= 4 {
                let len = 4 + u32::from_be_bytes(self.buffer[..4].try_into()?) as usize;
                if have == len {
                    return Ok(&self.buffer[4..len]);
                }
                self.buffer.resize(self.buffer.len().max(len), 0);
            }
            let read = self.socket.read(&mut self.buffer[have..]).await?;
            anyhow::ensure!(read > 0, "the broker closed a connection");
            have += read;
        }
    }
}

/// Connections to `addresses`, one for each of `frames`, in turn for `duration`. Answers the latencies.
pub fn run(
    frames: Vec<(String, Vec<u8>)>,
    duration: Duration,
    check: impl Fn(&[u8]) -> Result<()> + 'static,
) -> Result<Histogram<u64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let check = Rc::new(check);
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut clients = vec![];
        for (address, frame) in frames {
            clients.push((Client::connect(&address).await?, frame));
        }
        let end = Instant::now() + duration;
        let turns = clients
            .into_iter()
            .map(|(client, frame)| tokio::task::spawn_local(turns(client, frame, end, check.clone())));
        let turns: Vec<_> = turns.collect();
        let mut all = histogram();
        for turn in turns {
            all.add(turn.await??)?;
        }
        Ok(all)
    })
}

async fn turns(
    mut client: Client,
    frame: Vec<u8>,
    end: Instant,
    check: Rc<impl Fn(&[u8]) -> Result<()>>,
) -> Result<Histogram<u64>> {
    let mut latencies = histogram();
    let mut begun = Instant::now();
    while begun < end {
        check(client.ask(&frame).await?)?;
        let now = Instant::now();
        latencies.saturating_record((now - begun).as_nanos() as u64);
        begun = now;
    }
    Ok(latencies)
}
