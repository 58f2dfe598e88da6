//! Fetch: what a consumer or a follower asked for, as file ranges; waits while there is too little.

mod plan;
pub mod session;
mod watch;

use super::context::{Context, Envelope};
use super::{Api, Reply};
use crate::cluster::controller::name_fault;
use crate::partition::bell::Bell;
use crate::partition::progress::Interest;
use crate::partition::replica::Isolation;
use crate::seam;
use crate::types::ErrorCode;
use crate::wire::fetch_response::FetchReply;
use crate::wire::outgoing::{Chunks, Outgoing};
use indexmap::IndexMap;
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use parking_lot::Mutex;
use plan::{Budget, Plan, Reader};
use session::{Asked, Asking, Mode, PartitionKey, Session, TopicKey, Wanted};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use storage::disk::is_refused;
use tokio::time::Instant;
use watch::Follower;

/// From here on topics are named by id.
const BY_ID: i16 = 13;
/// From here on there are sessions; before, a request always asks for everything.
const SESSIONS: i16 = 7;
const NO_SESSION_EPOCH: i32 = -1;
/// A parked reply is outside of the budget: one for more partitions is waited for with its request still charged.
const PARKED_PARTITIONS: usize = 100;
/// So long at most: others may wait for the room. The client asks again.
const CHARGED_WAIT: Duration = Duration::from_secs(5);

/// From here on a consumer may say where it stands, and is sent to replicas near it (KIP-392).
const NAMES_RACK: i16 = 11;
/// From here on a follower names its broker's epoch (KIP-903).
const REPLICA_STATE: i16 = 15;

impl Api for FetchRequest {
    async fn handle(self, cx: Context) -> Reply<FetchResponse> {
        if cx.version() < BY_ID && names_nonsense(&self) {
            return Reply::Encoded(Outgoing::Now(failed(cx.envelope(), ErrorCode::InvalidTopicException)));
        }
        let reader = reader(&self, cx.version());
        let mut asked = asked(&self, cx.version());
        // Nobody else displaces followers.
        let (sessions, most_bytes) = match reader {
            Reader::Follower { id, broker_epoch } if cx.is_among_brokers() => {
                asked.follower = Some(Follower { id, broker_epoch });
                (&cx.node.follower_sessions, i32::MAX)
            }
            _ => (&cx.node.fetch_sessions, cx.node.config.fetch_max_bytes),
        };
        let mode = match sessions.resolve(&asked, fresh_id, cx.now().mono) {
            Ok(mode) => mode,
            Err(code) => return Reply::Encoded(Outgoing::Now(failed(cx.envelope(), code))),
        };
        let max_bytes = self.max_bytes.clamp(0, most_bytes) as usize;
        let names_rack = reader.is_consumer() && !self.rack_id.is_empty() && cx.node.config.sends_to_nearest;
        let fetch = Fetch {
            rack: names_rack.then(|| Arc::from(&*self.rack_id)),
            wanted: wanted(asked, &mode),
            mode,
            reader,
            // More than an answer may hold never comes.
            min_bytes: (self.min_bytes.max(0) as usize).min(max_bytes),
            max_bytes,
        };
        let planned = seam::reading((fetch, cx), |(fetch, cx)| fetch.plan(cx)).await;
        let Ok(((fetch, cx), plan)) = planned else {
            return Reply::Close("the node ends");
        };
        if fetch.has_enough(&plan) || self.max_wait_ms <= 0 {
            return Reply::Encoded(Outgoing::Now(fetch.respond(&cx, plan)));
        }
        let patience = Duration::from_millis(self.max_wait_ms as u64);
        if reader.is_consumer() && fetch.wanted.len() > PARKED_PARTITIONS {
            let answer = fetch.wait(cx.parked(), plan, patience.min(CHARGED_WAIT)).await;
            return Reply::Encoded(Outgoing::Now(answer));
        }
        Reply::Encoded(Outgoing::Later(Box::pin(fetch.wait(cx.parked(), plan, patience))))
    }

    fn refuse(code: ErrorCode) -> FetchResponse {
        FetchResponse::default().with_error_code(code.code())
    }
}

/// Whether a topic is asked for that cannot be. Such a name may be long, and it is compared for each of its partitions.
fn names_nonsense(request: &FetchRequest) -> bool {
    let wanted = request.topics.iter().map(|topic| &topic.topic);
    let mut names = wanted.chain(request.forgotten_topics_data.iter().map(|topic| &topic.topic));
    names.any(|name| name_fault(name).is_some())
}

