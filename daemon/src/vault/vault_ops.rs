//! The facade's operations on the vault itself: making, opening and closing it, its keys and copies.

use std::sync::Arc;

use bytes::Bytes;
use secrets_local::places;
use secrets_proto::audit::AuditAction;
use secrets_proto::vault::{
    AddKeyReply, AutoLock, InitReply, KeyList, RotateReply, VaultState, VaultStatus, VerifyReply,
    VerifyRequest,
};
use secrets_proto::{SensitiveString, Timestamp, Uuid};

use crate::audit::Event;
use crate::caller::{Caller, Scope};
use crate::crypto::keys::FORMAT;
use crate::crypto::recovery::RecoveryKey;
use crate::crypto::slot::{KdfCost, SlotKind};
use crate::store::MOST_SLOTS;
use crate::triggers::Seen;

use super::format::slots::NewSlot;
use super::sources::Offered;
use super::writer::command::Command;
use super::writer::shared::{Published, View};
use super::writer::snapshot::Snapshot;
use super::{Error, Held, Key, Vault};

impl Vault {
    /// State, limits and counts; of secrets, those that the caller sees. Any scope, but a token that is still good.
    pub(crate) fn status(&self, caller: &Caller) -> Result<VaultStatus, Error> {
        self.check_token(caller, AuditAction::Access)?;
        Ok(self.describe(caller))
    }

