//! The process itself: it starts, stops cleanly, and comes back after a kill.

mod support;

use support::broker::Broker;

#[test]
fn a_broker_stops_when_asked_and_comes_back_after_a_kill() {
    let mut broker = Broker::start(&[]);
    assert!(broker.terminate().success());
    assert!(broker.log().contains("stopped"), "it says that it stopped");
    broker.restart();
    broker.kill9();
    broker.restart();
    assert!(broker.terminate().success());
}
