//! Watches whether the vault is open, so that programs hear of a lock that none of them has made: by one request that is
//! answered when something has changed, so that nothing wakes up until then.

use std::sync::Arc;
use std::time::Duration;

use secrets_proto::vault::VaultState;
use tokio::time::sleep;

use crate::desk::Desk;

/// How long the daemon is left alone after it did not answer: at first, and at most. A lock ends its connections, and it comes
/// back at once; if it was ended, the next caller starts it or hears of it.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// How long nothing is asked after a change: many come together.
const APART: Duration = Duration::from_secs(1);

/// Never ends. Begins with the first call, and again with the next one if the daemon has ended.
pub(crate) async fn watch(desk: Arc<Desk>) {
    loop {
        desk.called.notified().await;
        let (mut after, mut pause) = (None, FIRST);
        while pause < LONGEST {
            match desk.daemon.changes(after).await {
                Ok(changes) => {
                    desk.see(changes.state == VaultState::Unlocked);
                    if after.replace(changes.changes).is_some_and(|before| before != changes.changes) {
                        sleep(APART).await;
                    }
                    pause = FIRST;
                }
                Err(_) => {
                    after = None;
                    sleep(pause).await;
                    pause *= 2;
                }
            }
        }
        desk.see(false);
    }
}
