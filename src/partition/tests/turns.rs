//! One partition on two brokers, where the test decides whose turn it is at each lock, each published mark or view and each
//! call of the disk: `cargo test -p drave --features shuttle --lib turns`.
//!
//! ```text
//!   controller   has one broker lead, then the other: a new leader, and a follower that cuts its log and goes on
//!   producers    append where it is led, and wait until that is committed
//!   fetchers     bring each broker what the other has
//!   consumer     reads from both what they show
//! ```

use super::trio::{Truth, log_of, wanted};
use super::*;
use crate::partition::cut;
use crate::partition::replica::{Asked, LeaderMarks};
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Mutex;
use storage::batch::{batches, records};
use storage::sync::Mutex as Shared;

/// Who leads next, and who hears of it first.
type Appointment = (BrokerId, [BrokerId; 2]);

const STORIES: &[&[Appointment]] =
    &[&[], &[(2, [1, 2])], &[(2, [2, 1])], &[(2, [2, 1]), (1, [2, 1])], &[(2, [1, 2]), (1, [1, 2])]];
const RECORDS: usize = 3;
const FETCHES: usize = 6;
const LOOKS: usize = 3;

type Values = BTreeMap<Offset, String>;

struct Broker {
    id: BrokerId,
    replica: Arc<Replica>,
    table: Arc<Table>,
    life: Shared<Life>,
}

struct Pair {
    brokers: [Broker; 2],
    /// What is never to be another. Not held across a turn.
    acknowledged: Mutex<Values>,
    shown: Mutex<Values>,
}

fn truth(leader: Option<BrokerId>, epoch: usize) -> Truth {
    Truth {
        leader,
        leader_epoch: epoch as i32,
        partition_epoch: epoch as i32,
        isr: vec![1, 2],
        brokers: [1, 2, 3].map(|id| (id, (i64::from(id), false))).into(),
        flush: false,
    }
}

impl Pair {
    fn new() -> Pair {
        let brokers = [1, 2].map(|id| {
            let mut life = Life::of(id, &Arc::new(FaultDisk::new(id as u64)), &["/data"], || {});
            life.reconciler.reconcile(truth(Some(1), 0).image(0), NOW);
            let (replica, table) = (life.replica(TOPIC), life.table.clone());
            Broker { id, replica, table, life: Shared::new(life) }
        });
        Pair { brokers, acknowledged: Mutex::default(), shown: Mutex::default() }
    }

    fn broker(&self, id: BrokerId) -> &Broker {
        &self.brokers[id as usize - 1]
    }

    /// `leader` leads, or nobody does; they hear of it in this order.
    fn appoint(&self, leader: Option<BrokerId>, hearing: [BrokerId; 2], epoch: usize) {
        for broker in hearing.map(|id| self.broker(id)) {
            broker.life.lock().reconciler.reconcile(truth(leader, epoch).image(epoch), NOW);
        }
    }

    fn produce(&self, value: &str) {
        let leader = self.brokers.iter().find(|broker| broker.replica.marks().leads);
        let Some(leader) = leader else { return };
        let append = Append { records: record(value), acks: Acks::All };
        let Ok(appended) = leader.replica.append(append, NOW) else { return };
        let outcome = appended.pending.map_or(Ok(()), block_on);
        if outcome.is_ok() {
            let before = self.acknowledged.lock().unwrap().insert(appended.base_offset, value.into());
            assert_eq!(before, None, "{value} was acknowledged at the same offset");
        }
    }

    /// One round of a fetcher.
    fn fetch(&self, follower: &Broker) {
        let leader = self.broker(3 - follower.id);
        let epoch = follower.replica.marks().leader_epoch;
        let Ok(position) = follower.replica.position(epoch) else { return };
        let wanted = wanted(position, epoch);
        let (from, broker_epoch) = (follower.id, i64::from(follower.id));
        let read = FollowerRead { from, broker_epoch, wanted, max_bytes: 1000, ..first_read() };
        let Ok(found) = leader.replica.read_as_follower(read, NOW.mono).found else { return };
        let asked = Asked { epoch, offset: position.offset };
        let marks = LeaderMarks { high_watermark: found.high_watermark, log_start: found.log_start };
        let acted = match found.diverging_epoch {
            Some(at) => cut::truncate_by_epoch(&follower.table, &follower.replica, asked, at, NOW),
            None => {
                let read: std::io::Result<Vec<_>> = found.slices.iter().map(|slice| slice.read()).collect();
                let records = match read {
                    Ok(read) => Bytes::from(read.concat()),
                    // It follows by now, and has cut its log.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => return,
                    Err(error) => panic!("{error}"),
                };
                follower.replica.append_fetched(asked, &records, marks, NOW)
            }
        };
        let is_overtaken =
            |code| matches!(code, ErrorCode::FencedLeaderEpoch | ErrorCode::NotLeaderOrFollower);
        assert!(acted.is_ok() || acted.is_err_and(is_overtaken), "{acted:?}");
    }

