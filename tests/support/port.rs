//! Ports that stay ours while a broker is down.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::sync::Arc;

/// Below the ports that the kernel gives to outgoing connections, so that none takes ours between two starts.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A port that no other test has, in this process or another: a locked file says so, until the last copy is dropped.
#[derive(Clone)]
pub struct Port {
    number: u16,
    _lock: Arc<File>,
}

impl Port {
    pub fn reserve() -> Port {
        let start = std::process::id() as u16 % COUNT;
        let numbers = (0..COUNT).map(|step| FIRST + (start + step) % COUNT);
        numbers.filter_map(Port::claim).next().expect("no port is free")
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
