//! An idempotent producer with acks=all: sends some batches ahead, and after any failure sends what was not
//! acknowledged again, in its order, under its sequence numbers.

use super::wire::{Wire, text};
use super::{Act, Client, PAUSE};
use bytes::Bytes;
use drave::seam::Clock;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest, TopicName};
use std::collections::VecDeque;
use std::io;
use storage::batch::{BatchBuilder, ProducerFields};
use storage::compress::Compression;
use tokio::time::sleep;

/// The last version that names topics.
const PRODUCE: i16 = 12;
const INIT: i16 = 3;
/// Records of a batch at most.
const RECORDS: usize = 6;
/// How long the broker may take, ms.
const TIMEOUT: i32 = 4_000;

pub struct Producer {
    client: Client,
    topic: String,
    partition: i32,
    /// Batches that may be on their way at once.
    window: usize,
    id: i64,
    sequence: i32,
    unacknowledged: VecDeque<Batch>,
}

struct Batch {
    /// Of its first record.
    sequence: i32,
    values: Vec<u64>,
    bytes: Bytes,
}

impl Producer {
    /// Works until the story ends.
    pub async fn run(client: Client, topic: String, partition: i32, window: usize) {
        let mut producer = Producer {
            id: client.until_done(|| producer_id(&client)).await,
            client,
            topic,
            partition,
            window,
            sequence: 0,
            unacknowledged: VecDeque::new(),
        };
        while producer.client.act() == Act::Work || !producer.unacknowledged.is_empty() {
            if let Err(error) = producer.send_some().await {
                producer.failed(&error).await;
            }
            sleep(PAUSE).await;
        }
        producer.client.history.finished();
    }

    /// What was not acknowledged goes again; unless the broker knows no more than that it does not follow what it has.
    /// After a restart it knows one batch of each producer, as Kafka does, and who repeats an older one must give up.
    async fn failed(&mut self, error: &io::Error) {
        let front = self.unacknowledged.front().map(|batch| batch.sequence);
        tracing::debug!(self.topic, self.partition, self.id, front, self.sequence, %error, "a producer begins anew");
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        if inner == Some(&ResponseError::OutOfOrderSequenceNumber) {
            self.client.history.gave_up(&self.topic, self.partition, self.id);
            self.unacknowledged.clear();
            self.sequence = 0;
            self.id = self.client.until_done(|| producer_id(&self.client)).await;
        }
    }

    /// Over one connection, until something fails.
    async fn send_some(&mut self) -> io::Result<()> {
        let (mut wire, _) = self.client.leader(&self.topic, self.partition).await?;
        let mut under_way = 0;
        loop {
            while under_way < self.unacknowledged.len() {
                let bytes = self.unacknowledged[under_way].bytes.clone();
                self.send(&mut wire, bytes).await?;
                under_way += 1;
            }
            if self.unacknowledged.len() < self.window && self.client.act() == Act::Work {
                self.client.pause(80).await;
                self.begin();
            } else if under_way == 0 {
                return Ok(());
            } else {
                self.acknowledged(&mut wire).await?;
                under_way -= 1;
            }
        }
    }

    /// Makes another batch.
    fn begin(&mut self) {
        let count = 1 + self.client.below(RECORDS);
        let values = self.client.history.fresh(&self.topic, self.partition, self.id, count);
        let fields = ProducerFields { id: self.id, epoch: 0, base_sequence: self.sequence };
        let now = Clock::start().now().wall.0;
        let mut batch = BatchBuilder::new(Compression::NONE).producer(fields);
        for value in &values {
            let padding = vec![0; self.client.below(200)];
            batch.push(now, Some(&value.to_be_bytes()), Some(&padding), &[]);
        }
        let batch = batch.finish().expect("a batch");
        let head = batch.head();
        let bytes = batch.parts(&head).iter().flat_map(|part| part.to_vec()).collect::<Vec<u8>>().into();
        self.unacknowledged.push_back(Batch { sequence: self.sequence, values, bytes });
        self.sequence += count as i32;
    }

    async fn send(&self, wire: &mut Wire, bytes: Bytes) -> io::Result<()> {
        let data = PartitionProduceData::default().with_index(self.partition).with_records(Some(bytes));
        let data = TopicProduceData::default()
            .with_name(TopicName(text(&self.topic)))
            .with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(TIMEOUT).with_topic_data(vec![data]);
        wire.send(PRODUCE, &request).await
    }

    /// Takes the answer for the oldest batch.
    async fn acknowledged(&mut self, wire: &mut Wire) -> io::Result<()> {
        let answer = wire.receive::<ProduceRequest>(PRODUCE).await?;
        let answer = &answer.responses[0].partition_responses[0];
        match ResponseError::try_from_code(answer.error_code) {
            None | Some(ResponseError::DuplicateSequenceNumber) => {
                if let Some(batch) = self.unacknowledged.pop_front() {
                    let offset = (answer.base_offset >= 0).then_some(answer.base_offset);
                    self.client.history.acknowledged(&self.topic, self.partition, offset, &batch.values);
                }
                Ok(())
            }
            Some(error) => Err(io::Error::other(error)),
        }
    }
}

async fn producer_id(client: &Client) -> io::Result<i64> {
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    let answer = client.any_broker().await?.call(INIT, &request).await?;
    match ResponseError::try_from_code(answer.error_code) {
        None => Ok(answer.producer_id.0),
        Some(error) => Err(io::Error::other(error)),
    }
}
