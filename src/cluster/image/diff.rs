//! What differs between two images: reconcilers act on the difference, however many entries lie between.

use super::topics::{TopicImage, Topics};
use crate::types::Uuid;
use std::sync::Arc;

/// Topics that differ between an older and a newer image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicsDelta {
    /// Made or changed, as they are now.
    pub changed: Vec<Arc<TopicImage>>,
    /// No longer there. Whether they were deleted is for [`Topics::is_deleted`] to say.
    pub gone: Vec<Uuid>,
}

impl Topics {
    /// What became of the topics of `older`. Costs a pointer comparison for each topic.
    pub fn delta_since(&self, older: &Topics) -> TopicsDelta {
        let mut delta = TopicsDelta::default();
        for (id, topic) in self.ids() {
            if !older.by_id(id).is_some_and(|old| Arc::ptr_eq(old, topic)) {
                delta.changed.push(topic.clone());
            }
        }
        delta.gone = older.ids().map(|(id, _)| id).filter(|id| self.by_id(*id).is_none()).collect();
        delta
    }
}
