//! An image as changes, and back: a snapshot is the shortest log that leads to it.

use super::{Broker, Image, PartitionImage, Position};
use crate::cluster::change::*;
use std::io::{self, Write};

/// Version of the snapshot's head; each change behind it has its own.
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 25;

/// A snapshot that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("metadata snapshot: {0}")]
    Change(#[from] DecodeError),
    #[error("metadata snapshot: {0}")]
    Inconsistent(#[from] super::Inconsistent),
    #[error("metadata snapshot of version {0:?}, this release reads 1")]
    Version(Option<u8>),
}

impl Image {
    /// Writes what [`Image::read_snapshot`] reads.
    ///
    /// ```text
    ///  version u8 | applied index u64 | applied term u64 | last entry u64 | changes …
    /// ```
    pub fn write_snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut head = vec![VERSION];
        for number in [self.applied.index, self.applied.term, self.last_entry] {
            head.extend(number.to_be_bytes());
        }
        out.write_all(&head)?;
        let mut part = Vec::new();
        for change in self.to_changes() {
            part.clear();
            change.encode(&mut part);
            out.write_all(&part)?;
        }
        Ok(())
    }

    pub fn read_snapshot(bytes: &[u8]) -> Result<Image, SnapshotError> {
        let version = bytes.first().copied();
        let (Some(VERSION), Some((head, mut changes))) = (version, bytes.split_at_checked(HEAD_BYTES)) else {
            return Err(SnapshotError::Version(version));
        };
        let mut numbers =
            head[1..].chunks_exact(8).map(|bytes| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
        let mut number = || numbers.next().unwrap_or_default();
        let applied = Position { index: number(), term: number() };
        let mut image = Image { applied, last_entry: number(), ..Image::default() };
        while !changes.is_empty() {
            image.apply_all(&[Change::decode(&mut changes)?])?;
        }
        Ok(image)
    }

    /// Changes that lead from an empty image to this one.
    pub fn to_changes(&self) -> impl Iterator<Item = Change> + '_ {
        let brokers = self.brokers.iter().map(|broker| Change::BrokerRegistered(Broker::clone(broker)));
        let deleted = self
            .topics
            .deleted()
            .map(|(id, held_by)| Change::TopicDeleted(TopicDeleted { id, held_by: held_by.to_vec() }));
        self.singles().chain(brokers).chain(deleted).chain(self.topic_changes()).chain(self.config_changes())
    }

    fn singles(&self) -> impl Iterator<Item = Change> + '_ {
        let cluster =
            self.cluster_id.clone().map(|cluster_id| Change::ClusterFormed(ClusterFormed { cluster_id }));
        let controller = self.controller.map(|node| Change::ControllerElected(ControllerElected { node }));
        let ids = Change::ProducerIdsAllocated(ProducerIdsAllocated { next: self.next_producer_id });
        let features = self
            .features
            .iter()
            .map(|(name, level)| Change::FeatureLevel(FeatureLevel { name: name.clone(), level: *level }));
        cluster.into_iter().chain(controller).chain([ids]).chain(features)
    }

    fn topic_changes(&self) -> impl Iterator<Item = Change> + '_ {
        self.topics.ids().flat_map(|(id, topic)| {
            let created = Change::TopicCreated(TopicCreated { id, name: topic.name.clone() });
            let partitions = topic.partitions().map(move |partition| {
                Change::PartitionChanged(PartitionChanged {
                    topic: id,
                    partition: PartitionImage::clone(partition),
                })
            });
            std::iter::once(created).chain(partitions)
        })
    }

    fn config_changes(&self) -> impl Iterator<Item = Change> + '_ {
        self.configs.iter().flat_map(|(resource, values)| {
            values.iter().map(|(key, value)| {
                let (resource, key, value) = (resource.clone(), key.clone(), value.clone());
                Change::ConfigSet(ConfigSet { resource, key, value })
            })
        })
    }
}
