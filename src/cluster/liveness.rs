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
    fn an_older_process_keeps_no_session_alive() {
        let mut liveness = empty();
        liveness.heard(1, 7, Mono(0));
        liveness.heard(1, 5, Mono(90));
        assert_eq!(liveness.due(Mono(100)), [(1, 7)]);
    }
}
