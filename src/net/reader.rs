//! Takes frames off a connection.
//!
//! Frames are received into a common buffer, many per system call, and sliced off it; there is none while nothing
//! is being received. It is small, and large for one read while a client sends faster than it is read: then batches of the
//! usual size arrive several at a time. The part of a frame that such a read ends with moves out of the large buffer, which is
//! never waited with. A frame that does not fit the small one gets a buffer of its own, which grows as its bytes arrive, so that a
//! length that is only claimed costs no memory.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::task::coop::consume_budget;
use tokio::time::{sleep, timeout};

use super::budget::{Budget, Budgets, Charge};
use crate::seam::net::ReadHalf;
use crate::wire::codec::body_limit;
use crate::wire::header::PEER_KEYS;

/// Size of the common buffer, and so of the largest frame (with its length) that is not charged to the budget.
const COMMON: usize = 16 * 1024;
/// What a client that sends little gets of it: what is allocated anew for each request should still be in the cache.
const LITTLE: usize = 4 * 1024;
/// What a read brings at most, charged to the budget above [`COMMON`]. The receive buffer of a socket holds about as much.
const AHEAD: usize = 128 * 1024;
/// A big frame's buffer, and its charge, is at most this many times what has arrived of it, or [`COMMON`], or what [`PROVEN`]
/// allows.
const GROWTH: usize = 2;
/// Up to this a client is believed that it sends another frame as large as its largest so far: no growing, no copying. Only
/// while there is room; nobody waits for room on a belief.
const PROVEN: usize = 4 << 20;
/// How long a frame may wait for room, for it holds what it has so far: a client gives up about then.
const QUEUE: Duration = Duration::from_secs(15);

/// Receives the frames of one connection.
#[derive(Debug)]
pub(super) struct Reader {
    common: BytesMut,
    /// What the next read into an empty buffer may bring, from [`LITTLE`] to [`AHEAD`].
    size: usize,
    /// For a buffer larger than [`COMMON`].
    ahead: Charge,
    /// `socket.request.max.bytes`
    max_frame: usize,
    /// The largest frame received so far, up to [`PROVEN`].
    proven: usize,
    /// Whether other brokers may send here.
    for_peers: bool,
}

/// The front of a frame.
struct Claim {
    /// Bytes behind the length itself.
    len: usize,
    api_key: i16,
}

/// Why nothing more can be received.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    #[error("closed by the client")]
    Eof,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a frame claims a length of {0}")]
    NoLength(i32),
    #[error("a frame of {len} bytes exceeds socket.request.max.bytes={max}")]
    TooLarge { len: usize, max: usize },
    #[error("a frame of {len} bytes exceeds the {max} that API key {api_key} may need")]
    TooLargeForApi { len: usize, max: usize, api_key: i16 },
    #[error("API key {0} is for brokers, and this listener is not")]
    ForPeers(i16),
    #[error("no room for a frame of {len} bytes within {} s", QUEUE.as_secs())]
    NoRoom { len: usize },
    #[error("a frame of {len} bytes comes too slowly")]
    Slow { len: usize },
}

impl Reader {
    pub fn new(max_frame: usize, for_peers: bool) -> Reader {
        Reader {
            common: BytesMut::new(),
            size: LITTLE,
            ahead: Charge::default(),
            max_frame,
            proven: 0,
            for_peers,
        }
    }

    /// The next frame if it is here already.
    pub fn buffered(&mut self) -> Result<Option<Bytes>, ReadError> {
        match self.claimed()? {
            Some(Claim { len, api_key }) if self.common.len() >= 4 + len => {
                self.common.advance(4);
                let frame = self.common.split_to(len);
                Ok(Some(self.apart(frame, api_key)))
            }
            _ => Ok(None),
        }
    }

    /// The frame as it is handed out. Batches are written and gone; what keeps a part of another request must not keep
    /// a large buffer with it.
    fn apart(&self, frame: BytesMut, api_key: i16) -> Bytes {
        if !self.ahead.is_nothing() && api_key != ApiKey::Produce as i16 {
            return Bytes::copy_from_slice(&frame);
        }
        frame.freeze()
    }

