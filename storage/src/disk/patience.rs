//! Reading what is in memory, and nothing that is waited for: for threads on which others depend.

use std::cell::Cell;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Any,
    None,
    /// A read was refused.
    Lost,
}

thread_local! {
    static PATIENCE: Cell<Patience> = const { Cell::new(Patience::Any) };
}

/// Does `work`, in which files of the [real disk](super::RealDisk) are read only as far as they are in memory: other reads
/// fail at once, with `WouldBlock`. `None` if one did; then `work` is to be done again where it may wait.
pub fn without_waiting<T>(work: impl FnOnce() -> T) -> Option<T> {
    /// However `work` ends, who comes next on this thread waits.
    struct Restore;

    impl Drop for Restore {
        fn drop(&mut self) {
            PATIENCE.set(Patience::Any);
        }
    }

    let _restore = Restore;
    PATIENCE.set(Patience::None);
    let done = work();
    (PATIENCE.get() == Patience::None).then_some(done)
}

/// Whether a read was refused, so that what [`without_waiting`] does is of no use any more.
pub fn is_refused() -> bool {
    PATIENCE.get() == Patience::Lost
}

/// Whether a read may wait.
pub(super) fn may_wait() -> bool {
    PATIENCE.get() == Patience::Any
}

/// Notes that a read was refused.
pub(super) fn refuse() {
    PATIENCE.set(Patience::Lost);
}