    /// What was shown once stays, wherever it is read.
    fn look(&self, at: &Broker) {
        let wanted = Wanted { offset: 0, current_epoch: -1, last_epoch: -1 };
        let isolation = Isolation::ReadUncommitted;
        let read = Read { wanted, max_bytes: 1000, at_least_one: true, isolation, may_follow: true };
        let Ok(found) = at.replica.read(read) else { return };
        let bytes = found.slices.iter().flat_map(|slice| slice.read().expect("it is committed"));
        for batch in batches(&Bytes::from_iter(bytes)) {
            let batch = batch.unwrap();
            let offset = batch.header.base_offset;
            assert!(offset < found.high_watermark);
            for record in &records(&batch, 1 << 10).unwrap() {
                let value = String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap();
                let mut shown = self.shown.lock().unwrap();
                assert_eq!(*shown.entry(offset).or_insert(value.clone()), value, "at {offset}");
            }
        }
    }

    /// In the end all agree, and hold what was acknowledged and what was shown.
    fn check(&self, epoch: usize) {
        self.appoint(Some(1), [1, 2], epoch);
        (0..10).for_each(|_| self.fetch(self.broker(2)));
        let [first, second] =
            self.brokers.each_ref().map(|broker| log_of(&broker.replica, broker.replica.marks().log_end));
        assert_eq!(first, second);
        let log = Values::from_iter(first);
        assert_eq!(self.broker(1).replica.marks().high_watermark, log.len() as Offset);
        for kept in [&self.acknowledged, &self.shown] {
            for (offset, value) in &*kept.lock().unwrap() {
                assert_eq!(log.get(offset), Some(value), "at {offset}");
            }
        }
    }
}

fn tell(story: &[Appointment]) {
    let pair = Arc::new(Pair::new());
    let beside = |work: fn(&Pair)| {
        let pair = pair.clone();
        thread::spawn(move || work(&pair))
    };
    let others = [
        beside(|pair| (0..RECORDS).for_each(|nth| pair.produce(&format!("a{nth}")))),
        beside(|pair| (0..RECORDS).for_each(|nth| pair.produce(&format!("b{nth}")))),
        beside(|pair| (0..FETCHES).for_each(|_| pair.fetch(pair.broker(2)))),
        beside(|pair| (0..FETCHES).for_each(|_| pair.fetch(pair.broker(1)))),
        beside(|pair| (0..LOOKS).for_each(|nth| pair.look(&pair.brokers[nth % 2]))),
    ];
    for (nth, (leader, hearing)) in story.iter().enumerate() {
        pair.appoint(Some(*leader), *hearing, nth + 1);
    }
    // Whoever still waits is told now.
    pair.appoint(None, [1, 2], story.len() + 1);
    others.into_iter().for_each(|other| other.join().expect("no panic"));
    pair.check(story.len() + 2);
}

/// So many orders of turns for each story. Half of them are any, in the others few turns are not as one would think.
fn orders() -> usize {
    std::env::var("DRAVE_TURNS").map_or(1_000, |text| text.parse().expect("a number"))
}

#[test]
fn what_was_acknowledged_or_shown_stays_through_changes_of_the_leader() {
    for story in STORIES {
        let any = Box::new(RandomScheduler::new_from_seed(1, orders()));
        let few = Box::new(PctScheduler::new_from_seed(1, 2, orders()));
        let schedulers: [Box<dyn Scheduler + Send>; 2] = [any, few];
        for scheduler in schedulers {
            let mut config = Config::new();
            config.stack_size = 1 << 20;
            Runner::new(scheduler, config).run(move || tell(story));
        }
    }
}
