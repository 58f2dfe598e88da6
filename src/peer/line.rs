//! A connection to another node that one asker has to itself: a request, its answer, the next request.
//!
//! What is asked for and what is done with the answer is one task, so that neither waits for another one to be scheduled.

use super::link::{ANSWER_HEADER, MAX_ANSWER, Unreachable, connect, frame};
use crate::config::HostPort;
use crate::seam::net::{OwnedReadHalf, OwnedWriteHalf, TcpStream};
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// What an answer is received into at least, bytes, so that a small one is there after one read.
const LITTLE: usize = 4 * 1024;
/// What is kept at most for the next answer, bytes.
const KEPT: usize = 1 << 20;

/// The way to one address. A name is resolved each time it is dialled.
#[derive(Debug)]
pub struct Line {
    address: HostPort,
    open: Option<Open>,
}

/// An open connection on which nothing is under way.
#[derive(Debug)]
struct Open {
    input: OwnedReadHalf,
    output: OwnedWriteHalf,
    next: i32,
    /// For the next answer. Used again once nobody holds a part of the one before.
    buffer: BytesMut,
    /// How large that is expected to be.
    room: usize,
}

impl Line {
    pub fn new(address: HostPort) -> Line {
        Line { address, open: None }
    }

    /// Sends one request, whose body is `body`, and waits for the body of its answer as long as no `silence` passes in which
    /// nothing of it comes. Whoever gives up before takes the connection along: the answer would be the next one's.
    pub async fn call(
        &mut self,
        key: i16,
        version: i16,
        body: &[u8],
        silence: Duration,
    ) -> Result<Bytes, Unreachable> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let dialled = within(silence, connect(&self.address)).await;
                Open::new(dialled.map_err(|error| self.unreachable(&error, true))?)
            }
        };
        let answer = open.ask(key, version, body, silence).await;
        let answer = answer.map_err(|error| self.unreachable(&error, false))?;
        self.open = Some(open);
        Ok(answer)
    }

    fn unreachable(&self, why: &io::Error, unsent: bool) -> Unreachable {
        Unreachable { address: self.address.to_string(), why: why.to_string(), unsent }
    }
}

impl Open {
    fn new(stream: TcpStream) -> Open {
        let (input, output) = stream.into_split();
        Open { input, output, next: 0, buffer: BytesMut::new(), room: LITTLE }
    }

    async fn ask(&mut self, key: i16, version: i16, body: &[u8], silence: Duration) -> io::Result<Bytes> {
        let id = self.next;
        self.next = id.wrapping_add(1);
        within(silence, self.output.write_all(&frame(key, version, id, body))).await?;
        let mut answer = self.answer(silence).await?;
        if answer.get_i32() != id {
            return Err(io::ErrorKind::InvalidData.into());
        }
        answer.advance(ANSWER_HEADER - size_of::<i32>());
        Ok(answer)
    }