/// A fetch that is under way.
struct Fetch {
    mode: Mode,
    /// As they were read; what rings meanwhile is added.
    wanted: Vec<Asking>,
    reader: Reader,
    /// Where the consumer stands, if that matters.
    rack: Option<Arc<str>>,
    min_bytes: usize,
    max_bytes: usize,
}

impl Fetch {
    fn plan(&self, cx: &Context) -> Plan {
        let image = cx.image();
        let mut plan = Plan::new(Budget { bytes: self.max_bytes }, self.rack.clone());
        for (nth, Asking { key, wanted, .. }) in self.wanted.iter().enumerate() {
            plan.read(cx, &image, key, *wanted, self.reader);
            if is_refused() {
                break;
            }
            self.attend(cx, &mut plan, nth);
        }
        plan
    }

    fn has_enough(&self, plan: &Plan) -> bool {
        let asks_for_nothing = self.wanted.is_empty() && self.watched().is_none();
        asks_for_nothing || plan.is_enough(self.min_bytes)
    }

    /// The session that knows which of its partitions have changed.
    fn watched(&self) -> Option<&Arc<Mutex<Session>>> {
        let (Mode::New(session) | Mode::Incremental(session)) = &self.mode else { return None };
        session.lock().watch().is_some().then_some(session)
    }

    async fn wait(mut self, cx: Context, mut plan: Plan, patience: Duration) -> Chunks {
        let deadline = Instant::now() + patience;
        match self.watched().cloned() {
            Some(session) => self.wait_for_news(&session, &cx, &mut plan, deadline).await,
            None => self.wait_at_all(&cx, &mut plan, deadline).await,
        }
        self.respond(&cx, plan)
    }

    /// One waiter for all partitions: whichever moves wakes it, and is read anew.
    async fn wait_at_all(&self, cx: &Context, plan: &mut Plan, deadline: Instant) {
        let (bell, interest) = (Arc::<Bell>::default(), self.interest(cx));
        let listen = |nth| plan.listen(nth, interest, &bell);
        let mut listening: Vec<_> = (0..self.wanted.len()).map(listen).collect();
        while !self.has_enough(plan) && tokio::time::timeout_at(deadline, bell.heard()).await.is_ok() {
            let image = cx.image();
            for nth in bell.take() {
                plan.read_again(cx, &image, nth, self.wanted[nth].wanted, self.reader);
                self.attend(cx, plan, nth);
                // It may be in another place now.
                listening[nth] = plan.listen(nth, interest, &bell);
            }
        }
    }

    /// The same with a session that listens all the time: what moves joins what was read.
    async fn wait_for_news(
        &mut self,
        session: &Mutex<Session>,
        cx: &Context,
        plan: &mut Plan,
        deadline: Instant,
    ) {
        let Some(bell) = session.lock().watch().map(|watch| watch.bell().clone()) else { return };
        let places = self.wanted.iter().enumerate().map(|(nth, asking)| (asking.number, nth));
        let mut places: BTreeMap<usize, usize> = places.collect();
        let mut is_over = false;
        while !is_over && !self.has_enough(plan) {
            is_over = tokio::time::timeout_at(deadline, bell.heard()).await.is_err();
            let Some(news) = session.lock().news() else { return };
            let image = cx.image();
            for asking in news {
                let nth = *places.entry(asking.number).or_insert(self.wanted.len());
                if nth < self.wanted.len() {
                    plan.read_again(cx, &image, nth, asking.wanted, self.reader);
                } else {
                    plan.read(cx, &image, &asking.key, asking.wanted, self.reader);
                    self.wanted.push(asking);
                }
                self.attend(cx, plan, nth);
            }
        }
    }

    /// Has a follower's session know what was read, and the answer leave if it is urgent.
    fn attend(&self, cx: &Context, plan: &mut Plan, nth: usize) {
        if self.reader.is_consumer() {
            return;
        }
        let (Mode::New(session) | Mode::Incremental(session)) = &self.mode else { return plan.disturb(nth) };
        let mut session = session.lock();
        let Asking { number, key, .. } = &self.wanted[nth];
        let Some(watch) = session.watch_at(*number, key) else { return plan.disturb(nth) };
        plan.attend(nth, watch, *number, self.interest(cx));
        if cx.node.config.sends_to_nearest {
            // A follower that consumers read from is told of the watermark without delay (KIP-392).
            let known = session.known_watermark(key);
            plan.hasten(nth, |watermark| known.is_some_and(|known| known < watermark));
        }
    }

