//! TCP as the kernel has it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::sendfile;
use rustix::io::retry_on_intr;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::Interest;

pub use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
pub use tokio::net::{TcpListener, TcpStream};

/// The side of a connection that is written to.
pub type Output<'a> = &'a TcpStream;

/// A peer that vanished without a word is noticed after this, and some probes.
const KEEPALIVE: Duration = Duration::from_secs(60);

pub fn output<'a>(half: &'a WriteHalf<'_>) -> Output<'a> {
    half.as_ref()
}

pub async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(to).await
}

/// A socket that listens on `address`, and that tokio knows.
pub fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // A restart must not wait for the old connections' TIME_WAIT. Two listeners at once stay impossible on Linux.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    TcpListener::from_std(socket.into())
}

/// Sets what a connection that was accepted should have; sizes of buffers are the kernel's choice if `None`.
pub fn tune(stream: &TcpStream, send_buffer: Option<usize>, receive_buffer: Option<usize>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    send_buffer.map_or(Ok(()), |bytes| socket.set_send_buffer_size(bytes))?;
    receive_buffer.map_or(Ok(()), |bytes| socket.set_recv_buffer_size(bytes))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

/// Sends a stretch of a file without a copy: the bytes sent, 0 at the file's end.
pub fn send_file(socket: Output<'_>, file: BorrowedFd<'_>, at: u64, len: usize) -> io::Result<usize> {
    let mut at = at;
    socket.try_io(Interest::WRITABLE, || Ok(retry_on_intr(|| sendfile(socket, file, Some(&mut at), len))?))
}

/// Sends `pieces`, to be held back for `more` that follows: the bytes sent.
pub fn send_memory(socket: Output<'_>, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    let more = if more { SendFlags::MORE } else { SendFlags::empty() };
    socket.try_io(Interest::WRITABLE, || {
        let flags = more | SendFlags::NOSIGNAL;
        let mut no_control = SendAncillaryBuffer::default();
        Ok(retry_on_intr(|| sendmsg(socket, pieces, &mut no_control, flags))?)
    })
}

/// Whether the other side has closed, or the connection is broken.
pub fn has_hung_up(socket: Output<'_>) -> bool {
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    let mut fds = [PollFd::new(socket, PollFlags::RDHUP)];
    // What cannot be looked at now is looked at again.
    let seen = poll(&mut fds, Some(&Timespec::default()));
    seen.is_ok() && fds[0].revents().intersects(gone)
}
