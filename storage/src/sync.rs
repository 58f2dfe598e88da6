//! What threads share: locks, and values that are read without one. Under the feature `shuttle` a test decides whose turn
//! it is at each use of them, also in what stands on this crate.

#[cfg(not(feature = "shuttle"))]
pub use arc_swap::ArcSwap;
#[cfg(not(feature = "shuttle"))]
pub use parking_lot::{Mutex, MutexGuard, RwLock};
#[cfg(not(feature = "shuttle"))]
pub use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};

#[cfg(feature = "shuttle")]
pub use shuttle::sync::MutexGuard;
#[cfg(feature = "shuttle")]
pub use shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
#[cfg(feature = "shuttle")]
pub use turns::{ArcSwap, Mutex, RwLock};

#[cfg(feature = "shuttle")]
mod turns {
    use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};
    use std::sync::Arc;

    /// What panics while it holds a lock ends the test.
    const SOUND: &str = "no thread panicked";

    #[derive(Debug, Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Mutex<T> {
            Mutex(shuttle::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect(SOUND)
        }
    }

    #[derive(Debug, Default)]
    pub struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub fn new(value: T) -> RwLock<T> {
            RwLock(shuttle::sync::RwLock::new(value))
        }

        pub fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().expect(SOUND)
        }

        pub fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().expect(SOUND)
        }
    }

    /// Takes a turn to read or change, as an atomic does.
    #[derive(Debug)]
    pub struct ArcSwap<T>(Mutex<Arc<T>>);

    impl<T> ArcSwap<T> {
        pub fn new(value: Arc<T>) -> ArcSwap<T> {
            ArcSwap(Mutex::new(value))
        }

        pub fn from_pointee(value: T) -> ArcSwap<T> {
            ArcSwap::new(Arc::new(value))
        }

        pub fn load(&self) -> Arc<T> {
            self.load_full()
        }

        pub fn load_full(&self) -> Arc<T> {
            self.0.lock().clone()
        }

        pub fn store(&self, value: Arc<T>) {
            *self.0.lock() = value;
        }
    }
}
