//! Request headers.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader as CrateHeader};
use kafka_protocol::protocol::{Encodable, StrBytes};
use proptest::prelude::*;

use crate::wire::Frame;
use crate::wire::header::{HeaderError, PEER_KEYS};

fn written(header: &CrateHeader, header_version: i16, body: &[u8]) -> Bytes {
    let mut buf = BytesMut::new();
    header.encode(&mut buf, header_version).unwrap();
    buf.extend_from_slice(body);
    buf.freeze()
}

#[test]
fn every_api_has_a_readable_header_even_beyond_its_newest_version() {
    for key in ApiKey::iter() {
        for version in 0..=key.valid_versions().max + 1 {
            let header = CrateHeader::default()
                .with_request_api_key(key as i16)
                .with_request_api_version(version)
                .with_correlation_id(-5)
                .with_client_id(Some(StrBytes::from_static_str("a client")));
            let header_version = key.request_header_version(version);
            let header = match header_version {
                2 => header.with_unknown_tagged_field(300, Bytes::from(vec![1; 200])),
                _ => header,
            };
            let frame = Frame::read(written(&header, header_version, b"body")).unwrap();
            assert_eq!((frame.header.api_key, frame.header.version), (key as i16, version));
            assert_eq!(frame.header.correlation_id, -5);
            assert_eq!(frame.header.client_id.as_deref(), Some("a client"));
            assert_eq!(&frame.body[..], b"body", "{key:?} {version}");
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    use HeaderError::*;
    let cases: [(&[u8], HeaderError); 7] = [
        (&[], Short),
        (&[0], Short),
        (&[0, 18, 0, 0, 0, 0, 0], Short),
        (&[3, 231, 0, 0, 0, 0, 0, 0, 255, 255], UnknownKey(999)),
        (&[0, 18, 255, 255, 0, 0, 0, 0, 255, 255], NegativeVersion(-1)),
        (&[0, 18, 0, 0, 0, 0, 0, 0, 255, 254], BadClientId),
        (&[0, 18, 0, 0, 0, 0, 0, 0, 0, 1, 255], BadClientId),
    ];
    for (bytes, error) in cases {
        assert_eq!(Frame::read(Bytes::copy_from_slice(bytes)).unwrap_err(), error, "{bytes:?}");
    }
}

#[test]
fn brokers_own_keys_are_flexible() {
    let header = CrateHeader::default().with_request_api_key(PEER_KEYS.start).with_client_id(None);
    let frame = Frame::read(written(&header, 2, b"raft")).unwrap();
    assert_eq!((frame.header.client_id, &frame.body[..]), (None, &b"raft"[..]));
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(mut bytes in prop::collection::vec(any::<u8>(), 0..64), key in 0_i16..100) {
        let _ = Frame::read(Bytes::copy_from_slice(&bytes));
        if bytes.len() > 2 {
            bytes[..2].copy_from_slice(&key.to_be_bytes());
            let _ = Frame::read(bytes.into());
        }
    }
}
