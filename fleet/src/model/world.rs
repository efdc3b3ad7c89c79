//! Machines, a store between them, and what goes wrong with either.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::applied::Applied;
use crate::change::Change;
use crate::crypt::{Crypt, OVERHEAD, Place};
use crate::fault::{self, Fault};
use crate::filter::{self, List};
use crate::ids::{Dot, FleetId, MachineId, ObjectId, ShortHash, Writer};
use crate::members::Members;
use crate::name::{Kind, ObjectName};
use crate::object::{self, Sealed, Signed};
use crate::padding::STEPS;
use crate::replica::{Entry, Receipt, Replica};
use crate::secret::{NAME, Secret};
use crate::snapshot::{Part, Snapshot};

use super::crypt::{Believing, Toy, member};
use super::truth::Truth;

const FLEET: FleetId = FleetId([7; 16]);
/// 30 years in milliseconds.
const DECADES: i64 = 30 * 365 * 24 * 3_600_000;
/// In how many rounds a machine that has come back waits for what it has to read.
const PATIENCE: usize = 6;
/// How often all sync, at the most, until they agree.
const ROUNDS: usize = 16;

/// One step of a schedule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) who: u8,
    pub(super) what: u8,
    pub(super) a: u8,
    pub(super) b: u8,
}

/// One machine.
#[derive(Clone)]
pub(super) struct Machine {
    /// Whose disk it has: that of a machine which was copied is another one.
    pub(super) disk: usize,
    pub(super) replica: Replica<String>,
    pub(super) skew: i64,
    /// Written and not in the store yet.
    outbox: Vec<Sealed>,
    snapshots: u32,
    pub(super) compact: bool,
    syncs: usize,
    /// Since which sync an object is missing, and in which it was last asked for.
    missing: BTreeMap<ObjectId, usize>,
    read: BTreeSet<ShortHash>,
    /// What goes its own way there.
    pub(super) own: BTreeMap<Uuid, Own>,
    /// It was removed, and let in again: what it had read by then, and what it has to read before it goes on.
    pub(super) again: Option<(Applied, BTreeSet<ObjectId>)>,
}

impl Machine {
    pub(super) fn new(me: MachineId, writer: Writer, disk: usize) -> Self {
        Self {
            disk,
            replica: Replica::new(me, writer),
            skew: 0,
            outbox: Vec::new(),
            snapshots: 0,
            compact: false,
            syncs: 0,
            missing: BTreeMap::new(),
            read: BTreeSet::new(),
            again: None,
            own: BTreeMap::new(),
        }
    }
}

/// A secret that goes its own way on a machine.
#[derive(Clone)]
pub(super) struct Own {
    /// It was told to, and does not for its name.
    pub(super) is_local: bool,
    /// What the machine has of it that the others do not know: texts, and values.
    pub(super) fields: BTreeMap<String, Option<String>>,
    pub(super) values: Vec<String>,
    /// What the machine had read when it began to: what is in all of these, but for what it had not taken the place of.
    pub(super) seen: Vec<Applied>,
    pub(super) beside: BTreeSet<Dot>,
}

/// Everything.
pub(super) struct World {
    pub(super) machines: Vec<Machine>,
    backups: Vec<Machine>,
    pub(super) members: Members<()>,
    pub(super) removed: BTreeSet<MachineId>,
    store: BTreeMap<ObjectName, Vec<u8>>,
    old_store: BTreeMap<ObjectName, Vec<u8>>,
    withheld: BTreeSet<ObjectName>,
    pub(super) now: u64,
    drawn: u64,
    disks: usize,
    pub(super) truth: Truth,
    /// What was read once need not be read again.
    entries: BTreeMap<ObjectName, Entry<String>>,
    parts: BTreeMap<ObjectName, Part<String>>,
}

impl World {
    /// Runs a schedule, heals the store and lets all sync; what is wrong then.
    pub(super) fn try_out(machines: usize, steps: &[Step]) -> Result<(), String> {
        Toy::begin();
        let mut world = Self {
            machines: Vec::new(),
            backups: Vec::new(),
            members: Members::default(),
            removed: BTreeSet::new(),
            store: BTreeMap::new(),
            old_store: BTreeMap::new(),
            withheld: BTreeSet::new(),
            now: 60 * 365 * 24 * 3_600_000,
            drawn: 0,
            disks: 0,
            truth: Truth::default(),
            entries: BTreeMap::new(),
            parts: BTreeMap::new(),
        };
        for _ in 0..machines {
            let (me, writer) = (MachineId(world.draw()), Writer(world.draw()));
            world.members.add(member(me, false));
            let machine = Machine::new(me, writer, world.disk());
            world.machines.push(machine);
        }
        world.backups = world.machines.clone();
        for step in steps {
            world.now += 1_000;
            world.step(*step)?;
        }
        world.settle()
    }

