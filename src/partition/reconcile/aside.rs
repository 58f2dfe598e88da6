//! Putting aside what the image does not place here: to be deleted where the log says so, else kept as `-stray`.

use super::{Doomed, Reconciler, Role, RoleChange, name_of};
use crate::cluster::Image;
use crate::cluster::image::TopicImage;
use crate::partition::replica::Replica;
use crate::partition::table::{Offline, Slot};
use crate::types::{Mono, Now, TopicPartition, Uuid};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::checkpoint::read_topic_id;
use storage::dirs::{DirHandle, DirKind, PartitionName};

impl Reconciler {
    /// Lets go of a topic that the image has no more.
    pub(super) fn gone(&mut self, topic: &TopicImage, is_deleted: bool, now: Now) {
        for partition in topic.partitions() {
            let id = TopicPartition { topic: topic.id, partition: partition.index };
            if let Some(slot) = self.parts.table.slot(id) {
                self.let_go(id, slot, &topic.name, is_deleted, now);
            }
        }
    }

    /// Lets go of those partitions of a topic that the image places elsewhere.
    pub(super) fn moved_away(&mut self, topic: &TopicImage, now: Now) {
        let me = self.parts.me;
        for partition in topic.partitions() {
            let id = TopicPartition { topic: topic.id, partition: partition.index };
            let Some(slot) = self.parts.table.slot(id) else { continue };
            let dir = slot.dir();
            if partition.replica_on(me).is_none_or(|replica| replica.directory != dir) {
                self.let_go(id, slot, &topic.name, partition.is_released(me, dir), now);
            }
        }
    }

    fn let_go(&mut self, id: TopicPartition, slot: Slot, topic: &str, may_be_deleted: bool, now: Now) {
        self.parts.table.remove(id);
        self.forget(slot.dir(), PartitionName { topic: topic.to_owned(), partition: id.partition });
        let aside = match slot {
            Slot::Open(replica) => {
                self.tell(RoleChange::of(&replica, Role::Gone));
                self.retire(&replica, may_be_deleted, now)
            }
            Slot::Offline(offline) => self.retire_offline(offline, id.topic, may_be_deleted, now),
        };
        if !aside {
            self.stuck.insert(id.topic);
        }
    }

    /// Puts a partition aside; false if that failed.
    fn retire(&self, replica: &Replica, is_deleted: bool, now: Now) -> bool {
        let fate = Fate::of(is_deleted, replica.delete_delay());
        let aside = Aside::new(replica.dir(), &name_of(replica), fate);
        let renamed = replica.retire(&aside.path).map_err(|error| error.to_string());
        self.put_away(aside, renamed, now)
    }

    /// The same for one that could not be opened, if its directory can be reached and is this topic's.
    fn retire_offline(&self, offline: Offline, topic: Uuid, is_deleted: bool, now: Now) -> bool {
        let Some(dir) = self.parts.dirs.by_id(offline.dir).filter(|dir| dir.is_online()) else {
            return !self.is_away(offline.dir);
        };
        let path = dir.path().join(offline.name.to_string());
        match read_topic_id(&*self.parts.env.disk, &path) {
            Ok(Some(id)) if id == topic => self.put_aside(dir, &path, &offline.name, is_deleted, now),
            Ok(_) => true,
            Err(_) => false,
        }
    }

    fn doom(&self, dir: &Arc<DirHandle>, path: PathBuf, due: Mono) {
        // Nobody listens only while the broker stops; the next start finds the directory by its name.
        let _ = self.parts.doomed.send(Doomed { dir: dir.clone(), path, due });
    }

    /// When what is put aside at `now` may be unlinked.
    fn due(&self, topic: &str, now: Now) -> Mono {
        now.mono.plus(self.configs.settings(topic).delete_delay())
    }

