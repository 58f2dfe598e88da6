//! Request headers, read by hand: the crate's own reader assumes that the bytes are there.

use std::ops::Range;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;
use thiserror::Error;

/// API keys that brokers of one cluster use among themselves; never advertised. Their headers are flexible (v2).
pub const PEER_KEYS: Range<i16> = 20_000..20_100;

/// What stands before every request's body (header v1, and v2 with its tagged fields, which are skipped).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub api_key: i16,
    pub version: i16,
    pub correlation_id: i32,
    /// A slice of the frame: copy it before keeping it, or it keeps the frame.
    pub client_id: Option<StrBytes>,
}

/// Why a header cannot be read; no reply is possible, so the connection closes.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum HeaderError {
    #[error("the request ends within its header")]
    Short,
    #[error("API key {0} is unknown")]
    UnknownKey(i16),
    #[error("API version {0} is negative")]
    NegativeVersion(i16),
    #[error("the client id is not valid UTF-8 or has a negative length")]
    BadClientId,
}

impl RequestHeader {
    /// Takes the header off the front of a frame (its four-byte length already removed).
    pub fn read(frame: &mut Bytes) -> Result<RequestHeader, HeaderError> {
        let api_key = frame.try_get_i16().map_err(|_| HeaderError::Short)?;
        let version = frame.try_get_i16().map_err(|_| HeaderError::Short)?;
        let flexible = header_version(api_key, version)? >= 2;
        let correlation_id = frame.try_get_i32().map_err(|_| HeaderError::Short)?;
        let client_id = read_client_id(frame)?;
        if flexible {
            skip_tagged_fields(frame)?;
        }
        Ok(RequestHeader { api_key, version, correlation_id, client_id })
    }
}

fn header_version(api_key: i16, version: i16) -> Result<i16, HeaderError> {
    if version < 0 {
        return Err(HeaderError::NegativeVersion(version));
    }
    if PEER_KEYS.contains(&api_key) {
        return Ok(2);
    }
    let key = ApiKey::try_from(api_key).map_err(|()| HeaderError::UnknownKey(api_key))?;
    Ok(key.request_header_version(version))
}

fn read_client_id(frame: &mut Bytes) -> Result<Option<StrBytes>, HeaderError> {
    match frame.try_get_i16().map_err(|_| HeaderError::Short)? {
        -1 => Ok(None),
        len if len < 0 => Err(HeaderError::BadClientId),
        len => {
            let bytes = take(frame, len as usize)?;
            StrBytes::from_utf8(bytes).map(Some).map_err(|_| HeaderError::BadClientId)
        }
    }
}

fn skip_tagged_fields(frame: &mut Bytes) -> Result<(), HeaderError> {
    for _ in 0..read_varint(frame)? {
        read_varint(frame)?;
        let len = read_varint(frame)?;
        take(frame, len as usize)?;
    }
    Ok(())
}

fn read_varint(frame: &mut Bytes) -> Result<u32, HeaderError> {
    let mut value = 0;
    for shift in (0..32).step_by(7) {
        let byte = frame.try_get_u8().map_err(|_| HeaderError::Short)?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    Ok(value)
}

fn take(frame: &mut Bytes, len: usize) -> Result<Bytes, HeaderError> {
    if frame.len() < len {
        return Err(HeaderError::Short);
    }
    Ok(frame.split_to(len))
}
