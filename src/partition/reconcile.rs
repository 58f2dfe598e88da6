//! Makes this broker's partitions what the metadata says they are.
//!
//! Level-triggered: each image is compared with the last one that was acted on, however many lie between. Only an image
//! that holds this process's own registration is acted on; an older one knows nothing of what is on these disks.
//! A directory is removed only for a topic that the image records as deleted, or where it says that this very directory
//! was released by a reassignment; what else has no place here is renamed `-stray` and kept.

mod aside;
mod config;
mod confirm;
mod stock;

pub use confirm::Confirmed;

use super::checkpoint;
use super::replica::{Marked, Replica, Settings};
use super::restless::{By, Stir};
use super::state::{Assignment, Turn};
use super::table::{Offline, Slot, Table};
use crate::cluster::Image;
use crate::cluster::controller::Released;
use crate::cluster::image::{Broker, Brokers, PartitionImage, Replica as ReplicaImage, TopicImage};
use crate::config::BrokerConfig;
use crate::seam;
use crate::types::{BrokerId, LeaderEpoch, Mono, Now, TopicPartition, Uuid};
use config::Configs;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stock::{Stock, Stocked};
use storage::checkpoint::{CheckpointError, read_topic_id, write_topic_id};
use storage::dirs::{DirHandle, LogDirs, PartitionName};
use storage::disk::{Verdict, verdict};
use storage::kafka_uuid;
use storage::log::{LogEnv, LogError, LogWriter, Start};
use tokio::sync::mpsc;

/// Opening this many logs or fewer is not worth a second thread.
const FEW: usize = 8;

/// This broker's part in a partition changed.
#[derive(Clone, Debug)]
pub struct RoleChange {
    pub id: TopicPartition,
    pub topic: Arc<str>,
    pub epoch: LeaderEpoch,
    pub role: Role,
}

/// What this broker is for a partition.
#[derive(Clone, Debug)]
pub enum Role {
    Leads(Arc<Replica>),
    /// Without a leader it waits for one.
    Follows {
        replica: Arc<Replica>,
        leader: Option<BrokerId>,
    },
    Gone,
}

impl RoleChange {
    /// For good, whatever an older image says, unless another epoch is set.
    fn of(replica: &Replica, role: Role) -> RoleChange {
        RoleChange { id: replica.id(), topic: replica.topic().clone(), epoch: LeaderEpoch::MAX, role }
    }
}

/// Ends the leaderships in directories that have failed, so that nobody waits for what they cannot do any more, and
/// tells of each. To tell of one again does no harm.
pub fn step_down_offline(table: &Table, roles: &mpsc::UnboundedSender<RoleChange>) {
    let replicas = table.all();
    for replica in replicas.iter().filter(|replica| !replica.dir().is_online()) {
        replica.step_down();
        // Nobody listens only while the broker stops.
        let _ = roles.send(RoleChange::of(replica, Role::Gone));
    }
}

/// What a reconciler is made from.
pub struct Parts {
    pub me: BrokerId,
    pub env: LogEnv,
    pub dirs: Arc<LogDirs>,
    pub table: Arc<Table>,
    pub config: Arc<BrokerConfig>,
    /// Told of each change, in order.
    pub roles: mpsc::UnboundedSender<RoleChange>,
    /// Directories to be unlinked when nobody can still be about to open a file in them.
    pub doomed: mpsc::UnboundedSender<Doomed>,
}

/// A directory renamed to `-delete`.
#[derive(Debug)]
pub struct Doomed {
    pub dir: Arc<DirHandle>,
    pub path: PathBuf,
    /// When the topic's `file.delete.delay.ms` is over.
    pub due: Mono,
}

/// The one writer of the [`Table`].
pub struct Reconciler {
    parts: Parts,
    configs: Configs,
    stock: Stock,
    seen: Arc<Image>,
    is_first: bool,
    /// Deleted topics of which something could not be put aside: they are not confirmed as gone.
    stuck: HashSet<Uuid>,
    /// Topics with partitions that are open and have not been given their roles.
    unfinished: HashSet<Uuid>,
    /// Replicas that were here, as the image says.
    released: BTreeSet<Released>,
    /// Logs that went, by directory id: the checkpoints still speak of them.
    struck: HashMap<Uuid, BTreeSet<PartitionName>>,
    /// Logs were opened whose recovery points on the disk may be too high.
    is_unlowered: bool,
}

/// A log to be opened.
struct Wanted {
    topic: Arc<TopicImage>,
    partition: Arc<PartitionImage>,
    dir: Arc<DirHandle>,
}

