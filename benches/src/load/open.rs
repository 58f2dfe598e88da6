//! Requests at a fixed rate, whether or not the answers come: a latency counts from when its request was due, so that a
//! broker that stands still is charged for all that would have come meanwhile.

use super::closed::histogram;
use super::wire::Wire;
use anyhow::Result;
use hdrhistogram::Histogram;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub struct Rate {
    /// All connections together.
    pub requests_per_second: u32,
    pub connections: usize,
}

impl Rate {
    /// Goes on for `duration`.
    pub fn lasting(self, duration: Duration) -> impl Fn(usize) -> bool {
        move |sent| (sent as f64) < duration.as_secs_f64() * f64::from(self.requests_per_second)
    }

    /// When the request of this number is due.
    fn due(&self, begun: Instant, number: usize) -> Instant {
        begun + Duration::from_secs_f64(number as f64 / f64::from(self.requests_per_second))
    }
}

/// Sends `frame` at a rate, turn by turn over all connections. Before each turn `goes_on` is told how many requests will have
/// been sent after it; the first turn for which it says no is the last.
pub fn run(
    address: &str,
    frame: &[u8],
    rate: Rate,
    goes_on: impl Fn(usize) -> bool,
    check: impl Fn(&[u8]) -> Result<()> + Sync,
) -> Result<Histogram<u64>> {
    sleep_exactly();
    let wires = (0..rate.connections).map(|_| Wire::connect(address)).collect::<Result<Vec<_>>>()?;
    let mut senders =
        wires.iter().map(|wire| wire.socket.try_clone()).collect::<std::io::Result<Vec<_>>>()?;
    let begun = Instant::now() + Duration::from_millis(50);
    // Known before the last request of any connection is sent, so that whoever has read its answer knows.
    let all = AtomicUsize::new(usize::MAX);
    std::thread::scope(|scope| {
        let (check, all) = (&check, &all);
        let listen = |(nth, wire)| scope.spawn(move || answers(wire, nth, begun, rate, all, check));
        let listeners: Vec<_> = wires.into_iter().enumerate().map(listen).collect();
        for turn in 0.. {
            let first = turn * rate.connections;
            let is_last = !goes_on(first + rate.connections);
            if is_last {
                all.store(first + rate.connections, Ordering::SeqCst);
            }
            for (number, sender) in (first..).zip(&mut senders) {
                std::thread::sleep(rate.due(begun, number).saturating_duration_since(Instant::now()));
                sender.write_all(frame)?;
            }
            if is_last {
                break;
            }
        }
        let mut latencies = histogram();
        for listener in listeners {
            latencies.add(listener.join().expect("a listener does not panic")?)?;
        }
        Ok(latencies)
    })
}

/// The answers on the `nth` connection, which carries every request whose number leaves `nth`.
fn answers(
    mut wire: Wire,
    nth: usize,
    begun: Instant,
    rate: Rate,
    all: &AtomicUsize,
    check: impl Fn(&[u8]) -> Result<()>,
) -> Result<Histogram<u64>> {
    let mut latencies = histogram();
    let mut number = nth;
    while number < all.load(Ordering::SeqCst) {
        check(wire.read()?)?;
        let late = Instant::now().saturating_duration_since(rate.due(begun, number));
        latencies.saturating_record(late.as_nanos() as u64);
        number += rate.connections;
    }
    Ok(latencies)
}

/// Lets this thread's sleeps end when they should, not up to 50 µs later.
fn sleep_exactly() {
    // SAFETY: changes nothing but this thread's timer slack.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}
