//! One fetcher: what follows one leader is fetched in one request after the other.
//!
//! ```text
//!   orders ─► positions ─► sync what is promised ─► Fetch, waits at the leader ─► append or cut ─┐
//!      ▲                                               └─ given up when a new partition waits    │
//!      └─────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! Partitions at which nothing changes are not looked at: they ring when something does.

use super::fetchers::Site;
use super::pause::Pause;
use super::session::{Next, Session};
use crate::partition::bell::Bell;
use crate::partition::progress::{Interest, Listening};
use crate::partition::replica::{Asked, LeaderMarks, Position, Replica};
use crate::partition::{checkpoint, cut};
use crate::peer;
use crate::seam;
use crate::types::{BrokerId, ErrorCode, LeaderEpoch, Now, TopicPartition};
use crate::wire::replica_fetch::{self, Answer, Ask, Part, Wanted};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The first piece of an answer may take this much longer than the leader may wait, and the next pieces as long. A leader that
/// was cut off for a moment leaves connections that nothing comes by: who waits at them falls out of sync.
const GRACE: Duration = Duration::from_secs(1);
/// A fetch is left alone for so long, even if a new partition waits: under a stream of orders fetches still come to an end.
const UNHURRIED: Duration = Duration::from_millis(20);
/// Nothing of a partition wakes its fetcher; it looks at what has changed before each fetch.
const QUIETLY: Interest = Interest { appended: false, committed: false, noted: true };

/// The ways to leaders.
pub trait Leaders: Send + Sync + 'static {
    type Line: Line;
    /// A new way to a broker; `None` if nobody knows one.
    fn line(&self, to: BrokerId) -> Option<Self::Line>;
}

/// A way to one leader, on which one request follows the other.
pub trait Line: Send + Sync + 'static {
    /// Sends a request, both without headers; `None` if no answer came, or nothing more of it for `silence`.
    fn call(
        &mut self,
        key: i16,
        version: i16,
        body: Bytes,
        silence: Duration,
    ) -> impl Future<Output = Option<Bytes>> + Send;
}

impl Leaders for Arc<peer::Brokers> {
    type Line = peer::Line;
    fn line(&self, to: BrokerId) -> Option<peer::Line> {
        self.own_line(to)
    }
}

impl Line for peer::Line {
    async fn call(&mut self, key: i16, version: i16, body: Bytes, silence: Duration) -> Option<Bytes> {
        let answer = peer::Line::call(self, key, version, &body, silence).await;
        answer.inspect_err(|error| tracing::debug!(%error, "a leader did not answer")).ok()
    }
}

/// What the manager wants of a fetcher.
pub(super) enum Order {
    Follow { replica: Arc<Replica>, epoch: LeaderEpoch },
    Leave(TopicPartition),
}

pub(super) struct Fetcher<L: Leaders> {
    site: Arc<Site<L>>,
    leader: BrokerId,
    orders: mpsc::UnboundedReceiver<Order>,
    /// Orders that came while a fetch was under way.
    early: Vec<Order>,
    partitions: BTreeMap<TopicPartition, Followed>,
    /// Under which number each rings.
    numbers: HashMap<usize, TopicPartition>,
    next_number: usize,
    bell: Arc<Bell>,
    /// To be looked at before the next fetch, beside those that have changed: new ones, and those that must wait for a time.
    restless: BTreeSet<TopicPartition>,
    session: Session,
    line: Option<L::Line>,
    /// Whether the leader answered when it was asked last.
    answers: bool,
    pause: Pause,
    /// The last request was given up for partitions that came.
    has_hurried: bool,
    /// Until then what is throttled is left out.
    held_back_until: Option<Instant>,
}

struct Followed {
    replica: Arc<Replica>,
    epoch: LeaderEpoch,
    pause: Pause,
    /// Its log reached what the leader said is committed: it may be about to join those in sync, who wait for what it says.
    has_committed: bool,
    number: usize,
    _listening: Listening,
}

