//! The only place where request bodies become messages and messages become responses.
//!
//! What holds for any bytes a client may send (`wire/tests/hostile.rs` shows it under a limit of address space):
//! - No panic and no hang.
//! - A single allocation is at most max(body, 32 Ki) elements of the API's largest struct (some 300 bytes), and only what is
//!   decoded of it is ever touched. A decoded message takes at most about a hundred times its body (a tag in each element).
//! - The body is at most [`body_limit`]; the frame reader enforces it before the body is received. Produce alone may be larger, so
//!   that a body of 100 MiB that is sent in full may reserve 8 GB of address space, untouched: harmless but where address space
//!   is limited (`ulimit -v`, strict overcommit).
//! - Records of Produce are slices of the frame, whatever their size.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Encodable, HeaderVersion, Message, Request};
use thiserror::Error;

use super::guard::Guarded;
use super::header::PEER_KEYS;
use super::outgoing::{Chunk, Chunks};

/// A body that its API's schema cannot explain; the connection closes, since the client cannot be told anything it understands.
#[derive(Debug, Error)]
#[error("malformed request, API key {api_key} version {version}: {reason}")]
pub struct BadRequest {
    pub api_key: i16,
    pub version: i16,
    pub reason: String,
}

/// No response is larger, bytes: far more than metadata needs, and far less than what a length can say.
const MAX_RESPONSE: usize = 256 << 20;

/// A response that is too large, or does not exist at the version asked for: a handler's mistake, never the client's.
#[derive(Debug, Error)]
#[error("response cannot be encoded at version {version}: {reason}")]
pub struct EncodeError {
    pub version: i16,
    pub reason: String,
}

/// Decodes a request's body. Bytes behind the message are ignored, as Kafka does.
pub fn decode<R: Request>(body: Bytes, version: i16) -> Result<R, BadRequest> {
    let bad = |e: &dyn std::fmt::Display| BadRequest { api_key: R::KEY, version, reason: e.to_string() };
    let mut guarded = Guarded::new(body.clone());
    let checked = R::decode(&mut guarded, version).map_err(|e| bad(&e))?;
    if !guarded.replaced {
        return Ok(checked);
    }
    drop(checked);
    R::decode(&mut { body }, version).map_err(|e| bad(&e))
}

/// Encodes a whole response frame in one exactly sized buffer.
pub fn encode_response<R>(correlation_id: i32, version: i16, response: &R) -> Result<Chunks, EncodeError>
where
    R: Message + Encodable + HeaderVersion,
{
    let failed = |e: &dyn std::fmt::Display| EncodeError { version, reason: e.to_string() };
    let body = response.compute_size(version).map_err(|e| failed(&e))?;
    let flexible = R::header_version(version) >= 1;
    let len = response_header_len(flexible) + body;
    if len > MAX_RESPONSE {
        return Err(failed(&format_args!("{len} bytes are more than {MAX_RESPONSE}")));
    }
    let mut buf = BytesMut::with_capacity(4 + len);
    put_response_header(&mut buf, len, correlation_id, flexible);
    response.encode(&mut buf, version).map_err(|e| failed(&e))?;
    Ok(Chunks(vec![Chunk::Bytes(buf.freeze())]))
}

/// Bytes of a response header: v0 is the correlation id, v1 (flexible) adds an empty tag section.
pub(super) fn response_header_len(flexible: bool) -> usize {
    4 + usize::from(flexible)
}

/// Writes a frame's length (without these four bytes) and the response header.
pub(super) fn put_response_header(buf: &mut BytesMut, len: usize, correlation_id: i32, flexible: bool) {
    buf.put_u32(len as u32);
    buf.put_i32(correlation_id);
    if flexible {
        buf.put_u8(0);
    }
}

/// The largest frame accepted for an API, bytes; `None` where only `socket.request.max.bytes` bounds it: Produce and what brokers
/// send each other. Everything else is metadata, and decoding may cost a hundred times its size.
pub fn body_limit(api_key: i16) -> Option<usize> {
    const MIB: usize = 1 << 20;
    if PEER_KEYS.contains(&api_key) {
        // A command of the largest size, with what stands around it.
        return Some(17 * MIB);
    }
    match ApiKey::try_from(api_key) {
        Ok(ApiKey::Produce) => None,
        // Assignments of thousands of members in one message.
        Ok(ApiKey::JoinGroup | ApiKey::SyncGroup) => Some(8 * MIB),
        // What may be sent before authentication.
        Ok(ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate) => Some(MIB / 8),
        _ => Some(2 * MIB),
    }
}
