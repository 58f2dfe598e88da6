//! A client that speaks the protocol's bytes.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use std::io::{Error, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;
use storage::batch::{BatchBuilder, Prepared};
use storage::compress::Compression;

/// The last version that names topics, not their ids.
pub const PRODUCE_BY_NAME: i16 = 12;
/// A version that names topics by their ids.
const FETCH_BY_ID: i16 = 16;

/// One connection.
pub struct Wire {
    pub socket: TcpStream,
    correlation: i32,
    client_id: &'static str,
}

impl Wire {
    pub fn connect(address: &str) -> Wire {
        Wire::reach(address).unwrap()
    }

    /// A client that calls itself `client_id`.
    pub fn named(address: &str, client_id: &'static str) -> Wire {
        Wire { client_id, ..Wire::connect(address) }
    }

    pub fn reach(address: &str) -> Result<Wire> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_millis(30_000)))?;
        Ok(Wire { socket, correlation: 0, client_id: "test" })
    }

    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<()> {
        self.correlation += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(text(self.client_id)));
        let mut frame = BytesMut::new();
        header.encode(&mut frame, R::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap_or_else(|error| panic!("{} v{version}: {error}", R::KEY));
        self.frame(&frame)
    }

    pub fn frame(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(&[&(bytes.len() as u32).to_be_bytes(), bytes].concat())
    }

    pub fn receive(&mut self) -> Result<Bytes> {
        let mut len = [0; 4];
        self.socket.read_exact(&mut len)?;
        let mut frame = vec![0; u32::from_be_bytes(len) as usize];
        self.socket.read_exact(&mut frame)?;
        Ok(Bytes::from(frame))
    }

    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.try_call(version, request).expect("the connection stays open")
    }

    pub fn try_call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        self.send(version, request)?;
        let mut frame = self.receive()?;
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, self.correlation);
        let response = R::Response::decode(&mut frame, version)
            .unwrap_or_else(|error| panic!("the answer to API {} v{version}: {error}", R::KEY));
        assert!(!frame.has_remaining(), "API {} v{version} left {} bytes", R::KEY, frame.remaining());
        Ok(response)
    }

    /// Makes a topic; returns its id.
    pub fn create_topic(&mut self, name: &str, partitions: i32) -> uuid::Uuid {
        let wanted = CreatableTopic::default()
            .with_name(TopicName(text(name)))
            .with_num_partitions(partitions)
            .with_replication_factor(-1);
        let request = CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(30_000);
        let answer = self.call(7, &request);
        assert_eq!(answer.topics[0].error_code, 0, "{:?}", answer.topics[0].error_message);
        answer.topics[0].topic_id
    }

    /// Produces with acks=all; returns the offset that was acknowledged.
    pub fn produce(&mut self, topic: &str, partition: i32, records: Bytes) -> Result<i64> {
        let answer = self.try_call(PRODUCE_BY_NAME, &producing(topic, partition, records))?;
        let answer = &answer.responses[0].partition_responses[0];
        match answer.error_code {
            0 => Ok(answer.base_offset),
            code => Err(Error::other(format!("error code {code}"))),
        }
    }

    /// Fetches what a consumer is shown at and behind `offset`.
    pub fn fetch(&mut self, topic: uuid::Uuid, partition: i32, offset: i64) -> Result<Bytes> {
        let partition = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(i32::MAX);
        let topic = FetchTopic::default().with_topic_id(topic).with_partitions(vec![partition]);
        let request = FetchRequest::default().with_max_bytes(i32::MAX).with_topics(vec![topic]);
        let answer = self.try_call(FETCH_BY_ID, &request)?;
        let answer = &answer.responses[0].partitions[0];
        match answer.error_code {
            0 => Ok(answer.records.clone().unwrap_or_default()),
            code => Err(Error::other(format!("error code {code}"))),
        }
    }
}

/// A request with acks=all, which names its topic.
pub fn producing(topic: &str, partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let data = TopicProduceData::default().with_name(TopicName(text(topic))).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data])
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A batch of one record.
pub fn batch() -> Bytes {
    batch_of(b"value")
}

pub fn batch_of(value: &[u8]) -> Bytes {
    let mut batch = BatchBuilder::new(Compression::NONE);
    batch.push(1_000, Some(b"key"), Some(value), &[]);
    bytes_of(&batch.finish().unwrap())
}

pub fn bytes_of(batch: &Prepared) -> Bytes {
    let head = batch.head();
    batch.parts(&head).iter().flat_map(|part| part.to_vec()).collect::<Vec<u8>>().into()
}
