//! The fleet that a vault belongs to: one row about the fleet and this machine in it, and a row for each secret with what
//! all machines know of it. A vault without a fleet has none of them.
//!
//! A secret's row says up to which of the vault's own versions it goes. So whatever the vault has that the others do not
//! know is seen by comparing numbers, no matter who wrote it, and nothing has to be noted when a secret is written. What goes
//! its own way here goes up to none, and its row also has what this machine had seen of it when it began to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use secrets_fleet::applied::Applied;
use secrets_fleet::filter::Filter;
use secrets_fleet::ids::{FleetId, ShortHash};
use secrets_fleet::members::Standing;
use secrets_fleet::replica::{Known, Replica};
use secrets_fleet::secret::{Mark, Value};
use secrets_fleet::{Dot, Kind, MachineId, ObjectId, ObjectName, Secret, Writer};
use secrets_proto::{Glob, Matcher, SecretName, SecretValue, Uuid};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::exchange::{Private, Public, hash_of};
use crate::crypto::keys::Keys;
use crate::crypto::seal;
use crate::store::{RecordKind, RecordRow};
use crate::vault::Error;

use super::record::{Record, record_context};

/// A value: which version of the secret's it is in this vault, or, while it is on its way, the value itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(in crate::vault) enum Held {
    Row(u64),
    New(SecretValue),
}

/// The fleet, with all that is known of its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vault) struct Fleet {
    /// The row's version.
    pub(in crate::vault) version: u64,
    pub(in crate::vault) meta: Meta,
    pub(in crate::vault) replica: Replica<Held>,
    /// Of each secret's row: its version, and up to which version of the secret it goes.
    pub(in crate::vault) rows: BTreeMap<Uuid, (u64, u64)>,
    /// Secrets whose rows must not say that the others know them.
    pub(in crate::vault) unsaid: BTreeSet<Uuid>,
    /// Objects of this round that were not taken.
    pub(in crate::vault) refused: Vec<ObjectName>,
}

/// What is known of the fleet beside its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::vault) struct Meta {
    pub(in crate::vault) fleet: FleetId,
    /// The exchange.
    pub(in crate::vault) directory: PathBuf,
    /// This machine's keys.
    pub(in crate::vault) signing: Private,
    pub(in crate::vault) sealing: Private,
    /// The fleet's keys, by epoch. What is written is sealed with the last.
    pub(in crate::vault) keys: BTreeMap<u32, Private>,
    /// Who has each of them; also of those that this machine has not.
    pub(in crate::vault) epochs: BTreeMap<u32, Epoch>,
    /// The machines that this one has let in: it sees to it that they get the last key.
    pub(in crate::vault) invited: BTreeSet<MachineId>,
    pub(in crate::vault) members: Members,
    /// The number of the last part of a snapshot that this machine wrote, and of the last list of machines.
    pub(in crate::vault) snapshots: u32,
    pub(in crate::vault) lists: u32,
    /// The lists that say who belongs to the fleet now: each must be in the exchange.
    pub(in crate::vault) latest: Vec<ObjectName>,
    /// The lists of machines that were read.
    pub(in crate::vault) read: Vec<ObjectName>,
    /// The snapshots that were read or written.
    pub(in crate::vault) covered: Vec<Covered>,
    /// What was there when this machine was let in, as far as it has not read it yet.
    pub(in crate::vault) expected: BTreeSet<ObjectId>,
    /// Objects that are not to be had, and in how many rounds.
    pub(in crate::vault) missing: Vec<(ObjectId, u32)>,
    /// Objects that are not in the exchange yet; each has a row.
    pub(in crate::vault) outbox: Vec<ObjectName>,
    /// There were more files in the exchange than are looked at.
    pub(in crate::vault) crowded: bool,
    /// How many objects of the last round were not what a machine of the fleet writes, or has written.
    pub(in crate::vault) refused: usize,
    /// Objects of the last round by machines that were removed, which are not taken.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(in crate::vault) strays: BTreeSet<ObjectName>,
    /// How many waited for another.
    pub(in crate::vault) waiting: usize,
    /// What has to leave the exchange, because a snapshot has taken its place, no matter who puts it there again.
    #[serde(default)]
    pub(in crate::vault) compacted: Applied,
    /// Something was destroyed here that is still in the exchange.
    #[serde(default)]
    pub(in crate::vault) compact: bool,
    /// Secrets of the others that this machine was told to keep a value of its own for: it takes them again when it is told to,
    /// also after its own was destroyed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(in crate::vault) kept_out: BTreeSet<Uuid>,
    /// Secrets of this machine alone that are in the trash because a newer one of the others has their name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(in crate::vault) unnamed: BTreeSet<Uuid>,
    /// This machine was removed and let in again, and has not read all yet: what it had read before. Until it has, what is known
    /// of the secrets is what it knew then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) again: Option<Applied>,
    /// Machines that were let in since this one belongs to the fleet, and have said nothing yet. Keys alone say nothing.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(in crate::vault) unheard: BTreeSet<MachineId>,
    /// When this machine heard that another one does not belong to the fleet any more, by its own clock, in seconds since 1970.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::vault) left: BTreeMap<MachineId, i64>,
}

