//! How the facade asks the vault's thread, and waits for its answer.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::caller::Caller;

use super::writer::batch::Batch;
use super::writer::command::{Command, ReadTask, Reply, Respond, WholeTask, Work};
use super::writer::reading::Reading;
use super::writer::shared::Shared;
use super::writer::unlocked::Unlocked;
use super::{DEADLINE, Error, Vault};

impl Vault {
    /// Asks the vault's thread, and waits for its answer up to the deadline.
    pub(super) async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| GONE)?;
        answered(answer).await
    }

    /// Asks the vault's thread before everything else that waits. Work that takes long is given up for it.
    pub(super) async fn ask_urgently<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.send_urgent(command(reply))?;
        answered(answer).await
    }

    /// Sends what the thread serves before everything else.
    pub(super) fn send_urgent(&self, command: Command) -> Result<(), Error> {
        self.shared.urgent.push(command);
        self.commands.send(Command::Wake).map_err(|_| GONE)
    }

    /// Reads the file on the vault's thread.
    pub(super) async fn read<T, F>(&self, caller: &Caller, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Reading<'_>) -> Result<T, Error> + Send + 'static,
    {
        let caller = caller.clone();
        self.ask(|reply| {
            Command::Read(ReadTask(Box::new(move |reading| {
                let answer = reading.and_then(|reading| {
                    reading.admit(&caller)?;
                    work(&reading)
                });
                // The asker may have gone; then nobody needs the answer.
                let _ = reply.send(answer);
            })))
        })
        .await
    }

    /// Works on the open vault as a whole, on its thread.
    pub(super) async fn whole<T, F>(&self, caller: &Caller, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Unlocked, &Caller) -> Result<T, Error> + Send + 'static,
    {
        let caller = caller.witnessed();
        self.ask(|reply| {
            Command::Whole(WholeTask(Box::new(move |vault| {
                let answer = vault.and_then(|vault| {
                    vault.admit(&caller)?;
                    work(vault, &caller)
                });
                Respond(Box::new(move || {
                    let _ = reply.send(answer);
                }))
            })))
        })
        .await
    }

    /// Sends a write to the vault's thread. It is done whether or not its caller is still there for the answer.
    pub(super) async fn write<T, F>(&self, caller: &Caller, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Batch<'_>, &Caller) -> Result<T, Error> + Send + 'static,
    {
        self.submit_once(caller, Kind::Write, work).await
    }

    /// Sends a write that nobody has asked for as a use of the vault: the vault locks as if there had been none.
    pub(super) async fn write_by_itself<T, F>(&self, caller: &Caller, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Batch<'_>, &Caller) -> Result<T, Error> + Send + 'static,
    {
        self.submit_once(caller, Kind::ByItself, work).await
    }

    /// Sends a write that is of no use without its answer: when its caller has gone before its turn, it is
    /// not done.
    pub(super) async fn write_for_answer<T, F>(&self, caller: &Caller, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Batch<'_>, &Caller) -> Result<T, Error> + Send + 'static,
    {
        self.submit_once(caller, Kind::ForAnswer, work).await
    }

    /// Sends a write that frees room, and so may run once more when the disk was found full.
    pub(super) async fn write_again<T, F>(&self, caller: &Caller, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Batch<'_>, &Caller) -> Result<T, Error> + Send + 'static,
    {
        self.submit(caller, Kind::FreesRoom, work).await
    }

    async fn submit_once<T, F>(&self, caller: &Caller, kind: Kind, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Batch<'_>, &Caller) -> Result<T, Error> + Send + 'static,
    {
        let mut work = Some(work);
        self.submit(caller, kind, move |batch, caller| {
            let work = work.take().ok_or(Error::Internal("a write ran twice"))?;
            work(batch, caller)
        })
        .await
    }

    async fn submit<T, F>(&self, caller: &Caller, kind: Kind, mut work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Batch<'_>, &Caller) -> Result<T, Error> + Send + 'static,
    {
        self.shared.read().view()?;
        let (caller, is_owners, shared) = (caller.witnessed(), caller.is_master(), Arc::clone(&self.shared));
        let work = move |batch: &mut Batch<'_>| {
            batch.admit(&caller)?;
            work(batch, &caller)
        };
        self.ask(|reply| Command::Write(Box::new(Job { is_owners, kind, work, result: None, reply, shared })))
            .await
    }
}

/// Waits for the thread's answer, up to the deadline.
pub(super) async fn answered<T>(answer: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(DEADLINE, answer)
        .await
        .map_err(|_| Error::Timeout)?
        .map_err(|_| Error::Internal("the vault's thread gave no answer"))?
}

/// What is answered once nobody is there to ask.
const GONE: Error = Error::Internal("the vault's thread has ended");

/// What kind of write it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Done whether or not its caller is still there.
    Write,
    /// Leaves more room on the disk than before.
    FreesRoom,
    /// Of no use without its answer.
    ForAnswer,
    /// No use of the vault.
    ByItself,
}

/// A write on its way through a batch.
struct Job<T, F> {
    is_owners: bool,
    kind: Kind,
    work: F,
    result: Option<Result<T, Error>>,
    reply: Reply<T>,
    shared: Arc<Shared>,
}

impl<T: Send, F: FnMut(&mut Batch<'_>) -> Result<T, Error> + Send> Work for Job<T, F> {
    fn frees_room(&self) -> bool {
        self.kind == Kind::FreesRoom
    }

    fn is_owners(&self) -> bool {
        self.is_owners
    }

    fn is_use(&self) -> bool {
        self.kind != Kind::ByItself
    }

    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), Error> {
        let result = if self.shared.urgent.interrupts().any() {
            // The vault will be locked before the batch's end could be told from its beginning.
            Err(Error::Locked)
        } else if self.kind == Kind::ForAnswer && self.reply.is_closed() {
            Err(Error::Timeout)
        } else {
            (self.work)(batch)
        };
        match result {
            // Not done is nothing wrong with the vault.
            Err(error) if error.is_fault() && !matches!(error, Error::Timeout) => Err(error),
            result => {
                self.result = Some(result);
                Ok(())
            }
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        let Self { result, reply, .. } = *self;
        let answer = match committed {
            Ok(()) => result.unwrap_or(Err(Error::Internal("a write was not run"))),
            Err(error) => Err(error),
        };
        // The caller may have gone; the write stands all the same.
        let _ = reply.send(answer);
    }
}
