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
