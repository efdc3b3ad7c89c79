//! How the facade asks the vault's thread, and waits for its answer.

use tokio::sync::oneshot;

use crate::caller::Caller;

use super::batch::Batch;
use super::command::{Answer, Command, ReadTask, Reply, WholeTask, Work};
use super::reading::Reading;
use super::unlocked::Unlocked;
use super::{DEADLINE, Error, Vault};

impl Vault {
    /// Asks the vault's thread, and waits for its answer up to the deadline.
    pub(super) async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| Error::Internal("the vault's thread has ended"))?;
        tokio::time::timeout(DEADLINE, answer)
            .await
            .map_err(|_| Error::Timeout)?
            .map_err(|_| Error::Internal("the vault's thread gave no answer"))?
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
                Answer(Box::new(move || {
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
        let caller = caller.witnessed();
        let mut work = Some(work);
        self.submit(false, move |batch| {
            let work = work.take().ok_or(Error::Internal("a write ran twice"))?;
            batch.admit(&caller)?;
            work(batch, &caller)
        })
        .await
    }

    /// The same for a write that frees room, and so may run once more when the disk was found full.
    pub(super) async fn write_again<T, F>(&self, caller: &Caller, mut work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Batch<'_>, &Caller) -> Result<T, Error> + Send + 'static,
    {
        let caller = caller.witnessed();
        self.submit(true, move |batch| {
            batch.admit(&caller)?;
            work(batch, &caller)
        })
        .await
    }

    async fn submit<T, F>(&self, frees_room: bool, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Batch<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.shared.read().view()?;
        self.ask(|reply| Command::Write(Box::new(Job { frees_room, work, result: None, reply }))).await
    }
}

/// A write on its way through a batch.
struct Job<T, F> {
    frees_room: bool,
    work: F,
    result: Option<Result<T, Error>>,
    reply: Reply<T>,
}

impl<T: Send, F: FnMut(&mut Batch<'_>) -> Result<T, Error> + Send> Work for Job<T, F> {
    fn frees_room(&self) -> bool {
        self.frees_room
    }

    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), Error> {
        match (self.work)(batch) {
            Err(error) if error.is_fault() => Err(error),
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
