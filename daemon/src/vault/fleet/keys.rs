//! Machines that are a key alone: one on paper, with which a new machine gets everything though no other one is left, and one
//! for a CI, whose throw-away machines read and change nothing.
//!
//! From the key follow the machine's id, its own keys, and one under which a welcome lies in the exchange for as long as that
//! is there: the fleet's keys and the list of machines as they were when the key was made. What has come since, the lists say
//! that every machine follows.

use std::path::PathBuf;

use secrets_fleet::MachineId;
use secrets_proto::Uuid;
use secrets_proto::audit::AuditAction;
use secrets_proto::fleet::{FleetStatus, KeyRole, MachineKey, MachineName};

use crate::caller::Caller;
use crate::crypto;
use crate::crypto::exchange::Private;
use crate::crypto::recovery::RecoveryKey;
use crate::vault::format::fleet::{Fleet, KeptWelcome, MachineKeys, Member, Meta, Newcomer};
use crate::vault::{Error, FleetError, Key, Vault};

use super::pairing::MOST_MACHINES;
use super::reading::{self, Refused};
use super::steps::{Welcome, sealed, step, writer};
use super::{aside, member, meta, replica, usable};

const WELCOME: u32 = KeptWelcome::NUMBER;

/// How long all welcomes may be together, in bytes: two machines that make keys before they hear of each other must not make a
/// list that is larger than an object may be, as then nobody could be removed any more.
const MOST_WELCOMES: usize = 768 << 10;

/// What follows from a key.
struct Holder {
    id: MachineId,
    welcome: Private,
    signing: Private,
    sealing: Private,
}

impl Holder {
    fn of(key: &RecoveryKey) -> Result<Self, Error> {
        let welcome = Private::of_key(key, b"welcome")?;
        let id = Private::of_key(key, b"id")?.name()?;
        let id = id.first_chunk().copied().map(MachineId).ok_or(Error::Internal("an id is too short"))?;
        let (signing, sealing) = (Private::of_key(key, b"signing")?, Private::of_key(key, b"sealing")?);
        Ok(Self { id, welcome, signing, sealing })
    }
}

fn public(signing: &Private, sealing: &Private) -> Result<MachineKeys, Error> {
    Ok(MachineKeys { signing: signing.signer()?, sealing: sealing.recipient(), welcome: None })
}

impl Vault {
    /// Makes a key that is a machine of the fleet. Scope `admin`, on all names; and a proof, while a secret is guarded: who has
    /// the key has it, too.
    pub(crate) async fn create_machine_key(
        &self,
        caller: &Caller,
        name: MachineName,
        role: KeyRole,
        proof: Option<Key>,
    ) -> Result<MachineKey, Error> {
        self.check_whole(caller, AuditAction::Fleet)?;
        self.check_open(caller)?;
        if self.known_fleet()?.present().count() >= MOST_MACHINES {
            return Err(Error::Fleet(FleetError::TooMany));
        }
        // First: what comes may be guarded.
        self.exchange_now().await?;
        self.prove_if_guarded(caller, proof, AuditAction::Fleet).await?;
        let key = RecoveryKey::generate()?;
        let holder = Holder::of(&key)?;
        let member = Member {
            reader: role == KeyRole::Runner,
            key_alone: true,
            ..member(holder.id, name.into(), public(&holder.signing, &holder.sealing)?)
        };
        let turn = self.exchanging.lock().await;
        // The lists bring it to all machines, so that each can put it there again.
        let text = Welcome::of(&self.known_fleet()?.with(&member)?)?;
        let sealed = sealed(&holder.welcome, WELCOME, &text)?;
        let mut member = member;
        let welcome = KeptWelcome::new(writer(&holder.welcome)?, &sealed);
        let fleet = self.known_fleet()?;
        let all = fleet.present().filter_map(|member| member.keys.welcome.as_ref()).chain([&welcome]);
        if all.map(KeptWelcome::length).sum::<usize>() > MOST_WELCOMES {
            return Err(Error::Fleet(FleetError::TooManyKeys));
        }
        member.keys.welcome = Some(welcome);
        let added = self.write(caller, move |batch, caller| batch.add_machine(caller, member)).await?;
        self.place(added).await?;
        drop(turn);
        self.exchange_now().await?;
        let id = Uuid::from_u64_pair(u64::from_be_bytes(holder.id.0), 0);
        Ok(MachineKey { id, key: key.to_text()? })
    }

    /// Makes this vault one of the fleet's machines by a key: a new one by a key on paper, and the key's own, which reads alone, by
    /// one for a CI. Scope `admin`, on all names; and a proof, while a secret is guarded here: the others get it.
    pub(crate) async fn join_by_key(
        &self,
        caller: &Caller,
        key: RecoveryKey,
        role: KeyRole,
        name: MachineName,
        directory: PathBuf,
        proof: Option<Key>,
    ) -> Result<FleetStatus, Error> {
        self.check_whole(caller, AuditAction::Fleet)?;
        self.check_open(caller)?;
        if self.known_fleet().is_ok_and(|fleet| !fleet.is_removed()) {
            return Err(Error::Fleet(FleetError::Exists));
        }
        let directory = usable(directory).await?;
        let Holder { id, welcome, signing, sealing } = Holder::of(&key)?;
        let text = step(&directory, &welcome, WELCOME, &welcome).await?;
        let text = text.ok_or(Error::Fleet(FleetError::WrongKey))?;
        let Welcome { fleet, keys, epochs, members, heads, registers } =
            serde_json::from_slice(&text).map_err(|_| Error::Fleet(FleetError::WrongKey))?;
        self.prove_if_guarded(caller, proof, AuditAction::Fleet).await?;
        let meta = meta(fleet, directory, (signing, sealing), (keys, epochs), members);
        let mut fleet = Fleet::new(Meta { expected: heads, ..meta }, replica(id)?);
        fleet.replica.learn(registers);
        let newcomer = if role == KeyRole::Paper {
            let (signing, sealing) = (Private::generate()?, Private::generate()?);
            let member = member(MachineId(crypto::random()?), name.into(), public(&signing, &sealing)?);
            Some(Newcomer { member, signing, sealing })
        } else {
            None
        };
        let turn = self.exchanging.lock().await;
        let read = {
            let fleet = fleet.clone();
            move || reading::find(&fleet, &mut Refused::default())
        };
        let objects = aside(read).await?.objects;
        let enter = move |batch: &mut super::Batch<'_>, caller: &Caller| {
            batch.enter_fleet(caller, fleet, &objects, newcomer)
        };
        let synced = self.write(caller, enter).await?;
        self.place(synced).await?;
        drop(turn);
        self.exchange_now().await?;
        self.fleet_status(caller)
    }
}
