//! What the kernel accounts to processes: CPU time and memory.

use anyhow::{Context, Result};
use std::time::{Duration, Instant};

/// CPU time of a process so far, all its threads, also those that ended. In nanoseconds, where `/proc` has ticks of 10 ms.
pub fn cpu(pid: u32) -> Result<Duration> {
    let mut clock = 0;
    // SAFETY: both calls write one value of the right type to a place that is ours.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    let failed = unsafe {
        libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) != 0
            || libc::clock_gettime(clock, &mut time) != 0
    };
    anyhow::ensure!(!failed, "process {pid} has ended");
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// CPU time of several processes.
pub fn cpu_of(pids: &[u32]) -> Result<Duration> {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

/// CPU time of this process.
pub fn own_cpu() -> Duration {
    cpu(std::process::id()).unwrap_or_default()
}

/// Resident memory of a process, in MiB.
pub fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} has ended"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.context("no VmRSS")? / 1024.0)
}

/// Wall and CPU time that some work took: of the processes that serve, and of this one that loads them.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    pub wall: Duration,
    pub cpu: Duration,
    pub own: Duration,
}

/// Measures `work` as the processes `pids` pay for it.
pub fn spent<T>(pids: &[u32], work: impl FnOnce() -> Result<T>) -> Result<(T, Spent)> {
    let (cpu, own, begun) = (cpu_of(pids)?, own_cpu(), Instant::now());
    let done = work()?;
    Ok((done, Spent { wall: begun.elapsed(), cpu: cpu_of(pids)? - cpu, own: own_cpu() - own }))
}
