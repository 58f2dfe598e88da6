//! Memory of processes over time.

use crate::measure;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(500);

/// Looks at processes until it is dropped.
pub struct Sampler {
    samples: Arc<Mutex<Vec<(f64, f64)>>>,
    is_done: Arc<AtomicBool>,
}

impl Sampler {
    pub fn start(pids: Vec<u32>) -> Sampler {
        let sampler = Sampler { samples: Arc::default(), is_done: Arc::default() };
        let (samples, is_done, begun) = (sampler.samples.clone(), sampler.is_done.clone(), Instant::now());
        std::thread::spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                let resident = pids.iter().map(|pid| measure::resident(*pid)).sum::<anyhow::Result<f64>>();
                if let Ok(resident) = resident {
                    samples.lock().push((begun.elapsed().as_secs_f64(), resident));
                }
                std::thread::sleep(INTERVAL);
            }
        });
        sampler
    }

    /// Seconds since the start, and MiB.
    pub fn samples(&self) -> Vec<(f64, f64)> {
        self.samples.lock().clone()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
    }
}
