//! A process that is measured, and its end.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{Read, Seek};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than any broker takes to start or to stop, or a client for its work.
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs `command` to its end, which must be a good one; answers all that it said.
pub fn said_by(command: &mut Command, input: Stdio) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut said = tempfile::tempfile()?;
    ending_with_us(command).stdin(input).stdout(said.try_clone()?).stderr(said.try_clone()?);
    let mut child = command.spawn().with_context(|| format!("{program} cannot be run"))?;
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    let mut text = String::new();
    said.rewind()?;
    said.read_to_string(&mut text)?;
    let status = status.with_context(|| format!("{program} does not end: {text}"))?;
    ensure!(status.success(), "{program} ended with {status}: {text}");
    Ok(text)
}

/// Has what `command` starts, or becomes by exec, killed when this process ends, however it ends. To be started by a thread
/// that lives as long as this process does.
pub fn ending_with_us(command: &mut Command) -> &mut Command {
    let own = std::process::id();
    let tie = move || {
        // SAFETY: a system call that changes nothing but what becomes of the new process.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        // Too late for one whose parent has gone already.
        if std::os::unix::process::parent_id() != own {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec there are two system calls, and nothing is allocated.
    unsafe { command.pre_exec(tie) }
}

pub struct Process {
    pub pid: u32,
    child: Child,
}

impl Process {
    /// Starts `command`, whose output goes to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Process> {
        let log = File::options().create(true).append(true).open(log)?;
        let command = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = ending_with_us(command)
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
            ensure!(Instant::now() < deadline, "process {} does not stop", self.pid);
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
            ensure!(Instant::now() < deadline, "nobody listens on {address} after {PATIENCE:?}");
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