    /// Receives the next frame, without its length, and what it is charged. Loses nothing if cancelled before a big frame has begun; a
    /// cancelled big frame is lost, so that the connection must end.
    pub async fn next(
        &mut self,
        socket: &mut ReadHalf<'_>,
        budgets: &Budgets,
    ) -> Result<(Bytes, Charge), ReadError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok((frame, Charge::default()));
            }
            self.leave_large();
            match self.claimed()? {
                Some(Claim { len, api_key }) if self.is_big(len) => {
                    return self.big(socket, budgets.of(api_key), len).await;
                }
                _ => self.more(socket, budgets).await?,
            }
        }
    }

    /// Whether the rest of a frame that has begun is received by itself: it has filled the common buffer, or is believed to.
    fn is_big(&self, len: usize) -> bool {
        self.common.len() >= COMMON || len > COMMON && len <= self.proven
    }

    /// Moves what a large buffer still holds, less than a frame, to one of its size: nobody may wait with a large one.
    fn leave_large(&mut self) {
        if !self.ahead.is_nothing() {
            (self.common, self.ahead) = (BytesMut::from(&*self.common), Charge::default());
        }
    }

    /// One read behind what is there, less than [`COMMON`], into a buffer that is only made once something has come.
    async fn more(&mut self, socket: &mut ReadHalf<'_>, budgets: &Budgets) -> Result<(), ReadError> {
        loop {
            if self.common.is_empty() {
                self.common = BytesMut::new();
            }
            socket.readable().await?;
            // Nobody waits for room to read ahead.
            if self.size > COMMON && !budgets.ahead().try_raise(&mut self.ahead, self.size) {
                self.size = COMMON;
            }
            let had = self.common.len();
            let room = if had == 0 { self.size } else { self.size.max(COMMON) } - had;
            self.common.reserve(room);
            if let Some(got) = receive_now(socket, &mut self.common, had + room).await? {
                return self.suit(got, room);
            }
            self.leave_large();
            // A read is also refused, with bytes to be read, when this task has had its turn: then it has to yield here.
            consume_budget().await;
        }
    }

    /// Suits the size of the next read to one that brought `got` of `room`: all that it could, or little. Frames that are larger than
    /// any read are received by themselves. It shrinks slowly, for what comes in bursts seldom comes in equal ones.
    fn suit(&mut self, got: usize, room: usize) -> Result<(), ReadError> {
        // What nodes say to each other may be kept for long: never in a large buffer.
        let largest = if self.for_peers { COMMON } else { AHEAD };
        if got < self.size / 4 {
            self.size = LITTLE.max(self.size - self.size / 8);
        } else if got >= room && self.claimed()?.is_some_and(|claim| 4 + claim.len <= largest) {
            self.size = largest.min(2 * self.size);
        }
        Ok(())
    }

    /// What the next frame claims to be, once its prefix is here and is one that we accept.
    fn claimed(&self) -> Result<Option<Claim>, ReadError> {
        let Some(mut length) = self.common.get(..4) else {
            return Ok(None);
        };
        let len = check_length(length.get_i32(), self.max_frame)?;
        let Some(mut key) = self.common.get(4..6) else {
            // Too short for a key, and refused as that, once it is whole.
            return Ok((len < 2).then_some(Claim { len, api_key: -1 }));
        };
        let api_key = key.get_i16();
        if !self.for_peers && PEER_KEYS.contains(&api_key) {
            return Err(ReadError::ForPeers(api_key));
        }
        match body_limit(api_key) {
            Some(max) if len > max => Err(ReadError::TooLargeForApi { len, max, api_key }),
            _ => Ok(Some(Claim { len, api_key })),
        }
    }

    /// Receives the rest of a frame that has begun in the common buffer, which becomes its own and grows.
    async fn big(
        &mut self,
        socket: &mut ReadHalf<'_>,
        budget: &Budget,
        len: usize,
    ) -> Result<(Bytes, Charge), ReadError> {
        let mut charge = Charge::default();
        let mut frame = std::mem::take(&mut self.common);
        frame.advance(4);
        let mut room = frame.len();
        while frame.len() < len {
            let believed = len.min(self.proven);
            room = match believed > GROWTH * room && budget.try_raise(&mut charge, believed) {
                true => believed,
                false => len.min(COMMON.max(GROWTH * room)),
            };
            let raise = budget.raise(&mut charge, room);
            timeout(QUEUE, raise).await.map_err(|_| ReadError::NoRoom { len })?;
            frame.reserve(room - frame.len());
            let step = fill_up(socket, &mut frame, room);
            patient(room, budget, step).await.ok_or(ReadError::Slow { len })??;
        }
        self.proven = self.proven.max(len.min(PROVEN));
        Ok((frame.freeze(), charge))
    }
}

