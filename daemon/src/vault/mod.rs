//! The vault's facade: every operation takes a [`Caller`], and checks, acts and audits in that order,
//! so that no handler can forget one. It knows nothing of HTTP.
//!
//! Reads are served from what the vault's thread has published ([`shared`]); everything else is sent to
//! that thread ([`keeper`]), which runs it as part of a [`batch`].

mod anchor;
mod ballast;
mod batch;
mod catalog;
mod derivation;
mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod keeper;
mod manifest;
mod mask;
mod presets;
mod reading;
mod record;
mod rotation;
mod shared;
mod slots;
mod sources;
mod start;
#[cfg(test)]
mod tests;
mod unlocked;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use bytes::Bytes;
use secrets_proto::audit::AuditList;
use secrets_proto::reveal::{RevealReply, RevealRequest};
use secrets_proto::secret::{
    CreateFromPreset, CreateSecret, PatchSecret, Preset, PresetList, RollbackRequest, Secret, SecretDetail,
    SecretList, TrashList, TrashedSecret, UpdateSecret, VersionList,
};
use secrets_proto::vault::{
    AddKeyReply, AutoLock, InitReply, KeyList, MemoryLock, RotateReply, VaultState, VaultStatus, VerifyReply,
    VerifyRequest,
};
use secrets_proto::{Glob, Provider, SecretName, SensitiveString, Timestamp, Uuid};
use tokio::sync::oneshot;

use crate::caller::{Caller, Scope};
use crate::crypto::keys::FORMAT;
use crate::crypto::recovery::RecoveryKey;
pub(crate) use crate::crypto::slot::KdfCost;
use crate::crypto::slot::SlotKind;
pub(crate) use error::{Error, KeyField};
pub(crate) use sources::KeySources;
pub(crate) use start::StartError;

use batch::Batch;
use derivation::Derivations;
use keeper::{Answer, Command, ReadTask, Reply, WholeTask, Work};
use reading::Reading;
use shared::{Published, Shared, View};
use slots::NewSlot;
use unlocked::Unlocked;

/// How long an operation may take before its caller is told that it did not answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long the end of the process waits for the vault to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// What the vault needs to know of the settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where `vault.db` and `vault.lock` lie; made 0700 if absent.
    pub(crate) data_dir: PathBuf,
    /// Where the anchor lies; made 0700 if absent.
    pub(crate) state_dir: PathBuf,
    /// The cost of passphrase slots made from now on.
    pub(crate) kdf: KdfCost,
    /// Lock after this long without a reveal or write; zero is never.
    pub(crate) idle_lock: Duration,
    /// Lock this long after unlock; zero is never.
    pub(crate) max_lock: Duration,
    /// Keys that callers only name.
    pub(crate) keys: KeySources,
}

/// A key that a caller offers.
#[derive(Debug)]
pub(crate) enum Key {
    /// A passphrase.
    Passphrase(SensitiveString),
    /// The path of a key file.
    File(PathBuf),
    /// A recovery key as text.
    Recovery(SensitiveString),
    /// The credential that systemd hands to the daemon.
    Credential,
    /// The output of the key provider command of this name.
    Provider(String),
}

/// Which secrets a listing shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListFilter {
    /// Only this provider's.
    pub(crate) provider: Option<Provider>,
    /// Only names that match.
    pub(crate) name: Option<Glob>,
}

/// Which audit entries to show.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditQuery {
    /// Not older than this.
    pub(crate) since: Option<Timestamp>,
    /// Only those that concern this secret.
    pub(crate) name: Option<SecretName>,
    /// At most the newest this many.
    pub(crate) limit: Option<usize>,
}

/// The whole list as the router rendered it, and a tag that changes with it.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    /// The body.
    pub(crate) body: Bytes,
    /// An opaque tag in quotes, as an `ETag` has it.
    pub(crate) tag: Bytes,
}

/// A handle on the vault; cheap to clone.
#[derive(Clone)]
pub(crate) struct Vault {
    commands: Sender<Command>,
    shared: Arc<Shared>,
    derivations: Arc<Derivations>,
    settings: Arc<Settings>,
    /// The locked lock file.
    lock: Arc<File>,
    /// Whether the system lets memory be locked, tried once at the start.
    memory_lock: MemoryLock,
}