/// One of the fleet's keys. A machine belongs to the fleet only if it was given the last one: so that the list that shuts a
/// machine out shuts out, too, whatever else that one has let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::vault) struct Epoch {
    /// Who made it.
    pub(in crate::vault) by: MachineId,
    /// To which machines it was given.
    pub(in crate::vault) members: BTreeSet<MachineId>,
}

/// How many epochs have come before this one, with 1 for the first: its number without the part that keeps two that begin at
/// the same time apart.
pub(in crate::vault) const fn generation(epoch: u32) -> u32 {
    epoch >> 16
}

/// A machine's public keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::vault) struct MachineKeys {
    /// By which one tells what it has signed.
    pub(in crate::vault) signing: Public,
    /// To which others seal the fleet's keys.
    pub(in crate::vault) sealing: Public,
    /// If it is a key alone, what must be in the exchange for who has that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) welcome: Option<KeptWelcome>,
}

/// A welcome, sealed under a key that nobody keeps but its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::vault) struct KeptWelcome {
    writer: Writer,
    /// As base64url.
    sealed: String,
}

impl KeptWelcome {
    /// The number of a welcome, after those of the steps by which a machine is let in.
    pub(in crate::vault) const NUMBER: u32 = 5;

    pub(in crate::vault) fn new(writer: Writer, sealed: &[u8]) -> Self {
        Self { writer, sealed: BASE64URL_NOPAD.encode(sealed) }
    }

    /// How long it is in a list of machines, in bytes.
    pub(in crate::vault) const fn length(&self) -> usize {
        self.sealed.len()
    }

    /// The object that it is; none if a machine has made something else of it.
    pub(in crate::vault) fn object(&self) -> Option<(ObjectName, Vec<u8>)> {
        let bytes = BASE64URL_NOPAD.decode(self.sealed.as_bytes()).ok()?;
        let id = ObjectId { writer: self.writer, number: Self::NUMBER, hash: hash_of(&bytes).short() };
        Some((ObjectName { kind: Kind::Invitation, id }, bytes))
    }
}

/// A machine.
pub(in crate::vault) type Member = secrets_fleet::members::Member<MachineKeys>;

/// A machine that lets itself in by a key: its entry in the list, and its own keys.
pub(in crate::vault) struct Newcomer {
    pub(in crate::vault) member: Member,
    pub(in crate::vault) signing: Private,
    pub(in crate::vault) sealing: Private,
}

/// The machines.
pub(in crate::vault) type Members = secrets_fleet::members::Members<MachineKeys>;

/// The same machines, some of them without what is in the exchange for who has their key.
pub(in crate::vault) fn without_welcomes(members: &Members, is_meant: impl Fn(&Member) -> bool) -> Members {
    let mut all = Members::default();
    for mut member in members.all().cloned() {
        if is_meant(&member) {
            member.keys.welcome = None;
        }
        all.add(member);
    }
    all
}

/// A snapshot: its parts, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::vault) struct Covered {
    pub(in crate::vault) of: ShortHash,
    pub(in crate::vault) parts: Vec<ObjectName>,
    pub(in crate::vault) applied: Applied,
}

/// A secret's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::vault) struct Origin {
    /// The row's version.
    #[serde(skip)]
    pub(in crate::vault) version: u64,
    /// Up to which version of the secret it goes.
    pub(in crate::vault) synced: u64,
    pub(in crate::vault) secret: Secret<Held>,
    /// What this machine had seen of it when it began to go its own way here, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::vault) seen: Option<Secret<Held>>,
}

