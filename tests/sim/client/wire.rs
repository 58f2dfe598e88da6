//! One connection of a client.

use bytes::{Buf, Bytes, BytesMut};
use drave::seam::net::{self, OwnedReadHalf, OwnedWriteHalf};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// How long a client waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(6);

/// Requests are answered in their order.
pub struct Wire {
    input: OwnedReadHalf,
    output: OwnedWriteHalf,
    sent: i32,
    answered: i32,
}

impl Wire {
    pub async fn connect(to: SocketAddr) -> io::Result<Wire> {
        let stream = patiently(net::connect(to)).await?;
        let (input, output) = stream.into_split();
        Ok(Wire { input, output, sent: 0, answered: 0 })
    }

    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> io::Result<()> {
        self.sent += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.sent)
            .with_client_id(Some(text("simulated")));
        let mut frame = BytesMut::new();
        header.encode(&mut frame, R::header_version(version)).map_err(io::Error::other)?;
        request.encode(&mut frame, version).map_err(io::Error::other)?;
        let bytes = [&(frame.len() as u32).to_be_bytes(), &frame[..]].concat();
        patiently(self.output.write_all(&bytes)).await
    }

    /// The answer to the oldest request that has none.
    pub async fn receive<R: Request>(&mut self, version: i16) -> io::Result<R::Response> {
        let mut frame = patiently(read_frame(&mut self.input)).await?;
        self.answered += 1;
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version));
        assert_eq!(header.expect("a header").correlation_id, self.answered, "replies keep their order");
        let response = R::Response::decode(&mut frame, version).expect("an answer of the right form");
        assert!(!frame.has_remaining(), "an answer of API {} v{version} is too long", R::KEY);
        Ok(response)
    }

    pub async fn call<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        self.send(version, request).await?;
        self.receive::<R>(version).await
    }
}

async fn read_frame(input: &mut OwnedReadHalf) -> io::Result<Bytes> {
    let mut frame = vec![0; input.read_u32().await? as usize];
    input.read_exact(&mut frame).await?;
    Ok(frame.into())
}

async fn patiently<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
