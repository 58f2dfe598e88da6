//! One machine on one log partition under one leader epoch.

use super::log::ShardLog;
use super::machine::{Input, Machine, Ticket};
use super::runtime::coordinator_error;
use crate::seam::{self, Clock};
use crate::types::{ErrorCode, LeaderEpoch, Mono, Now, Offset};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

type Outcome<R> = Result<(R, Offset), ErrorCode>;
/// A reply, and the log end that must be committed before it may be shown.
pub(super) type Answer<R> = oneshot::Receiver<Outcome<R>>;
pub(super) type Make<M> = Arc<dyn Fn() -> M + Send + Sync>;
/// What a machine is told when it has loaded, and once more a while later.
pub(super) type First<M> = Arc<dyn Fn() -> <M as Machine>::Command + Send + Sync>;

/// How long to leave a log alone that refused what a timer wanted to append, or, at first, that could not be loaded.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The longest that a log is left alone that cannot be loaded again and again.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// When a machine that has loaded is told the first thing once more: by then everybody knows what whoever wrote the last of
/// its log knew.
const AGAIN_AFTER: Duration = Duration::from_secs(120);
/// Ticks under one hold of the lock, so that commands get their turn.
const TICKS_AT_ONCE: usize = 64;

pub(super) struct Shard<M: Machine> {
    pub(super) partition: i32,
    pub(super) epoch: LeaderEpoch,
    pub(super) log: Arc<dyn ShardLog>,
    pub(super) clock: Clock,
    pub(super) make: Make<M>,
    first: First<M>,
    state: Mutex<State<M>>,
    /// The deadline may be sooner, or the state is another.
    wake: Notify,
}

enum State<M: Machine> {
    Loading(Loading<M>),
    Active(Active<M>),
    Closed,
}

struct Loading<M: Machine> {
    /// What was told meanwhile.
    told: Vec<M::Command>,
    /// The log could not be read; that is tried again, but nobody can say when it ends, if ever.
    failed: bool,
}

struct Active<M: Machine> {
    machine: M,
    /// The log end that everything decided so far rests upon.
    end: Offset,
    waiting: HashMap<Ticket, oneshot::Sender<Outcome<M::Reply>>>,
    tickets: u64,
    /// No tick before this.
    not_before: Mono,
    /// When the first command is due once more.
    again: Option<Mono>,
    /// Whether the log took the last append is not known: load again.
    lost: bool,
}

/// What the timer does next.
enum Next {
    Sleep(Option<Duration>),
    Again,
    Stop,
}

impl<M: Machine> Shard<M> {
    pub(super) fn new(
        partition: i32,
        epoch: LeaderEpoch,
        log: Arc<dyn ShardLog>,
        clock: Clock,
        (make, first): (Make<M>, First<M>),
    ) -> Self {
        let state = Mutex::new(State::loading());
        Shard { partition, epoch, log, clock, make, first, state, wake: Notify::new() }
    }

    /// Loads, then keeps time, until closed; loads again whenever the state was given up. `settled` hears of each loading that
    /// ends, well or not.
    pub(super) async fn run(self: Arc<Self>, settled: Arc<Notify>) {
        while self.clone().load(&settled).await {
            self.keep_time().await;
        }
    }

    /// Whether commands are decided upon, or refused for good reason.
    pub(super) fn is_settled(&self) -> bool {
        !matches!(*self.state.lock(), State::Loading(Loading { failed: false, .. }))
    }

    /// From now on every caller is told `NotCoordinator`, those that wait included.
    pub(super) fn close(&self) {
        *self.state.lock() = State::Closed;
        self.wake.notify_one();
    }

    /// Decides upon `command` now; the reply may come much later.
    pub(super) fn submit(&self, command: M::Command) -> Result<Answer<M::Reply>, ErrorCode> {
        let mut state = self.state.lock();
        let active = match &mut *state {
            State::Loading(Loading { failed: false, .. }) => {
                return Err(ErrorCode::CoordinatorLoadInProgress);
            }
            State::Loading(_) => return Err(ErrorCode::NotCoordinator),
            State::Closed => return Err(ErrorCode::NotCoordinator),
            State::Active(active) => active,
        };
        let before = active.machine.next_deadline().unwrap_or(Mono(u64::MAX));
        let (ticket, answer) = active.ticket();
        self.decide(active, Input::Command(command, ticket), self.clock.now());
        let sooner = active.machine.next_deadline().is_some_and(|deadline| deadline < before);
        let lost = active.lost;
        if lost {
            *state = State::loading();
        }
        if lost || sooner {
            self.wake.notify_one();
        }
        Ok(answer)
    }

    /// Like [`Shard::submit`], without an answer, and kept for later if the shard still loads.
    pub(super) fn tell(&self, command: M::Command) {
        if let State::Loading(loading) = &mut *self.state.lock() {
            return loading.told.push(command);
        }
        // A closed shard has no use for it, and nobody waits for the answer.
        let _ = self.submit(command);
    }

    /// Step, append, apply, answer. A refused append fails the replies of this step; whether it was taken is returned.
    fn decide(&self, active: &mut Active<M>, input: Input<M::Command>, now: Now) -> bool {
        let output = active.machine.step(input, now);
        let outcome = self.append(active, &output.events, now);
        for (ticket, reply) in output.replies {
            active.answer(ticket, outcome.map(|()| (reply, active.end)));
        }
        outcome.is_ok()
    }

