//! The facade's operations on the fleet: one vault on several machines. What is read from and written to the exchange goes
//! through here, beside the vault's thread; how machines let each other in is in [`pairing`].

mod by_itself;
mod kept;
mod keys;
mod moved;
mod pairing;
mod reading;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use secrets_fleet::applied::Applied;
use secrets_fleet::ids::FleetId;
use secrets_fleet::members::Standing;
use secrets_fleet::secret::NAME;
use secrets_fleet::{Kind, MachineId, ObjectName, Replica, Writer};
use secrets_proto::audit::AuditAction;
use secrets_proto::fleet::{ConflictList, FleetConflict, FleetMachine, FleetMerge, FleetStatus};
use secrets_proto::secret::SecretDetail;
use secrets_proto::{SecretName, Timestamp, Uuid};

use crate::caller::{Caller, Scope};
use crate::crypto;
use crate::crypto::exchange::Private;
use crate::exchange;

use super::format::fleet::{Epoch, Fleet, Held, MachineKeys, Member, Members, Meta};
use super::writer::batch::{Batch, Synced};
use super::writer::catalog::Catalog;
use super::{Error, FleetError, Vault};

pub(crate) use by_itself::exchange_by_itself;
pub(crate) use pairing::Pairing;
use reading::Found;
pub(crate) use reading::Refused;

/// The most rounds at once.
const MOST_ROUNDS: usize = 16;

impl Vault {
    /// What is known of the fleet. Scope `list`.
    pub(crate) fn fleet(&self, caller: &Caller) -> Result<FleetStatus, Error> {
        self.check(caller, Scope::List, AuditAction::List)?;
        self.fleet_status(caller)
    }

    /// What is known of the fleet, for a caller that may know it.
    fn fleet_status(&self, caller: &Caller) -> Result<FleetStatus, Error> {
        let published = self.shared.read();
        let catalog = &published.view()?.catalog;
        let Some(fleet) = &catalog.fleet else { return Ok(FleetStatus::default()) };
        let machine = |member: &Member| {
            let standing = fleet.meta.members.standing(fleet.me(), member.id);
            let is_present = fleet.present().any(|present| present.id == member.id);
            FleetMachine {
                id: Uuid::from_u64_pair(u64::from_be_bytes(member.id.0), 0),
                name: member.name.clone(),
                this: member.id == fleet.me(),
                removed: !is_present && standing != Standing::Disputed,
                disputed: standing == Standing::Disputed,
                reader: member.reader,
                key_alone: member.key_alone,
                unheard: is_present && fleet.is_unheard(member.id),
                left: fleet
                    .meta
                    .left
                    .get(&member.id)
                    .filter(|_| !is_present)
                    .and_then(|at| Timestamp::from_second(*at)),
            }
        };
        let conflicts = fleet.replica.secrets.iter().filter_map(|(id, secret)| {
            let record = catalog.of(caller).by_id(*id)?;
            if fleet.replica.kept.contains_key(id) {
                return None;
            }
            let (_, current) = secret.current()?;
            let others: Vec<_> = secret.conflicts().iter().map(|(_, value)| value.by).collect();
            (!others.is_empty()).then(|| FleetConflict {
                name: record.meta.name.clone(),
                in_use: fleet.name_of(current.by).to_owned(),
                others: others.iter().map(|machine| fleet.name_of(*machine).to_owned()).collect(),
            })
        });
        let kept = kept::Kept::of(fleet, catalog, caller);
        Ok(FleetStatus {
            member: true,
            directory: caller.sees_all().then(|| fleet.meta.directory.display().to_string()),
            machines: fleet.meta.members.all().map(machine).collect(),
            waiting: fleet.meta.waiting,
            missing: fleet.meta.missing(),
            refused: fleet.meta.refused,
            crowded: fleet.meta.crowded,
            heard: fleet.last_heard().filter(|_| caller.sees_all()).and_then(Timestamp::from_second),
            conflicts: conflicts.collect(),
            include: kept.include,
            exclude: kept.exclude,
            local: kept.local,
            excluded: kept.excluded,
            aside: kept.aside,
            displaced: kept.displaced,
        })
    }

