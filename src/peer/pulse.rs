//! A broker's heartbeat.

use super::PULSE;
use super::guard::News;
use super::members::Members;
use super::message::{Pulse, Taken, decode, encode};
use crate::cluster::Metadata;
use crate::cluster::controller::UnfenceBroker;
use crate::types::{BrokerId, ErrorCode, Uuid};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// After a failure, to find the next leader soon.
const AGAIN: Duration = Duration::from_millis(100);

/// What a broker means to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Serve,
    /// It is on its way down, and lives.
    Leave,
    Still,
}

/// Says that this broker lives, for as long as it does.
pub struct Heart {
    pub broker: BrokerId,
    pub epoch: i64,
    pub incarnation: Uuid,
    pub metadata: Metadata,
    pub members: Members,
    /// Told if this node itself leads the quorum.
    pub news: mpsc::Sender<News>,
    pub interval: Duration,
}

impl Heart {
    /// Beats until `wish` is that it be still. A broker that was fenced although it means to serve says that it is ready.
    pub async fn run(self, mut wish: watch::Receiver<Wish>) {
        let mut status = self.metadata.status();
        loop {
            let told = status.borrow_and_update().leader;
            let next = Instant::now() + if self.beat().await { self.interval } else { AGAIN };
            if *wish.borrow() == Wish::Serve {
                self.unfence().await;
            }
            tokio::select! {
                () = sleep_until(next) => {}
                // A new leader is told at once.
                Ok(_) = status.wait_for(|status| status.leader != told) => {}
                Ok(_) = wish.wait_for(|wish| *wish == Wish::Still) => return,
            }
        }
    }

    /// Whether the leader heard it.
    async fn beat(&self) -> bool {
        let status = self.metadata.status().borrow().clone();
        let Pulse { broker, epoch } = Pulse { broker: self.broker, epoch: self.epoch };
        let Some(leader) = status.leader else { return false };
        if leader == status.node_id {
            return self.news.try_send(News::Heard { broker, epoch }).is_ok();
        }
        let Some(address) = status.leader_address() else { return false };
        let body = encode(&Pulse { broker, epoch });
        let answer = self.members.call(address, PULSE, body, self.interval).await;
        answer.is_ok_and(|answer| decode(&answer) == Some(Taken::Yes))
    }

    fn is_fenced(&self) -> bool {
        let image = self.metadata.image();
        image
            .brokers
            .get(self.broker)
            .is_some_and(|broker| broker.incarnation == self.incarnation && broker.fenced)
    }

    async fn unfence(&self) {
        if !self.is_fenced() {
            return;
        }
        tracing::warn!("the controller has fenced this broker, which lives: it says that it is ready");
        match self.metadata.submit(UnfenceBroker { id: self.broker, epoch: self.epoch }).await {
            Ok(()) | Err(ErrorCode::StaleBrokerEpoch) => {}
            Err(code) => tracing::info!(%code, "still fenced"),
        }
    }
}