    fn append(&self, active: &mut Active<M>, events: &[M::Event], now: Now) -> Result<(), ErrorCode> {
        if events.is_empty() {
            return Ok(());
        }
        let records = events.iter().map(M::record).collect();
        match self.log.append(records, self.epoch, now) {
            Ok(end) => active.end = end,
            Err(error) => {
                tracing::warn!(partition = self.partition, %error, "a coordinator's log refused an append");
                active.lost = matches!(error, ErrorCode::KafkaStorageError | ErrorCode::UnknownServerError);
                return Err(coordinator_error(error));
            }
        }
        events.iter().for_each(|event| active.machine.apply(event));
        Ok(())
    }

    /// Reads the log until that succeeds; `false` once the shard is closed or its epoch over.
    async fn load(self: Arc<Self>, settled: &Notify) -> bool {
        let mut pause = RETRY_AFTER;
        loop {
            let shard = self.clone();
            let loaded = seam::blocking(move || shard.replay()).await;
            let (active, goes_on) = match loaded {
                Ok(Ok((machine, end))) => (true, self.activate(machine, end)),
                Ok(Err(error)) => (false, self.failed_to_load(error)),
                Err(panic) => {
                    tracing::error!(partition = self.partition, %panic, "loading a coordinator failed");
                    (false, self.failed_to_load(ErrorCode::UnknownServerError))
                }
            };
            settled.notify_waiters();
            if active || !goes_on {
                return goes_on;
            }
            // Woken when the shard is closed; looking too early does no harm.
            let _ = tokio::time::timeout(pause, self.wake.notified()).await;
            pause = RETRY_AFTER_MAX.min(2 * pause);
        }
    }

    fn replay(&self) -> Result<(M, Offset), ErrorCode> {
        let mut machine = (self.make)();
        let mut skipped = 0u64;
        let end = self.log.load(self.epoch, &mut |replayed| match M::event(replayed) {
            Some(event) => machine.apply(&event),
            None => skipped += 1,
        })?;
        if skipped > 0 {
            tracing::warn!(
                partition = self.partition,
                skipped,
                "records that this release cannot read were left alone"
            );
        }
        Ok((machine, end))
    }

    fn activate(&self, mut machine: M, end: Offset) -> bool {
        let mut state = self.state.lock();
        let State::Loading(loading) = &mut *state else { return false };
        let told = std::mem::take(&mut loading.told);
        let now = self.clock.now();
        machine.loaded(now);
        let mut active = Active::new(machine, end, now);
        for command in std::iter::once((self.first)()).chain(told) {
            let (ticket, _) = active.ticket();
            self.decide(&mut active, Input::Command(command, ticket), now);
        }
        *state = if active.lost { State::loading() } else { State::Active(active) };
        true
    }

    /// Whether it is worth trying again.
    fn failed_to_load(&self, error: ErrorCode) -> bool {
        let mut state = self.state.lock();
        let State::Loading(loading) = &mut *state else { return false };
        tracing::warn!(partition = self.partition, %error, "a coordinator's log did not load");
        loading.failed = true;
        if error == ErrorCode::NotLeaderOrFollower {
            // The epoch is over: the next one has a shard of its own.
            *state = State::Closed;
        }
        matches!(*state, State::Loading(_))
    }

    /// Ticks at each deadline, until the state is closed or given up.
    async fn keep_time(&self) {
        loop {
            match self.tick() {
                Next::Stop => return,
                Next::Again => tokio::task::yield_now().await,
                Next::Sleep(None) => self.wake.notified().await,
                Next::Sleep(Some(time)) => {
                    // Either way there is something to look at; which one it was does not matter.
                    let _ = tokio::time::timeout(time, self.wake.notified()).await;
                }
            }
        }
    }

    fn tick(&self) -> Next {
        let mut state = self.state.lock();
        let State::Active(active) = &mut *state else { return Next::Stop };
        for _ in 0..TICKS_AT_ONCE {
            let now = self.clock.now();
            match active.deadline() {
                Some(deadline) if deadline <= now.mono => {}
                deadline => return Next::Sleep(deadline.map(|deadline| deadline.since(now.mono))),
            }
            let input = match active.again.take_if(|at| *at <= now.mono) {
                Some(_) => Input::Command((self.first)(), active.ticket().0),
                None => Input::Tick,
            };
            if !self.decide(active, input, now) {
                active.not_before = now.mono.plus(RETRY_AFTER);
            }
            if active.lost {
                *state = State::loading();
                return Next::Stop;
            }
        }
        Next::Again
    }
}

impl<M: Machine> State<M> {
    fn loading() -> Self {
        State::Loading(Loading { told: Vec::new(), failed: false })
    }
}

impl<M: Machine> Active<M> {
    fn new(machine: M, end: Offset, now: Now) -> Self {
        let (waiting, again) = (HashMap::new(), Some(now.mono.plus(AGAIN_AFTER)));
        Active { machine, end, waiting, tickets: 0, not_before: Mono(0), again, lost: false }
    }

    fn deadline(&self) -> Option<Mono> {
        let machine = self.machine.next_deadline().map(|deadline| deadline.max(self.not_before));
        [machine, self.again].into_iter().flatten().min()
    }

    fn ticket(&mut self) -> (Ticket, Answer<M::Reply>) {
        self.tickets += 1;
        let (sender, answer) = oneshot::channel();
        self.waiting.insert(Ticket(self.tickets), sender);
        (Ticket(self.tickets), answer)
    }

    fn answer(&mut self, ticket: Ticket, outcome: Outcome<M::Reply>) {
        if let Some(sender) = self.waiting.remove(&ticket) {
            // The caller may have left.
            let _ = sender.send(outcome);
        }
    }
}
