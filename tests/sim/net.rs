//! The network: connections that keep order and lose nothing, between machines whose links are slow, held or cut.
//!
//! ```text
//!   try_write ─► parcel, on its way for a while ─► (link held? kept back, in order) ─► the other end ─► try_read
//!        ▲                                                                                  │
//!        └──────────────── room in the window ◄── parcel ◄──────────────────────────────────┘
//! ```
//! A machine without power takes and answers nothing; a process that died has its connections reset.

use bytes::{Buf, Bytes, BytesMut};
use drave::seam::simulation::{Listener, Stream};
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use storage::disk::fault::Rng;

/// Bytes that may be on their way or unread, one way of one connection.
const WINDOW: usize = 128 << 10;

/// A machine, by the last part of its address.
pub type Machine = u8;

/// Its address.
pub fn address(machine: Machine, port: u16) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, machine), port).into()
}

fn machine(at: SocketAddr) -> Machine {
    match at {
        SocketAddr::V4(at) => at.ip().octets()[3],
        SocketAddr::V6(_) => 0,
    }
}

/// The network; clones are the same.
#[derive(Clone)]
pub struct Net(Arc<Mutex<State>>);

struct State {
    rng: Rng,
    /// Milliseconds since the world began.
    now: u64,
    sent: u64,
    under_way: BinaryHeap<Reverse<(u64, u64, Parcel)>>,
    links: BTreeMap<(Machine, Machine), Link>,
    dark: BTreeSet<Machine>,
    listening: BTreeMap<SocketAddr, Backlog>,
    connections: BTreeMap<u64, [End; 2]>,
    opened: u64,
    trace: crate::trace::Trace,
    woken: Vec<Waker>,
}

/// One way from a machine to another.
#[derive(Default)]
struct Link {
    /// Milliseconds that a parcel takes at most, beyond the one that it takes at least.
    delay: u64,
    is_held: bool,
    kept_back: Vec<Parcel>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Parcel {
    connection: u64,
    /// Which end it goes to.
    to: usize,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum What {
    Open,
    Accepted,
    Refused,
    Data(Bytes),
    /// The reader took so many bytes.
    Room(usize),
    End,
    Reset,
}

/// Who has called, and was not yet accepted.
#[derive(Default)]
struct Backlog {
    calls: VecDeque<(u64, SocketAddr)>,
    waker: Option<Waker>,
}

/// One end of a connection.
struct End {
    at: SocketAddr,
    state: EndState,
    unread: VecDeque<Bytes>,
    has_ended: bool,
    has_shut: bool,
    room: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// When the last parcel to this end arrives: none arrives before it.
    last_due: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EndState {
    Opening,
    Open,
    /// Refused or reset.
    Broken,
    /// Nobody has it any more.
    Gone,
}

impl Net {
    pub fn new(seed: u64, trace: crate::trace::Trace) -> Net {
        Net(Arc::new(Mutex::new(State {
            rng: Rng::new(seed),
            now: 0,
            sent: 0,
            under_way: BinaryHeap::new(),
            links: BTreeMap::new(),
            dark: BTreeSet::new(),
            listening: BTreeMap::new(),
            connections: BTreeMap::new(),
            opened: 0,
            trace,
            woken: vec![],
        })))
    }

    /// Does `work`, then wakes whom it woke: who is woken may come back here.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let (done, woken) = {
            let state = &mut *self.0.lock();
            let done = work(state);
            (done, std::mem::take(&mut state.woken))
        };
        woken.into_iter().for_each(Waker::wake);
        done
    }

    /// It is `now`: what was to arrive by then arrives.
    pub fn advance(&self, now: u64) {
        self.with(|state| {
            state.now = now;
            while state.under_way.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
                if let Some(Reverse((_, _, parcel))) = state.under_way.pop() {
                    state.arrive(parcel);
                }
            }
        });
    }

    /// From now on parcels take up to `delay` ms more than one, that way.
    pub fn slow(&self, from: Machine, to: Machine, delay: u64) {
        self.with(|state| state.link(from, to).delay = delay);
    }