    pub(super) fn draw(&mut self) -> [u8; 8] {
        self.drawn += 1;
        // Mixed, so that what is drawn later is not always the greater.
        self.drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()
    }

    pub(super) fn disk(&mut self) -> usize {
        self.disks += 1;
        self.disks
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        let who = usize::from(step.who) % self.machines.len();
        let name = |number: u8| format!("NAME_{}", number % 6);
        match step.what % 56 {
            0..=6 => self.set(who, &name(step.a), step.b.is_multiple_of(4))?,
            7 | 8 => self.edit(who, step.a, NAME, name(step.b))?,
            9 | 10 => self.edit(who, step.a, "note", format!("note {}", step.b))?,
            11 | 12 => self.trash(who, step.a)?,
            13 => self.restore(who, step.a)?,
            14 | 15 => self.purge(who, step.a)?,
            16 => self.drop_earlier(who, step.a)?,
            17..=34 => self.sync(who)?,
            35 => drop(self.pick(step.a).and_then(|name| self.store.remove(&name))),
            36 => {
                if let Some(bytes) = self.pick(step.a).and_then(|name| self.store.get_mut(&name)) {
                    let at = usize::from(step.b) * 7 % bytes.len().max(1);
                    bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
                }
            }
            37 => {
                if let Some(bytes) = self.pick(step.a).and_then(|name| self.store.get_mut(&name)) {
                    bytes.truncate(usize::from(step.b) * 8);
                }
            }
            38 => {
                let two = self.pick(step.a).zip(self.pick(step.b));
                if let Some(((one, other), bytes)) =
                    two.and_then(|two| Some((two, self.store.get(&two.0)?.clone())))
                {
                    let swapped = self.store.insert(other, bytes).unwrap_or_default();
                    self.store.insert(one, swapped);
                }
            }
            39 | 40 => self.withheld.extend(self.pick(step.a)),
            41 => self.withheld.clear(),
            42 if step.b.is_multiple_of(4) => self.store.clear(),
            42 | 43 if step.b.is_multiple_of(2) => self.old_store = self.store.clone(),
            43 => self.store = self.old_store.clone(),
            44 => self.backups.push(self.machines[who].clone()),
            45 => {
                let backup = self.backups[usize::from(step.a) % self.backups.len()].clone();
                if let Some(at) = self.machines.iter().position(|machine| machine.disk == backup.disk) {
                    let present = std::mem::replace(&mut self.machines[at], backup);
                    // Of a fleet in which nobody is left there is no way back.
                    if !(0..self.machines.len()).any(|who| !self.is_out(who) && !self.reads_alone(who)) {
                        self.machines[at] = present;
                    }
                }
            }
            46 if self.machines.len() < 6 => {
                let disk = self.disk();
                self.machines.push(Machine { disk, ..self.machines[who].clone() });
            }
            47 => {
                let skew = (i64::from(step.a) - 128) * (DECADES / 128);
                self.machines[who].skew = if step.b.is_multiple_of(2) { skew } else { 0 };
            }
            48 => self.remove(who),
            49 => self.let_in_again(who),
            50 if self.machines.len() < 6 => self.let_in_a_reader(),
            51 => self.seal_by_a_reader(who, &name(step.a))?,
            52 | 53 => {
                let list = if step.b.is_multiple_of(8) { List::Include } else { List::Exclude };
                self.list(who, list, &name(step.a), step.b.is_multiple_of(3))?;
            }
            54 => {
                if let Some(id) = self.secret(who, step.a, Secret::is_visible) {
                    self.keep(who, id, true);
                }
            }
            55 => self.share(who)?,
            _ => {}
        }
        Ok(())
    }

    fn pick(&self, which: u8) -> Option<ObjectName> {
        self.store.keys().nth(usize::from(which) % self.store.len().max(1)).copied()
    }

    pub(super) fn wall(&self, who: usize) -> u64 {
        self.now.saturating_add_signed(self.machines[who].skew)
    }