impl Vault {
    /// Takes the vault's lock, or one that the image before this one held, and starts the vault's thread. The vault stays
    /// locked.
    pub(crate) fn start(settings: Settings, lock: Option<OwnedFd>) -> Result<Self, StartError> {
        start::start(settings, lock)
    }

    /// The lock on the vault, to be handed over to the next image.
    pub(crate) fn lock_file(&self) -> std::io::Result<OwnedFd> {
        self.lock.try_clone().map(OwnedFd::from)
    }

    /// Ready when the vault was locked: to be rid of the copies that nobody knows of takes a new image.
    pub(crate) async fn wiped(&self) {
        self.shared.wiped.notified().await;
    }

    /// State, limits and counts. Any scope.
    pub(crate) fn status(&self, _caller: &Caller) -> VaultStatus {
        let published = self.shared.read();
        let view = published.view().ok();
        VaultStatus {
            state: match &*published {
                Published::Uninitialized => VaultState::Uninitialized,
                Published::Locked => VaultState::Locked,
                Published::Unlocked(_) => VaultState::Unlocked,
            },
            format: FORMAT,
            secrets: view.map(|view| view.catalog.live().len()),
            keys: view.map(|view| view.slots),
            auto_lock: self.auto_lock(view),
            memory_lock: view.map_or(self.memory_lock, |view| view.memory_lock),
            rolled_back: view.is_some_and(|view| view.rolled_back),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn auto_lock(&self, view: Option<&View>) -> AutoLock {
        let (idle, max) = (self.settings.idle_lock.as_secs(), self.settings.max_lock.as_secs());
        let locks_at = view.and_then(|view| {
            let after = |time: Timestamp, seconds: u64| {
                (seconds > 0).then(|| time.saturating_add_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)))
            };
            let used = Timestamp::now()
                .saturating_add_seconds(-i64::try_from(self.shared.idle_for().as_secs()).unwrap_or(i64::MAX));
            [after(used, idle), after(view.since_time, max)].into_iter().flatten().min()
        });
        AutoLock { idle_seconds: idle, max_seconds: max, locks_at }
    }

    /// Makes the vault and leaves it unlocked. Scope `admin`.
    pub(crate) async fn init(&self, caller: &Caller, key: Key) -> Result<InitReply, Error> {
        check(caller, Scope::Admin)?;
        if !matches!(*self.shared.read(), Published::Uninitialized) {
            return Err(Error::AlreadyInitialized);
        }
        let (kind, secret) = self.settings.keys.secret_of(key).await?;
        let recovery = RecoveryKey::generate()?;
        let recovery_key = recovery.to_text()?;
        let cost = self.settings.kdf;
        let slots = self
            .derivations
            .run(move || {
                Ok(vec![
                    NewSlot::derive(kind, cost, &secret)?,
                    NewSlot::derive(SlotKind::Recovery, cost, recovery.expose())?,
                ])
            })
            .await?;
        self.ask(|reply| Command::Init(caller.clone(), slots, reply)).await?;
        Ok(InitReply { recovery_key })
    }

    /// Opens and verifies the vault. A wrong key is answered late. Scope `admin`.
    pub(crate) async fn unlock(&self, caller: &Caller, key: Key) -> Result<VaultStatus, Error> {
        check(caller, Scope::Admin)?;
        let found = self.ask(Command::Slots).await?;
        let (kind, secret) = self.settings.keys.secret_of(key).await?;
        let opened =
            self.derivations.run(move || slots::open_one(&found.slots, found.identity, kind, &secret)).await;
        let data = self.derivations.delay_if_wrong(opened).await?;
        self.ask(|reply| Command::Unlock { caller: caller.clone(), data, locks: found.locks, reply }).await?;
        Ok(self.status(caller))
    }

    /// Wipes keys and values from memory; done when this returns. Scope `admin`.
    pub(crate) async fn lock(&self, caller: &Caller) -> Result<VaultStatus, Error> {
        check(caller, Scope::Admin)?;
        self.ask(|reply| Command::Lock(caller.clone(), reply)).await?;
        Ok(self.status(caller))
    }

    /// The secrets that match, by name. Scope `list`.
    pub(crate) fn list(&self, caller: &Caller, filter: &ListFilter) -> Result<Vec<SecretDetail>, Error> {
        check(caller, Scope::List)?;
        let published = self.shared.read();
        let live = published.view()?.catalog.live();
        let shown = live.filter(|record| caller.sees(&record.meta.name)).filter(|record| {
            let provider_fits = filter.provider.is_none() || filter.provider == record.meta.provider;
            let name_fits = |glob: &Glob| fast_glob::glob_match(glob.as_str(), record.meta.name.as_str());
            provider_fits && filter.name.as_ref().is_none_or(name_fits)
        });
        Ok(shown.map(|record| record.to_detail()).collect())
    }

