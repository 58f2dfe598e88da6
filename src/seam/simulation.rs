//! What a simulation puts in the place of the system, for all that runs on its thread.

use futures_util::future::BoxFuture;
use std::cell::RefCell;
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use storage::disk::Disk;

/// The machine, as the process of one node sees it.
pub trait Host: Send + Sync {
    fn wall_ms(&self) -> i64;
    fn boot_id(&self) -> String;
    fn disk(&self) -> Arc<dyn Disk>;
    /// What blocks waits for this first: a disk takes its time.
    fn data_turn(&self) -> BoxFuture<'static, ()>;
    /// Likewise, what the metadata log does: it may lie on another disk.
    fn metadata_turn(&self) -> BoxFuture<'static, ()>;
    fn listen(&self, at: SocketAddr) -> io::Result<Arc<dyn Listener>>;
    fn connect(&self, to: SocketAddr) -> BoxFuture<'static, io::Result<Arc<dyn Stream>>>;
}

/// A socket that listens. Dropping it closes it.
pub trait Listener: Send + Sync + Debug {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Arc<dyn Stream>, SocketAddr)>>;
    fn local_addr(&self) -> SocketAddr;
}

/// One end of a connection. Dropping it closes it.
pub trait Stream: Send + Sync + Debug {
    /// Ready once [`Stream::try_read`] has an answer.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()>;
    /// The bytes read, 0 at the end, `WouldBlock` if there are none yet.
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize>;
    /// Ready once [`Stream::try_write`] has an answer.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()>;
    /// The bytes taken, or `WouldBlock`.
    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Ends what is written.
    fn shut(&self);
    /// Whether the other side has closed, or the connection is broken.
    fn has_hung_up(&self) -> bool;
}

thread_local! {
    static HOST: RefCell<Option<Arc<dyn Host>>> = const { RefCell::new(None) };
}

/// Does `work` as a process of `host`.
pub fn within<T>(host: Arc<dyn Host>, work: impl FnOnce() -> T) -> T {
    let before = HOST.replace(Some(host));
    let done = work();
    HOST.set(before);
    done
}

/// The machine of the process that runs now, on a thread that simulates.
pub fn host() -> Option<Arc<dyn Host>> {
    HOST.with_borrow(Clone::clone)
}
