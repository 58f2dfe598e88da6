//! Ports that stay ours while a broker is down.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::sync::Arc;

/// Below the ports that the kernel gives to outgoing connections, so that none takes ours between two starts.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;
/// The first of those that the kernel gives.
const OUTGOING: u16 = 32_768;

/// A port that no other test has, in this process or another: a locked file says so, until the last copy is dropped.
#[derive(Clone)]
pub struct Port {
    number: u16,
    _lock: Arc<File>,
}

/// Each process has a place of its own to begin at.
fn numbers() -> impl Iterator<Item = u16> {
    let start = std::process::id() as u16 % COUNT;
    (0..COUNT).map(move |step| FIRST + (start + step) % COUNT)
}

impl Port {
    pub fn reserve() -> Port {
        numbers().find_map(Port::claim).expect("no port is free")
    }

    /// Ports that lie so far behind some first one, for programs that count them.
    pub fn reserve_at(distances: &[u16]) -> Vec<Port> {
        let last = distances.iter().max().expect("some are wanted");
        let claim = |first| distances.iter().map(|distance| Port::claim(first + distance)).collect();
        numbers().filter(|first| first + last < OUTGOING).find_map(claim).expect("no such ports are free")
    }

    pub fn number(&self) -> u16 {
        self.number
    }

    fn claim(number: u16) -> Option<Port> {
        let path = std::env::temp_dir().join(format!("drave-test-port-{number}"));
        let lock = OpenOptions::new().create(true).append(true).open(path).ok()?;
        lock.try_lock().ok()?;
        TcpListener::bind(("127.0.0.1", number)).ok()?;
        Some(Port { number, _lock: Arc::new(lock) })
    }
}
