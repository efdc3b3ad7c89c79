//! The vault's thread: it alone touches the file and moves the vault from state to state. Requests reach it
//! over a channel, in order; writes that wait together share one commit.
//!
//! - [`command`]: what it can be asked; [`urgent`] and [`interrupts`]: what goes before everything else
//! - [`shared`]: what it publishes, the [`catalog`] with its [`index`], the [`items`] and the [`tokens`] above all; [`denials`]: what was
//!   refused and is still to be written; [`uses`] and [`leases`]: what is used without being seen
//! - [`tending`]: what is done by time, between commands
//! - [`transitions`]: from [`locked`] to [`unlocked`] and back; [`verified`]: the check of a file that is opened
//! - [`batch`]: the operations inside one transaction; [`rotation`]: the one on all rows; [`reading`], [`snapshot`] and
//!   [`audit_walk`]: what changes nothing
//! - [`effort`] and [`ballast`]: what one request may cost; room in reserve for a full disk

pub(super) mod approvals;
pub(super) mod audit_walk;
mod ballast;
pub(super) mod batch;
pub(super) mod catalog;
pub(super) mod command;
pub(super) mod denials;
pub(super) mod effort;
mod index;
pub(super) mod interrupts;
mod items;
pub(in crate::vault) mod leases;
mod locked;
pub(in crate::vault) mod pages;
pub(super) mod reading;
pub(super) mod rights;
mod rotation;
pub(super) mod shared;
pub(super) mod snapshot;
mod tending;
mod tokens;
mod transitions;
pub(super) mod unlocked;
mod urgent;
pub(in crate::vault) mod uses;
mod verified;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::caller::Caller;
use crate::crypto::keys::Identity;
use crate::vault::{Error, Settings};

use ballast::Ballast;
use command::{Command, FoundSlots, ReadTask, Reply, Respond, WholeTask, Work};
use locked::Locked;
use pages::Pages;
use reading::Reading;
use shared::{Published, Shared, View};
use unlocked::Unlocked;

/// The most writes that share a commit.
const BATCH: usize = 128;

/// How long the writes of a batch may take together; the others wait for the next. So nobody's commit waits long for what
/// others ask.
const SHARE: Duration = Duration::from_millis(20);

/// The thread's state.
pub(in crate::vault) struct Writer {
    path: PathBuf,
    anchor: PathBuf,
    shared: Arc<Shared>,
    settings: Settings,
    state: State,
    /// Writes that were received and not run, in their order.
    waiting: VecDeque<Box<dyn Work>>,
    /// The time of the first commit with loose ends.
    unsettled: Option<Instant>,
    locks: u64,
    ballast: Ballast,
    /// Whether the lock has come after which this image ends: the vault is not opened again.
    is_final: bool,
}

enum State {
    Uninitialized,
    Locked(Locked),
    Unlocked(Box<Unlocked>),
}

impl Writer {
    /// The writer of the vault at `path`, locked if the file is there.
    pub(in crate::vault) fn new(
        path: PathBuf,
        anchor: PathBuf,
        exists: bool,
        shared: Arc<Shared>,
        settings: &Settings,
    ) -> Self {
        let ballast = Ballast::new(&path);
        let state = if exists { State::Locked(Locked::default()) } else { State::Uninitialized };
        Self {
            path,
            anchor,
            shared,
            settings: settings.clone(),
            state,
            waiting: VecDeque::new(),
            unsettled: None,
            locks: 0,
            ballast,
            is_final: false,
        }
    }