impl<L: Leaders> Fetcher<L> {
    pub fn new(site: Arc<Site<L>>, leader: BrokerId, orders: mpsc::UnboundedReceiver<Order>) -> Fetcher<L> {
        let (session, pause) = (Session::default(), Pause::default());
        Fetcher {
            site,
            leader,
            orders,
            early: vec![],
            partitions: BTreeMap::new(),
            numbers: HashMap::new(),
            next_number: 0,
            bell: Arc::default(),
            restless: BTreeSet::new(),
            session,
            line: None,
            answers: true,
            pause,
            has_hurried: false,
            held_back_until: None,
        }
    }

    /// Fetches until nobody gives orders any more.
    pub async fn run(mut self) {
        while self.take_orders().await {
            self.look().await;
            if self.session.asks_for_nothing() || self.pause.until().is_some() {
                self.rest().await;
                continue;
            }
            match self.fetch().await {
                Some(answer) => self.act(answer).await,
                None => self.session.reset(),
            }
        }
    }

    /// False if there will be no more.
    async fn take_orders(&mut self) -> bool {
        for order in std::mem::take(&mut self.early) {
            self.obey(order);
        }
        if self.partitions.is_empty() {
            self.hang_up();
            match self.orders.recv().await {
                Some(order) => self.obey(order),
                None => return false,
            }
        }
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.obey(order),
                Err(error) => return error == mpsc::error::TryRecvError::Empty,
            }
        }
    }

    /// Nobody notices the end of a connection on which nothing is under way. The leader may be another process when it is followed
    /// again, and would pass for lost, although it answers whoever dials it.
    fn hang_up(&mut self) {
        self.line = None;
        self.session.reset();
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Follow { replica, epoch } => self.follow(replica, epoch),
            Order::Leave(id) => self.leave(id),
        }
    }

    fn follow(&mut self, replica: Arc<Replica>, epoch: LeaderEpoch) {
        let (id, number) = (replica.id(), self.next_number);
        self.forget_number(id);
        self.next_number += 1;
        let listening = replica.progress().listen(&replica.marks(), QUIETLY, &self.bell, number);
        let (pause, has_committed) = (Pause::default(), false);
        let followed = Followed { replica, epoch, pause, has_committed, number, _listening: listening };
        self.partitions.insert(id, followed);
        self.numbers.insert(number, id);
        self.restless.insert(id);
    }

    fn leave(&mut self, id: TopicPartition) {
        self.forget_number(id);
        self.partitions.remove(&id);
        self.restless.remove(&id);
        self.session.leave(id);
    }

    fn forget_number(&mut self, id: TopicPartition) {
        if let Some(followed) = self.partitions.get(&id) {
            self.numbers.remove(&followed.number);
        }
    }

    /// When the pauses of its partitions end.
    fn pauses(&self) -> impl Iterator<Item = Instant> {
        let restless = self.restless.iter().filter_map(|id| self.partitions.get(id));
        restless.filter_map(|followed| followed.pause.until())
    }

    /// Until something can be fetched, or there are orders.
    async fn rest(&mut self) {
        let next = self.pauses().chain(self.held_back_until).min();
        let until = self.pause.until().or(next).unwrap_or_else(Instant::now);
        tokio::select! {
            order = self.orders.recv() => self.early.extend(order),
            () = tokio::time::sleep_until(until) => {}
        }
    }

    /// Asks for what has changed, and for what is restless, from where it is to go on.
    async fn look(&mut self) {
        let mut to_look_at = std::mem::take(&mut self.restless);
        to_look_at.extend(self.bell.take().iter().filter_map(|number| self.numbers.get(number)));
        self.sync(&to_look_at).await;
        self.held_back_until = None;
        let throttle = &self.site.table.throttles().follower;
        let held_back = throttle.wait(self.site.clock.mono(), self.site.settings.longest_pause);
        for id in to_look_at {
            let Some(followed) = self.partitions.get_mut(&id) else { continue };
            // What is not in sync waits for what is (KIP-73).
            let is_held_back = !held_back.is_zero() && followed.may_be_held_back();
            if is_held_back {
                self.held_back_until = Some(Instant::now() + held_back);
            }
            match self.site.position(followed) {
                Some(wanted) if !is_held_back => {
                    self.session.ask(id, wanted);
                    // What the others fetch may hold it back the next time; a log start that could not be written is tried again.
                    let is_told = wanted.log_start >= followed.replica.marks().log_start;
                    if followed.may_be_held_back() || !is_told {
                        self.restless.insert(id);
                    }
                }
                _ => {
                    self.restless.insert(id);
                    self.session.leave(id);
                }
            }
        }
    }

    /// Has what is appended become what may be promised, and raised log starts what may be told.
    async fn sync(&self, to_look_at: &BTreeSet<TopicPartition>) {
        let (mut syncs, mut raised) = (vec![], vec![]);
        let followed = to_look_at.iter().filter_map(|id| self.partitions.get(id));
        for followed in followed.filter(|followed| followed.pause.until().is_none()) {
            let Ok(position) = followed.replica.position(followed.epoch) else { continue };
            if !position.is_promised {
                let replica = followed.replica.clone();
                syncs.push(seam::blocking(move || _ = replica.sync()));
            }
            if !position.is_start_written {
                raised.push(followed.replica.clone());
            }
        }
        if !raised.is_empty() {
            let table = self.site.table.clone();
            syncs.push(seam::blocking(move || checkpoint::write_starts(&table, &raised)));
        }
        for sync in syncs {
            // What failed shows in the position.
            let _ = sync.await;
        }
    }

    /// One request. Given up if a partition comes that would have to wait for its end, but not if the one before was: whatever
    /// comes, every second one is answered.
    async fn fetch(&mut self) -> Option<Answer> {
        // A session is to be known before it is waited in: one that is given up is ended by its name.
        let patience = if self.session.begins() { 0 } else { self.patience_ms() };
        let Next { id, epoch, changed, forgotten } = self.session.next();
        let ask = Ask { max_wait_ms: patience, ..self.site.ask(id, epoch, changed, forgotten) };
        let body = ask.encode();
        let silence = self.site.settings.max_wait + GRACE;
        let mut line = match self.line.take() {
            Some(line) => line,
            None => match self.site.leaders.line(self.leader) {
                Some(line) => line,
                None => return self.failed(),
            },
        };
        let answer = tokio::select! {
            answer = line.call(replica_fetch::KEY, replica_fetch::VERSION, body, silence) => answer,
            () = hurry(&mut self.orders, &mut self.early), if !self.has_hurried => {
                self.has_hurried = true;
                return None;
            }
        };
        self.has_hurried = false;
        match answer.and_then(Answer::decode) {
            Some(answer) => {
                self.line = Some(line);
                self.is_in_contact(true);
                Some(answer)
            }
            None => {
                self.is_in_contact(false);
                self.failed()
            }
        }
    }

    /// The leader waits for records no longer than until there is more to ask for.
    fn patience_ms(&self) -> i32 {
        let next = self.pauses().chain(self.held_back_until).min();
        let wait = next.map_or(Duration::MAX, |next| next.saturating_duration_since(Instant::now()));
        wait.min(self.site.settings.max_wait).as_millis() as i32
    }

    fn is_in_contact(&mut self, answers: bool) {
        match (std::mem::replace(&mut self.answers, answers), answers) {
            (true, false) => self.site.contact.lose(self.leader),
            (false, true) => self.site.contact.find(self.leader),
            _ => {}
        }
    }

    fn failed(&mut self) -> Option<Answer> {
        self.pause.failed(self.site.settings.longest_pause);
        None
    }

    async fn act(&mut self, answer: Answer) {
        if answer.error != 0 {
            tracing::debug!(leader = self.leader, error = answer.error, "a fetch was refused");
            self.session.reset();
            self.failed();
            return;
        }
        self.pause.succeeded();
        self.session.answered(answer.session_id);
        for (id, part) in answer.partitions {
            let (Some(followed), Some(wanted)) = (self.partitions.get_mut(&id), self.session.asked(&id))
            else {
                continue;
            };
            let asked = Asked { epoch: wanted.leader_epoch, offset: wanted.offset };
            if followed.replica.is_throttled_follower() {
                self.site.table.throttles().follower.take(part.records.len(), self.site.clock.mono());
            }
            let committed = part.high_watermark;
            match self.site.follow(&followed.replica, asked, part).await {
                Ok(()) => {
                    followed.pause.succeeded();
                    followed.has_committed = followed.replica.marks().log_end >= committed;
                }
                Err(code) => {
                    tracing::debug!(partition = %followed.replica.name(), ?code, "a partition could not be fetched");
                    followed.pause.failed(self.site.settings.longest_pause);
                    self.restless.insert(id);
                }
            }
        }
    }
}

