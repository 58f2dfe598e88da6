//! A bound for the memory of a broker and for what the kernel remembers of its files: a control group, whose making takes root.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Where groups are made, and the file of the bound: version 1, then 2.
const KINDS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// A group; removed when dropped, which is to be after its processes have ended.
#[derive(Debug)]
pub struct Confined(PathBuf);

impl Confined {
    pub fn to(bytes: u64) -> Result<Confined> {
        let made = KINDS.iter().find_map(|(root, bound)| made(Path::new(root), bound, bytes));
        made.context("no control group can be made that bounds memory")
    }

    /// What the process takes from now on counts.
    pub fn take(&self, pid: u32) -> Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
            .context("a process does not go into its group")
    }
}

fn made(root: &Path, bound: &str, bytes: u64) -> Option<Confined> {
    if !root.join("cgroup.procs").exists() {
        return None;
    }
    let dir = root.join(format!("drave-bench-{}", std::process::id()));
    fs::create_dir(&dir).ok()?;
    let confined = Confined(dir);
    // Not by making a file: where the controller is missing, the one that is meant is not there.
    let file = confined.0.join(bound);
    (file.exists() && fs::write(file, bytes.to_string()).is_ok()).then_some(confined)
}

impl Drop for Confined {
    fn drop(&mut self) {
        // An empty group that stays does no harm.
        let _ = fs::remove_dir(&self.0);
    }
}