    /// From now on nothing arrives, that way, and nothing is lost.
    pub fn hold(&self, from: Machine, to: Machine) {
        self.with(|state| state.link(from, to).is_held = true);
    }

    /// What was kept back goes on, in its order.
    pub fn release(&self, from: Machine, to: Machine) {
        self.with(|state| {
            let link = state.link(from, to);
            link.is_held = false;
            // Before anything that is under way: it was sent earlier.
            for parcel in std::mem::take(&mut link.kept_back) {
                state.arrive(parcel);
            }
        });
    }

    /// Breaks some of the connections between two machines.
    pub fn reset(&self, one: Machine, two: Machine) {
        self.with(|state| {
            let between = |ends: &[End; 2]| {
                let ends = [machine(ends[0].at), machine(ends[1].at)];
                ends == [one, two] || ends == [two, one]
            };
            let found = state.connections.iter().filter(|(_, ends)| between(ends)).map(|(id, _)| *id);
            for id in found.collect::<Vec<_>>() {
                if state.rng.one_in(2) {
                    state.break_end(id, 0);
                    state.break_end(id, 1);
                }
            }
        });
    }

    /// The processes of a machine are gone: it closes their connections.
    pub fn close_all(&self, at: Machine) {
        self.with(|state| state.abandon(at, true));
    }

    /// The machine has no power: it says nothing any more.
    pub fn darken(&self, at: Machine) {
        self.with(|state| {
            state.abandon(at, false);
            state.dark.insert(at);
        });
    }

    pub fn light(&self, at: Machine) {
        self.with(|state| state.dark.remove(&at));
    }

    pub fn listen(&self, at: SocketAddr) -> io::Result<Arc<dyn Listener>> {
        self.with(|state| {
            if state.listening.contains_key(&at) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            state.listening.insert(at, Backlog::default());
            Ok(Arc::new(Listening { net: self.clone(), at }) as Arc<dyn Listener>)
        })
    }

    pub fn connect(&self, from: Machine, to: SocketAddr) -> BoxFuture<'static, io::Result<Arc<dyn Stream>>> {
        let id = self.with(|state| {
            state.opened += 1;
            let id = state.opened;
            let from = address(from, 10_000 + (id % 50_000) as u16);
            state.connections.insert(id, [End::new(from), End::new(to)]);
            state.send(id, 1, What::Open);
            id
        });
        let stream = Arc::new(Socket { net: self.clone(), id, side: 0 });
        async move {
            let opened = poll_fn(|cx| {
                stream.net.with(|state| match state.end(id, 0) {
                    Some(end) if end.state == EndState::Opening => {
                        end.writer = Some(cx.waker().clone());
                        Poll::Pending
                    }
                    Some(end) if end.state == EndState::Open => Poll::Ready(Ok(())),
                    _ => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
                })
            });
            opened.await.map(|()| stream as Arc<dyn Stream>)
        }
        .boxed()
    }
}

impl State {
    fn link(&mut self, from: Machine, to: Machine) -> &mut Link {
        self.links.entry((from, to)).or_default()
    }

    fn end(&mut self, id: u64, side: usize) -> Option<&mut End> {
        self.connections.get_mut(&id).map(|ends| &mut ends[side])
    }

    fn send(&mut self, connection: u64, to: usize, what: What) {
        self.go(Parcel { connection, to, what });
    }

    fn go(&mut self, parcel: Parcel) {
        let Some(ends) = self.connections.get(&parcel.connection) else { return };
        let (from, to) = (machine(ends[1 - parcel.to].at), machine(ends[parcel.to].at));
        let delay = self.link(from, to).delay;
        let (now, extra) = (self.now, self.rng.below(delay as usize + 1) as u64);
        let Some(end) = self.end(parcel.connection, parcel.to) else { return };
        end.last_due = end.last_due.max(now + 1 + extra);
        let due = end.last_due;
        self.sent += 1;
        self.under_way.push(Reverse((due, self.sent, parcel)));
    }

