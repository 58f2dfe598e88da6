//! What the nodes say in their logs.

use crate::machine::{Moment, running};
use crate::net::Machine;
use std::cell::RefCell;
use std::io::{self, Write};
use tracing_subscriber::EnvFilter;

/// What an operator sees unless told otherwise.
const LEVELS: &str = "info,openraft=error";

thread_local! {
    static LINES: RefCell<Vec<(Machine, String)>> = const { RefCell::new(vec![]) };
}

/// From now on lines are kept; they are printed, too, if `RUST_LOG` says which.
pub fn keep() {
    let asked = EnvFilter::try_from_default_env();
    let prints = asked.is_ok();
    let filter = asked.unwrap_or_else(|_| EnvFilter::new(LEVELS));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_timer(Moment).with_ansi(false);
    log.with_writer(move || Keeper { prints }).init();
}

/// Forgets what was said so far.
pub fn forget() {
    LINES.with_borrow_mut(Vec::clear);
}

/// What the nodes of a machine have said since.
pub fn of(machine: Machine) -> Vec<String> {
    LINES.with_borrow(|lines| {
        let said = lines.iter().filter(|(by, _)| *by == machine);
        said.map(|(_, line)| line.clone()).collect()
    })
}

struct Keeper {
    prints: bool,
}

impl Write for Keeper {
    /// A whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.prints {
            io::stderr().write_all(line)?;
        }
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        LINES.with_borrow_mut(|lines| lines.push((running(), text)));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
