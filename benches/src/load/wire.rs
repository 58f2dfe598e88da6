//! Kafka's protocol from a client's side, over a blocking socket: nothing that the broker's figures would feel.

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any answer takes; a broker that is silent for as long is said to be so.
const SILENCE: Duration = Duration::from_secs(60);

pub struct Wire {
    pub socket: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub fn connect(address: &str) -> Result<Wire> {
        let socket = TcpStream::connect(address).with_context(|| format!("nobody listens on {address}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENCE))?;
        Ok(Wire { socket, buffer: vec![] })
    }

    pub fn write(&mut self, frame: &[u8]) -> Result<()> {
        self.socket.write_all(frame).context("the broker does not read")
    }

    /// The next frame, without its length.
    pub fn read(&mut self) -> Result<&[u8]> {
        let mut len = [0; 4];
        self.socket.read_exact(&mut len).context("the broker does not answer")?;
        let len = u32::from_be_bytes(len) as usize;
        // Grows and stays: to clear what is overwritten would cost more than to read it.
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        self.socket.read_exact(&mut self.buffer[..len]).context("the broker breaks off")?;
        Ok(&self.buffer[..len])
    }

    pub fn read_as<T: Decodable + HeaderVersion>(&mut self, version: i16) -> Result<T> {
        decode(self.read()?, version)
    }

    /// Asks and waits for the answer.
    pub fn ask<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response>
    where
        R::Response: HeaderVersion,
    {
        self.write(&frame(version, request))?;
        self.read_as(version)
    }
}

pub fn decode<T: Decodable + HeaderVersion>(answer: &[u8], version: i16) -> Result<T> {
    let mut answer = Bytes::copy_from_slice(answer);
    ResponseHeader::decode(&mut answer, T::header_version(version))?;
    T::decode(&mut answer, version)
}

/// A request with its length in front.
pub fn frame<R: Request>(version: i16, request: &R) -> Vec<u8> {
    let mut body = BytesMut::new();
    let header = RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
    header.encode(&mut body, R::header_version(version)).expect("a header can be written");
    request.encode(&mut body, version).expect("the request suits its version");
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

pub fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// Error codes are Kafka's; 0 is none.
pub fn accepted(code: i16, what: &str) -> Result<()> {
    ensure!(code == 0, "{what} was refused with error {code}");
    Ok(())
}
