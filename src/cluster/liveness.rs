//! Which brokers have been heard of, as the controller knows it. Pure: time is an argument.

use super::Image;
use crate::types::{BrokerId, Mono};
use std::collections::BTreeMap;
use std::time::Duration;

/// The brokers' sessions, while this node decides.
#[derive(Debug)]
pub struct Liveness {
    session: Duration,
    brokers: BTreeMap<BrokerId, Session>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    epoch: i64,
    ends: Mono,
}

impl Liveness {
    /// A new controller gives every broker that is not fenced a whole session: it has heard of none yet.
    pub fn take_over(image: &Image, now: Mono, session: Duration) -> Liveness {
        let mut liveness = Liveness { session, brokers: BTreeMap::new() };
        liveness.see(image, now);
        liveness
    }

    /// Gives a session to each broker that is alive and has none, and none to the others.
    pub fn see(&mut self, image: &Image, now: Mono) {
        self.brokers.retain(|broker, _| image.brokers.is_alive(*broker));
        for broker in image.brokers.alive() {
            let known = self.brokers.get(&broker.id);
            if known.is_none_or(|session| session.epoch < broker.epoch) {
                self.heard(broker.id, broker.epoch, now);
            }
        }
    }

    /// A heartbeat. One of an older process than is known changes nothing.
    pub fn heard(&mut self, broker: BrokerId, epoch: i64, now: Mono) {
        let session = Session { epoch, ends: now.plus(self.session) };
        let known = self.brokers.entry(broker).or_insert(session);
        if known.epoch <= epoch {
            *known = session;
        }
    }

    /// A broker that was given a session had been silent for some time before.
    pub fn was_silent(&mut self, broker: BrokerId, silence: Duration) {
        let left = self.session.saturating_sub(silence);
        if let Some(session) = self.brokers.get_mut(&broker) {
            let given = self.session - left;
            session.ends = Mono(session.ends.0.saturating_sub(given.as_millis() as u64));
        }
    }

    /// The brokers whose sessions are over, with their epochs. Each is named once in a session.
    pub fn due(&mut self, now: Mono) -> Vec<(BrokerId, i64)> {
        let over = |session: &Session| session.ends <= now;
        let due = self.brokers.iter().filter(|(_, session)| over(session));
        let due: Vec<_> = due.map(|(broker, session)| (*broker, session.epoch)).collect();
        self.brokers.retain(|_, session| !over(session));
        due
    }

    /// When the next session ends.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.brokers.values().map(|session| session.ends).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Duration = Duration::from_millis(100);

    fn empty() -> Liveness {
        Liveness::take_over(&Image::default(), Mono(0), SESSION)
    }

    #[test]
    fn a_silent_broker_is_due_once() {
        let mut liveness = empty();
        liveness.heard(1, 5, Mono(0));
        liveness.heard(2, 6, Mono(50));
        assert_eq!(liveness.next_deadline(), Some(Mono(100)));
        assert_eq!(liveness.due(Mono(99)), []);
        assert_eq!(liveness.due(Mono(100)), [(1, 5)]);
        assert_eq!(liveness.due(Mono(100)), []);
        liveness.heard(2, 6, Mono(140));
        assert_eq!(liveness.due(Mono(200)), []);
        assert_eq!(liveness.due(Mono(240)), [(2, 6)]);
        assert_eq!(liveness.next_deadline(), None);
    }

    #[test]
    fn silence_before_the_session_counts() {
        let mut liveness = empty();
        [1, 2, 3].into_iter().for_each(|broker| liveness.heard(broker, 5, Mono(1000)));
        liveness.was_silent(1, Duration::from_millis(60));
        liveness.was_silent(2, Duration::from_millis(160));
        liveness.was_silent(9, SESSION);
        assert_eq!(liveness.due(Mono(1000)), [(2, 5)]);
        assert_eq!(liveness.due(Mono(1039)), []);
        assert_eq!(liveness.due(Mono(1040)), [(1, 5)]);
        assert_eq!(liveness.due(Mono(1100)), [(3, 5)]);
    }

    #[test]
    fn an_older_process_keeps_no_session_alive() {
        let mut liveness = empty();
        liveness.heard(1, 7, Mono(0));
        liveness.heard(1, 5, Mono(90));
        assert_eq!(liveness.due(Mono(100)), [(1, 7)]);
    }
}
