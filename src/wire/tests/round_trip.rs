//! Requests and responses of every API survive the way over the wire at every version.

use std::fmt::Debug;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request};

use super::apis::every_request;
use super::dice::{Dice, throw};
use crate::wire::codec::{decode, encode_response};
use crate::wire::outgoing::{Chunk, Chunks};

fn encoded<M: Encodable>(message: &M, version: i16) -> Bytes {
    let mut buf = BytesMut::new();
    message.encode(&mut buf, version).unwrap();
    buf.freeze()
}

fn requests<R: Request + Default + PartialEq + Debug>() {
    for version in R::VERSIONS.min..=R::VERSIONS.max {
        let mut dice = Dice::new(version as u64);
        let messages = [R::default(), throw(&mut dice, version), throw(&mut dice, version)];
        for message in &messages {
            // A default may hold what a version lacks, and then cannot be sent.
            if message.compute_size(version).is_err() {
                continue;
            }
            let decoded: R = decode(encoded(message, version), version).unwrap();
            assert_eq!(decoded, *message, "version {version}");
        }
    }
}

/// The frame's only chunk.
pub fn only(chunks: Chunks) -> Bytes {
    match <[Chunk; 1]>::try_from(chunks.0).unwrap() {
        [Chunk::Bytes(bytes)] => bytes,
        [Chunk::File(_)] => panic!("a file in a plain response"),
    }
}

fn responses<R: Message + Encodable + Decodable + HeaderVersion + PartialEq + Debug>() {
    for version in R::VERSIONS.min..=R::VERSIONS.max {
        let mut dice = Dice::new(version as u64 + 99);
        for _ in 0..3 {
            let message: R = throw(&mut dice, version);
            let mut frame = only(encode_response(77, version, &message).unwrap());
            assert_eq!(frame.get_u32() as usize, frame.len());
            let header = ResponseHeader::decode(&mut frame, R::header_version(version)).unwrap();
            assert_eq!(header.correlation_id, 77);
            assert_eq!(R::decode(&mut frame, version).unwrap(), message, "version {version}");
            assert!(frame.is_empty());
        }
    }
}

macro_rules! walk {
    ($($request:ident),* $(,)?) => {
        $(
            requests::<$request>();
            responses::<<$request as Request>::Response>();
        )*
    };
}

#[test]
fn every_message_survives_the_wire() {
    every_request!(walk);
}

#[test]
fn the_list_of_requests_is_whole() {
    let mut listed = Vec::new();
    macro_rules! list {
        ($($request:ident),* $(,)?) => { listed.extend([$($request::KEY),*]) };
    }
    every_request!(list);
    let mut known: Vec<i16> = ApiKey::iter().map(|key| key as i16).collect();
    listed.sort();
    known.sort();
    assert_eq!(listed, known);
}

#[test]
fn records_of_a_decoded_produce_are_slices_of_its_frame() {
    use crate::wire::tests::dice;
    let records: Bytes = vec![5; 100_000].into();
    for version in ProduceRequest::VERSIONS.min..=ProduceRequest::VERSIONS.max {
        let mut request: ProduceRequest = dice::throw(&mut dice::Dice::new(3), version);
        let partition = produce_request::PartitionProduceData::default().with_records(Some(records.clone()));
        let topic = produce_request::TopicProduceData::default().with_partition_data(vec![partition]);
        request.topic_data = vec![topic];
        let body = encoded(&request, version);
        let decoded: ProduceRequest = decode(body.clone(), version).unwrap();
        let slice = decoded.topic_data[0].partition_data[0].records.clone().unwrap();
        assert_eq!(slice, records);
        assert!(body.as_ptr_range().contains(&slice.as_ptr()), "version {version}");
    }
}