    /// The how-manieth secret with this property that the machine has, of those that travel.
    fn secret(&self, who: usize, which: u8, has: impl Fn(&Secret<String>) -> bool) -> Option<Uuid> {
        let all: Vec<_> = self.machines[who]
            .replica
            .secrets
            .iter()
            .filter(|(id, secret)| has(secret) && !self.is_kept(who, **id))
            .map(|(id, _)| *id)
            .collect();
        all.get(usize::from(which) % all.len().max(1)).copied()
    }

    fn named(&self, who: usize, name: &str) -> Option<Uuid> {
        let mut all = self.machines[who].replica.secrets.iter();
        all.find(|(_, secret)| secret.is_visible() && secret.field(NAME) == Some(name)).map(|(id, _)| *id)
    }

    fn set(&mut self, who: usize, name: &str, twice: bool) -> Result<(), String> {
        let wall = self.wall(who);
        let id = self.named(who, name);
        if let Some(id) = id.filter(|id| self.is_kept(who, *id)) {
            self.set_own(who, id);
            return Ok(());
        }
        if !self.travels(who, name) {
            return Ok(());
        }
        let (is_new, id) =
            (id.is_none(), id.unwrap_or_else(|| Uuid::from_u64_pair(1, u64::from_be_bytes(self.draw()))));
        let replica = &self.machines[who].replica;
        let clock = replica.clock(id, wall);
        let covers = replica.secrets.get(&id).map(|secret| secret.covers()).unwrap_or_default();
        let mut changes = Vec::new();
        if is_new {
            let fields =
                BTreeMap::from([(NAME.to_owned(), Some(name.to_owned())), ("note".to_owned(), None)]);
            changes.push(Change::Fields { id, clock, fields });
        }
        for more in 0..=u64::from(twice) {
            let value = format!("value {}", u64::from_be_bytes(self.draw()));
            changes.push(Change::Value { id, clock: clock + more, at: None, covers: covers.clone(), value });
        }
        self.write(who, changes)
    }

    fn edit(&mut self, who: usize, which: u8, field: &str, text: String) -> Result<(), String> {
        let Some(id) = self.secret(who, which, Secret::is_visible) else { return Ok(()) };
        if field == NAME && (self.named(who, &text).is_some() || !self.travels(who, &text)) {
            return Ok(());
        }
        let clock = self.machines[who].replica.clock(id, self.wall(who));
        self.write(
            who,
            vec![Change::Fields { id, clock, fields: BTreeMap::from([(field.to_owned(), Some(text))]) }],
        )
    }

    fn trash(&mut self, who: usize, which: u8) -> Result<(), String> {
        let Some(id) = self.secret(who, which, Secret::is_visible) else { return Ok(()) };
        let replica = &self.machines[who].replica;
        let (clock, covers) = (replica.clock(id, self.wall(who)), replica.secrets[&id].covers());
        self.write(who, vec![Change::Trash { id, clock, at: 1, covers, name_taken: false }])
    }

    fn restore(&mut self, who: usize, which: u8) -> Result<(), String> {
        let is_trashed = |secret: &Secret<String>| !secret.is_visible() && !secret.is_tombstone();
        let Some(id) = self.secret(who, which, is_trashed) else { return Ok(()) };
        let replica = &self.machines[who].replica;
        if replica.secrets[&id].field(NAME).is_some_and(|name| self.named(who, name).is_some()) {
            return Ok(());
        }
        let (clock, covers) = (replica.clock(id, self.wall(who)), replica.secrets[&id].covers());
        self.write(who, vec![Change::Restore { id, clock, covers }])
    }

    fn purge(&mut self, who: usize, which: u8) -> Result<(), String> {
        let Some(id) = self.secret(who, which, |secret| !secret.is_tombstone()) else { return Ok(()) };
        let replica = &self.machines[who].replica;
        let (clock, covers) = (replica.clock(id, self.wall(who)), replica.secrets[&id].covers());
        self.machines[who].compact = true;
        self.write(who, vec![Change::Purge { id, clock, covers }])
    }

    fn drop_earlier(&mut self, who: usize, which: u8) -> Result<(), String> {
        let Some(id) = self.secret(who, which, |secret| !secret.earlier.is_empty()) else { return Ok(()) };
        let dots = self.machines[who].replica.secrets[&id].earlier.keys().take(1).copied().collect();
        self.write(who, vec![Change::Drop { id, dots }])
    }