    /// Something committed beyond the watermark, or appended behind what a follower has. A follower that consumers read from
    /// hears of the watermark too.
    fn interest(&self, cx: &Context) -> Interest {
        let is_follower = !self.reader.is_consumer();
        let committed = !is_follower || cx.node.config.sends_to_nearest;
        Interest { appended: is_follower, committed, noted: is_follower }
    }

    fn respond(&self, cx: &Context, mut plan: Plan) -> Chunks {
        if !self.reader.is_consumer() {
            cx.node.replicas.throttles().leader.take(plan.throttled_bytes(), cx.now().mono);
        }
        let session_id = match &self.mode {
            Mode::Full => 0,
            Mode::New(session) | Mode::Incremental(session) => session.lock().id(),
        };
        let endpoints = plan.endpoints();
        let topics = match &self.mode {
            Mode::Full => plan.topics(|_, _| true),
            Mode::New(session) | Mode::Incremental(session) => {
                plan.topics(|key, told| tell(session, key, told))
            }
        };
        let reply = FetchReply { session_id, topics, endpoints, ..FetchReply::default() };
        framed(cx.envelope(), reply)
    }
}

/// A random positive number.
fn fresh_id() -> i32 {
    (uuid::Uuid::new_v4().as_u128() as i32 & i32::MAX).max(1)
}

fn tell(session: &Arc<Mutex<Session>>, key: &PartitionKey, told: plan::Told) -> bool {
    session.lock().tell(key, told.marks, told.has_records)
}

fn framed(envelope: Envelope, reply: FetchReply) -> Chunks {
    reply.encode(envelope.correlation_id, envelope.version)
}

/// An answer that is only an error.
fn failed(envelope: Envelope, code: ErrorCode) -> Chunks {
    framed(envelope, FetchReply { error: code.code(), ..FetchReply::default() })
}

/// The partitions to read, each once: a session's own, or those of the request, of which the last mention counts.
fn wanted(asked: Asked, mode: &Mode) -> Vec<Asking> {
    match mode {
        Mode::New(session) | Mode::Incremental(session) => session.lock().wanted(),
        Mode::Full if asked.wanted.len() > 1 => {
            let once: IndexMap<_, _> = asked.wanted.into_iter().map(|one| (one.key, one.wanted)).collect();
            once.into_iter().enumerate().map(numbered).collect()
        }
        Mode::Full => asked.wanted,
    }
}

fn numbered((number, (key, wanted)): (usize, (PartitionKey, Wanted))) -> Asking {
    Asking { number, key, wanted }
}

fn reader(request: &FetchRequest, version: i16) -> Reader {
    let (id, broker_epoch) = match &request.replica_state {
        state if version >= REPLICA_STATE => (state.replica_id.0, state.replica_epoch),
        _ => (request.replica_id.0, -1),
    };
    match id {
        id if id >= 0 => Reader::Follower { id, broker_epoch },
        _ => Reader::Consumer {
            isolation: Isolation::from_wire(request.isolation_level),
            may_follow: version >= NAMES_RACK,
        },
    }
}

fn asked(request: &FetchRequest, version: i16) -> Asked {
    let by_id = version >= BY_ID;
    let key = |name: &TopicName, id| match by_id {
        true => TopicKey::Id(id),
        // One copy for all partitions: a session or a parked fetch must not keep the request's frame alive.
        false => TopicKey::Name(TopicName(StrBytes::from_string(name.to_string()))),
    };
    let wanted = request.topics.iter().flat_map(|topic| {
        let key = key(&topic.topic, topic.topic_id);
        topic.partitions.iter().map(move |partition| {
            let wanted = Wanted {
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                log_start: partition.log_start_offset,
            };
            ((key.clone(), partition.partition), wanted)
        })
    });
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        let key = key(&topic.topic, topic.topic_id);
        topic.partitions.iter().map(move |partition| (key.clone(), *partition))
    });
    Asked {
        session_id: request.session_id,
        epoch: if version >= SESSIONS { request.session_epoch } else { NO_SESSION_EPOCH },
        by_id,
        follower: None,
        wanted: wanted.enumerate().map(numbered).collect(),
        forgotten: forgotten.collect(),
    }
}
