//! Work beside the runtime's own threads.

use std::io;
use storage::disk::without_waiting;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

/// Runs `work`, which may block, on a thread where that harms nobody.
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(feature = "simulation")]
    if let Some(host) = super::simulation::host() {
        let turn = host.data_turn();
        return tokio::spawn(async move {
            turn.await;
            work()
        });
    }
    tokio::task::spawn_blocking(work)
}

/// Has `question` answered here and now if all that it reads is in memory. What has to come from a device is waited for
/// elsewhere: meanwhile this thread serves others. Gives back what it was asked with; an error only if the process is ending.
pub async fn reading<Q: Send + 'static, A: Send + 'static>(
    question: Q,
    answer: impl Fn(&Q) -> A + Send + 'static,
) -> Result<(Q, A), JoinError> {
    if let Some(answered) = without_waiting(|| answer(&question)) {
        return Ok((question, answered));
    }
    let answered = blocking(move || {
        let answered = answer(&question);
        (question, answered)
    });
    answered.await
}

/// Whether several threads may work for one caller.
pub fn can_block() -> bool {
    #[cfg(feature = "simulation")]
    return super::simulation::host().is_none();
    #[cfg(not(feature = "simulation"))]
    true
}

/// Where the quorum's disk work is done.
pub fn disk_lane() -> raft::Lane {
    #[cfg(feature = "simulation")]
    if let Some(host) = super::simulation::host() {
        return raft::Lane::Paced(raft::Pace::new(move || host.metadata_turn()));
    }
    raft::Lane::Threads
}

/// A thread with a runtime of its own, for what must not wait for anything that runs elsewhere.
pub struct Thread {
    /// Ends as the thread does, by a value unless that panicked.
    ended: oneshot::Receiver<()>,
}

impl Thread {
    /// Runs `work` to its end, and then gives up what is `held`.
    pub fn spawn(
        name: &str,
        work: impl Future<Output = ()> + Send + 'static,
        held: impl Send + 'static,
    ) -> io::Result<Thread> {
        let (end, ended) = oneshot::channel();
        #[cfg(feature = "simulation")]
        if super::simulation::host().is_some() {
            tokio::spawn(async move {
                work.await;
                drop(held);
                let _ = end.send(());
            });
            return Ok(Thread { ended });
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(name.into()).spawn(move || {
            runtime.block_on(work);
            drop(runtime);
            drop(held);
            // Nobody has to wait for it.
            let _ = end.send(());
        })?;
        Ok(Thread { ended })
    }

    /// Waits for its end; false if it panicked.
    pub async fn join(self) -> bool {
        self.ended.await.is_ok()
    }
}
