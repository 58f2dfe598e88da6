//! A connection to another node, for as long as it holds.

use crate::config::HostPort;
use crate::seam::net::{self, OwnedReadHalf, OwnedWriteHalf, TcpStream};
use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// Requests that may wait to be written.
const QUEUE: usize = 64;
/// Who has said nothing for so long after a request is gone, whatever the connection says.
const SILENCE: Duration = Duration::from_secs(1);
/// The largest answer that is taken, bytes.
pub(super) const MAX_ANSWER: usize = 256 << 20;
/// The correlation id and the empty tagged fields of an answer's header.
pub(super) const ANSWER_HEADER: usize = 5;

/// No answer: refused, no route, unknown name, cut off, or silent for too long. All are treated alike.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{address} cannot be reached: {why}")]
pub struct Unreachable {
    pub address: String,
    pub why: String,
    /// The request did not leave this node.
    pub unsent: bool,
}

/// The way to one address. A name is resolved each time it is dialled.
#[derive(Debug)]
pub struct Link {
    address: HostPort,
    live: tokio::sync::Mutex<Option<Arc<Live>>>,
}

/// An open connection. Dropping it closes it.
#[derive(Debug)]
struct Live {
    requests: mpsc::Sender<Bytes>,
    waiting: Arc<Mutex<Waiting>>,
    next: AtomicI32,
    tasks: [JoinHandle<()>; 2],
}

/// Who waits for an answer, by correlation id.
#[derive(Debug)]
struct Waiting {
    askers: HashMap<i32, oneshot::Sender<Bytes>>,
    /// When the first request was sent that nothing has been heard since; whether its asker still waits does not matter.
    unanswered: Option<Instant>,
    closed: bool,
}

impl Waiting {
    /// A connection that is cut stays open here for as long as the kernel hopes.
    fn is_of_use(&self) -> bool {
        !self.closed && self.unanswered.is_none_or(|since| since.elapsed() < SILENCE)
    }
}

impl Link {
    pub fn new(address: HostPort) -> Link {
        Link { address, live: tokio::sync::Mutex::default() }
    }

    /// Sends one request, whose body is `body`, and waits for the body of its answer for at most `limit`.
    pub async fn call(
        &self,
        key: i16,
        version: i16,
        body: &[u8],
        limit: Duration,
    ) -> Result<Bytes, Unreachable> {
        let deadline = Instant::now() + limit;
        let live = self.live(deadline).await?;
        let answer = timeout_at(deadline, live.ask(key, version, body)).await;
        self.outcome(answer.ok())
    }

    async fn live(&self, deadline: Instant) -> Result<Arc<Live>, Unreachable> {
        match timeout_at(deadline, self.connected()).await {
            Ok(Ok(live)) => Ok(live),
            Ok(Err(error)) => Err(self.unreachable(error.to_string(), true)),
            Err(_) => Err(self.unreachable("silence".into(), true)),
        }
    }

    /// `None` for an answer that did not come in time, `Some(None)` for a connection that ended before.
    fn outcome(&self, answer: Option<Option<Bytes>>) -> Result<Bytes, Unreachable> {
        match answer {
            Some(Some(answer)) => Ok(answer),
            Some(None) => Err(self.unreachable("the connection was closed".into(), false)),
            None => Err(self.unreachable("no answer in time".into(), false)),
        }
    }

    /// Whether anyone is there: dials anew, whatever is open, and sees whether the connection lasts, each for at most `limit`.
    /// A process that dies still accepts connections until it has closed its listener, which resets them; but one that has too
    /// many ends them too, and goes on accepting.
    pub async fn dial(&self, limit: Duration) -> bool {
        let Ok(Ok(dialled)) = timeout(limit, connect(&self.address)).await else { return false };
        let (mut input, _output) = dialled.into_split();
        // Nobody has anything to say, but whoever does is there.
        let lasts = timeout(limit, input.read_u8()).await.map_or(true, |ended| ended.is_ok());
        lasts || matches!(timeout(limit, connect(&self.address)).await, Ok(Ok(_)))
    }