/// The outcome of a step of a big frame; `None` if it takes too long.
async fn patient<T>(room: usize, budget: &Budget, step: impl Future<Output = T>) -> Option<T> {
    let mut step = pin!(step);
    if let Ok(done) = timeout(hurry(room), &mut step).await {
        return Some(done);
    }
    tokio::select! {
        biased;
        done = &mut step => Some(done),
        () = budget.wanted() => None,
        () = sleep(patience(room)) => None,
    }
}

/// How long a step may take while others wait for room, for it holds some: two seconds more than at 1 MiB/s.
fn hurry(room: usize) -> Duration {
    Duration::from_secs(2 + (room >> 20) as u64)
}

/// How long beyond that while nobody waits: half a minute more than at 64 KiB/s.
fn patience(room: usize) -> Duration {
    Duration::from_secs(30 + (room >> 16) as u64)
}

async fn fill_up(socket: &mut ReadHalf<'_>, buf: &mut BytesMut, full: usize) -> Result<(), ReadError> {
    while buf.len() < full {
        receive(socket, buf, full).await?;
    }
    Ok(())
}

fn check_length(claimed: i32, max: usize) -> Result<usize, ReadError> {
    match usize::try_from(claimed) {
        Err(_) | Ok(0) => Err(ReadError::NoLength(claimed)),
        Ok(len) if len > max => Err(ReadError::TooLarge { len, max }),
        Ok(len) => Ok(len),
    }
}

/// One read into `buf`, up to `full` bytes in all: the bytes that came.
async fn receive(socket: &mut ReadHalf<'_>, buf: &mut BytesMut, full: usize) -> Result<usize, ReadError> {
    let room = full - buf.len();
    match socket.read_buf(&mut buf.limit(room)).await? {
        0 => Err(ReadError::Eof),
        got => Ok(got),
    }
}

/// One read, or `None` if nothing is there to be read or this task has had its turn (tokio's coop).
async fn receive_now(
    socket: &mut ReadHalf<'_>,
    buf: &mut BytesMut,
    full: usize,
) -> Result<Option<usize>, ReadError> {
    let mut read = pin!(receive(socket, buf, full));
    poll_fn(|cx| match read.as_mut().poll(cx) {
        Poll::Ready(read) => Poll::Ready(read.map(Some)),
        Poll::Pending => Poll::Ready(Ok(None)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::net::{OwnedWriteHalf, TcpListener, TcpStream, connect, listen};
    use std::net::Ipv4Addr;
    use tokio::io::AsyncWriteExt;
    use tokio::task::coop::has_budget_remaining;

    async fn pair() -> (TcpStream, OwnedWriteHalf) {
        let listener: TcpListener = listen((Ipv4Addr::LOCALHOST, 0).into(), 1).unwrap();
        let client = connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client.into_split().1)
    }

    /// Where a frame and the common buffer have nearly the same size, each read ends shortly after the next frame begins.
    #[tokio::test]
    async fn a_client_that_sends_faster_is_read_ahead_whatever_the_size_of_its_frames() {
        const FRAMES: usize = 100;
        for len in [100, 4_096, COMMON - 8, COMMON - 4, COMMON, 20_000] {
            let (mut stream, mut client) = pair().await;
            let mut frame = vec![0; 4 + len];
            frame[..4].copy_from_slice(&(len as u32).to_be_bytes());
            let all = frame.repeat(FRAMES.max((1 << 20) / len));
            let count = all.len() / frame.len();
            let sending = tokio::spawn(async move { client.write_all(&all).await });
            let (mut reader, budgets) = (Reader::new(1 << 20, false), Budgets::new(1 << 20));
            let (mut input, _output) = stream.split();
            let mut largest = 0;
            for _ in 0..count {
                let (received, _charge) = reader.next(&mut input, &budgets).await.unwrap();
                assert_eq!(received, frame[4..], "frames of {len} bytes");
                largest = largest.max(reader.size);
            }
            assert!(largest > COMMON, "frames of {len} bytes: at most {largest} at once");
            sending.await.unwrap().unwrap();
        }
    }

    /// A task that has had its turn is refused what it could read, until it has yielded.
    #[tokio::test]
    async fn who_has_had_its_turn_reads_after_the_next() {
        let (mut stream, mut client) = pair().await;
        let (mut input, _output) = stream.split();
        let (mut reader, budgets) = (Reader::new(1 << 20, false), Budgets::new(1 << 20));
        client.write_all(&[0, 0, 0, 2, 0, 0]).await.unwrap();
        input.readable().await.unwrap();
        while has_budget_remaining() {
            consume_budget().await;
        }
        let (received, _charge) = reader.next(&mut input, &budgets).await.unwrap();
        assert_eq!(received[..], [0, 0]);
    }
}