    pub(super) fn describe(&self, caller: &Caller) -> VaultStatus {
        let published = self.shared.read();
        let view = published.view().ok();
        VaultStatus {
            state: match &*published {
                Published::Uninitialized => VaultState::Uninitialized,
                Published::Locked => VaultState::Locked,
                Published::Unlocked(_) => VaultState::Unlocked,
            },
            format: FORMAT,
            secrets: view.map(|view| view.catalog.of(caller).live_count()),
            keys: view.filter(|_| caller.sees_all()).map(|view| view.slots),
            // When it locks moves with each use of any secret, also of those that the caller does not see.
            auto_lock: self.auto_lock(view.filter(|_| caller.sees_all())),
            memory_lock: view.map_or(self.memory_lock, |view| view.memory_lock),
            rolled_back: view.is_some_and(|view| view.rolled_back),
            clock_leapt_seconds: view.filter(|_| caller.sees_all()).and_then(|view| view.clock_leapt),
            start_failure: match &*published {
                Published::Locked if caller.sees_all() => self.start_failure.get().cloned(),
                Published::Locked | Published::Uninitialized | Published::Unlocked(_) => None,
            },
            lost: if caller.sees_all() { self.settings.lost.seen() } else { Vec::new() },
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn auto_lock(&self, view: Option<&View>) -> AutoLock {
        let (idle, max) = (self.settings.idle_lock.as_secs(), self.settings.max_lock.as_secs());
        let left = view.and_then(|view| self.shared.locks_in(view.since, &self.settings));
        let locks_at = left.map(|left| {
            Timestamp::now().saturating_add_seconds(i64::try_from(left.as_secs()).unwrap_or(i64::MAX))
        });
        let Seen { suspend, session_lock, obstacle } = self.settings.triggers.seen();
        AutoLock { idle_seconds: idle, max_seconds: max, suspend, session_lock, obstacle, locks_at }
    }

    /// Makes the vault and leaves it unlocked. The recovery key stays unconfirmed until [`confirm_key`](Self::confirm_key) if
    /// its caller will `confirm` it. Scope `admin`.
    pub(crate) async fn init(&self, caller: &Caller, key: Key, confirm: bool) -> Result<InitReply, Error> {
        self.check_whole(caller, AuditAction::Init)?;
        let _opening = self.derivations.opening();
        if !matches!(*self.shared.read(), Published::Uninitialized) {
            return Err(Error::AlreadyInitialized);
        }
        let Offered { kind, secret, provider, .. } = self.settings.keys.lasting_secret_of(key).await?;
        let (recovery, recovery_key) = fresh_recovery(confirm)?;
        let (cost, recovery_key_id) = (self.settings.kdf, Some(recovery.id()));
        let slots = self
            .derivations
            .run(move |_| Ok(vec![NewSlot::derive(kind, cost, &secret)?.of_provider(provider), recovery]))
            .await?;
        self.ask(|reply| Command::Init(caller.witnessed(), slots, reply)).await?;
        Ok(InitReply { recovery_key, recovery_key_id })
    }

    /// Opens and verifies the vault. A wrong key is answered late. Scope `admin`.
    pub(crate) async fn unlock(&self, caller: &Caller, key: Key) -> Result<VaultStatus, Error> {
        self.check(caller, Scope::Admin, AuditAction::Unlock)?;
        let _opening = self.derivations.opening();
        let found = self.ask(Command::Slots).await?;
        let offered = self.settings.keys.secret_of(key).await?;
        let opened = self
            .derivations
            .run(move |cancel| offered.open(&found.slots, found.identity, || cancel.check()))
            .await;
        // Before the delay, for which the caller need not wait.
        let opened = self.note_refusal(caller, AuditAction::Unlock, opened);
        let data = self.derivations.delay_if_wrong(opened).await?;
        self.ask(|reply| Command::Unlock { caller: caller.witnessed(), data, locks: found.locks, reply })
            .await?;
        Ok(self.describe(caller))
    }

    /// Opens the vault with the key for the start, which `what` names. If it does not, the status says why. Scope `admin`.
    pub(crate) async fn unlock_at_start(&self, caller: &Caller, what: &str, key: Key) -> Result<(), Error> {
        let Err(error) = self.unlock(caller, key).await else { return Ok(()) };
        let reason = if let Error::NoKey(failure) = &error {
            failure.to_string()
        } else {
            format!("the {what}: {error}")
        };
        // There is one start.
        let _ = self.start_failure.set(reason);
        Err(error)
    }

    /// Wipes keys and values from memory; done when this returns. Scope `admin` or `items`.
    pub(crate) async fn lock(&self, caller: &Caller) -> Result<VaultStatus, Error> {
        self.check_either(caller, AuditAction::Lock)?;
        self.derivations.give_up();
        self.ask_urgently(|reply| Command::Lock(caller.witnessed(), reply)).await?;
        Ok(self.describe(caller))
    }

    /// Locks if the vault is open or about to be opened, for what may happen often. Returns whether memory is not empty
    /// yet, and will be with the next image. Scope `admin`.
    pub(crate) async fn lock_if_open(&self, caller: &Caller) -> Result<bool, Error> {
        self.check(caller, Scope::Admin, AuditAction::Lock)?;
        let opening = self.derivations.are_under_way();
        self.derivations.give_up();
        self.ask_urgently(|reply| Command::LockIfOpen { caller: caller.witnessed(), opening, reply }).await
    }

    /// Reads and checks everything; accepts a vault older than its rollback guard if asked to. Scope `admin`.
    pub(crate) async fn verify(&self, caller: &Caller, request: VerifyRequest) -> Result<VerifyReply, Error> {
        self.check_whole(caller, AuditAction::Verify)?;
        if !request.accept_restore
            && let Some(counts) = self.on_snapshot(caller, Snapshot::verify).await?
        {
            return Ok(counts);
        }
        let shared = Arc::clone(&self.shared);
        self.whole(caller, move |vault, caller| {
            let counts = vault.verify(shared.urgent.interrupts())?;
            if request.accept_restore {
                vault.accept_restore(caller)?;
            }
            Ok(counts)
        })
        .await
    }

    /// A verified copy of the vault, still sealed. Scope `admin`.
    pub(crate) async fn backup(&self, caller: &Caller) -> Result<Held<Bytes>, Error> {
        self.check_whole(caller, AuditAction::Backup)?;
        let length =
            std::fs::metadata(self.settings.data_dir.join(places::VAULT)).map_or(0, |file| file.len());
        let permit = self.heavy_permit(caller).await?;
        let room = self.room.take(caller, usize::try_from(length).unwrap_or(usize::MAX)).await;
        let permit = Some(permit.with(room));
        let reply = self.copy(caller).await?;
        Ok(Held { reply, permit })
    }

    async fn copy(&self, caller: &Caller) -> Result<Bytes, Error> {
        if let Some(copy) = self.on_snapshot(caller, Snapshot::copy).await? {
            let event = Event::done(AuditAction::Backup, Vec::new());
            self.write(caller, move |batch, caller| batch.audit(caller, event)).await?;
            return Ok(Bytes::from(copy));
        }
        let shared = Arc::clone(&self.shared);
        self.whole(caller, move |vault, caller| {
            vault.backup(caller, shared.urgent.interrupts()).map(Bytes::from)
        })
        .await
    }

    /// The key slots. Scope `admin`.
    pub(crate) async fn keys(&self, caller: &Caller) -> Result<KeyList, Error> {
        self.check_whole(caller, AuditAction::KeyList)?;
        self.read(caller, |reading| reading.key_slots()).await.map(|keys| KeyList { keys })
    }

    /// Adds a key slot for this key, or for a fresh recovery key, which stays unconfirmed until
    /// [`confirm_key`](Self::confirm_key) if its caller will `confirm` it. Scope `admin`.
    pub(crate) async fn add_key(
        &self,
        caller: &Caller,
        key: Option<Key>,
        replaces: Option<Uuid>,
        confirm: bool,
        proof: Option<Key>,
    ) -> Result<AddKeyReply, Error> {
        self.check_whole(caller, AuditAction::KeyAdd)?;
        // Before a derivation; the vault's thread asks once more.
        if self.shared.read().view()?.slots >= MOST_SLOTS && replaces.is_none() {
            return Err(Error::TooManyKeys);
        }
        let caller = &self.prove_if_guarded(caller, proof, AuditAction::KeyAdd).await?;
        let cost = self.settings.kdf;
        let (slot, recovery_key, doubt) = match key {
            Some(key) => {
                let offered = self.settings.keys.lasting_secret_of(key).await?;
                let doubt = offered.doubt();
                let Offered { kind, secret, provider, .. } = offered;
                let slot = self.derivations.run(move |_| NewSlot::derive(kind, cost, &secret)).await?;
                (slot.of_provider(provider), None, doubt)
            }
            None => {
                let (slot, recovery_key) = fresh_recovery(confirm)?;
                (slot, Some(recovery_key), None)
            }
        };
        let key = self.write(caller, move |batch, caller| batch.add_key(caller, &slot, replaces)).await?;
        Ok(AddKeyReply { key, recovery_key, doubt })
    }

    /// Notes that the recovery key of this slot was shown. Scope `admin`.
    pub(crate) async fn confirm_key(&self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        self.check_whole(caller, AuditAction::KeyConfirm)?;
        self.write(caller, move |batch, caller| batch.confirm_key(caller, id)).await
    }

    /// Removes a key slot, but never the last. Scope `admin`.
    pub(crate) async fn remove_key(
        &self,
        caller: &Caller,
        id: Uuid,
        proof: Option<Key>,
    ) -> Result<(), Error> {
        self.check_whole(caller, AuditAction::KeyRemove)?;
        let caller = &match proof {
            Some(proof) => self.prove(caller, Some(proof), AuditAction::KeyRemove).await?,
            // What is no proof itself may go without one.
            None => caller.clone(),
        };
        let removed = self.write(caller, move |batch, caller| batch.remove_key(caller, id)).await;
        self.note_refusal(caller, AuditAction::KeyRemove, removed)
    }

    /// Replaces the data key and seals everything again. The key must open the vault now; afterwards it and the fresh
    /// recovery key do, and no other; that one stays unconfirmed until [`confirm_key`](Self::confirm_key) if its caller will
    /// `confirm` it. Scope `admin`.
    pub(crate) async fn rotate(
        &self,
        caller: &Caller,
        key: Key,
        confirm: bool,
    ) -> Result<RotateReply, Error> {
        self.check_whole(caller, AuditAction::Rotate)?;
        let is_proof = matches!(key, Key::Passphrase(_));
        let check_proof = || {
            let has_guarded = self.shared.read().view()?.catalog.has_guarded();
            if has_guarded && !is_proof { Err(Error::Unproven) } else { Ok(()) }
        };
        self.note_refusal(caller, AuditAction::Rotate, check_proof())?;
        let found = self.ask(Command::Slots).await?;
        let (keys_before, header_mac) = (found.slots.len(), found.header_mac);
        let offered = self.settings.keys.secret_of(key).await?;
        let (recovery, recovery_key) = fresh_recovery(confirm)?;
        let (cost, recovery_key_id) = (self.settings.kdf, Some(recovery.id()));
        let derived = self
            .derivations
            .run(move |cancel| {
                offered.open(&found.slots, found.identity, || cancel.check())?;
                let Offered { kind, secret, provider, .. } = offered;
                Ok(vec![NewSlot::derive(kind, cost, &secret)?.of_provider(provider), recovery])
            })
            .await;
        let derived = self.note_refusal(caller, AuditAction::Rotate, derived);
        let slots = Arc::new(self.derivations.delay_if_wrong(derived).await?);
        let kept = slots.len();
        check_proof()?;
        if !self.rotate_aside(caller, Arc::clone(&slots), header_mac).await? {
            let shared = Arc::clone(&self.shared);
            self.whole(caller, move |vault, caller| {
                vault.rotate(caller, &slots, &header_mac, shared.urgent.interrupts())
            })
            .await?;
        }
        Ok(RotateReply { recovery_key, keys_removed: keys_before.saturating_sub(kept), recovery_key_id })
    }
}

/// A slot for a fresh recovery key, and the key. It takes no derivation that is slow.
fn fresh_recovery(confirm: bool) -> Result<(NewSlot, SensitiveString), Error> {
    let recovery = RecoveryKey::generate()?;
    let slot = NewSlot::derive(SlotKind::Recovery, KdfCost::NONE, recovery.expose())?;
    Ok((slot.with_confirmation(confirm), recovery.to_text()?))
}