/// Ends when a partition came to follow, and what is under way had its time.
async fn hurry(orders: &mut mpsc::UnboundedReceiver<Order>, early: &mut Vec<Order>) {
    let unhurried = Instant::now() + UNHURRIED;
    loop {
        let order = orders.recv().await;
        let is_waited_for = matches!(order, Some(Order::Follow { .. }) | None);
        early.extend(order);
        if is_waited_for {
            return tokio::time::sleep_until(unhurried).await;
        }
    }
}

impl Followed {
    fn may_be_held_back(&self) -> bool {
        self.replica.is_throttled_follower() && !self.replica.is_in_sync() && !self.has_committed
    }
}

impl<L: Leaders> Site<L> {
    /// From where to go on. `None` if it cannot be fetched now: it pauses.
    fn position(&self, followed: &mut Followed) -> Option<Wanted> {
        if followed.pause.until().is_some() {
            return None;
        }
        let position = followed.replica.position(followed.epoch);
        let position = position.ok().filter(|position| position.is_promised);
        if position.is_none() {
            followed.pause.failed(self.settings.longest_pause);
        }
        position.map(|position| self.wanted(followed.epoch, position))
    }

    fn wanted(&self, leader_epoch: LeaderEpoch, position: Position) -> Wanted {
        Wanted {
            leader_epoch,
            offset: position.offset,
            last_epoch: position.last_epoch,
            log_start: position.log_start,
            max_bytes: self.settings.partition_max_bytes,
        }
    }

