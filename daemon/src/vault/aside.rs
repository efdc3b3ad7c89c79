//! Work on the vault as a whole that is done on another thread, so that nobody waits for it but its caller.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::caller::Caller;

use super::format::slots::NewSlot;
use super::writer::interrupts::Interrupts;
use super::writer::snapshot::Snapshot;
use super::writer::unlocked::Step;
use super::{Error, Vault};

impl Vault {
    /// Reads a snapshot of the file on a thread of its own, so that nobody waits for it but its caller, and one snapshot at a
    /// time. `None` if that came to nothing, for whatever reason: the vault's thread then does the same by itself, and judges.
    pub(super) async fn on_snapshot<T, F>(&self, caller: &Caller, work: F) -> Result<Option<T>, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Snapshot) -> Result<T, Error> + Send + 'static,
    {
        let Ok(_turn) = self.snapshots.acquire().await else { return Ok(None) };
        self.read_snapshot(caller, work).await
    }

    async fn read_snapshot<T, F>(&self, caller: &Caller, work: F) -> Result<Option<T>, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Snapshot) -> Result<T, Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let gone = Gone(Arc::default());
        let interrupts = Arc::clone(&gone.0);
        let begun = self.whole(caller, move |vault, _| {
            vault.begin_snapshot(interrupts, move |snapshot| {
                let _ = reply.send(work(snapshot));
            })
        });
        if let Err(error) = begun.await {
            tracing::debug!(%error, "there is no snapshot");
            return Ok(None);
        }
        // However long it takes: it is as long as the vault is large, holds up nobody, and ends with its caller or by a lock.
        match answer.await {
            Ok(Ok(done)) => Ok(Some(done)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a snapshot could not be read");
                Ok(None)
            }
            Err(_) => Err(Error::Internal("the thread of a snapshot gave no answer")),
        }
    }

    /// Seals everything again on another thread, and follows in steps what changes meanwhile, so that nobody waits for it but
    /// its caller. `false` if that came to nothing, and the vault is as it was.
    pub(super) async fn rotate_aside(
        &self,
        caller: &Caller,
        slots: Arc<Vec<NewSlot>>,
        header_mac: [u8; 32],
    ) -> Result<bool, Error> {
        let Ok(_turn) = self.snapshots.acquire().await else { return Ok(false) };
        let Some(mut draft) = self.read_snapshot(caller, move |snapshot| snapshot.seal_again(&slots)).await?
        else {
            return Ok(false);
        };
        loop {
            let step = self.whole(caller, move |vault, caller| vault.follow(caller, draft, &header_mac));
            match step.await? {
                Step::More(left) => draft = *left,
                Step::Done => return Ok(true),
                Step::Useless => return Ok(false),
            }
        }
    }
}

/// Ends the reading of a snapshot once nobody waits for it.
struct Gone(Arc<Interrupts>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.add();
    }
}