    /// Makes a fleet of this one machine. Scope `admin`, on all names.
    pub(crate) async fn begin_fleet(
        &self,
        caller: &Caller,
        name: String,
        directory: PathBuf,
    ) -> Result<FleetStatus, Error> {
        self.check_whole(caller, AuditAction::Fleet)?;
        self.check_open(caller)?;
        let directory = usable(directory).await?;
        if !list(directory.clone()).await?.is_empty() {
            return Err(Error::Fleet(FleetError::Other));
        }
        let (signing, sealing) = (Private::generate()?, Private::generate()?);
        let me = MachineId(crypto::random()?);
        let public = MachineKeys { signing: signing.signer()?, sealing: sealing.recipient(), welcome: None };
        let mut members = Members::default();
        members.add(member(me, name, public));
        let keys = [(1 << 16, Private::generate()?)].into();
        let epochs = [(1 << 16, Epoch { by: me, members: [me].into() })].into();
        let meta = meta(FleetId(crypto::random()?), directory, (signing, sealing), (keys, epochs), members);
        let fleet = Fleet::new(meta, Replica::new(me, Writer(crypto::random()?)));
        let turn = self.exchanging.lock().await;
        let synced = self.write(caller, move |batch, caller| batch.begin_fleet(caller, fleet)).await?;
        self.place(synced).await?;
        drop(turn);
        self.fleet_status(caller)
    }

    /// Looks into the exchange now: says there what is new here, and merges what others have said. Scope `list`.
    pub(crate) async fn merge_fleet(&self, caller: &Caller) -> Result<FleetMerge, Error> {
        self.check(caller, Scope::List, AuditAction::List)?;
        let (mut merged, written) = self.exchange_now().await?;
        merged.retain(|name| caller.sees(name));
        Ok(FleetMerge { merged, written, fleet: self.fleet_status(caller)? })
    }

    /// Exchanges until nothing more comes: which secrets others have changed, and how many objects were written.
    async fn exchange_now(&self) -> Result<(Vec<SecretName>, usize), Error> {
        // Two at once would take each other's objects for lost.
        let _turn = self.exchanging.lock().await;
        let (mut merged, mut written) = (Vec::<SecretName>::new(), 0);
        // What is merged may be answered, and what was waited for may have come meanwhile.
        for _ in 0..MOST_ROUNDS {
            let (synced, is_all) = self.round().await?;
            let is_last = synced.merged.is_empty() && is_all;
            merged.extend(synced.merged.iter().cloned());
            written += self.place(synced).await?;
            if is_last {
                let fleet = self.known_fleet()?;
                aside(move || moved::settle(&fleet)).await?;
                break;
            }
        }
        merged.sort();
        merged.dedup();
        Ok((merged, written))
    }