/// Which names travel, made ready to be asked about many.
pub(in crate::vault) struct Travel {
    filter: Filter,
    globs: BTreeMap<String, Matcher>,
}

impl Travel {
    fn new(filter: Filter) -> Self {
        let all = filter.include.iter().chain(&filter.exclude);
        // What a later version has said and this one does not know is like no name. So it keeps nothing from leaving, and lets
        // nothing leave beside what it includes.
        let globs = all.filter_map(|glob| Some((glob.clone(), Glob::parse(glob).ok()?.matcher())));
        Self { globs: globs.collect(), filter }
    }

    /// Whether it travels.
    pub(in crate::vault) fn lets(&self, name: &SecretName) -> bool {
        self.filter.lets(|glob| self.globs.get(glob).is_some_and(|glob| glob.matches(name)))
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    meta: Meta,
    known: Known,
}

impl Meta {
    /// How many objects are not to be had. What a machine has written that was removed is not one of them, unless another machine
    /// has named it.
    pub(in crate::vault) fn missing(&self) -> usize {
        let is_stray = |object: &ObjectId| {
            self.waiting == 0
                && !self.expected.contains(object)
                && self.strays.iter().any(|name| name.id == *object)
        };
        self.missing.iter().filter(|(object, _)| !is_stray(object)).count()
    }
}

impl Fleet {
    /// A fleet's machine that knows nothing yet.
    pub(in crate::vault) const fn new(meta: Meta, replica: Replica<Held>) -> Self {
        Self {
            version: 0,
            meta,
            replica,
            rows: BTreeMap::new(),
            unsaid: BTreeSet::new(),
            refused: Vec::new(),
        }
    }

    /// This machine.
    pub(in crate::vault) const fn me(&self) -> MachineId {
        self.replica.known.me
    }

    /// Whether this machine was removed by another: that has said so, or has given a later key to others alone.
    pub(in crate::vault) fn is_removed(&self) -> bool {
        let me = self.me();
        !self.stands(me) || self.newest().is_some_and(|(_, epoch)| !epoch.members.contains(&me))
    }

    /// The last key that counts, also if this machine was not given it.
    pub(in crate::vault) fn newest(&self) -> Option<(u32, &Epoch)> {
        let all = self.meta.epochs.iter().rev();
        all.map(|(number, epoch)| (*number, epoch)).find(|(number, _)| self.is_trusted(*number))
    }

    /// Whether nobody has removed a machine.
    pub(in crate::vault) fn stands(&self, machine: MachineId) -> bool {
        self.meta.members.get(machine).is_some()
            && self.meta.members.standing(self.me(), machine) == Standing::Member
    }

    /// Whether a key counts: nobody has removed the machine that made it, or has begun an epoch beside it without that machine.
    /// Two that were made without each other's makers both count, which is for a person to settle.
    pub(in crate::vault) fn is_trusted(&self, number: u32) -> bool {
        let Some(epoch) = self.meta.epochs.get(&number) else { return false };
        let outdoes = |other: &Epoch| !other.members.contains(&epoch.by) && epoch.members.contains(&other.by);
        self.stands(epoch.by) && !self.beside(number).any(outdoes)
    }

    /// The epochs that were begun beside this one by machines that nobody has removed.
    fn beside(&self, number: u32) -> impl Iterator<Item = &Epoch> {
        let beside = move |other: &u32| *other != number && generation(*other) == generation(number);
        let all = self.meta.epochs.iter().filter(move |(other, _)| beside(other));
        all.map(|(_, epoch)| epoch).filter(|epoch| self.stands(epoch.by))
    }

    /// Whether the last key has another one beside it, each made without the maker of the other.
    fn is_torn(&self) -> bool {
        let Some((number, last)) =
            self.epoch().ok().and_then(|number| Some((number, self.meta.epochs.get(&number)?)))
        else {
            return false;
        };
        self.beside(number)
            .any(|other| !other.members.contains(&last.by) && !last.members.contains(&other.by))
    }

    /// The epoch in which this machine writes: the last that was begun by a machine that nobody has removed.
    pub(in crate::vault) fn epoch(&self) -> Result<u32, Error> {
        let all = || self.meta.keys.keys().rev().copied();
        all()
            .find(|number| self.is_trusted(*number))
            .or_else(|| all().next())
            .ok_or(Error::Corrupt("the fleet has no key"))
    }