impl Reconciler {
    /// Looks at what the directories hold; opens nothing yet.
    pub fn new(parts: Parts) -> io::Result<Reconciler> {
        let stock = Stock::take(&parts.dirs)?;
        let configs = Configs::new(parts.config.clone());
        Ok(Reconciler {
            parts,
            configs,
            stock,
            seen: Arc::default(),
            is_first: true,
            stuck: HashSet::new(),
            unfinished: HashSet::new(),
            released: BTreeSet::new(),
            struck: HashMap::new(),
            is_unlowered: false,
        })
    }

    /// Whether every directory was marked as cleanly stopped, and still works.
    pub fn found_clean(&self) -> bool {
        self.stock.is_clean() && self.parts.dirs.all().iter().all(|dir| dir.is_online())
    }

    /// Acts on `image`. Returns of what nothing is left here. Blocks.
    pub fn reconcile(&mut self, image: Arc<Image>, now: Now) -> Confirmed {
        let seen = std::mem::replace(&mut self.seen, image.clone());
        self.configs.update(&image, &self.parts.table, now.mono);
        let is_first = std::mem::take(&mut self.is_first);
        if is_first {
            self.clear_stock(&image, now);
        }
        self.close_failed();
        let mut delta = image.topics.delta_since(&seen.topics);
        self.note_released(&delta);
        self.add_waiting(&image, &mut delta.changed);
        // First what goes, then what comes: a topic made again needs the name of the directory.
        for topic in delta.gone.iter().filter_map(|id| seen.topics.by_id(*id)) {
            self.gone(topic, image.topics.is_deleted(topic.id), now);
        }
        delta.changed.iter().for_each(|topic| self.moved_away(topic, now));
        self.strike();
        let wanted: Vec<Wanted> = delta.changed.iter().flat_map(|topic| self.unopened(topic)).collect();
        self.is_unlowered |=
            is_first || wanted.iter().any(|wanted| self.parts.table.slot(wanted.id()).is_some());
        // What is open already need not wait until others are.
        if !self.is_unlowered && !wanted.is_empty() {
            self.assume_all(&delta.changed, &seen, &image, now);
        }
        self.open_all(wanted, now);
        if self.is_unlowered && !self.lower_recovery_points() {
            // Nothing leads before: the next time begins from the same image, and with what was opened.
            self.seen = seen;
            self.unfinished.extend(delta.changed.iter().map(|topic| topic.id));
            return Confirmed::default();
        }
        self.is_unlowered = false;
        self.assume_all(&delta.changed, &seen, &image, now);
        self.stock.forget();
        self.parts.table.reached(image.applied.index);
        self.confirmed(&image)
    }

    /// Whether something could not be done that may work a little later, with the same image.
    pub fn is_waiting(&self) -> bool {
        self.is_unlowered
            || !self.struck.is_empty()
            || !self.parts.table.waiting().is_empty()
            || self.parts.table.has_failed()
    }

    /// Has logs opened again that failed in directories that work: recovery finds what is there.
    fn close_failed(&self) {
        let replicas = self.parts.table.attend(By::Reconciler);
        for replica in replicas.iter().filter(|replica| replica.is_to_be_reopened()) {
            replica.step_down();
            self.tell(RoleChange::of(replica, Role::Gone));
            let (dir, marked, waits) = (replica.dir().id(), replica.marked(), true);
            let offline = Offline { dir, name: name_of(replica), marked, waits };
            self.parts.table.put([(replica.id(), Slot::Offline(offline))]);
        }
    }

    /// Topics with partitions that could not be opened, or not be given their roles, are looked at as if they had changed.
    fn add_waiting(&mut self, image: &Image, changed: &mut Vec<Arc<TopicImage>>) {
        let mut waiting = self.parts.table.waiting();
        waiting.extend(std::mem::take(&mut self.unfinished));
        changed.iter().for_each(|topic| _ = waiting.remove(&topic.id));
        changed.extend(waiting.iter().filter_map(|id| image.topics.by_id(*id)).cloned());
    }

    /// A log that recovery cut may end below its recovery point: the checkpoint must not vouch for what is appended there
    /// next. Nor may a row stay that no log has: a later log of that name would take it for its own.
    /// Written before anything is appended; where it cannot be, the directory is not to be used. False if it may be later.
    fn lower_recovery_points(&self) -> bool {
        let mut done = true;
        for dir in self.parts.dirs.all().iter().filter(|dir| dir.is_online()) {
            let written = self.making_room(|| checkpoint::write(&self.parts.table, dir, checkpoint::ALL));
            done &= is_settled(written, dir);
        }
        done
    }

