//! Watches whether the vault is open, so that programs hear of a lock that none of them has made. For some minutes after
//! the last call, and then not at all: this process does not wake up by itself.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use secrets_proto::vault::VaultState;
use tokio::time::{Instant, sleep};

use crate::desk::Desk;

/// How long after the last call.
const INTEREST: Duration = Duration::from_secs(10 * 60);

/// How long the daemon is left alone after it did not answer: at first, and at most.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// How long nothing is asked after a change: many come together.
const APART: Duration = Duration::from_secs(1);

/// Never ends.
pub(crate) async fn watch(desk: Arc<Desk>) {
    loop {
        desk.called.notified().await;
        let mut end = Instant::now() + INTEREST;
        let (mut after, mut pause) = (None, FIRST);
        while Instant::now() < end {
            // One question is asked to its end, no matter who calls meanwhile.
            let changes = desk.daemon.changes(after);
            let mut changes = pin!(changes);
            let outcome = loop {
                tokio::select! {
                    outcome = &mut changes => break outcome,
                    () = desk.called.notified() => end = Instant::now() + INTEREST,
                }
            };
            match outcome {
                Ok(changes) => {
                    desk.see(changes.state == VaultState::Unlocked);
                    if after.replace(changes.changes).is_some_and(|before| before != changes.changes) {
                        sleep(APART).await;
                    }
                    pause = FIRST;
                }
                // A lock ends its connections. It comes back at once, unless it was ended.
                Err(_) => {
                    after = None;
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST);
                }
            }
        }
    }
}
