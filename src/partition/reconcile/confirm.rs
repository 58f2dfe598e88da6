//! What is left here of topics that were deleted and of replicas that were moved away: nothing, the cluster is told.

use super::Reconciler;
use crate::cluster::Image;
use crate::cluster::controller::Released;
use crate::cluster::image::TopicsDelta;
use crate::types::Uuid;

/// What may be forgotten, as nothing is left of it here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Confirmed {
    /// Deleted topics.
    pub topics: Vec<Uuid>,
    /// Replicas that were moved away.
    pub replicas: Vec<Released>,
}

impl Reconciler {
    /// Notes which replicas the image says to have been here.
    pub(super) fn note_released(&mut self, delta: &TopicsDelta) {
        let me = self.parts.me;
        let is_of = |released: &Released, topic: Uuid| released.topic == topic;
        self.released.retain(|released| {
            !delta.gone.contains(&released.topic) && !delta.changed.iter().any(|one| is_of(released, one.id))
        });
        for topic in &delta.changed {
            for partition in topic.partitions() {
                let here = partition.released.iter().filter(|replica| replica.broker == me);
                self.released.extend(here.map(|replica| Released {
                    topic: topic.id,
                    partition: partition.index,
                    directory: replica.directory,
                }));
            }
        }
    }

    pub(super) fn confirmed(&self, image: &Image) -> Confirmed {
        Confirmed { topics: self.gone_topics(image), replicas: self.gone_replicas() }
    }

    /// With a directory away, nobody can say that nothing is left.
    fn gone_topics(&self, image: &Image) -> Vec<Uuid> {
        let dirs = &self.parts.dirs;
        if !dirs.broken_at_start().is_empty() || dirs.all().iter().any(|dir| !dir.is_online()) {
            return vec![];
        }
        image.topics.deletions_of(self.parts.me).filter(|id| !self.stuck.contains(id)).collect()
    }

    fn gone_replicas(&self) -> Vec<Released> {
        let is_gone =
            |released: &&Released| !self.stuck.contains(&released.topic) && !self.is_away(released.directory);
        self.released.iter().filter(is_gone).cloned().collect()
    }

    /// Whether a directory cannot be used, but may hold something. One that this broker was started without holds nothing
    /// here; should it come back, what is in there is kept aside.
    pub(super) fn is_away(&self, dir: Uuid) -> bool {
        match self.parts.dirs.by_id(dir) {
            Some(dir) => !dir.is_online(),
            None => !dir.is_nil() && !self.parts.dirs.broken_at_start().is_empty(),
        }
    }
}
