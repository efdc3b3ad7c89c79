//! Locking by time, for what asks before the vault's thread would notice: no timer runs out while the machine sleeps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::Settings;
use super::derivation::Derivations;
use super::mailbox::answered;
use super::writer::command::Command;
use super::writer::shared::Shared;

/// When the vault locks by itself, and the way to have it do so.
#[derive(Clone)]
pub(crate) struct AutoLock {
    pub(super) commands: Sender<Command>,
    pub(super) shared: Arc<Shared>,
    pub(super) derivations: Arc<Derivations>,
    pub(super) settings: Arc<Settings>,
}

impl AutoLock {
    /// Whether what is asked now is to be told that the vault is locked, soon or already.
    pub(crate) fn is_due_or_over(&self) -> bool {
        self.is_ending() || self.is_due()
    }

    /// Whether the vault is open and should not be any more.
    fn is_due(&self) -> bool {
        let Ok(opened) = self.shared.read().view().map(|view| view.since) else { return false };
        self.shared.locks_in(opened, &self.settings) == Some(Duration::ZERO)
    }

    /// Whether the vault stays open for so long, if nobody locks it.
    pub(super) fn stays_open(&self, span: Duration) -> bool {
        let Ok(opened) = self.shared.read().view().map(|view| view.since) else { return false };
        self.shared.locks_in(opened, &self.settings).is_none_or(|left| left > span)
    }

    /// Whether the vault is being locked or was, and this image ends for it: what is asked now can be told only that.
    pub(crate) fn is_ending(&self) -> bool {
        self.shared.is_ending.load(Ordering::Relaxed)
    }

    /// Locks if that is so; done when this returns. To be called before anything is asked of the vault.
    pub(crate) async fn lock_if_due(&self) {
        if !self.is_due() {
            return;
        }
        self.derivations.give_up();
        let (reply, answer) = tokio::sync::oneshot::channel();
        // The thread looks at the time before whatever it is asked. If it has ended, so has the daemon.
        self.shared.urgent.push(Command::Ping(reply));
        self.look();
        let _ = answered(answer).await;
    }

    /// Has the thread look at the time.
    pub(crate) fn look(&self) {
        let _ = self.commands.send(Command::Wake);
    }
}