    /// Writes one object of this machine's log. One that reads alone writes none, and one that has come back says of secrets
    /// nothing before it has read all: what it does has then happened in its own vault.
    pub(super) fn write(&mut self, who: usize, changes: Vec<Change<String>>) -> Result<(), String> {
        if self.reads_alone(who) {
            return Ok(());
        }
        let is_of_a_secret = changes.iter().filter_map(Change::secret).any(|id| id != filter::FLEET);
        if self.machines[who].again.is_some() && is_of_a_secret {
            self.do_unsaid(who, changes);
            return Ok(());
        }
        // The seeded bug that goes by numbers must not blind the witness.
        let applied = self.machines[who].replica.known.applied.clone();
        self.write_knowing(who, changes, &|dot| applied.has(&dot.object))
    }

    /// Writes one, of which the witness is told what its author knew.
    pub(super) fn write_knowing(
        &mut self,
        who: usize,
        changes: Vec<Change<String>>,
        knows: &dyn Fn(&Dot) -> bool,
    ) -> Result<(), String> {
        let replica = &self.machines[who].replica;
        let (number, entry) = replica.draft(changes).ok_or("a log is full")?;
        let sealed = self.seal(who, Kind::Log, replica.known.writer, number, &entry)?;
        self.check_said(who, &entry)?;
        self.truth.note(knows, sealed.name.id, &entry);
        let machine = &mut self.machines[who];
        machine.replica.adopt(sealed.name.id, sealed.hash, entry);
        machine.outbox.push(sealed);
        Ok(())
    }

    pub(super) fn seal<T: serde::Serialize + Signed>(
        &self,
        who: usize,
        kind: Kind,
        writer: Writer,
        number: u32,
        body: &T,
    ) -> Result<Sealed, String> {
        let place = Place { fleet: FLEET, epoch: 1, kind, writer, number };
        let sealed = object::seal(&Toy(self.machines[who].replica.known.me), &place, body);
        sealed.map_err(|error| error.to_string())
    }

    pub(super) fn put(&mut self, sealed: Sealed) -> Result<(), String> {
        if !STEPS.contains(&(sealed.bytes.len() - OVERHEAD)) {
            return Err("an object's size tells how long its content is".to_owned());
        }
        self.store.insert(sealed.name, sealed.bytes);
        Ok(())
    }

    fn sync(&mut self, who: usize) -> Result<(), String> {
        if self.is_out(who) {
            return Ok(());
        }
        for sealed in std::mem::take(&mut self.machines[who].outbox) {
            self.put(sealed)?;
        }
        let listed: Vec<_> =
            self.store.keys().filter(|name| !self.withheld.contains(name)).copied().collect();
        let snapshots = self.snapshots(who, &listed);
        let members = &self.members;
        let machine = &mut self.machines[who];
        machine.syncs += 1;

        let before = machine.again.is_some().then(|| machine.clone());
        let old = before.as_ref().map(|_| std::mem::take(&mut machine.replica.secrets));
        let crypt = Believing { toy: Toy(machine.replica.known.me), members };
        let (mut waiting, mut missing) = (Vec::new(), BTreeSet::new());
        for name in listed.iter().filter(|name| name.kind == Kind::Log && !machine.replica.has(&name.id)) {
            match open(&crypt, &mut self.entries, name, &self.store[name]) {
                Some(entry) => waiting.push((name.id, entry.clone())),
                None => drop(missing.insert(name.id)),
            }
        }
        receive(&mut machine.replica, &mut waiting)?;
        for (of, parts, applied) in &snapshots {
            if machine.read.insert(*of) && !machine.replica.known.applied.has_all(applied) {
                let parts = parts.iter().map(|name| self.parts[name].clone()).collect();
                machine.replica.merge(Snapshot::from_parts(parts).map_err(|error| error.to_string())?);
                receive(&mut machine.replica, &mut waiting)?;
            }
        }
        let here: BTreeSet<_> = waiting.iter().map(|(id, _)| *id).collect();
        for (id, entry) in waiting {
            if let Receipt::Waits(others) = machine.replica.receive(id, entry) {
                missing.extend(others.into_iter().filter(|other| !here.contains(other)));
            }
        }

        if let (Some((had, expected)), Some(before), Some(old)) = (machine.again.clone(), before, old) {
            let has_all = expected.iter().all(|object| machine.replica.has(object));
            // All others may have lost what one of them had then.
            if !has_all && machine.syncs < PATIENCE {
                *machine = before;
                machine.syncs += 1;
                self.ask(who, missing)?;
                return std::mem::take(&mut self.machines[who].outbox)
                    .into_iter()
                    .try_for_each(|sealed| self.put(sealed));
            }
            machine.again = None;
            self.go_on(who, old, &had)?;
        } else {
            self.follow(who)?;
        }
        if self.machines[who].replica.known.forked {
            let writer = Writer(self.draw());
            self.machines[who].replica.begin_log(writer);
        }
        let trash = self.machines[who].replica.name_conflicts(self.wall(who), 1);
        if !trash.is_empty() {
            self.write(who, trash)?;
        }
        self.ask(who, missing)?;
        if !self.reads_alone(who) {
            self.answer(who, &listed, &snapshots)?;
        }
        for sealed in std::mem::take(&mut self.machines[who].outbox) {
            self.put(sealed)?;
        }
        self.truth.check_always(&self.machines[who].replica, self.reads_alone(who))
    }

