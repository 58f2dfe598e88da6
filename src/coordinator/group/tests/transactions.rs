//! Offsets of transactions, as the log tells of them.

use super::driver::{Driver, config};
use crate::coordinator::group::command::{DeleteOffsets, FetchOffsets, FetchedOffset};
use crate::coordinator::group::machine::{Command, GroupMachine, Reply};
use crate::coordinator::group::records::{Event, OffsetCommit, OffsetKey};
use crate::coordinator::machine::{Machine, Replayed};
use crate::types::{ErrorCode, Uuid, Wall};

const ALONE: i64 = -1;

/// Applies what the log holds: (producer, offset) for commits, (producer, whether it committed) for ends.
struct Log(Driver);

impl Log {
    fn new() -> Self {
        Log(Driver::new(config()))
    }

    fn commit(&mut self, producer_id: i64, offset: i64) -> &mut Self {
        let key = OffsetKey { group: "g".to_owned(), topic: "t".to_owned(), partition: 0 };
        let value = OffsetCommit {
            offset,
            leader_epoch: -1,
            metadata: String::new(),
            committed_at: Wall(0),
            expires_at: None,
            topic_id: Uuid::nil(),
        };
        let record = Event::Offset { key, value: Some(value) }.encode();
        self.replay(Replayed::Record { producer_id, record })
    }

    fn end(&mut self, producer_id: i64, committed: bool) -> &mut Self {
        self.replay(Replayed::Marker { producer_id, committed })
    }

    fn replay(&mut self, replayed: Replayed) -> &mut Self {
        let event = GroupMachine::event(replayed).unwrap();
        self.0.machine.apply(&event);
        self
    }

    fn fetch(&mut self, require_stable: bool) -> FetchedOffset {
        let topics = Some(vec![("t".to_owned(), vec![0])]);
        let fetch = FetchOffsets { group: "g".to_owned(), topics, require_stable };
        let (_, mut outcome) = self.0.command(Command::FetchOffsets(fetch));
        match outcome.replies.remove(0).1 {
            Some(Reply::Fetch(Ok(topics))) => topics[0].partitions[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    fn offset(&mut self) -> i64 {
        self.fetch(false).offset
    }
}

#[test]
fn an_offset_counts_once_its_transaction_commits() {
    let mut log = Log::new();
    assert_eq!(log.commit(7, 10).offset(), -1);
    assert_eq!(log.fetch(true).error, Some(ErrorCode::UnstableOffsetCommit));
    assert_eq!(log.end(8, true).offset(), -1, "that was another producer");
    assert_eq!(log.end(7, true).offset(), 10);
    assert_eq!(log.fetch(true).error, None);
    assert_eq!(log.commit(7, 20).end(7, false).offset(), 10, "aborted");
    assert_eq!(log.end(7, true).offset(), 10);
}

#[test]
fn of_two_offsets_the_later_in_the_log_counts() {
    assert_eq!(Log::new().commit(7, 10).commit(ALONE, 11).end(7, true).offset(), 11);
    assert_eq!(Log::new().commit(ALONE, 11).commit(7, 10).end(7, true).offset(), 10);
    assert_eq!(Log::new().commit(7, 10).commit(8, 20).end(8, true).end(7, true).offset(), 20);
}

#[test]
fn a_deleted_offset_does_not_come_back_with_its_transaction() {
    let mut log = Log::new();
    log.commit(7, 10);
    let topics = vec![("t".to_owned(), vec![0])];
    let (_, outcome) = log.0.command(Command::DeleteOffsets(DeleteOffsets { group: "g".to_owned(), topics }));
    assert_eq!(outcome.events.len(), 1, "a tombstone, although nothing is committed yet");
    assert_eq!(log.end(7, true).offset(), -1);
}
