//! Sockets of the kernel, or of the simulation that this thread runs.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::kernel;
use crate::seam::simulation::{self, Listener, Stream};

type Simulated = Arc<dyn Stream>;

#[derive(Debug)]
pub enum TcpListener {
    Kernel(kernel::TcpListener),
    Simulated(Arc<dyn Listener>),
}

#[derive(Debug)]
pub enum TcpStream {
    Kernel(kernel::TcpStream),
    Simulated(Simulated),
}

pub enum ReadHalf<'a> {
    Kernel(kernel::ReadHalf<'a>),
    Simulated(&'a dyn Stream),
}

pub enum WriteHalf<'a> {
    Kernel(kernel::WriteHalf<'a>),
    Simulated(&'a dyn Stream),
}

#[derive(Debug)]
pub enum OwnedReadHalf {
    Kernel(kernel::OwnedReadHalf),
    Simulated(Simulated),
}

#[derive(Debug)]
pub enum OwnedWriteHalf {
    Kernel(kernel::OwnedWriteHalf),
    Simulated(SimulatedWriteHalf),
}

/// Ends what is written when it goes.
#[derive(Debug)]
pub struct SimulatedWriteHalf(Simulated);

/// The side of a connection that is written to.
#[derive(Clone, Copy)]
pub enum Output<'a> {
    Kernel(kernel::Output<'a>),
    Simulated(&'a dyn Stream),
}

pub fn output<'a>(half: &'a WriteHalf<'_>) -> Output<'a> {
    match half {
        WriteHalf::Kernel(half) => Output::Kernel(kernel::output(half)),
        WriteHalf::Simulated(stream) => Output::Simulated(*stream),
    }
}

pub async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    match simulation::host() {
        Some(host) => host.connect(to).await.map(TcpStream::Simulated),
        None => kernel::connect(to).await.map(TcpStream::Kernel),
    }
}

pub fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    match simulation::host() {
        Some(host) => host.listen(address).map(TcpListener::Simulated),
        None => kernel::listen(address, backlog).map(TcpListener::Kernel),
    }
}

pub fn tune(stream: &TcpStream, send_buffer: Option<usize>, receive_buffer: Option<usize>) -> io::Result<()> {
    match stream {
        TcpStream::Kernel(stream) => kernel::tune(stream, send_buffer, receive_buffer),
        TcpStream::Simulated(_) => Ok(()),
    }
}

/// No file of a simulation is the kernel's.
pub fn send_file(socket: Output<'_>, file: BorrowedFd<'_>, at: u64, len: usize) -> io::Result<usize> {
    match socket {
        Output::Kernel(socket) => kernel::send_file(socket, file, at, len),
        Output::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

pub fn send_memory(socket: Output<'_>, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    match socket {
        Output::Kernel(socket) => kernel::send_memory(socket, pieces, more),
        Output::Simulated(stream) => stream.try_write(pieces),
    }
}

pub fn has_hung_up(socket: Output<'_>) -> bool {
    match socket {
        Output::Kernel(socket) => kernel::has_hung_up(socket),
        Output::Simulated(stream) => stream.has_hung_up(),
    }
}

impl TcpListener {
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self {
            TcpListener::Kernel(listener) => {
                let (stream, from) = listener.accept().await?;
                Ok((TcpStream::Kernel(stream), from))
            }
            TcpListener::Simulated(listener) => {
                let (stream, from) = std::future::poll_fn(|cx| listener.poll_accept(cx)).await?;
                Ok((TcpStream::Simulated(stream), from))
            }
        }
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            TcpListener::Kernel(listener) => listener.local_addr(),
            TcpListener::Simulated(listener) => Ok(listener.local_addr()),
        }
    }
}

impl TcpStream {
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match self {
            TcpStream::Kernel(stream) => stream.set_nodelay(nodelay),
            TcpStream::Simulated(_) => Ok(()),
        }
    }

    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        match self {
            TcpStream::Kernel(stream) => {
                let (input, output) = stream.split();
                (ReadHalf::Kernel(input), WriteHalf::Kernel(output))
            }
            TcpStream::Simulated(stream) => (ReadHalf::Simulated(&**stream), WriteHalf::Simulated(&**stream)),
        }
    }

    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        match self {
            TcpStream::Kernel(stream) => {
                let (input, output) = stream.into_split();
                (OwnedReadHalf::Kernel(input), OwnedWriteHalf::Kernel(output))
            }
            TcpStream::Simulated(stream) => {
                let output = SimulatedWriteHalf(stream.clone());
                (OwnedReadHalf::Simulated(stream), OwnedWriteHalf::Simulated(output))
            }
        }
    }
}

impl ReadHalf<'_> {
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            ReadHalf::Kernel(half) => half.readable().await,
            ReadHalf::Simulated(stream) => {
                std::future::poll_fn(|cx| stream.poll_read_ready(cx)).await;
                Ok(())
            }
        }
    }
}

impl Output<'_> {
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Output::Kernel(socket) => socket.poll_write_ready(cx),
            Output::Simulated(stream) => stream.poll_write_ready(cx).map(Ok),
        }
    }
}

impl AsyncRead for ReadHalf<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ReadHalf::Kernel(half) => Pin::new(half).poll_read(cx, buf),
            ReadHalf::Simulated(stream) => read(*stream, cx, buf),
        }
    }
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            OwnedReadHalf::Kernel(half) => Pin::new(half).poll_read(cx, buf),
            OwnedReadHalf::Simulated(stream) => read(&**stream, cx, buf),
        }
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            OwnedWriteHalf::Kernel(half) => Pin::new(half).poll_write(cx, bytes),
            OwnedWriteHalf::Simulated(SimulatedWriteHalf(stream)) => {
                ready!(stream.poll_write_ready(cx));
                Poll::Ready(stream.try_write(&[IoSlice::new(bytes)]))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            OwnedWriteHalf::Kernel(half) => Pin::new(half).poll_flush(cx),
            OwnedWriteHalf::Simulated(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            OwnedWriteHalf::Kernel(half) => Pin::new(half).poll_shutdown(cx),
            OwnedWriteHalf::Simulated(SimulatedWriteHalf(stream)) => {
                stream.shut();
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl Drop for SimulatedWriteHalf {
    fn drop(&mut self) {
        self.0.shut();
    }
}

fn read(stream: &dyn Stream, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    ready!(stream.poll_read_ready(cx));
    let read = stream.try_read(buf.initialize_unfilled())?;
    buf.advance(read);
    Poll::Ready(Ok(()))
}