    async fn connected(&self) -> io::Result<Arc<Live>> {
        let mut live = self.live.lock().await;
        if let Some(live) = live.as_ref().filter(|live| live.waiting.lock().is_of_use()) {
            return Ok(live.clone());
        }
        // Closed at once, also if the next dial fails.
        *live = None;
        let opened = Arc::new(Live::open(connect(&self.address).await?));
        *live = Some(opened.clone());
        Ok(opened)
    }

    fn unreachable(&self, why: String, unsent: bool) -> Unreachable {
        Unreachable { address: self.address.to_string(), why, unsent }
    }
}

/// All addresses that a name has now; none if it has none.
pub(super) async fn resolve(address: &HostPort) -> Vec<IpAddr> {
    let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
    found.map_or(vec![], |found| found.map(|address| address.ip()).collect())
}

/// The first of the host's addresses that accepts.
pub(super) async fn connect(address: &HostPort) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for found in tokio::net::lookup_host((address.host.as_str(), address.port)).await? {
        match net::connect(found).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Live {
    fn open(stream: TcpStream) -> Live {
        let (input, output) = stream.into_split();
        let (requests, queue) = mpsc::channel(QUEUE);
        let waiting =
            Arc::new(Mutex::new(Waiting { askers: HashMap::new(), unanswered: None, closed: false }));
        let tasks =
            [tokio::spawn(write(output, queue, waiting.clone())), tokio::spawn(read(input, waiting.clone()))];
        Live { requests, waiting, next: AtomicI32::new(0), tasks }
    }

    /// `None` if the connection ends before the answer.
    async fn ask(&self, key: i16, version: i16, body: &[u8]) -> Option<Bytes> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (asker, answer) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.closed {
                return None;
            }
            waiting.unanswered.get_or_insert_with(Instant::now);
            waiting.askers.insert(id, asker);
        }
        let _leaving = Leaving { waiting: &self.waiting, id };
        self.requests.send(frame(key, version, id, body)).await.ok()?;
        answer.await.ok()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Forgets who no longer waits.
struct Leaving<'a> {
    waiting: &'a Mutex<Waiting>,
    id: i32,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.waiting.lock().askers.remove(&self.id);
    }
}

/// A whole frame with a flexible header (v2), without client id.
pub(super) fn frame(key: i16, version: i16, id: i32, body: &[u8]) -> Bytes {
    const HEADER: usize = 2 + 2 + 4 + 2 + 1;
    let mut frame = BytesMut::with_capacity(4 + HEADER + body.len());
    frame.put_i32((HEADER + body.len()) as i32);
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(id);
    frame.put_i16(-1);
    frame.put_u8(0);
    frame.put_slice(body);
    frame.freeze()
}

async fn write(mut output: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>, waiting: Arc<Mutex<Waiting>>) {
    while let Some(frame) = queue.recv().await {
        if output.write_all(&frame).await.is_err() {
            break;
        }
    }
    close(&waiting);
}

async fn read(mut input: OwnedReadHalf, waiting: Arc<Mutex<Waiting>>) {
    // However it ends, nobody waits any longer.
    let _ended = answers(&mut input, &waiting).await;
    close(&waiting);
}

async fn answers(input: &mut OwnedReadHalf, waiting: &Mutex<Waiting>) -> io::Result<()> {
    loop {
        let len = input.read_i32().await?;
        let len = usize::try_from(len).ok().filter(|len| (ANSWER_HEADER..=MAX_ANSWER).contains(len));
        let len = len.ok_or(io::ErrorKind::InvalidData)?;
        let mut answer = BytesMut::with_capacity(len);
        let mut input = (&mut *input).take(len as u64);
        while answer.len() < len {
            if input.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            waiting.lock().unanswered = None;
        }
        let body = answer.split_off(ANSWER_HEADER).freeze();
        let id = i32::from_be_bytes([answer[0], answer[1], answer[2], answer[3]]);
        if let Some(asker) = waiting.lock().askers.remove(&id) {
            // One that has given up wants it no more.
            let _ = asker.send(body);
        }
    }
}

