//! At the same index of the metadata log the image is the same everywhere.

use crate::net::Machine;
use drave::cluster::Image;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Images by index: what the first node that had one says of it.
#[derive(Default)]
pub struct Images {
    seen: BTreeMap<u64, (Machine, u64)>,
}

impl Images {
    pub fn check(&mut self, node: Machine, image: &Image) -> Option<String> {
        let mut bytes = vec![];
        image.write_snapshot(&mut bytes).expect("memory takes all");
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let sum = hasher.finish();
        let (other, known) = *self.seen.entry(image.applied.index).or_insert((node, sum));
        let index = image.applied.index;
        (known != sum).then(|| format!("nodes {other} and {node} have different images of {index}"))
    }
}