    /// The machines that belong to the fleet: nobody has removed them, and they were given the last key.
    pub(in crate::vault) fn present(&self) -> impl Iterator<Item = &Member> {
        let epoch = self.epoch().ok().and_then(|number| self.meta.epochs.get(&number));
        let has_key = move |member: &&Member| epoch.is_none_or(|epoch| epoch.members.contains(&member.id));
        self.meta.members.present(self.me()).filter(has_key)
    }

    /// Whether two others have removed each other, and nobody has said which is kept.
    pub(in crate::vault) fn is_disputed(&self) -> bool {
        self.is_torn() || self.meta.members.is_disputed(self.me())
    }

    /// Whether a machine was let in and has said nothing yet.
    pub(in crate::vault) fn is_unheard(&self, machine: MachineId) -> bool {
        let has_a_log = || self.replica.known.owners.values().any(|owner| *owner == machine);
        self.meta.unheard.contains(&machine) && !has_a_log()
    }

    /// Whether this machine reads alone.
    pub(in crate::vault) fn is_reader(&self) -> bool {
        self.meta.members.get(self.me()).is_some_and(|me| me.reader)
    }

    /// Whether there are machines but this one.
    pub(in crate::vault) fn has_others(&self) -> bool {
        self.present().any(|member| member.id != self.me() && !member.reader && !member.key_alone)
    }

    /// The names of the machines but this one.
    pub(in crate::vault) fn names_of_others(&self) -> Vec<String> {
        let others = self.present().filter(|member| member.id != self.me());
        others.map(|member| member.name.clone()).collect()
    }

    /// When, by its own clock, another machine has last stored or deleted something, in seconds since 1970.
    pub(in crate::vault) fn last_heard(&self) -> Option<i64> {
        let (me, owners) = (self.me(), &self.replica.known.owners);
        let values = self.replica.secrets.values().flat_map(|secret| secret.live.values());
        let times = values.flat_map(|value| {
            let by_other = |mark: &Mark| owners.get(&mark.stamp.dot.object.writer) != Some(&me);
            let mark = value.mark.filter(by_other).and_then(|mark| mark.trashed);
            [(value.by != me).then_some(value.at), mark]
        });
        times.flatten().max()
    }

    /// Which names travel.
    pub(in crate::vault) fn travel(&self) -> Travel {
        Travel::new(self.replica.filter())
    }

    /// Whether a secret goes its own way here: it was told to, or its name does not travel.
    pub(in crate::vault) fn keeps(&self, record: &Record) -> bool {
        record.meta.local || !self.travel().lets(&record.meta.name)
    }

    /// Whether the others have a secret of this id, whatever is here.
    pub(in crate::vault) fn others_have(&self, id: Uuid) -> bool {
        self.replica.secrets.get(&id).is_some_and(|secret| !secret.is_tombstone())
    }

    /// Whether a secret is in the trash because another one has its name: it stays until somebody has looked.
    pub(in crate::vault) fn lost_its_name(&self, id: Uuid) -> bool {
        if self.meta.unnamed.contains(&id) {
            return true;
        }
        let current = self.replica.secrets.get(&id).and_then(|secret| secret.current());
        current
            .and_then(|(_, value)| value.mark)
            .is_some_and(|mark| mark.trashed.is_some() && mark.name_taken)
    }

    /// Whether the others do not know all of a secret, which is here so, or not at all.
    pub(in crate::vault) fn is_unsaid(&self, id: Uuid, here: Option<&Arc<Record>>) -> bool {
        match here {
            Some(record) => {
                let is_unsaid = self.rows.get(&id).is_none_or(|(_, synced)| *synced != record.version);
                is_unsaid && !self.keeps(record)
            }
            // One that was never here has a name that this version does not know.
            None => {
                let was_here = self.rows.get(&id).is_some_and(|(_, synced)| *synced > 0);
                was_here && self.replica.secrets.get(&id).is_some_and(|secret| !secret.is_tombstone())
            }
        }
    }

