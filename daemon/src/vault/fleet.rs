//! The facade's operations on the fleet: one vault on several machines. What is read from and written to the exchange goes
//! through here, beside the vault's thread; how machines let each other in is in [`pairing`].

mod moved;
mod pairing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrets_fleet::applied::Applied;
use secrets_fleet::ids::FleetId;
use secrets_fleet::{Kind, MachineId, ObjectName, Replica, Writer};
use secrets_proto::audit::AuditAction;
use secrets_proto::fleet::{FleetConflict, FleetMachine, FleetMerge, FleetStatus};
use secrets_proto::{SecretName, Uuid};

use crate::caller::{Caller, Scope};
use crate::crypto;
use crate::crypto::exchange::Private;
use crate::exchange;

use super::format::fleet::{Fleet, Held, Member, Meta};
use super::writer::batch::Synced;
use super::{Error, FleetError, Vault};

pub(crate) use pairing::Pairing;

/// The most that is read from the exchange in one round; the rest is read in the next.
const MOST_AT_ONCE: usize = 64 << 20;

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
        let machine = |member: &Member| FleetMachine {
            id: Uuid::from_u64_pair(u64::from_be_bytes(member.id.0), 0),
            name: member.name.clone(),
            this: member.id == fleet.me(),
            removed: member.removed,
        };
        let conflicts = fleet.replica.secrets.iter().filter_map(|(id, secret)| {
            let record = catalog.of(caller).by_id(*id)?;
            let (_, current) = secret.current()?;
            let others: Vec<_> = secret.conflicts().iter().map(|(_, value)| value.by).collect();
            (!others.is_empty()).then(|| FleetConflict {
                name: record.meta.name.clone(),
                in_use: fleet.name_of(current.by).to_owned(),
                others: others.iter().map(|machine| fleet.name_of(*machine).to_owned()).collect(),
            })
        });
        Ok(FleetStatus {
            member: true,
            directory: caller.sees_all().then(|| fleet.meta.directory.display().to_string()),
            machines: fleet.meta.members.iter().map(machine).collect(),
            waiting: fleet.meta.waiting,
            missing: fleet.meta.missing.len(),
            refused: fleet.meta.refused,
            conflicts: conflicts.collect(),
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
        let member =
            Member { id: me, name, signing: signing.signer()?, sealing: sealing.recipient(), removed: false };
        let keys = [(1 << 16, Private::generate()?)].into();
        let meta = meta(FleetId(crypto::random()?), directory, (signing, sealing), keys, vec![member]);
        let fleet = Fleet::new(meta, Replica::new(me, Writer(crypto::random()?)));
        let synced = self.write(caller, move |batch, caller| batch.begin_fleet(caller, fleet)).await?;
        self.place(synced).await?;
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
        let (mut merged, mut written) = (Vec::<SecretName>::new(), 0);
        // What is merged may be answered, and what was waited for may have come meanwhile.
        for _ in 0..4 {
            let synced = self.round().await?;
            let is_last = synced.merged.is_empty();
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
        let listed = list(fleet.meta.directory.clone()).await?;
        let remove = move |batch: &mut super::writer::batch::Batch<'_>, caller: &Caller| {
            batch.remove_machine(caller, machine, &listed)
        };
        let synced = self.write(caller, remove).await?;
        self.place(synced).await?;
        let published = self.shared.read();
        let all = published.view()?.catalog.all().with_trash();
        let mut names: Vec<_> = all.map(|record| record.meta.name.clone()).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn known_fleet(&self) -> Result<Arc<Fleet>, Error> {
        let published = self.shared.read();
        published.view()?.catalog.fleet.clone().ok_or(Error::Fleet(FleetError::None))
    }

    async fn round(&self) -> Result<Synced, Error> {
        let fleet = self.known_fleet()?;
        let (listed, objects) = aside(move || {
            let directory = &fleet.meta.directory;
            let listed = exchange::list(directory)?;
            let mut left = MOST_AT_ONCE;
            let mut objects = Vec::new();
            for name in listed.iter().filter(|name| is_new(&fleet, name)) {
                let Some(bytes) = exchange::read(directory, name)? else { continue };
                let Some(rest) = left.checked_sub(bytes.len()) else { break };
                left = rest;
                objects.push((*name, bytes));
            }
            Ok((listed, objects))
        })
        .await?;
        self.write(&Caller::daemon("fleet"), move |batch, _| batch.sync_fleet(&listed, &objects)).await
    }

    /// Puts objects into the exchange, and then removes those that they make superfluous. Returns how many were put.
    async fn place(&self, synced: Synced) -> Result<usize, Error> {
        let Synced { outbox, drop, .. } = synced;
        if outbox.is_empty() && drop.is_empty() {
            return Ok(0);
        }
        let directory = self.known_fleet()?.meta.directory.clone();
        let sent = aside(move || {
            for (name, bytes) in &outbox {
                exchange::write(&directory, name, bytes)?;
            }
            exchange::drop_from_store(&directory, &drop)?;
            drop.iter().try_for_each(|name| exchange::remove(&directory, name))?;
            exchange::nudge(&directory);
            Ok(outbox.iter().map(|(name, _)| *name).collect::<Vec<_>>())
        })
        .await?;
        let count = sent.len();
        if count > 0 {
            self.write(&Caller::daemon("fleet"), move |batch, _| batch.fleet_sent(&sent)).await?;
        }
        Ok(count)
    }
}

fn is_new(fleet: &Fleet, name: &ObjectName) -> bool {
    match name.kind {
        Kind::Log => !fleet.replica.has(&name.id),
        Kind::Snapshot => !fleet.meta.covered.iter().any(|covered| covered.parts.contains(name)),
        Kind::Members => !fleet.meta.read.contains(name),
        Kind::Invitation => false,
    }
}

/// What a machine knows of its fleet at first.
fn meta(
    fleet: FleetId,
    directory: PathBuf,
    (signing, sealing): (Private, Private),
    keys: std::collections::BTreeMap<u32, Private>,
    members: Vec<Member>,
) -> Meta {
    Meta {
        fleet,
        directory,
        signing,
        sealing,
        keys,
        members,
        snapshots: 0,
        lists: 0,
        read: Vec::new(),
        covered: Vec::new(),
        missing: Vec::new(),
        outbox: Vec::new(),
        refused: 0,
        waiting: 0,
        compacted: Applied::default(),
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
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Error::DiskFull;
        }
        Error::Storage(format!("the exchange: {error}"))
    })
}

/// A replica that knows nothing.
fn replica(me: MachineId) -> Result<Replica<Held>, Error> {
    Ok(Replica::new(me, Writer(crypto::random()?)))
}