    /// Asks for what is still missing after a while, and again after another.
    fn ask(&mut self, who: usize, missing: BTreeSet<ObjectId>) -> Result<(), String> {
        let machine = &mut self.machines[who];
        let syncs = machine.syncs;
        machine.missing.retain(|object, _| missing.contains(object));
        for object in missing {
            machine.missing.entry(object).or_insert(syncs);
        }
        let due: Vec<_> = machine
            .missing
            .iter()
            .filter(|(_, since)| **since + 2 <= syncs)
            .map(|(object, _)| *object)
            .collect();
        machine.missing.extend(due.iter().map(|object| (*object, syncs)));
        if due.is_empty() { Ok(()) } else { self.write(who, vec![Change::Want { objects: due }]) }
    }

    /// Writes a snapshot for who asks for an object, in place of objects that the store has lost, or after a purge; then
    /// what it covers is deleted.
    fn answer(
        &mut self,
        who: usize,
        listed: &[ObjectName],
        snapshots: &[(ShortHash, Vec<ObjectName>, Applied)],
    ) -> Result<(), String> {
        let machine = &mut self.machines[who];
        let known = &mut machine.replica.known;
        let logs = listed.iter().filter(|name| name.kind == Kind::Log).map(|name| &name.id);
        let mut there: Applied = logs.chain(machine.outbox.iter().map(|sealed| &sealed.name.id)).collect();
        snapshots.iter().for_each(|(_, _, applied)| there.add_all(applied));
        let asked = !std::mem::take(&mut known.asked).is_empty() && !fault::is(Fault::NoAnswer);
        let lost = known.applied.beyond(&there) > 0;
        let compact = std::mem::take(&mut machine.compact);
        if !asked && !lost && !compact {
            return Ok(());
        }
        let [a, b] = [self.draw(), self.draw()];
        let mut of = [0; 16];
        of.iter_mut().zip([a, b].concat()).for_each(|(to, from)| *to = from);
        let of = ShortHash(of);
        let machine = &self.machines[who];
        let snapshot = machine.replica.snapshot();
        let (applied, writer, first) =
            (snapshot.applied.clone(), machine.replica.known.writer, machine.snapshots + 1);
        let parts = snapshot.into_parts(of, first);
        for (number, part) in (first..).zip(&parts) {
            let sealed = self.seal(who, Kind::Snapshot, writer, number, part)?;
            self.put(sealed)?;
        }
        let machine = &mut self.machines[who];
        machine.snapshots += u32::try_from(parts.len()).expect("there are few");
        machine.read.insert(of);
        if compact {
            let outbox: BTreeSet<_> = machine.outbox.iter().map(|sealed| sealed.name).collect();
            self.store
                .retain(|name, _| name.kind != Kind::Log || !applied.has(&name.id) || outbox.contains(name));
        }
        Ok(())
    }

    /// The snapshots that can be read: their parts, and what they cover.
    fn snapshots(&mut self, who: usize, listed: &[ObjectName]) -> Vec<(ShortHash, Vec<ObjectName>, Applied)> {
        let crypt = Believing { toy: Toy(self.machines[who].replica.known.me), members: &self.members };
        let mut sets: BTreeMap<ShortHash, Vec<ObjectName>> = BTreeMap::new();
        for name in listed.iter().filter(|name| name.kind == Kind::Snapshot) {
            if let Some(part) = open(&crypt, &mut self.parts, name, &self.store[name]) {
                sets.entry(part.of).or_default().push(*name);
            }
        }
        let complete = |(of, names): (ShortHash, Vec<ObjectName>)| {
            let first = &self.parts[names.first()?];
            let frame = first.frame.as_ref().filter(|_| first.parts as usize == names.len())?;
            Some((of, names, frame.applied.clone()))
        };
        sets.into_iter().filter_map(complete).collect()
    }