    /// Of the versions of a secret's values in this vault: the machine that stored each, and whether it is kept beside the
    /// present one. Of those that the others do not know yet nothing is known.
    pub(in crate::vault) fn versions_of(&self, id: Uuid) -> BTreeMap<u64, (String, bool)> {
        let Some(secret) = self.replica.seen_here(id) else { return BTreeMap::new() };
        let beside: Vec<_> = secret.conflicts().iter().map(|(dot, _)| *dot).collect();
        let version = |(dot, value): (&Dot, &Value<Held>)| match value.value {
            Held::Row(row) => Some((row, (self.name_of(value.by).to_owned(), beside.contains(dot)))),
            Held::New(_) => None,
        };
        secret.earlier.iter().chain(&secret.live).filter_map(version).collect()
    }

    /// A machine's name.
    pub(in crate::vault) fn name_of(&self, machine: MachineId) -> &str {
        self.meta.members.get(machine).map_or("another machine", |member| &member.name)
    }

    /// Puts what is known of a secret there, as it is in its row.
    pub(in crate::vault) fn put_origin(&mut self, id: Uuid, origin: Origin) {
        self.rows.insert(id, (origin.version, origin.synced));
        self.replica.kept.extend(origin.seen.map(|seen| (id, Arc::new(seen))));
        self.replica.secrets.insert(id, Arc::new(origin.secret));
    }

    /// The row about the fleet.
    pub(in crate::vault) fn seal(&self, keys: &Keys) -> Result<RecordRow, Error> {
        let stored = Stored { meta: self.meta.clone(), known: self.replica.known.clone() };
        seal_row(keys, RecordKind::Fleet, [0; 16], self.version, &stored)
    }

    /// Opens the row about the fleet. What is known of the secrets is in rows of their own.
    pub(in crate::vault) fn open(keys: &Keys, row: &RecordRow) -> Result<Self, Error> {
        let Stored { meta, known } = open_row(keys, row)?;
        let mut replica = Replica::new(known.me, known.writer);
        replica.known = known;
        Ok(Self { version: row.version, ..Self::new(meta, replica) })
    }
}

impl Origin {
    /// The row of this secret.
    pub(in crate::vault) fn seal(&self, keys: &Keys, id: Uuid) -> Result<RecordRow, Error> {
        seal_row(keys, RecordKind::Origin, *id.as_bytes(), self.version, self)
    }

    /// Opens a secret's row.
    pub(in crate::vault) fn open(keys: &Keys, row: &RecordRow) -> Result<(Uuid, Self), Error> {
        let origin: Self = open_row(keys, row)?;
        Ok((Uuid::from_bytes(row.id), Self { version: row.version, ..origin }))
    }
}

/// The row of an object that is not in the exchange yet.
pub(in crate::vault) fn object_row(keys: &Keys, name: &ObjectName, bytes: &[u8]) -> Result<RecordRow, Error> {
    let (kind, id) = (RecordKind::Object, name.id.hash.0);
    let sealed = seal::seal(keys, record_context(kind, &id, 1), bytes)?;
    Ok(RecordRow { kind, id, version: 1, sealed })
}

/// The object of such a row.
pub(in crate::vault) fn open_object(keys: &Keys, row: &RecordRow) -> Result<Vec<u8>, Error> {
    let opened = seal::open(keys, record_context(row.kind, &row.id, row.version), &row.sealed);
    opened.map(|bytes| bytes.to_vec()).map_err(|_| Error::Corrupt("an object of the fleet is not authentic"))
}

fn seal_row<T: Serialize>(
    keys: &Keys,
    kind: RecordKind,
    id: [u8; 16],
    version: u64,
    content: &T,
) -> Result<RecordRow, Error> {
    let plaintext = serde_json::to_vec(content).map_err(|_| Error::Internal("a fleet does not encode"))?;
    let sealed = seal::seal(keys, record_context(kind, &id, version), &Zeroizing::new(plaintext))?;
    Ok(RecordRow { kind, id, version, sealed })
}

fn open_row<T: for<'de> Deserialize<'de>>(keys: &Keys, row: &RecordRow) -> Result<T, Error> {
    let plaintext = seal::open(keys, record_context(row.kind, &row.id, row.version), &row.sealed)
        .map_err(|_| Error::Corrupt("what is known of the fleet is not authentic"))?;
    serde_json::from_slice(&plaintext)
        .map_err(|_| Error::Corrupt("what is known of the fleet is not of its form"))
}
