//! Records to make batches of, and an allocator that remembers the largest request.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use storage::batch::{BatchBuilder, Header, Record};
use storage::compress::Codec;

type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rec {
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<OwnedHeader>,
}

impl From<&Record<'_>> for Rec {
    fn from(record: &Record<'_>) -> Self {
        Self {
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.map(|(k, v)| (k.to_vec(), v.map(<[u8]>::to_vec))).collect(),
        }
    }
}

pub fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(Codec::ALL.to_vec())
}

fn rec() -> impl Strategy<Value = Rec> {
    let bytes = || vec(any::<u8>(), 0..200);
    let headers = vec((vec(any::<u8>(), 0..5), of(bytes())), 0..3);
    // Not beyond the hour that `message.timestamp.after.max.ms` allows at time 0.
    (-1i64 << 40..1000, of(bytes()), of(bytes()), headers).prop_map(|(timestamp, key, value, headers)| Rec {
        timestamp,
        key,
        value,
        headers,
    })
}

pub fn recs() -> impl Strategy<Value = Vec<Rec>> {
    vec(rec(), 1..20)
}

/// A batch as a client sends it.
pub fn build(codec: Codec, recs: &[Rec]) -> Bytes {
    let mut builder = BatchBuilder::new(codec.into());
    for rec in recs {
        let headers: Vec<Header<'_>> = rec.headers.iter().map(|(k, v)| (&k[..], v.as_deref())).collect();
        builder.push(rec.timestamp, rec.key.as_deref(), rec.value.as_deref(), &headers);
    }
    builder.finish().expect("a batch").to_bytes()
}

/// The same bytes with the CRC that they must have.
pub fn seal(mut bytes: Vec<u8>) -> Bytes {
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

struct Watching;

thread_local! {
    static BIGGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = BIGGEST.try_with(|biggest| biggest.set(biggest.get().max(layout.size())));
        // SAFETY: the caller's promise holds for the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Bytes of the largest single allocation that `work` asks for on this thread.
pub fn biggest_allocation(work: impl FnOnce()) -> usize {
    BIGGEST.set(0);
    work();
    BIGGEST.get()
}