    fn ask(
        &self,
        session_id: i32,
        session_epoch: i32,
        wanted: Vec<(TopicPartition, Wanted)>,
        forgotten: Vec<TopicPartition>,
    ) -> Ask {
        Ask {
            replica: self.me,
            broker_epoch: self.broker_epoch,
            max_wait_ms: self.settings.max_wait.as_millis() as i32,
            min_bytes: self.settings.min_bytes,
            max_bytes: self.settings.max_bytes,
            session_id,
            session_epoch,
            wanted,
            forgotten,
        }
    }

    /// Does what the leader's answer asks for.
    async fn follow(&self, replica: &Arc<Replica>, asked: Asked, part: Part) -> Result<(), ErrorCode> {
        let now = self.clock.now();
        match (ErrorCode::try_from_code(part.error), part.diverging_epoch) {
            (Some(ErrorCode::OffsetOutOfRange), _) => self.restart(replica, asked, part.log_start, now).await,
            (Some(code), _) => Err(code),
            (None, Some(diverging)) => {
                tracing::info!(partition = %replica.name(), ?diverging, "the leader's log diverges");
                let cut = move |table: &_, replica: &_| {
                    cut::truncate_by_epoch(table, replica, asked, diverging, now)
                };
                self.blocking(replica, cut).await
            }
            (None, None) => {
                let marks = LeaderMarks { high_watermark: part.high_watermark, log_start: part.log_start };
                replica.append_fetched(asked, &part.records, marks, now).map(drop)
            }
        }
    }

    /// A log that ends before the leader's begins, or holds nothing, goes on where that begins.
    async fn restart(
        &self,
        replica: &Arc<Replica>,
        asked: Asked,
        at: i64,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let marks = replica.marks();
        let is_empty = marks.log_start == marks.log_end;
        if at < 0 || !(is_empty || asked.offset < at) {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        tracing::info!(partition = %replica.name(), at, "the log goes on where the leader's begins");
        self.blocking(replica, move |table, replica| cut::restart_at(table, replica, asked, at, now)).await
    }

    async fn blocking(
        &self,
        replica: &Arc<Replica>,
        cut: impl FnOnce(&crate::partition::table::Table, &Replica) -> Result<i64, ErrorCode> + Send + 'static,
    ) -> Result<(), ErrorCode> {
        let (table, replica) = (self.table.clone(), replica.clone());
        let done = seam::blocking(move || cut(&table, &replica)).await;
        // It only fails if the process is ending.
        done.unwrap_or(Err(ErrorCode::UnknownServerError)).map(drop)
    }
}