    /// Removes a machine from the fleet. Scope `admin`, on all names. Returns the names of what it had.
    pub(crate) async fn remove_machine(
        &self,
        caller: &Caller,
        machine: MachineId,
    ) -> Result<Vec<SecretName>, Error> {
        self.check_whole(caller, AuditAction::Fleet)?;
        self.check_open(caller)?;
        self.exchange_now().await?;
        let fleet = self.known_fleet()?;
        if fleet.me() == machine {
            return Err(Error::Fleet(FleetError::NoMachine));
        }
        let turn = self.exchanging.lock().await;
        let listed = list(fleet.meta.directory.clone()).await?;
        let remove =
            move |batch: &mut Batch<'_>, caller: &Caller| batch.remove_machine(caller, machine, &listed);
        let synced = self.write(caller, remove).await?;
        self.place(synced).await?;
        drop(turn);
        let published = self.shared.read();
        let mut names = what_all_have(&published.view()?.catalog);
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Gives a machine another name. Scope `admin`, on all names.
    pub(crate) async fn rename_machine(
        &self,
        caller: &Caller,
        machine: MachineId,
        name: String,
    ) -> Result<FleetStatus, Error> {
        self.check_whole(caller, AuditAction::Fleet)?;
        self.check_open(caller)?;
        let turn = self.exchanging.lock().await;
        let rename =
            move |batch: &mut Batch<'_>, caller: &Caller| batch.rename_machine(caller, machine, name);
        let synced = self.write(caller, rename).await?;
        self.place(synced).await?;
        drop(turn);
        self.fleet_status(caller)
    }

    /// Says that of two machines that removed each other this one is kept. Scope `admin`, on all names.
    pub(crate) async fn keep_machine(
        &self,
        caller: &Caller,
        machine: MachineId,
    ) -> Result<FleetStatus, Error> {
        self.check_whole(caller, AuditAction::Fleet)?;
        self.check_open(caller)?;
        let turn = self.exchanging.lock().await;
        let listed = list(self.known_fleet()?.meta.directory.clone()).await?;
        let keep = move |batch: &mut Batch<'_>, caller: &Caller| batch.keep_machine(caller, machine, &listed);
        let synced = self.write(caller, keep).await?;
        self.place(synced).await?;
        drop(turn);
        self.fleet_status(caller)
    }

    /// The secrets that were given different values on several machines, with the values' masks. Scope `list`.
    pub(crate) async fn conflicts(&self, caller: &Caller) -> Result<ConflictList, Error> {
        // Each of these values is opened, on the thread that reveals wait for.
        let _permit = self.heavy_permit(caller).await?;
        self.check(caller, Scope::List, AuditAction::List)?;
        let asker = caller.clone();
        let conflicts = self.read(caller, move |reading| reading.conflicts(&asker)).await?;
        Ok(ConflictList { conflicts })
    }

    /// Settles on one of a secret's values. Scope `write`: no value leaves.
    pub(crate) async fn resolve_conflict(
        &self,
        caller: &Caller,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<SecretDetail, Error> {
        self.check(caller, Scope::Write, AuditAction::Rollback)?;
        self.write(caller, move |batch, caller| batch.resolve(caller, id, version)).await
    }

    fn known_fleet(&self) -> Result<Arc<Fleet>, Error> {
        let published = self.shared.read();
        published.view()?.catalog.fleet.clone().ok_or(Error::Fleet(FleetError::None))
    }

    /// Looks once, and says whether all was read.
    async fn round(&self) -> Result<(Synced, bool), Error> {
        let (fleet, refused) = (self.known_fleet()?, Arc::clone(&self.refused));
        let read = move || reading::find(&fleet, &mut refused.lock().unwrap_or_else(PoisonError::into_inner));
        let Found { listed, objects, is_all } = aside(read).await?;
        let synced = self
            .write_by_itself(&Caller::daemon("fleet"), move |batch, _| batch.sync_fleet(&listed, &objects))
            .await?;
        let fleet = self.known_fleet()?;
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).note(&fleet, &synced.refused);
        Ok((synced, is_all))
    }

    /// Puts objects into the exchange, and then removes those that they make superfluous. Returns how many were put.
    async fn place(&self, synced: Synced) -> Result<usize, Error> {
        let Synced { outbox, drop, .. } = synced;
        if outbox.is_empty() && drop.is_empty() {
            return Ok(0);
        }
        let directory = self.known_fleet()?.meta.directory.clone();
        let (sent, failed) = aside(move || {
            let (mut sent, mut failed) = (Vec::new(), None);
            for (name, bytes) in &outbox {
                match exchange::write(&directory, name, bytes) {
                    Ok(()) => sent.push(*name),
                    Err(error) if exchange::is_in_the_way(&error) => {}
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            if sent.len() == outbox.len() {
                exchange::drop_from_store(&directory, &drop)?;
                // What cannot be removed now is superfluous in the next round, too.
                drop.iter().for_each(|name| std::mem::drop(exchange::remove(&directory, name)));
            }
            exchange::nudge(&directory);
            Ok((sent, failed))
        })
        .await?;
        let count = sent.len();
        if count > 0 {
            self.write_by_itself(&Caller::daemon("fleet"), move |batch, _| batch.fleet_sent(&sent)).await?;
        }
        match failed {
            Some(error) => aside(move || Err(error)).await,
            None => Ok(count),
        }
    }
}

/// The names of what every machine of the fleet has or could read: also of what this one does not take, and not of what is here alone.
fn what_all_have(catalog: &Catalog) -> Vec<SecretName> {
    let Some(fleet) = &catalog.fleet else { return Vec::new() };
    let all = fleet.replica.secrets.iter().filter(|(id, _)| fleet.others_have(**id));
    let names = all.flat_map(|(id, secret)| {
        let here = catalog.all().any(*id).map(|record| record.meta.name.clone());
        let there = secret.field(NAME).and_then(|name| SecretName::parse(name).ok());
        [here, there]
    });
    names.flatten().collect()
}

fn is_new(fleet: &Fleet, name: &ObjectName) -> bool {
    match name.kind {
        Kind::Log => !fleet.replica.has(&name.id),
        Kind::Snapshot => !fleet.meta.covered.iter().any(|covered| covered.parts.contains(name)),
        Kind::Members => !fleet.meta.read.contains(name),
        Kind::Invitation => false,
    }
}

/// A machine about which nothing was said yet.
pub(in crate::vault) const fn member(id: MachineId, name: String, keys: MachineKeys) -> Member {
    Member {
        id,
        name,
        named: 0,
        keys,
        reader: false,
        key_alone: false,
        removed_by: BTreeSet::new(),
        kept_over: BTreeMap::new(),
    }
}

/// What a machine knows of its fleet at first.
fn meta(
    fleet: FleetId,
    directory: PathBuf,
    (signing, sealing): (Private, Private),
    (keys, epochs): (BTreeMap<u32, Private>, BTreeMap<u32, Epoch>),
    members: Members,
) -> Meta {
    Meta {
        fleet,
        directory,
        signing,
        sealing,
        keys,
        epochs,
        invited: BTreeSet::new(),
        members,
        snapshots: 0,
        lists: 0,
        latest: Vec::new(),
        crowded: false,
        expected: BTreeSet::new(),
        read: Vec::new(),
        covered: Vec::new(),
        missing: Vec::new(),
        outbox: Vec::new(),
        refused: 0,
        strays: BTreeSet::new(),
        waiting: 0,
        compacted: Applied::default(),
        compact: false,
        kept_out: BTreeSet::new(),
        unnamed: BTreeSet::new(),
        again: None,
        unheard: BTreeSet::new(),
        left: BTreeMap::new(),
    }
}

/// The directory, if it can be an exchange.
async fn usable(directory: PathBuf) -> Result<PathBuf, Error> {
    let is_usable = |path: &Path| path.is_absolute() && path.is_dir();
    let checked = aside(move || Ok(is_usable(&directory).then_some(directory))).await?;
    checked.ok_or(Error::Fleet(FleetError::Directory))
}

async fn list(directory: PathBuf) -> Result<Vec<ObjectName>, Error> {
    aside(move || exchange::list(&directory)).await
}

/// Works with files on another thread.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| Error::Internal("a thread has panicked"))?;
    done.map_err(|error| {
        tracing::debug!(%error, "the exchange");
        let is_one_of = |kinds: [ErrorKind; 2]| kinds.contains(&error.kind());
        if is_one_of([ErrorKind::StorageFull, ErrorKind::QuotaExceeded]) {
            Error::Fleet(FleetError::Full)
        } else if is_one_of([ErrorKind::NotFound, ErrorKind::NotADirectory]) {
            Error::Fleet(FleetError::Gone)
        } else if is_one_of([ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem]) {
            Error::Fleet(FleetError::Forbidden)
        } else {
            Error::Fleet(FleetError::Unreadable)
        }
    })
}

/// A replica that knows nothing.
fn replica(me: MachineId) -> Result<Replica<Held>, Error> {
    Ok(Replica::new(me, Writer(crypto::random()?)))
}