    /// All secrets, as `render` wrote them; it is called only when the list has changed since. Scope `list`. For callers
    /// that see every name; others are refused, and ask for a filtered list.
    pub(crate) fn rendered_list(
        &self,
        caller: &Caller,
        render: fn(&SecretList<Secret>) -> Bytes,
    ) -> Result<Rendered, Error> {
        check(caller, Scope::List)?;
        if !caller.sees_all() {
            return Err(Error::Internal("a list for all is not for this caller"));
        }
        if let Some(rendered) = &self.shared.read().view()?.rendered {
            return Ok(rendered.clone());
        }
        let Published::Unlocked(view) = &mut *self.shared.write() else { return Err(Error::Locked) };
        let secrets: Vec<Secret> = view.catalog.live().map(|record| record.to_secret()).collect();
        let total = secrets.len();
        let rendered = Rendered {
            body: render(&SecretList { secrets, total }),
            tag: Bytes::from(format!("\"{}\"", view.tag)),
        };
        Ok(view.rendered.insert(rendered).clone())
    }

    /// One secret. Scope `list`.
    pub(crate) fn secret(&self, caller: &Caller, id: Uuid) -> Result<SecretDetail, Error> {
        check(caller, Scope::List)?;
        let published = self.shared.read();
        let found = published.view()?.catalog.by_id(id).filter(|record| caller.sees(&record.meta.name));
        found.map(|record| record.to_detail()).ok_or(Error::NotFound)
    }

    /// The presets, with whether each is configured. Scope `list`.
    pub(crate) fn presets(&self, caller: &Caller) -> Result<PresetList, Error> {
        check(caller, Scope::List)?;
        let published = self.shared.read();
        let catalog = &published.view()?.catalog;
        let presets = presets::all().map_err(|_| Error::Internal("the table of presets is malformed"))?;
        let presets = presets
            .into_iter()
            .map(|(provider, env_var_name)| {
                let configured = caller.sees(&env_var_name) && catalog.by_name(&env_var_name).is_some();
                Preset { provider, env_var_name, configured }
            })
            .collect();
        Ok(PresetList { presets })
    }

    /// Stores a new secret; durable when this returns. Scope `write`.
    pub(crate) async fn create(&self, caller: &Caller, new: CreateSecret) -> Result<SecretDetail, Error> {
        check(caller, Scope::Write)?;
        self.write(caller, move |batch, caller| batch.create(caller, new)).await
    }

    /// Stores a new secret under its preset's name. Scope `write`.
    pub(crate) async fn create_from_preset(
        &self,
        caller: &Caller,
        new: CreateFromPreset,
    ) -> Result<SecretDetail, Error> {
        check(caller, Scope::Write)?;
        let name = presets::variable_of(&new.provider).ok_or(Error::UnknownPreset)?;
        self.create(caller, CreateSecret { name, value: new.value, provider: Some(new.provider) }).await
    }

    /// Gives a secret a new value. `expected` is the version that `If-Match` names. Scope `write`.
    pub(crate) async fn update(
        &self,
        caller: &Caller,
        id: Uuid,
        new: UpdateSecret,
        expected: Option<u64>,
    ) -> Result<SecretDetail, Error> {
        check(caller, Scope::Write)?;
        self.write(caller, move |batch, caller| batch.update(caller, id, &new, expected)).await
    }

    /// Changes a secret's metadata. Scope `write`.
    pub(crate) async fn edit(
        &self,
        caller: &Caller,
        id: Uuid,
        patch: PatchSecret,
        expected: Option<u64>,
    ) -> Result<SecretDetail, Error> {
        check(caller, Scope::Write)?;
        self.write(caller, move |batch, caller| batch.edit(caller, id, patch, expected)).await
    }

    /// Moves a secret to the trash, or destroys it with all its versions. Scope `write`.
    pub(crate) async fn delete(
        &self,
        caller: &Caller,
        id: Uuid,
        expected: Option<u64>,
        purge: bool,
    ) -> Result<(), Error> {
        check(caller, Scope::Write)?;
        self.write_again(caller, move |batch, caller| {
            if purge { batch.purge(caller, id, expected) } else { batch.delete(caller, id, expected) }
        })
        .await
    }