    fn making_room<T>(&self, call: impl Fn() -> io::Result<T>) -> io::Result<T> {
        self.parts.env.files.making_room(call)
    }

    /// Has the checkpoints forget the logs that went, before others of their names begin: those would be opened after a crash
    /// by what is said of the old ones, and cut. Where it cannot be done, the directory is not to be used.
    fn strike(&mut self) {
        for (dir, names) in std::mem::take(&mut self.struck) {
            let Some(dir) = self.parts.dirs.by_id(dir).filter(|dir| dir.is_online()) else { continue };
            let struck = self.making_room(|| checkpoint::strike(&self.parts.table, dir, &names));
            if !is_settled(struck, dir) {
                self.struck.insert(dir.id(), names);
            }
        }
    }

    /// What the checkpoints say of a log that is to be opened.
    fn stocked(&self, wanted: &Wanted) -> Stocked {
        match self.parts.table.slot(wanted.id()) {
            Some(Slot::Offline(Offline { marked, .. })) => Stocked { marked, clean: false },
            _ => self.stock.of(&wanted.dir, &wanted.name()),
        }
    }

    /// The partitions of a topic that are to be opened here.
    fn unopened(&self, topic: &Arc<TopicImage>) -> Vec<Wanted> {
        let mut wanted = vec![];
        for partition in topic.partitions() {
            let id = TopicPartition { topic: topic.id, partition: partition.index };
            let Some(replica) = partition.replica_on(self.parts.me) else { continue };
            if self.parts.table.slot(id).is_some_and(|slot| !slot.waits()) {
                continue;
            }
            match self.parts.dirs.by_id(replica.directory).filter(|dir| dir.is_online()) {
                Some(dir) => {
                    wanted.push(Wanted {
                        topic: topic.clone(),
                        partition: partition.clone(),
                        dir: dir.clone(),
                    });
                }
                None => {
                    let name = PartitionName { topic: topic.name.clone(), partition: partition.index };
                    let (dir, marked) = (replica.directory, Marked::default());
                    let offline = Offline { dir, name, marked, waits: false };
                    self.parts.table.put([(id, Slot::Offline(offline))]);
                }
            }
        }
        wanted
    }

