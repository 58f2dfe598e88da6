//! The state machine under the quorum: entries in, images out.

use super::{Entry, Image};
use crate::cluster::image::Position;
use arc_swap::ArcSwap;
use bytes::Bytes;
use raft::{At, Frozen, Machine, RestoreError};
use std::io;
use std::sync::Arc;
use tokio::sync::watch;

/// What `apply` answers to whoever proposed the entry.
pub(super) const APPLIED: &[u8] = &[0];
const REFUSED: &[u8] = &[1];

/// Applies the metadata log. Its sole owner is the quorum; everyone else sees the images it publishes.
pub struct MetadataMachine {
    image: Arc<Image>,
    images: Arc<ArcSwap<Image>>,
    newest: watch::Sender<Arc<Image>>,
    /// Set once, by something this release cannot read or must not believe: the image stays as it was before.
    failure: watch::Sender<Option<String>>,
}

/// Where the machine's images can be seen.
#[derive(Clone)]
pub struct Images {
    pub(super) images: Arc<ArcSwap<Image>>,
    pub(super) newest: watch::Receiver<Arc<Image>>,
    pub(super) failure: watch::Receiver<Option<String>>,
}

impl MetadataMachine {
    /// A machine that has seen nothing yet, and its images.
    pub fn new() -> (MetadataMachine, Images) {
        let image = Arc::new(Image::default());
        let images = Arc::new(ArcSwap::new(image.clone()));
        let (newest, newest_receiver) = watch::channel(image.clone());
        let (failure, failure_receiver) = watch::channel(None);
        let seen = Images { images: images.clone(), newest: newest_receiver, failure: failure_receiver };
        (MetadataMachine { image, images, newest, failure }, seen)
    }

    fn publish(&mut self, image: Image) {
        self.image = Arc::new(image);
        self.images.store(self.image.clone());
        self.newest.send_replace(self.image.clone());
    }

    fn fail(&self, at: At, why: String) {
        let line = format!("metadata log, index {} of term {}: {why}", at.index, at.term);
        tracing::error!("{line}");
        self.failure.send_replace(Some(line));
    }

    fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// Whether the entry took effect; an error stops the node.
    fn try_apply(&mut self, at: At, command: &[u8]) -> Result<bool, String> {
        let entry = Entry::decode(command).map_err(|error| error.to_string())?;
        let mut image = Image::clone(&self.image);
        let position = Position { index: at.index, term: at.term };
        let effect = image.apply_entry(position, &entry).map_err(|error| error.to_string())?;
        if let Err(refused) = &effect {
            tracing::info!("metadata entry {} has no effect: {refused}", at.index);
        }
        self.publish(image);
        Ok(effect.is_ok())
    }
}

impl Machine for MetadataMachine {
    fn apply(&mut self, at: At, command: &[u8]) -> Bytes {
        if self.has_failed() {
            return Bytes::from_static(REFUSED);
        }
        match self.try_apply(at, command) {
            Ok(true) => Bytes::from_static(APPLIED),
            Ok(false) => Bytes::from_static(REFUSED),
            Err(why) => {
                self.fail(at, why);
                Bytes::from_static(REFUSED)
            }
        }
    }

    fn freeze(&self) -> Frozen {
        let (image, failed) = (self.image.clone(), self.has_failed());
        Box::new(move |out| match failed {
            // A snapshot would drop from the log what could not be applied.
            true => Err(io::Error::other("the metadata log could not be applied")),
            false => image.write_snapshot(out),
        })
    }

    fn restore(&mut self, _at: At, snapshot: &[u8]) -> Result<(), RestoreError> {
        let image = Image::read_snapshot(snapshot).map_err(|error| RestoreError(error.to_string()))?;
        self.publish(image);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::{Change, ProducerIdsAllocated};
    use super::*;

    fn entry(term: u64, predecessor: u64, next: i64) -> Vec<u8> {
        let changes = vec![Change::ProducerIdsAllocated(ProducerIdsAllocated { next })];
        Entry { term, predecessor, changes }.encode()
    }

    fn at(term: u64, index: u64) -> At {
        At { term, index }
    }

    fn state(images: &Images) -> (i64, u64, u64) {
        let image = images.images.load();
        assert!(Arc::ptr_eq(&image, &images.newest.borrow()));
        (image.next_producer_id, image.last_entry, image.applied.index)
    }

    #[test]
    fn an_entry_takes_effect_only_upon_its_predecessor_and_in_its_term() {
        let (mut machine, images) = MetadataMachine::new();
        assert_eq!(machine.apply(at(1, 2), &entry(1, 0, 10)), APPLIED);
        assert_eq!(machine.apply(at(1, 3), &entry(1, 0, 20)), REFUSED);
        assert_eq!(machine.apply(at(1, 4), &entry(1, 3, 30)), REFUSED);
        assert_eq!(machine.apply(at(2, 5), &entry(1, 2, 40)), REFUSED);
        assert_eq!(state(&images), (10, 2, 5));
        assert_eq!(machine.apply(at(2, 6), &entry(2, 2, 50)), APPLIED);
        assert_eq!(state(&images), (50, 6, 6));
    }

    #[test]
    fn a_snapshot_carries_the_chain_on() {
        let (mut machine, _) = MetadataMachine::new();
        machine.apply(at(1, 2), &entry(1, 0, 10));
        machine.apply(at(1, 3), &entry(1, 0, 20));
        let mut snapshot = Vec::new();
        machine.freeze()(&mut snapshot).expect("memory");
        let (mut other, images) = MetadataMachine::new();
        other.restore(at(1, 3), &snapshot).expect("a snapshot");
        assert_eq!(state(&images), (10, 2, 3));
        assert_eq!(other.apply(at(1, 4), &entry(1, 2, 30)), APPLIED);
        assert!(other.restore(at(1, 3), &snapshot[..20]).is_err());
    }

    #[test]
    fn an_unknown_kind_stops_everything_with_a_clear_line() {
        let (mut machine, images) = MetadataMachine::new();
        machine.apply(at(1, 1), &entry(1, 0, 10));
        let mut unknown = entry(1, 1, 20);
        unknown[22] = 99;
        assert_eq!(machine.apply(at(1, 2), &unknown), REFUSED);
        assert_eq!(machine.apply(at(1, 3), &entry(1, 1, 30)), REFUSED);
        assert_eq!(state(&images), (10, 1, 1));
        let line = images.failure.borrow().clone();
        let said = "metadata log, index 2 of term 1: change kind 99 version 1 is not known to this release";
        assert_eq!(line.as_deref(), Some(said));
        assert!(machine.freeze()(&mut Vec::new()).is_err());
    }
}
