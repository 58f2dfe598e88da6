//! A process that is measured, and its end.

use anyhow::{Context, Result};
use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than any broker takes to start or to stop.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Process {
    pub pid: u32,
    child: Child,
}

impl Process {
    /// Starts `command`, whose output goes to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Process> {
        let log = File::options().create(true).append(true).open(log)?;
        let command = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be run", command.get_program().to_string_lossy()))?;
        Ok(Process { pid: child.id(), child })
    }

    /// Told to, or killed.
    pub fn end(&mut self, killed: bool) -> Result<()> {
        let signal = if killed { libc::SIGKILL } else { libc::SIGTERM };
        // SAFETY: the child is not waited for yet, so that its id is still its own.
        unsafe { libc::kill(self.pid as libc::pid_t, signal) };
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            anyhow::ensure!(Instant::now() < deadline, "process {} does not stop", self.pid);
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until somebody accepts connections at `address`.
    pub fn await_listener(&mut self, address: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("it ended with {status}");
            }
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "nobody listens on {address} after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whether it has ended already, or cannot be: there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