    fn arrive(&mut self, parcel: Parcel) {
        let Some(ends) = self.connections.get(&parcel.connection) else { return };
        let (from, to) = (machine(ends[1 - parcel.to].at), machine(ends[parcel.to].at));
        let link = self.link(from, to);
        if link.is_held {
            return link.kept_back.push(parcel);
        }
        if self.dark.contains(&to) {
            return;
        }
        self.trace.note(self.now, &(from, to, parcel.connection, &parcel.what));
        self.take(parcel);
    }

    fn take(&mut self, Parcel { connection: id, to: side, what }: Parcel) {
        if what == What::Open {
            return self.open(id);
        }
        let Some(end) = self.connections.get_mut(&id).map(|ends| &mut ends[side]) else { return };
        if matches!(end.state, EndState::Gone | EndState::Broken) {
            // Nobody is there to take it.
            if matches!(what, What::Data(_) | What::Accepted) {
                self.send(id, 1 - side, What::Reset);
            }
            return;
        }
        match what {
            What::Open => {}
            What::Accepted => end.state = EndState::Open,
            What::Data(bytes) => end.unread.push_back(bytes),
            What::Room(bytes) => end.room += bytes,
            What::End => end.has_ended = true,
            What::Refused | What::Reset => end.state = EndState::Broken,
        }
        let wakers = [end.reader.take(), end.writer.take()];
        self.woken.extend(wakers.into_iter().flatten());
    }

    /// Somebody calls the second end.
    fn open(&mut self, id: u64) {
        let Some([caller, called]) = self.connections.get_mut(&id) else { return };
        let (from, at) = (caller.at, called.at);
        let Some(backlog) = self.listening.get_mut(&at) else {
            called.state = EndState::Gone;
            return self.send(id, 0, What::Refused);
        };
        called.state = EndState::Open;
        backlog.calls.push_back((id, from));
        self.woken.extend(backlog.waker.take());
        self.send(id, 0, What::Accepted);
    }

    fn break_end(&mut self, id: u64, side: usize) {
        if let Some(end) = self.end(id, side).filter(|end| end.state != EndState::Gone) {
            end.state = EndState::Broken;
            let wakers = [end.reader.take(), end.writer.take()];
            self.woken.extend(wakers.into_iter().flatten());
        }
    }

    /// Nobody has this end any more.
    fn leave(&mut self, id: u64, side: usize, farewell: Option<What>) {
        let Some(ends) = self.connections.get_mut(&id) else { return };
        let (end, other) = match ends {
            [end, other] if side == 0 => (end, other),
            [other, end] => (end, other),
        };
        let was = std::mem::replace(&mut end.state, EndState::Gone);
        if was == EndState::Gone {
            return;
        }
        end.unread.clear();
        if matches!(other.state, EndState::Gone) || was == EndState::Opening && side == 0 {
            self.connections.remove(&id);
        } else if let Some(farewell) = farewell.filter(|_| was != EndState::Broken) {
            self.send(id, 1 - side, farewell);
        }
    }

    /// A machine's processes are gone; it may say so.
    fn abandon(&mut self, at: Machine, says_so: bool) {
        self.listening.retain(|listens, _| machine(*listens) != at);
        let ends = |id: &u64, ends: &[End; 2]| [(*id, 0, machine(ends[0].at)), (*id, 1, machine(ends[1].at))];
        let all = self.connections.iter().flat_map(|(id, both)| ends(id, both));
        let left: Vec<_> = all.filter(|(.., has)| *has == at).map(|(id, side, _)| (id, side)).collect();
        for (id, side) in left {
            let farewell = if self.rng.one_in(2) { What::End } else { What::Reset };
            self.leave(id, side, says_so.then_some(farewell));
        }
    }
}

impl End {
    fn new(at: SocketAddr) -> End {
        End {
            at,
            state: EndState::Opening,
            unread: VecDeque::new(),
            has_ended: false,
            has_shut: false,
            room: WINDOW,
            reader: None,
            writer: None,
            last_due: 0,
        }
    }

