//! Chance, seeded: all randomness of the thread that simulates comes from its seed.
//!
//! The standard library's hash maps, `uuid`, `rand` and tokio's `select!` all take what is random from `getrandom`, which
//! this binary brings along. Other threads of the test get what the kernel gives.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;

thread_local! {
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on chance is what `seed` says, on this thread.
pub fn seed(seed: u64) {
    STATE.set(Some(seed));
}

fn next(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state, x ^ (x >> 31))
}

/// In the place of the C library's function of that name.
///
/// # Safety
/// `buf` must have room for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buf: *mut u8, len: usize, _flags: u32) -> isize {
    let Some(mut state) = STATE.get() else {
        // SAFETY: as the caller promises.
        let bytes = unsafe { std::slice::from_raw_parts_mut(buf, len) };
        let read = File::open("/dev/urandom").and_then(|mut kernel| kernel.read_exact(bytes));
        return if read.is_ok() { len as isize } else { -1 };
    };
    for at in 0..len {
        let byte;
        (state, byte) = next(state);
        // SAFETY: as the caller promises.
        unsafe { buf.add(at).write(byte as u8) };
    }
    STATE.set(Some(state));
    len as isize
}
