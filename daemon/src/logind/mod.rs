//! Locks the vault when the machine suspends and when a session of the user is locked, as logind tells on the system bus.
//! It knows no HTTP and no socket but the bus's, and nothing that arrives there can do more than lock.
//!
//! Before a suspend logind waits for every process that holds a delay inhibitor, a descriptor, 5 seconds at most unless it is
//! configured otherwise. Ours is closed by the execution of the next image, when the memory of this one is gone: it is
//! close-on-exec and not handed over. If there was nothing to wipe it is closed at once. Where logind goes to sleep without
//! waiting for us, what is still open at the resume is locked then.

mod bus;
mod conversation;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrets_proto::vault::Obstacle;

use self::bus::Bus;
use self::conversation::Conversation;
use crate::config::LockOn;
use crate::triggers::Triggers;
use crate::vault::Vault;

/// What is watched for.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The system bus's socket.
    pub(crate) bus: Option<PathBuf>,
    /// What locks the vault.
    pub(crate) wanted: LockOn,
    /// The user whose sessions count.
    pub(crate) uid: u32,
}

/// Watches for as long as the daemon lives. A bus that is not there is looked for again when the vault is opened, and one
/// that is gone a few times before: so that an idle daemon sleeps.
pub(crate) async fn watch(watch: Watch, vault: Vault, triggers: Arc<Triggers>) {
    if !watch.wanted.suspend && !watch.wanted.session_lock {
        return;
    }
    // Beyond the connection's life: logind waits for it also when only the bus is gone.
    let mut inhibitor: Option<OwnedFd> = None;
    let mut pauses = [].iter();
    let mut said = false;
    loop {
        match Bus::connect(watch.bus.as_deref()).await {
            Ok(bus) => {
                (pauses, said) = (PAUSES.iter(), false);
                Conversation::new(&bus, &watch, &vault, &triggers, &mut inhibitor).run().await;
                tracing::info!("lost the system bus: nothing reports when to lock");
            }
            Err(error) => {
                if !said {
                    tracing::info!(%error, "the vault locks neither at suspend nor with the session");
                }
                said = true;
            }
        }
        triggers.note(false, false, Obstacle::NoSystemBus);
        match pauses.next() {
            Some(pause) => tokio::select! {
                () = vault.opened() => {}
                () = tokio::time::sleep(*pause) => {}
            },
            None => vault.opened().await,
        }
    }
}

/// A bus that is gone is usually being replaced.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(8), Duration::from_secs(30)];
