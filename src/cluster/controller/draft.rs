//! Changes in the making.

use crate::cluster::Image;
use crate::cluster::change::Change;
use std::collections::BTreeMap;

/// The changes of one decision so far, and the image as they leave it: a later item sees what an earlier one did.
pub(super) struct Draft {
    image: Image,
    changes: Vec<Change>,
}

impl Draft {
    pub fn upon(image: &Image) -> Draft {
        Draft { image: image.clone(), changes: Vec::new() }
    }

    pub fn image(&self) -> &Image {
        &self.image
    }

    pub fn add(&mut self, changes: Vec<Change>) {
        // A contradiction is found again, and the decision dropped, where the round applies it.
        let _ = self.image.apply_all(&changes);
        self.changes.extend(changes);
    }

    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }
}

/// Each key once, in the order of first mention; with its item, unless several had the key.
pub(super) fn distinct<T, K: Ord + Clone>(items: &[T], key: impl Fn(&T) -> K) -> Vec<(K, Option<&T>)> {
    let mut places = BTreeMap::new();
    let mut found: Vec<(K, Option<&T>)> = Vec::new();
    for item in items {
        match places.get(&key(item)) {
            Some(place) => {
                let repeated: &mut (K, Option<&T>) = &mut found[*place];
                repeated.1 = None;
            }
            None => {
                places.insert(key(item), found.len());
                found.push((key(item), Some(item)));
            }
        }
    }
    found
}