    /// The next frame, without its length.
    async fn answer(&mut self, silence: Duration) -> io::Result<Bytes> {
        let len = loop {
            let lacking = match self.claimed()? {
                Some(len) if self.buffer.len() >= 4 + len => break len,
                Some(len) => 4 + len - self.buffer.len(),
                None => self.room,
            };
            self.buffer.reserve(lacking);
            if within(silence, self.input.read_buf(&mut self.buffer)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        self.buffer.advance(4);
        let answer = self.buffer.split_to(len).freeze();
        self.expect(4 + len);
        Ok(answer)
    }

    /// What the next answer claims to measure, once that is known.
    fn claimed(&self) -> io::Result<Option<usize>> {
        let Some(mut len) = self.buffer.get(..4) else { return Ok(None) };
        let len = usize::try_from(len.get_i32()).ok();
        let len = len.filter(|len| (ANSWER_HEADER..=MAX_ANSWER).contains(len));
        len.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Answers tend to be as large as the last, or get smaller slowly.
    fn expect(&mut self, size: usize) {
        self.room = size.max(self.room - self.room / 8).clamp(LITTLE, KEPT);
        if size > 2 * self.room {
            self.buffer = BytesMut::from(&*self.buffer);
        }
    }
}

/// Nothing for so long is a failure.
async fn within<T>(silence: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = timeout(silence, work).await;
    done.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::link::tests::{request, respond};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn listen() -> (TcpListener, Line) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, Line::new(HostPort { host: "127.0.0.1".into(), port }))
    }

    async fn accept(listener: &TcpListener) -> TcpStream {
        listener.accept().await.unwrap().0
    }

    /// Small after large ones, larger than what is kept, and again.
    #[tokio::test]
    async fn one_answer_comes_after_the_other_whatever_their_sizes() {
        let (listener, mut line) = listen().await;
        let sizes = [0, 1, LITTLE, 100_000, 3, KEPT - 9, 3 * KEPT, 5, 70_000];
        let server = tokio::spawn(async move {
            let mut stream = accept(&listener).await;
            for _ in sizes {
                let (id, body) = request(&mut stream).await;
                respond(&mut stream, id, &body).await;
            }
        });
        let mut kept = vec![];
        for size in sizes {
            let body: Vec<u8> = (0..size).map(|at| (at / 3 + size) as u8).collect();
            kept.push((line.call(1, 0, &body, LIMIT).await.unwrap(), body));
            assert!(kept.iter().all(|(answer, body)| answer == body), "an answer of {size} bytes");
            // Some are let go of at once, some are not.
            kept.truncate(size % 3);
        }
        server.await.unwrap();
    }

    #[tokio::test]
    async fn who_gives_up_leaves_no_answer_to_the_next() {
        let (listener, mut line) = listen().await;
        let server = tokio::spawn(async move {
            let mut left = accept(&listener).await;
            let (id, _) = request(&mut left).await;
            let mut stream = accept(&listener).await;
            let (next, body) = request(&mut stream).await;
            respond(&mut left, id, b"for nobody").await;
            respond(&mut stream, next, &body).await;
        });
        let gave_up = timeout(Duration::from_millis(20), line.call(1, 0, b"given up", LIMIT)).await;
        assert!(gave_up.is_err());
        assert_eq!(&*line.call(1, 0, b"next", LIMIT).await.unwrap(), b"next");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_ended_is_dialled_again() {
        let (listener, mut line) = listen().await;
        let server = tokio::spawn(async move {
            request(&mut accept(&listener).await).await;
            let mut stream = accept(&listener).await;
            let (id, body) = request(&mut stream).await;
            respond(&mut stream, id, &body).await;
            drop(listener);
        });
        let lost = line.call(1, 0, b"lost", LIMIT).await.unwrap_err();
        assert!(!lost.unsent, "it may have had an effect");
        assert_eq!(&*line.call(1, 0, b"again", LIMIT).await.unwrap(), b"again");
        server.await.unwrap();
        assert!(line.call(1, 0, b"closed", LIMIT).await.is_err());
        assert!(line.call(1, 0, b"refused", LIMIT).await.unwrap_err().unsent);
    }

    #[tokio::test]
    async fn what_makes_no_sense_ends_the_connection() {
        const ANSWERS: [&[u8]; 3] = [&[0x7f, 0xff, 0xff, 0xff], &[0, 0, 0, 4], &[0, 0, 0, 5, 0, 0, 0, 9, 0]];
        for answer in ANSWERS {
            let (listener, mut line) = listen().await;
            let server = tokio::spawn(async move {
                let mut stream = accept(&listener).await;
                request(&mut stream).await;
                stream.write_all(answer).await.unwrap();
                stream
            });
            assert!(line.call(1, 0, b"", LIMIT).await.is_err(), "{answer:?}");
            assert!(line.open.is_none());
            server.await.unwrap();
        }
    }

    /// Half of the silence that is allowed passes after each piece.
    #[tokio::test(start_paused = true)]
    async fn a_long_answer_may_take_longer_than_silence_may_last() {
        const PIECES: u8 = 10;
        let (listener, mut line) = listen().await;
        let server = tokio::spawn(async move {
            let mut stream = accept(&listener).await;
            let (id, _) = request(&mut stream).await;
            stream.write_i32((ANSWER_HEADER as u8 + PIECES).into()).await.unwrap();
            stream.write_i32(id).await.unwrap();
            stream.write_u8(0).await.unwrap();
            for piece in 0..PIECES {
                stream.write_u8(piece).await.unwrap();
                tokio::time::sleep(LIMIT / 2).await;
            }
            request(&mut stream).await;
            stream
        });
        assert_eq!(*line.call(1, 0, b"", LIMIT).await.unwrap(), *(0..PIECES).collect::<Vec<_>>());
        let asked = Instant::now();
        assert!(line.call(1, 0, b"", LIMIT).await.is_err());
        assert!(asked.elapsed() < LIMIT * 2, "nothing came");
        server.await.unwrap();
    }
}