    /// Serves commands until told to end, or until nobody is left to ask.
    pub(in crate::vault) fn run(mut self, commands: &Receiver<Command>) {
        let mut next = None;
        loop {
            let command = if let Some(urgent) = self.shared.urgent.pop() {
                urgent
            } else if !self.waiting.is_empty() {
                // However many writes come, what is due by time comes between them.
                while self.tend() {}
                self.write(commands, &mut next);
                continue;
            } else {
                let Some(command) = next.take().or_else(|| self.wait(commands)) else { return };
                command
            };
            // It may have waited while the machine slept, and then no timer has run out yet.
            self.lock_if_due();
            match command {
                Command::Slots(reply) => send(reply, self.slots()),
                Command::Init(caller, slots, reply) => send(reply, self.init(&caller, &slots)),
                Command::Unlock { caller, data, locks, reply } => {
                    send(reply, self.unlock(&caller, data, locks))
                }
                Command::Lock(caller, reply) => {
                    self.lock(&caller);
                    send(reply, Ok(()));
                }
                Command::LockIfOpen { caller, opening, reply } => {
                    send(reply, Ok(self.lock_if_open(&caller, opening)));
                }
                Command::Write(work) => self.waiting.push_back(work),
                Command::Read(ReadTask(read)) => read(self.reading()),
                Command::Whole(WholeTask(work)) => self.whole(work),
                Command::Ping(reply) => send(reply, Ok(())),
                Command::EndLeases(reply) => {
                    self.shared.uses().end_leases();
                    self.shared.wait_for_leases(|_| true);
                    send(reply, Ok(()));
                }
                // It has woken the thread, and that is all.
                Command::Wake => {}
                Command::WriteDenials => {
                    self.shared.wait_for_leases(|_| true);
                    self.write_uses(|uses, now| uses.take_all(now));
                    self.write_denials(|denials, now| denials.take_all(now));
                }
                Command::Shutdown(done) => {
                    self.lock(&Caller::daemon("shutdown"));
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    /// The next command; meanwhile does what is due by time. Without either, it sleeps.
    fn wait(&mut self, commands: &Receiver<Command>) -> Option<Command> {
        loop {
            if self.tend() {
                continue;
            }
            let deadline = [self.locks_in(), self.settles_in(), self.denials_in(), self.uses_in()]
                .into_iter()
                .flatten()
                .min();
            let received = match deadline {
                Some(deadline) => commands.recv_timeout(deadline),
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match received {
                Ok(command) => return Some(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn slots(&mut self) -> Result<FoundSlots, Error> {
        let store = match &mut self.state {
            State::Uninitialized => return Err(Error::Uninitialized),
            State::Locked(locked) => locked.open(&self.path)?,
            State::Unlocked(vault) => {
                vault.store()?;
                publish_renewed(vault, &self.shared);
                vault.store()?
            }
        };
        let header = store.header()?;
        let identity = Identity { vault: header.vault, epoch: header.epoch };
        Ok(FoundSlots { identity, slots: store.slots()?, header_mac: header.mac, locks: self.locks })
    }

    /// Runs the writes that wait, in one batch: the owner's first, the others in their order. What ended the run of writes
    /// in the channel becomes `next`.
    fn write(&mut self, commands: &Receiver<Command>, next: &mut Option<Command>) {
        while self.waiting.len() < BATCH && next.is_none() {
            match commands.try_recv() {
                Ok(Command::Write(work)) => self.waiting.push_back(work),
                Ok(other) => *next = Some(other),
                Err(_) => break,
            }
        }
        let mut works: Vec<_> = self.waiting.drain(..).collect();
        works.sort_by_key(|work| !work.is_owners());
        // Without the reserve only what frees room may go on: the rest would use up what deleting needs.
        let (admitted, refused): (Vec<_>, Vec<_>) = if self.ballast_is_aboard() {
            (works, Vec::new())
        } else {
            works.into_iter().partition(|work| work.frees_room())
        };
        for work in refused {
            work.answer(Err(Error::DiskFull));
        }
        self.commit(admitted);
    }

    /// Whether there is room in reserve; true as well while nobody can write.
    fn ballast_is_aboard(&mut self) -> bool {
        !matches!(self.state, State::Unlocked(_)) || self.ballast.take()
    }

    /// Runs these writes in one batch and answers them; those that it has no time for wait for the next. On a full disk,
    /// those that free room run once more.
    fn commit(&mut self, mut works: Vec<Box<dyn Work>>) {
        if works.is_empty() {
            return;
        }
        let mut outcome = self.run_batch(&mut works);
        if matches!(outcome, Err(Error::DiskFull)) {
            let (again, failed): (Vec<_>, Vec<_>) = works.into_iter().partition(|work| work.frees_room());
            for work in failed {
                work.answer(Err(Error::DiskFull));
            }
            works = again;
            if works.is_empty() {
                return;
            }
            // Only now: a program that fills the disk would take the space as soon as it is free.
            self.ballast.release();
            outcome = self.run_batch(&mut works);
        }
        if matches!(outcome, Err(Error::Replaced)) {
            // At once, so that an older copy that was put in place is noticed when it is opened.
            self.renew_anchor();
        }
        for work in works {
            work.answer(outcome.clone());
        }
    }

    /// Runs these writes, and commits. Those that it has no time for are taken out of `works`, and wait.
    fn run_batch(&mut self, works: &mut Vec<Box<dyn Work>>) -> Result<(), Error> {
        let vault = match &mut self.state {
            State::Uninitialized => return Err(Error::Uninitialized),
            State::Locked(_) => return Err(Error::Locked),
            State::Unlocked(vault) => vault,
        };
        let (start, mut ran) = (Instant::now(), 0);
        let committed = vault.in_batch(|batch| {
            batch.ask_at(Arc::clone(&self.shared.approvals), self.shared.clock.now());
            for work in works.iter_mut() {
                work.run(batch)?;
                ran += 1;
                if start.elapsed() >= SHARE {
                    break;
                }
            }
            Ok(())
        })?;
        self.waiting.extend(works.drain(ran..));
        let is_use = works.iter().any(|work| work.is_use());
        for denial in committed.denials.iter().cloned() {
            self.shared.denials().note(denial, Instant::now());
        }
        let now = self.shared.clock.now();
        committed.uses.iter().for_each(|taken| self.shared.uses().note(taken, now));
        // Before it is published: who returns a lease must be known for it.
        self.shared.wait_for_leases_on(&committed);
        publish_renewed(vault, &self.shared);
        self.shared.apply(&committed, vault.tag());
        if !committed.written {
            // All of it was refused, which is no use of the vault.
            return Ok(());
        }
        if is_use {
            self.shared.touch();
        }
        self.unsettled.get_or_insert_with(Instant::now);
        if committed.purged {
            self.settle();
        }
        Ok(())
    }

    fn whole(&mut self, work: impl FnOnce(Result<&mut Unlocked, Error>) -> Respond) {
        let Respond(send) = match &mut self.state {
            State::Uninitialized => work(Err(Error::Uninitialized)),
            State::Locked(_) => work(Err(Error::Locked)),
            State::Unlocked(vault) => work(Ok(vault)),
        };
        // In doubt, what is in memory may never have been committed.
        if let State::Unlocked(vault) = &mut self.state
            && !vault.is_in_doubt()
            && let Published::Unlocked(view) = &mut *self.shared.write()
            && (vault.take_renewed() || view.tag != vault.tag() || view.rolled_back != vault.is_rolled_back())
        {
            publish(view, vault);
        }
        self.settle();
        send();
    }

    fn reading(&mut self) -> Result<Reading<'_>, Error> {
        match &mut self.state {
            State::Uninitialized => Err(Error::Uninitialized),
            State::Locked(_) => Err(Error::Locked),
            State::Unlocked(vault) => {
                vault.store()?;
                publish_renewed(vault, &self.shared);
                vault.reading()
            }
        }
    }
}

/// If the file was read again, publishes what is in it: after an error at commit it may be a step ahead of what they
/// were told.
fn publish_renewed(vault: &mut Unlocked, shared: &Shared) {
    if vault.take_renewed()
        && let Published::Unlocked(view) = &mut *shared.write()
    {
        publish(view, vault);
    }
}

/// Renews everything that is published of a vault.
fn publish(view: &mut View, vault: &Unlocked) {
    (view.catalog, view.rendered, view.tag) = (vault.catalog().clone(), None, vault.tag());
    (view.pages, view.full_pages) = (Pages::default(), Pages::default());
    view.changes += 1;
    (view.slots, view.rolled_back) = (vault.slots(), vault.is_rolled_back());
}

fn send<T>(reply: Reply<T>, answer: Result<T, Error>) {
    // The asker may have gone; then nobody needs the answer.
    let _ = reply.send(answer);
}
