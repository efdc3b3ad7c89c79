//! What the vault's thread can be asked, and how it answers.

use tokio::sync::oneshot;

use crate::caller::Caller;
use crate::crypto::keys::{DataKey, Identity};
use crate::store::SlotRow;
use crate::vault::Error;
use crate::vault::format::slots::NewSlot;

use super::batch::Batch;
use super::reading::Reading;
use super::unlocked::Unlocked;

/// What the thread can be asked.
pub(in crate::vault) enum Command {
    /// The key slots, to derive a key for one of them.
    Slots(Reply<FoundSlots>),
    /// Make the vault with these slots and open it.
    Init(Caller, Vec<NewSlot>, Reply<()>),
    /// Open the vault, unless it was locked after `locks` was read.
    Unlock { caller: Caller, data: DataKey, locks: u64, reply: Reply<()> },
    /// Wipe and close.
    Lock(Caller, Reply<()>),
    /// Lock if there is something to wipe: an open vault, or, as the asker knows, keys that are being derived. Answered
    /// by whether it was so, or this image is about to end because of a lock before.
    LockIfOpen { caller: Caller, opening: bool, reply: Reply<bool> },
    /// A write or reveal.
    Write(Box<dyn Work>),
    /// Something that reads the file.
    Read(ReadTask),
    /// Something that needs the open vault as a whole.
    Whole(WholeTask),
    /// Liveness probe.
    Ping(Reply<()>),
    /// Look at what is urgent, and when the next denial is to be written.
    Wake,
    /// Give no more leases, and wait for those that there are.
    EndLeases(Reply<()>),
    /// Write all denials that wait.
    WriteDenials,
    /// Wipe, close and end the thread.
    Shutdown(oneshot::Sender<()>),
}

/// The key slots, and what is needed to use one.
pub(in crate::vault) struct FoundSlots {
    pub(in crate::vault) identity: Identity,
    pub(in crate::vault) slots: Vec<SlotRow>,
    /// The MAC over header and slots, which tells whether they are still the same.
    pub(in crate::vault) header_mac: [u8; 32],
    /// How often the vault was locked so far: a lock beats an unlock that began before it.
    pub(in crate::vault) locks: u64,
}

/// Where an answer goes.
pub(in crate::vault) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// A write: run in a batch, answered once the batch is durable.
pub(in crate::vault) trait Work: Send {
    /// Whether it leaves more room on the disk than before. Such a write may be run a second time.
    fn frees_room(&self) -> bool;
    /// Whether the owner asks: whatever the holders of tokens ask for at the same time, it comes first.
    fn is_owners(&self) -> bool;
    /// Whether the vault is used by it, and so stays open for longer.
    fn is_use(&self) -> bool;
    /// Does it. A refusal is kept for the answer; an `Err` here takes the whole batch back.
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), Error>;
    /// Answers with the result, or with what kept the batch from becoming durable.
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

/// Reads an open vault, or learns why there is none, and answers.
#[expect(clippy::type_complexity, reason = "this is the definition that names it")]
pub(in crate::vault) struct ReadTask(pub(in crate::vault) Box<dyn FnOnce(Result<Reading<'_>, Error>) + Send>);

/// Works on an open vault, or learns why there is none. The result is the answer, to be sent once what was done is
/// published.
#[expect(clippy::type_complexity, reason = "this is the definition that names it")]
pub(in crate::vault) struct WholeTask(
    pub(in crate::vault) Box<dyn FnOnce(Result<&mut Unlocked, Error>) -> Respond + Send>,
);

/// An answer to be sent.
pub(in crate::vault) struct Respond(pub(in crate::vault) Box<dyn FnOnce() + Send>);
