//! The one writer of the log: keeps the order in which things were submitted, and syncs once for all that waits.

use std::io;
use std::sync::mpsc;

use parking_lot::Mutex;
use tokio::sync::mpsc as tasks;

use super::record::Record;
use super::wal::Wal;
use crate::settings::{Lane, Pace};
use crate::types::LogId;

/// Told once the records are durable, or that they may not be.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

pub(crate) enum Job {
    Write(Vec<Record>, Done),
    /// Needs no fsync of its own: goes with the next write, or with the last one.
    Committed(LogId),
    /// Writes what is left. Nothing may follow.
    Close(Done),
}

/// Takes jobs from any task without blocking it (but for [`Lane::Inline`], which does the work at once).
#[derive(Debug)]
pub(crate) enum Writer {
    Thread(mpsc::Sender<Job>),
    Inline(Box<Mutex<Journal>>),
    Task(tasks::UnboundedSender<Job>),
}

impl Job {
    fn refuse(self) {
        match self {
            Job::Write(_, done) | Job::Close(done) => {
                done(Err(io::Error::other("the log's writer has died")));
            }
            Job::Committed(_) => {}
        }
    }
}

/// Jobs taken into one frame.
const MAX_BATCH: usize = 4096;

impl Writer {
    pub fn start(wal: Wal, lane: &Lane) -> io::Result<Writer> {
        let journal = Journal { wal, committed: None, failed: None };
        match lane {
            Lane::Inline => Ok(Writer::Inline(Box::new(Mutex::new(journal)))),
            Lane::Threads => {
                let (jobs, queue) = mpsc::channel();
                std::thread::Builder::new().name("raft-log".into()).spawn(move || journal.run(&queue))?;
                Ok(Writer::Thread(jobs))
            }
            Lane::Paced(pace) => {
                let (jobs, queue) = tasks::unbounded_channel();
                tokio::spawn(journal.run_paced(queue, pace.clone()));
                Ok(Writer::Task(jobs))
            }
        }
    }

    pub fn submit(&self, job: Job) {
        match self {
            Writer::Inline(journal) => journal.lock().write(vec![job]),
            // A thread outlives all senders unless it panicked, a task as long as its runtime does.
            Writer::Thread(jobs) => _ = jobs.send(job).map_err(|mpsc::SendError(job)| job.refuse()),
            Writer::Task(jobs) => _ = jobs.send(job).map_err(|tasks::error::SendError(job)| job.refuse()),
        }
    }
}

/// The log and what was not yet written to it.
#[derive(Debug)]
pub(crate) struct Journal {
    wal: Wal,
    committed: Option<LogId>,
    /// The first error. What was written since the last success is in doubt, so nothing is written after it.
    failed: Option<(io::ErrorKind, String)>,
}

impl Journal {
    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        while let Ok(job) = queue.recv() {
            let mut batch = vec![job];
            batch.extend(queue.try_iter().take(MAX_BATCH - 1));
            self.write(batch);
        }
    }

    async fn run_paced(mut self, mut queue: tasks::UnboundedReceiver<Job>, pace: Pace) {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, MAX_BATCH).await > 0 {
            pace.turn().await;
            self.write(std::mem::take(&mut batch));
        }
    }

    /// Writes a batch as one, then tells everyone in order.
    fn write(&mut self, batch: Vec<Job>) {
        let (mut records, mut waiting) = (Vec::new(), Vec::new());
        for job in batch {
            match job {
                Job::Committed(upto) => self.committed = Some(upto),
                Job::Write(more, done) => {
                    records.extend(more);
                    waiting.push(done);
                }
                Job::Close(done) => waiting.push(done),
            }
        }
        if !waiting.is_empty() {
            records.extend(self.committed.take().map(Record::Committed));
            self.attempt(&records);
        }
        waiting.into_iter().for_each(|done| done(self.outcome()));
    }

    fn attempt(&mut self, records: &[Record]) {
        if self.failed.is_some() || records.is_empty() {
            return;
        }
        if let Err(e) = self.wal.write(records) {
            tracing::error!(error = %e, "the quorum's log cannot be written");
            self.failed = Some((e.kind(), e.to_string()));
        }
    }

    fn outcome(&self) -> io::Result<()> {
        self.failed.clone().map_or(Ok(()), |(kind, why)| Err(io::Error::new(kind, why)))
    }
}
