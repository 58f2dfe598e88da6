//! Requests at a fixed rate, whether or not the answers come: a latency counts from when its request was due, so that a
//! broker that stands still is charged for all that would have come meanwhile.

use super::closed::histogram;
use super::wire::Wire;
use anyhow::Result;
use hdrhistogram::Histogram;
use std::io::Write;
use std::time::{Duration, Instant};

pub struct Rate {
    /// All connections together.
    pub requests_per_second: u32,
    pub connections: usize,
    pub duration: Duration,
}

impl Rate {
    pub fn requests(&self) -> usize {
        (self.duration.as_secs_f64() * f64::from(self.requests_per_second)) as usize
    }

    /// When the request of this number is due.
    fn due(&self, begun: Instant, number: usize) -> Instant {
        begun + Duration::from_secs_f64(number as f64 / f64::from(self.requests_per_second))
    }
}

/// Sends `frame` at a rate; connection by connection in turn.
pub fn run(
    address: &str,
    frame: &[u8],
    rate: &Rate,
    check: impl Fn(&[u8]) -> Result<()> + Sync,
) -> Result<Histogram<u64>> {
    sleep_exactly();
    let wires = (0..rate.connections).map(|_| Wire::connect(address)).collect::<Result<Vec<_>>>()?;
    let mut senders =
        wires.iter().map(|wire| wire.socket.try_clone()).collect::<std::io::Result<Vec<_>>>()?;
    let begun = Instant::now() + Duration::from_millis(50);
    std::thread::scope(|scope| {
        let check = &check;
        let listen = |(nth, wire)| scope.spawn(move || answers(wire, nth, begun, rate, check));
        let listeners: Vec<_> = wires.into_iter().enumerate().map(listen).collect();
        for number in 0..rate.requests() {
            std::thread::sleep(rate.due(begun, number).saturating_duration_since(Instant::now()));
            senders[number % rate.connections].write_all(frame)?;
        }
        let mut all = histogram();
        for listener in listeners {
            all.add(listener.join().expect("a listener does not panic")?)?;
        }
        Ok(all)
    })
}

/// The answers on the `nth` connection, which carries every request whose number leaves `nth`.
fn answers(
    mut wire: Wire,
    nth: usize,
    begun: Instant,
    rate: &Rate,
    check: impl Fn(&[u8]) -> Result<()>,
) -> Result<Histogram<u64>> {
    let mut latencies = histogram();
    for number in (nth..rate.requests()).step_by(rate.connections) {
        check(wire.read()?)?;
        let late = Instant::now().saturating_duration_since(rate.due(begun, number));
        latencies.saturating_record(late.as_nanos() as u64);
    }
    Ok(latencies)
}

/// Lets this thread's sleeps end when they should, not up to 50 µs later.
fn sleep_exactly() {
    // SAFETY: changes nothing but this thread's timer slack.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}
