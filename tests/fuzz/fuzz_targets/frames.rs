//! Any bytes as a request frame: its header, and its body in the version that the header names.
#![no_main]

#[path = "../../../src/wire/tests/apis.rs"]
mod apis;

use apis::every_request;
use bytes::{Bytes, BytesMut};
use drave::wire::{Frame, decode};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;
use libfuzzer_sys::fuzz_target;

/// What was read is written so that it is read as the same again.
fn look<R: Request>(version: i16, body: &Bytes) {
    let Ok(request) = decode::<R>(body.clone(), version) else { return };
    let written = encoded(&request, version);
    let again: R = decode(written.clone(), version).expect("what was written is read");
    assert_eq!(encoded(&again, version), written);
}

fn encoded<R: Request>(request: &R, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    request.encode(&mut bytes, version).expect("what was read can be written");
    bytes.freeze()
}

/// Looks at the body as a request of type `R`, if the header names one in a version that there is.
fn look_if_named<R: Request>(frame: &Frame) {
    let (key, version) = (frame.header.api_key, frame.header.version);
    if key == R::KEY && (R::VERSIONS.min..=R::VERSIONS.max).contains(&version) {
        look::<R>(version, &frame.body);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(frame) = Frame::read(Bytes::copy_from_slice(bytes)) else { return };
    macro_rules! look_as_each {
        ($($request:ident),* $(,)?) => { $(look_if_named::<$request>(&frame);)* };
    }
    every_request!(look_as_each);
});