fn close(waiting: &Mutex<Waiting>) {
    let mut waiting = waiting.lock();
    waiting.closed = true;
    waiting.askers.clear();
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    const LIMIT: Duration = Duration::from_secs(10);

    async fn listen() -> (TcpListener, Link) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, Link::new(HostPort { host: "127.0.0.1".into(), port }))
    }

    /// Reads one request: its correlation id and body.
    pub async fn request(stream: &mut TcpStream) -> (i32, Vec<u8>) {
        let mut frame = vec![0; stream.read_i32().await.unwrap() as usize];
        stream.read_exact(&mut frame).await.unwrap();
        (i32::from_be_bytes(frame[4..8].try_into().unwrap()), frame[11..].to_vec())
    }

    pub async fn respond(stream: &mut TcpStream, id: i32, body: &[u8]) {
        let frame = [&(5 + body.len() as i32).to_be_bytes()[..], &id.to_be_bytes(), &[0], body].concat();
        stream.write_all(&frame).await.unwrap();
    }

    #[tokio::test]
    async fn answers_find_their_requests_in_any_order() {
        let (listener, link) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (first, second) = (request(&mut stream).await, request(&mut stream).await);
            respond(&mut stream, 99, b"nobody asked").await;
            respond(&mut stream, second.0, &second.1).await;
            respond(&mut stream, first.0, &first.1).await;
        });
        let (one, two) = tokio::join!(link.call(1, 0, b"one", LIMIT), link.call(1, 0, b"two", LIMIT));
        assert_eq!((&*one.unwrap(), &*two.unwrap()), (&b"one"[..], &b"two"[..]));
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_ended_is_dialled_again() {
        let (listener, link) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            drop(stream);
            let (mut stream, _) = listener.accept().await.unwrap();
            let (id, body) = request(&mut stream).await;
            respond(&mut stream, id, &body).await;
        });
        let lost = link.call(1, 0, b"lost", LIMIT).await.unwrap_err();
        assert!(!lost.unsent, "it may have had an effect");
        assert_eq!(&*link.call(1, 0, b"again", LIMIT).await.unwrap(), b"again");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn who_refuses_or_is_silent_is_unreachable() {
        let (listener, link) = listen().await;
        let silent = link.call(1, 0, b"", Duration::from_millis(20)).await.unwrap_err();
        assert!(!silent.unsent, "{silent}");
        drop(listener);
        let port = link.address.port;
        let refused = Link::new(HostPort { host: "127.0.0.1".into(), port });
        assert!(refused.call(1, 0, b"", LIMIT).await.unwrap_err().unsent);
        assert!(!refused.dial(LIMIT).await);
        let nowhere = Link::new(HostPort { host: "no such name".into(), port });
        assert!(nowhere.call(1, 0, b"", LIMIT).await.unwrap_err().unsent);
    }

    #[tokio::test]
    async fn who_accepts_is_there_only_if_the_connection_lasts() {
        let (listener, link) = listen().await;
        let (lasts, _kept) = tokio::join!(link.dial(Duration::from_millis(20)), listener.accept());
        assert!(lasts);
        let (lasts, ()) = tokio::join!(link.dial(LIMIT), async { drop(listener.accept().await.unwrap()) });
        assert!(lasts, "it has too many connections");
        drop(listener.accept().await.unwrap());
        // The kernel has accepted before the listener is closed, as when a process dies.
        let dies = async {
            drop(listener.accept().await.unwrap());
            drop(listener);
        };
        let (lasts, ()) = tokio::join!(link.dial(LIMIT), dies);
        assert!(!lasts);
    }

    #[tokio::test]
    async fn an_answer_of_absurd_size_ends_the_connection() {
        let (listener, link) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            stream.write_all(&i32::MAX.to_be_bytes()).await.unwrap();
            stream
        });
        assert!(link.call(1, 0, b"", LIMIT).await.is_err());
        server.await.unwrap();
    }
}