    /// Opens logs, many at once by several threads.
    fn open_all(&mut self, wanted: Vec<Wanted>, now: Now) {
        let threads =
            self.parts.config.recovery_threads_per_data_dir.max(1) as usize * self.parts.dirs.all().len();
        if wanted.len() <= FEW || !seam::can_block() {
            let slots: Vec<_> = wanted.iter().map(|one| (one.id(), self.open(one, now))).collect();
            return self.parts.table.put(slots);
        }
        let share = wanted.len().div_ceil(threads).max(1);
        let this = &*self;
        let open = |wanted: &Wanted| (wanted.id(), this.open(wanted, now));
        let slots: Vec<(TopicPartition, Slot)> = std::thread::scope(|scope| {
            let batches = wanted.chunks(share);
            let running: Vec<_> = batches
                .map(|batch| scope.spawn(move || batch.iter().map(open).collect::<Vec<_>>()))
                .collect();
            running
                .into_iter()
                .flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        self.parts.table.put(slots);
    }

    fn open(&self, wanted: &Wanted, now: Now) -> Slot {
        let (name, dir) = (wanted.name(), wanted.dir.id());
        let Stocked { marked, .. } = self.stocked(wanted);
        if self.struck.get(&dir).is_some_and(|names| names.contains(&name)) {
            return Slot::Offline(Offline { dir, name, marked, waits: true });
        }
        match self.try_open(wanted, now) {
            Ok(replica) => Slot::Open(Arc::new(replica)),
            Err(error) => {
                let waits = judged(&wanted.dir, &error) == Verdict::Process;
                tracing::error!(partition = %name, dir = %wanted.dir.path().display(), %error, waits,
                    "a log cannot be opened; the partition is offline");
                Slot::Offline(Offline { dir, name, marked, waits })
            }
        }
    }

    fn try_open(&self, wanted: &Wanted, now: Now) -> Result<Replica, LogError> {
        let name = wanted.name();
        let path = wanted.dir.path().join(name.to_string());
        let is_named = self.is_named(wanted, &path)?;
        let settings = self.configs.settings(&wanted.topic.name);
        let Stocked { marked, clean } = self.stocked(wanted);
        let start =
            Start { recovery_point: marked.recovery_point, log_start_offset: marked.log_start, clean };
        let log = LogWriter::open(self.parts.env.clone(), path.clone(), settings.log.clone(), start, now)?;
        if !is_named {
            write_topic_id(&*self.parts.env.disk, &path, wanted.topic.id)?;
        }
        let topic = Arc::from(wanted.topic.name.as_str());
        let (me, dir) = (self.parts.me, wanted.dir.clone());
        let stir = Stir::new(wanted.id(), self.parts.table.restless().clone());
        Ok(Replica::new(stir, topic, me, dir, log, settings, marked.high_watermark))
    }

    /// Whether the directory says that it is the topic's. One that belongs to another is never taken over.
    fn is_named(&self, wanted: &Wanted, path: &Path) -> Result<bool, LogError> {
        match read_topic_id(&*self.parts.env.disk, path) {
            Ok(Some(id)) if id != wanted.topic.id => {
                let other =
                    format!("{} belongs to another topic, of id {}", path.display(), kafka_uuid::encode(id));
                Err(io::Error::other(other).into())
            }
            Ok(id) => Ok(id.is_some()),
            Err(CheckpointError::Io(error)) => Err(error.into()),
            Err(malformed) => Err(io::Error::other(malformed.to_string()).into()),
        }
    }

    /// Who may be in an ISR changes with the brokers too.
    fn assume_all(&self, changed: &[Arc<TopicImage>], seen: &Image, image: &Image, now: Now) {
        match image.brokers == seen.brokers {
            true => changed.iter().for_each(|topic| {
                self.assume(topic, seen.topics.by_id(topic.id), &image.brokers, now);
            }),
            false => image.topics.iter().for_each(|topic| self.assume(topic, None, &image.brokers, now)),
        }
    }

    /// Hands each partition of a topic what the image says of it, and tells of roles that changed. Those that are as `before`
    /// said know it, unless they were opened since.
    fn assume(&self, topic: &TopicImage, before: Option<&Arc<TopicImage>>, brokers: &Brokers, now: Now) {
        for partition in topic.partitions() {
            let id = TopicPartition { topic: topic.id, partition: partition.index };
            let Ok(replica) = self.parts.table.get(id) else { continue };
            let old = before.and_then(|before| before.partition(partition.index));
            if old.is_some_and(|old| Arc::ptr_eq(old, partition)) && replica.has_role() {
                continue;
            }
            let turn = replica.assume(assignment(partition, brokers), now.mono);
            let role = match turn {
                Turn::Leads => Role::Leads(replica.clone()),
                Turn::Follows => Role::Follows { replica: replica.clone(), leader: partition.leader },
                Turn::Stays | Turn::Stale => continue,
            };
            self.tell(RoleChange { epoch: partition.leader_epoch, ..RoleChange::of(&replica, role) });
        }
    }

    fn tell(&self, change: RoleChange) {
        // Nobody listens only while the broker stops.
        let _ = self.parts.roles.send(change);
    }
}

impl Wanted {
    fn id(&self) -> TopicPartition {
        TopicPartition { topic: self.topic.id, partition: self.partition.index }
    }

    fn name(&self) -> PartitionName {
        PartitionName { topic: self.topic.name.clone(), partition: self.partition.index }
    }
}

fn name_of(replica: &Replica) -> PartitionName {
    PartitionName { topic: replica.topic().to_string(), partition: replica.id().partition }
}

/// Whether `result` is final: success, or a failure that takes `dir` offline. Otherwise the process lacks something.
fn is_settled(result: io::Result<()>, dir: &DirHandle) -> bool {
    let Err(error) = result else { return true };
    if verdict(&error) == Verdict::Process {
        tracing::warn!(dir = %dir.path().display(), %error, "checkpoints could not be written; it is tried again");
        return false;
    }
    dir.fail(&error);
    true
}

/// What an error in a log says of its directory, which fails if it is broken.
fn judged(dir: &DirHandle, error: &LogError) -> Verdict {
    if let LogError::Io(error) = error { dir.judge(error) } else { Verdict::Other }
}

fn assignment(partition: &PartitionImage, brokers: &Brokers) -> Assignment {
    // A leader that is shutting down still admits who is to take over from it.
    let may_lead = |broker: &Broker| Some(broker.id) == partition.leader && !broker.fenced;
    let is_able = |broker: &&Arc<Broker>| broker.is_active() || may_lead(broker);
    let able = |replica: &ReplicaImage| {
        let broker = brokers.get(replica.broker).filter(is_able)?;
        broker.can_use(replica.directory).then_some((broker.id, broker.epoch))
    };
    Assignment {
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        replicas: partition.replica_brokers().collect(),
        isr: partition.isr.clone(),
        epochs: partition.replicas.iter().filter_map(able).collect(),
    }
}

/// The topic's settings, for whoever opens or reconfigures its partitions.
type SharedSettings = Arc<Settings>;