    /// Puts aside what the directories held at the start and the first image does not place there.
    pub(super) fn clear_stock(&mut self, image: &Image, now: Now) {
        let found = self.stock.take_found();
        for (dir, name) in self.stock.without_log(&found) {
            self.forget(dir, name);
        }
        for found in found {
            let id = read_topic_id(&*self.parts.env.disk, &found.path).ok().flatten();
            match found.kind {
                DirKind::Delete => {
                    let due = self.due(&found.name.topic, now);
                    self.doom(&found.dir, found.path.clone(), due);
                }
                DirKind::Current if !self.is_placed(image, id, &found.name, &found.dir) => {
                    let may_be_deleted = id.is_some_and(|id| {
                        image.topics.is_deleted(id) || self.is_released(image, id, &found.name, &found.dir)
                    });
                    if !self.put_aside(&found.dir, &found.path, &found.name, may_be_deleted, now) {
                        self.stuck.extend(id);
                    }
                    self.forget(found.dir.id(), found.name);
                }
                DirKind::Current | DirKind::Future | DirKind::Stray => {}
            }
        }
    }

    /// What the checkpoints say of `name` is of a log that is no longer there.
    fn forget(&mut self, dir: Uuid, name: PartitionName) {
        self.stock.strike(dir, &name);
        self.struck.entry(dir).or_default().insert(name);
    }

    fn is_released(&self, image: &Image, topic: Uuid, name: &PartitionName, dir: &DirHandle) -> bool {
        let partition = image.topics.partition(TopicPartition { topic, partition: name.partition });
        partition.is_some_and(|partition| partition.is_released(self.parts.me, dir.id()))
    }

    fn is_placed(&self, image: &Image, id: Option<Uuid>, name: &PartitionName, dir: &DirHandle) -> bool {
        let topic = image.topics.by_name(&name.topic).filter(|topic| id.is_none_or(|id| id == topic.id));
        let partition = topic.and_then(|topic| topic.partition(name.partition));
        let replica = partition.and_then(|partition| partition.replica_on(self.parts.me));
        replica.is_some_and(|replica| replica.directory == dir.id())
    }

    /// Renames a directory that no log is open in; false if that failed.
    fn put_aside(
        &self,
        dir: &Arc<DirHandle>,
        path: &Path,
        name: &PartitionName,
        is_deleted: bool,
        now: Now,
    ) -> bool {
        let fate = Fate::of(is_deleted, self.configs.settings(&name.topic).delete_delay());
        let aside = Aside::new(dir, name, fate);
        let renamed = dir.run(|disk| {
            disk.rename(path, &aside.path)?;
            disk.sync_dir(dir.path())
        });
        self.put_away(aside, renamed.map_err(|error| error.to_string()), now)
    }

    fn put_away(&self, aside: Aside, renamed: Result<(), String>, now: Now) -> bool {
        let path = aside.path.display().to_string();
        match renamed.map(|()| aside.fate) {
            Ok(Fate::Deleted { delay }) => self.doom(&aside.dir, aside.path, now.mono.plus(delay)),
            Ok(Fate::Kept) => {
                tracing::warn!(path, "the cluster does not place this partition here; it is kept aside")
            }
            Err(error) => {
                tracing::error!(path, error, "a partition cannot be put aside");
                return false;
            }
        }
        true
    }
}

/// Where a directory goes that the cluster does not place here.
struct Aside {
    dir: Arc<DirHandle>,
    path: PathBuf,
    fate: Fate,
}

/// What becomes of a directory that was put aside.
#[derive(Clone, Copy)]
enum Fate {
    /// `delay` is the topic's `file.delete.delay.ms`.
    Deleted {
        delay: Duration,
    },
    Kept,
}

impl Fate {
    fn of(is_deleted: bool, delay: Duration) -> Fate {
        if is_deleted { Fate::Deleted { delay } } else { Fate::Kept }
    }
}

impl Aside {
    fn new(dir: &Arc<DirHandle>, name: &PartitionName, fate: Fate) -> Aside {
        let kind = match fate {
            Fate::Deleted { .. } => DirKind::Delete,
            Fate::Kept => DirKind::Stray,
        };
        let path = dir.path().join(name.suffixed(kind, Uuid::new_v4()));
        Aside { dir: dir.clone(), path, fate }
    }
}
