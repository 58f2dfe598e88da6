//! Moves leaderships back to preferred leaders, now and then: `auto.leader.rebalance.enable`.

use super::Metadata;
use super::controller::RebalanceLeaders;
use std::time::Duration;
use tokio::time::sleep;

/// Runs as long as this node's quorum does; acts while it leads. What fails is done at the next time.
pub async fn keep_balanced(metadata: Metadata, every: Duration) {
    let status = metadata.status();
    while status.has_changed().is_ok() {
        sleep(every).await;
        let is_leader = || status.borrow().leader_ready;
        while is_leader() && metadata.submit(RebalanceLeaders).await == Ok(true) {}
    }
}