    /// Hands values over, after the audit entry is durable. Scope `reveal`.
    pub(crate) async fn reveal(&self, caller: &Caller, request: RevealRequest) -> Result<RevealReply, Error> {
        check(caller, Scope::Reveal)?;
        self.write(caller, move |batch, caller| batch.reveal(caller, request)).await
    }

    /// The audit log. Scope `admin`.
    pub(crate) async fn audit(&self, caller: &Caller, query: AuditQuery) -> Result<AuditList, Error> {
        check(caller, Scope::Admin)?;
        let entries = self.read(move |reading| reading.audit_entries(&query)).await?;
        Ok(AuditList { entries })
    }

    /// The kept versions of a secret's value, masked. Scope `list`.
    pub(crate) async fn versions(&self, caller: &Caller, id: Uuid) -> Result<VersionList, Error> {
        check(caller, Scope::List)?;
        let asker = caller.clone();
        let versions = self.read(move |reading| reading.versions(&asker, id)).await?;
        Ok(VersionList { versions })
    }

    /// Makes an earlier value the present one again. Scope `write`: no value leaves.
    pub(crate) async fn rollback(
        &self,
        caller: &Caller,
        id: Uuid,
        request: RollbackRequest,
        expected: Option<u64>,
    ) -> Result<SecretDetail, Error> {
        check(caller, Scope::Write)?;
        self.write(caller, move |batch, caller| batch.rollback(caller, id, request.version, expected)).await
    }

    /// The deleted secrets, newest first. Scope `list`.
    pub(crate) fn trash(&self, caller: &Caller) -> Result<TrashList, Error> {
        check(caller, Scope::List)?;
        let published = self.shared.read();
        let all = published.view()?.catalog.all().filter(|record| caller.sees(&record.meta.name));
        let mut secrets: Vec<TrashedSecret> = all.filter_map(|record| record.to_trashed()).collect();
        secrets.sort_by(|a, b| {
            (b.deleted_at, &b.secret.name, b.secret.id).cmp(&(a.deleted_at, &a.secret.name, a.secret.id))
        });
        Ok(TrashList { total: secrets.len(), secrets })
    }

    /// Takes a secret out of the trash. Scope `write`.
    pub(crate) async fn restore(&self, caller: &Caller, id: Uuid) -> Result<SecretDetail, Error> {
        check(caller, Scope::Write)?;
        self.write(caller, move |batch, caller| batch.restore(caller, id)).await
    }

    /// Reads and checks everything; accepts a vault older than its rollback guard if asked to. Scope `admin`.
    pub(crate) async fn verify(&self, caller: &Caller, request: VerifyRequest) -> Result<VerifyReply, Error> {
        check(caller, Scope::Admin)?;
        self.whole(caller, move |vault, caller| {
            let counts = vault.verify()?;
            if request.accept_restore {
                vault.accept_restore(caller)?;
            }
            Ok(counts)
        })
        .await
    }

    /// A verified copy of the vault, still sealed. Scope `admin`.
    pub(crate) async fn backup(&self, caller: &Caller) -> Result<Bytes, Error> {
        check(caller, Scope::Admin)?;
        self.whole(caller, |vault, caller| vault.backup(caller).map(Bytes::from)).await
    }

    /// The key slots. Scope `admin`.
    pub(crate) async fn keys(&self, caller: &Caller) -> Result<KeyList, Error> {
        check(caller, Scope::Admin)?;
        self.read(|reading| reading.key_slots()).await.map(|keys| KeyList { keys })
    }

    /// Adds a key slot for this key, or for a fresh recovery key. Scope `admin`.
    pub(crate) async fn add_key(
        &self,
        caller: &Caller,
        key: Option<Key>,
        replaces: Option<Uuid>,
    ) -> Result<AddKeyReply, Error> {
        check(caller, Scope::Admin)?;
        self.shared.read().view()?;
        let cost = self.settings.kdf;
        let (slot, recovery_key) = match key {
            Some(key) => {
                let (kind, secret) = self.settings.keys.secret_of(key).await?;
                (self.derivations.run(move || NewSlot::derive(kind, cost, &secret)).await?, None)
            }
            None => {
                let recovery = RecoveryKey::generate()?;
                (NewSlot::derive(SlotKind::Recovery, cost, recovery.expose())?, Some(recovery.to_text()?))
            }
        };
        let key = self.write(caller, move |batch, caller| batch.add_key(caller, &slot, replaces)).await?;
        Ok(AddKeyReply { key, recovery_key })
    }