    fn is_readable(&self) -> bool {
        !self.unread.is_empty() || self.has_ended || self.state != EndState::Open
    }

    fn is_writable(&self) -> bool {
        self.room > 0 || self.state != EndState::Open
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.state != EndState::Open {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let mut read = 0;
        while let Some(front) = self.unread.front_mut().filter(|_| read < buf.len()) {
            let len = front.len().min(buf.len() - read);
            front.copy_to_slice(&mut buf[read..read + len]);
            read += len;
            if front.is_empty() {
                self.unread.pop_front();
            }
        }
        match read {
            0 if !self.has_ended && !buf.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }

    /// What of `pieces` fits.
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<Bytes> {
        if self.state != EndState::Open {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.has_shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut taken = BytesMut::new();
        for piece in pieces {
            let len = piece.len().min(self.room - taken.len());
            taken.extend_from_slice(&piece[..len]);
        }
        if taken.is_empty() && pieces.iter().any(|piece| !piece.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room -= taken.len();
        Ok(taken.freeze())
    }
}

struct Listening {
    net: Net,
    at: SocketAddr,
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listening on {}", self.at)
    }
}

impl Listener for Listening {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Arc<dyn Stream>, SocketAddr)>> {
        let call = self.net.with(|state| {
            let backlog = state.listening.get_mut(&self.at)?;
            let call = backlog.calls.pop_front();
            if call.is_none() {
                backlog.waker = Some(cx.waker().clone());
            }
            call
        });
        match call {
            Some((id, from)) => {
                let socket = Socket { net: self.net.clone(), id, side: 1 };
                Poll::Ready(Ok((Arc::new(socket), from)))
            }
            None => Poll::Pending,
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.at
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.net.with(|state| {
            let calls = state.listening.remove(&self.at).map(|backlog| backlog.calls);
            for (id, _) in calls.into_iter().flatten() {
                state.leave(id, 1, Some(What::Reset));
            }
        });
    }
}

/// One end, as a process has it.
struct Socket {
    net: Net,
    id: u64,
    side: usize,
}

impl Socket {
    /// Does `work` with this end; `gone` if its process ended.
    fn end<T>(&self, gone: T, work: impl FnOnce(&mut End) -> T) -> T {
        self.net.with(|state| state.end(self.id, self.side).map_or(gone, work))
    }
}

fn reset<T>() -> io::Result<T> {
    Err(io::ErrorKind::ConnectionReset.into())
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "end {} of connection {}", self.side, self.id)
    }
}

impl Stream for Socket {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.end(Poll::Ready(()), |end| match end.is_readable() {
            true => Poll::Ready(()),
            false => {
                end.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.end(reset(), |end| end.read(buf))?;
        if read > 0 {
            self.net.with(|state| state.send(self.id, 1 - self.side, What::Room(read)));
        }
        Ok(read)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.end(Poll::Ready(()), |end| match end.is_writable() {
            true => Poll::Ready(()),
            false => {
                end.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes = self.end(reset(), |end| end.write(pieces))?;
        let written = bytes.len();
        if written > 0 {
            self.net.with(|state| state.send(self.id, 1 - self.side, What::Data(bytes)));
        }
        Ok(written)
    }

    fn shut(&self) {
        let shuts = self.end(false, |end| !std::mem::replace(&mut end.has_shut, true));
        if shuts {
            self.net.with(|state| state.send(self.id, 1 - self.side, What::End));
        }
    }

    fn has_hung_up(&self) -> bool {
        self.end(true, |end| end.has_ended || end.state != EndState::Open)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.net.with(|state| {
            let Some(end) = state.end(self.id, self.side) else { return };
            let farewell = match (end.unread.is_empty(), end.has_shut) {
                (false, _) => Some(What::Reset),
                (true, true) => None,
                (true, false) => Some(What::End),
            };
            state.leave(self.id, self.side, farewell);
        });
    }
}
