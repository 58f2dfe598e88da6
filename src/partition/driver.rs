//! Feeds the reconciler with images.

use super::reconcile::{Confirmed, Reconciler};
use crate::cluster::Metadata;
use crate::cluster::controller::{Command, ConfirmDeletions, ConfirmReleases};
use crate::seam::{self, Clock};
use crate::types::{BrokerId, Uuid};
use std::time::Duration;
use tokio::sync::watch;

/// How soon what could not be done is tried again, if no image comes before.
const RETRY: Duration = Duration::from_secs(1);

/// Has `reconciler` act on each new image that knows this process, until `stop` says so.
pub async fn run(
    mut reconciler: Reconciler,
    metadata: Metadata,
    me: BrokerId,
    incarnation: Uuid,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) {
    let mut images = metadata.watch();
    loop {
        let image = images.borrow_and_update().clone();
        let own = image.brokers.get(me).filter(|broker| broker.incarnation == incarnation);
        if let Some(epoch) = own.map(|broker| broker.epoch) {
            let now = clock.now();
            let worked = seam::blocking(move || {
                let confirmed = reconciler.reconcile(image, now);
                (reconciler, confirmed)
            });
            let (back, confirmed) = match worked.await {
                Ok(worked) => worked,
                Err(error) => {
                    tracing::error!(%error, "the reconciler has stopped: this is a bug, please report it");
                    std::process::abort();
                }
            };
            reconciler = back;
            confirm(&metadata, me, epoch, confirmed);
        }
        loop {
            tokio::select! {
                changed = images.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = tokio::time::sleep(RETRY) => if reconciler.is_waiting() { break },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }
}

/// Says of what nothing is left here. A refusal does no harm: it is said again with the next image.
fn confirm(metadata: &Metadata, broker: BrokerId, broker_epoch: i64, confirmed: Confirmed) {
    let Confirmed { topics, replicas } = confirmed;
    if !topics.is_empty() {
        confirm_one(metadata.clone(), ConfirmDeletions { broker, broker_epoch, topics });
    }
    if !replicas.is_empty() {
        confirm_one(metadata.clone(), ConfirmReleases { broker, broker_epoch, replicas });
    }
}

fn confirm_one<C: Command<Answer = ()>>(metadata: Metadata, confirmed: C) {
    tokio::spawn(async move {
        if let Err(code) = metadata.submit(confirmed).await {
            tracing::debug!(?code, "deletions were not confirmed");
        }
    });
}