    /// Removes a key slot, but never the last. Scope `admin`.
    pub(crate) async fn remove_key(&self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        check(caller, Scope::Admin)?;
        self.write(caller, move |batch, caller| batch.remove_key(caller, id)).await
    }

    /// Replaces the data key and seals everything again. The key must open the vault now; afterwards it and the fresh
    /// recovery key do, and no other. Scope `admin`.
    pub(crate) async fn rotate(&self, caller: &Caller, key: Key) -> Result<RotateReply, Error> {
        check(caller, Scope::Admin)?;
        self.shared.read().view()?;
        let found = self.ask(Command::Slots).await?;
        let (keys_before, header_mac) = (found.slots.len(), found.header_mac);
        let (kind, secret) = self.settings.keys.secret_of(key).await?;
        let recovery = RecoveryKey::generate()?;
        let recovery_key = recovery.to_text()?;
        let cost = self.settings.kdf;
        let derived = self
            .derivations
            .run(move || {
                slots::open_one(&found.slots, found.identity, kind, &secret)?;
                Ok(vec![
                    NewSlot::derive(kind, cost, &secret)?,
                    NewSlot::derive(SlotKind::Recovery, cost, recovery.expose())?,
                ])
            })
            .await;
        let slots = self.derivations.delay_if_wrong(derived).await?;
        let kept = slots.len();
        self.whole(caller, move |vault, caller| vault.rotate(caller, &slots, &header_mac)).await?;
        Ok(RotateReply { recovery_key, keys_removed: keys_before.saturating_sub(kept) })
    }

    /// Completes what is in flight, checkpoints and wipes; for the end of the process.
    pub(crate) async fn shutdown(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Shutdown(done)).is_ok()
            && tokio::time::timeout(CLOSE_DEADLINE, closed).await.is_err()
        {
            tracing::warn!("the vault did not close in time; it will be checked at the next unlock");
        }
    }

    /// Asks the vault's thread, and waits for its answer up to the deadline.
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| Error::Internal("the vault's thread has ended"))?;
        tokio::time::timeout(DEADLINE, answer)
            .await
            .map_err(|_| Error::Timeout)?
            .map_err(|_| Error::Internal("the vault's thread gave no answer"))?
    }

    /// Reads the file on the vault's thread.
    async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Reading<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.ask(|reply| {
            Command::Read(ReadTask(Box::new(move |reading| {
                // The asker may have gone; then nobody needs the answer.
                let _ = reply.send(reading.and_then(|reading| work(&reading)));
            })))
        })
        .await
    }

    /// Works on the open vault as a whole, on its thread.
    async fn whole<T, F>(&self, caller: &Caller, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Unlocked, &Caller) -> Result<T, Error> + Send + 'static,
    {
        let caller = caller.clone();
        self.ask(|reply| {
            Command::Whole(WholeTask(Box::new(move |vault| {
                let answer = vault.and_then(|vault| work(vault, &caller));
                Answer(Box::new(move || {
                    let _ = reply.send(answer);
                }))
            })))
        })
        .await
    }

    /// Sends a write to the vault's thread. It is done whether or not its caller is still there for the answer.
    async fn write<T, F>(&self, caller: &Caller, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Batch<'_>, &Caller) -> Result<T, Error> + Send + 'static,
    {
        let caller = caller.clone();
        let mut work = Some(work);
        self.submit(false, move |batch| {
            let work = work.take().ok_or(Error::Internal("a write ran twice"))?;
            work(batch, &caller)
        })
        .await
    }

    /// The same for a write that frees room, and so may run once more when the disk was found full.
    async fn write_again<T, F>(&self, caller: &Caller, mut work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Batch<'_>, &Caller) -> Result<T, Error> + Send + 'static,
    {
        let caller = caller.clone();
        self.submit(true, move |batch| work(batch, &caller)).await
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

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

/// The first step of every operation.
fn check(caller: &Caller, scope: Scope) -> Result<(), Error> {
    if caller.may(scope) { Ok(()) } else { Err(Error::Forbidden(scope)) }
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