    /// The store is honest from now on. All sync until they agree.
    fn settle(&mut self) -> Result<(), String> {
        self.withheld.clear();
        for who in 0..self.machines.len() {
            self.share(who)?;
        }
        self.throw_away_readers_of_what_is_lost();
        // What a machine had under an earlier name is said again, under this one.
        let goes_on =
            |machine: &&Machine| machine.again.is_none() && !self.removed.contains(&machine.replica.known.me);
        let known: Vec<_> = self
            .machines
            .iter()
            .filter(goes_on)
            .map(|machine| machine.replica.known.applied.clone())
            .collect();
        let mut agree = false;
        for round in 0..ROUNDS {
            // Who could let one in may itself have come back just now.
            (0..self.machines.len()).for_each(|who| self.let_in_again(who));
            if round == ROUNDS / 2 {
                self.write_snapshots_for_readers();
            }
            let applied = |machine: &Machine| machine.replica.known.applied.clone();
            let before: Vec<_> = self.machines.iter().map(applied).collect();
            for who in 0..self.machines.len() {
                self.now += 1_000;
                self.sync(who)?;
            }
            let views: Vec<_> = self.machines.iter().map(|machine| view(&machine.replica)).collect();
            // Some may go on asking for an object that was lost before anybody had read it.
            let has_all =
                |machine: &Machine| before.iter().all(|before| machine.replica.known.applied.has_all(before));
            // What one that still waits shows is what it had, and what it has read is not in that.
            let is_back = |machine: &Machine| machine.again.is_none();
            agree = views.windows(2).all(|two| two[0] == two[1])
                && self.machines.iter().all(|machine| has_all(machine) && is_back(machine));
            if agree {
                break;
            }
        }
        if !agree {
            let known =
                self.machines.iter().map(|machine| machine.replica.known.applied.beyond(&Applied::default()));
            return Err(format!(
                "they do not agree: {:?} objects{}",
                known.collect::<Vec<_>>(),
                self.difference()
            ));
        }
        for machine in &self.machines {
            if !known.iter().all(|known| machine.replica.known.applied.has_all(known)) {
                return Err("what somebody knew is lost".to_owned());
            }
            self.truth.check_end(&machine.replica)?;
        }
        Ok(())
    }
}

/// Reads an object, or finds it among those that were read, if its bytes are still the same.
fn open<'a, T: Signed + serde::de::DeserializeOwned>(
    crypt: &impl Crypt,
    read: &'a mut BTreeMap<ObjectName, T>,
    name: &ObjectName,
    bytes: &[u8],
) -> Option<&'a T> {
    if !read.contains_key(name) || !name.is_of(&crypt.sha256(bytes)) {
        let (body, _) = object::open(crypt, FLEET, name, bytes).ok()?;
        read.insert(*name, body);
    }
    read.get(name)
}

fn receive(
    replica: &mut Replica<String>,
    waiting: &mut Vec<(ObjectId, Entry<String>)>,
) -> Result<(), String> {
    loop {
        let before = waiting.len();
        let mut refused = false;
        waiting.retain(|(id, entry)| match replica.receive(*id, entry.clone()) {
            Receipt::Applied | Receipt::Known => false,
            Receipt::Waits(_) => true,
            Receipt::Refused => {
                refused = true;
                false
            }
        });
        if refused {
            return Err("an honest object is refused".to_owned());
        }
        if waiting.len() == before {
            return Ok(());
        }
    }
}

/// What all must agree on: everything but the replaced values.
fn view(replica: &Replica<String>) -> BTreeMap<Uuid, Secret<String>> {
    let without = |secret: &Secret<_>| Secret { earlier: BTreeMap::new(), ..secret.clone() };
    replica.secrets.iter().map(|(id, secret)| (*id, without(secret))).collect()
}

impl World {
    /// The first secret on which two machines do not agree.
    fn difference(&self) -> String {
        let views: Vec<_> = self.machines.iter().map(|machine| view(&machine.replica)).collect();
        let pairs = views.windows(2).filter_map(|two| Some((two.first()?, two.last()?)));
        let mut all = pairs.flat_map(|(one, other)| {
            let ids: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            ids.into_iter().map(|id| (one.get(id), other.get(id))).collect::<Vec<_>>()
        });
        all.find(|(one, other)| one != other).map_or_else(String::new, |two| format!(", {two:#?}"))
    }
}
