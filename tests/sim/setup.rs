//! What kind of cluster a seed makes.

use crate::client::PORT;
use crate::net::{Machine, address};
use drave::config::{Args, Loaded, load};
use storage::disk::fault::Rng;

/// Where controllers serve nodes.
const CONTROLLER: u16 = 9093;
/// The log directories. The first holds the metadata too.
pub const DIR: &str = "/one";
pub const OTHER_DIR: &str = "/two";
pub const METADATA_DIR: &str = "/one/drave-metadata";
/// Copies of everything, and how many of them must be in sync.
pub const REPLICAS: usize = 3;
pub const MIN_ISR: usize = 2;
/// The rest are brokers only.
pub const CONTROLLERS: [i32; 3] = [1, 2, 3];

#[derive(Clone, Debug)]
pub struct Setup {
    pub nodes: usize,
    /// An acknowledgement waits for the disks.
    pub syncs: bool,
    /// Votes are taken from controllers that live; otherwise some lose their directories.
    pub takes_votes: bool,
}

impl Setup {
    pub fn draw(rng: &mut Rng) -> Setup {
        Setup { nodes: [3, 3, 3, 4, 5][rng.below(5)], syncs: rng.one_in(2), takes_votes: rng.one_in(2) }
    }

    pub fn machines(&self) -> impl Iterator<Item = Machine> + use<> {
        1..=self.nodes as Machine
    }

    /// The configuration of a node. Of more than three the rest are brokers only.
    pub fn node(&self, id: Machine) -> Loaded {
        let voters: Vec<String> = (1..=3).map(|id| format!("{id}@{}", address(id, CONTROLLER))).collect();
        let client = format!("PLAINTEXT://{}", address(id, PORT));
        let (roles, listeners) = match id {
            1..=3 => ("broker,controller", format!("{client},CONTROLLER://{}", address(id, CONTROLLER))),
            _ => ("broker", client),
        };
        let mut overrides = vec![
            ("node.id", id.to_string()),
            ("process.roles", roles.to_owned()),
            ("listeners", listeners),
            ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned()),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("controller.quorum.voters", voters.join(",")),
            ("log.dirs", [DIR, OTHER_DIR].join(",")),
            ("default.replication.factor", REPLICAS.to_string()),
            ("min.insync.replicas", MIN_ISR.to_string()),
            ("offsets.topic.replication.factor", REPLICAS.to_string()),
            ("offsets.topic.num.partitions", "2".to_owned()),
            ("group.initial.rebalance.delay.ms", "300".to_owned()),
            ("log.roll.ms", "2000".to_owned()),
            ("log.index.interval.bytes", "512".to_owned()),
            ("queued.max.request.bytes", (128 << 20).to_string()),
            ("auto.create.topics.enable", "false".to_owned()),
            ("log.segment.delete.delay.ms", "2000".to_owned()),
        ];
        if self.syncs {
            overrides.push(("log.flush.interval.messages", "1".to_owned()));
        }
        let overrides = overrides.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        load(&Args { overrides, ..Args::default() }, []).expect("a configuration")
    }
}
