//! Machines that are removed and come back, and machines that read alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::applied::Applied;
use crate::change::Change;
use crate::filter::FLEET;
use crate::ids::{Dot, MachineId, ObjectId, ShortHash, Writer};
use crate::name::Kind;
use crate::replica::Replica;
use crate::said::{Here, When};
use crate::secret::{NAME, Secret};

use super::crypt::member;
use super::kept::{texts, values_beyond};
use super::world::{Machine, Own, World};

impl World {
    pub(super) fn is_out(&self, who: usize) -> bool {
        self.removed.contains(&self.me(who))
    }

    pub(super) fn reads_alone(&self, who: usize) -> bool {
        self.members.get(self.me(who)).is_some_and(|member| member.reader)
    }

    fn me(&self, who: usize) -> MachineId {
        self.machines[who].replica.known.me
    }

    /// A machine that can remove this one, and let it in again.
    fn other(&self, who: usize) -> Option<usize> {
        let can = |other: &usize| {
            let is_there = !self.is_out(*other) && self.machines[*other].again.is_none();
            is_there && !self.reads_alone(*other) && self.me(*other) != self.me(who)
        };
        (0..self.machines.len()).find(can)
    }

    /// From here on nothing that this machine writes comes to the store.
    pub(super) fn remove(&mut self, who: usize) {
        if self.other(who).is_none() {
            return;
        }
        self.removed.insert(self.me(who));
    }

    /// A machine that was removed comes back, under another name.
    pub(super) fn let_in_again(&mut self, who: usize) {
        let Some(other) = self.other(who).filter(|_| self.is_out(who)) else { return };
        let expected = self.machines[other].replica.known.heads.clone();
        let (me, writer) = (MachineId(self.draw()), Writer(self.draw()));
        let reads_alone = self.reads_alone(who);
        self.members.add(member(me, reads_alone));
        let Machine { replica, skew, again, own, disk, .. } = self.machines[who].clone();
        let mut machine = Machine::new(me, writer, disk);
        machine.skew = skew;
        // A key to read with is used in a vault that has nothing yet.
        if !reads_alone {
            (machine.replica.secrets, machine.replica.kept, machine.own) =
                (replica.secrets, replica.kept, own);
            machine.replica.learn(self.machines[other].replica.registers());
            // What it has not gone on with yet is still what it had.
            let had = again.map_or(replica.known.applied, |(had, _)| had);
            machine.again = Some((had, expected));
        }
        self.machines[who] = machine;
    }

    /// Does something in a machine's own vault, in no object.
    pub(super) fn do_unsaid(&mut self, who: usize, changes: Vec<Change<String>>) {
        let object = ObjectId { writer: Writer(self.draw()), number: 1, hash: ShortHash([0; 16]) };
        let replica = &mut self.machines[who].replica;
        for (index, change) in (0..).zip(changes) {
            let Some(id) = change.secret() else { continue };
            let secret = Arc::make_mut(replica.secrets.entry(id).or_default());
            secret.apply(Dot { object, index }, replica.known.me, change);
        }
    }

    /// Says what this machine did while it was out, and takes what the others did, in the order in which the daemon does.
    pub(super) fn go_on(
        &mut self,
        who: usize,
        old: BTreeMap<Uuid, Arc<Secret<String>>>,
        had: &Applied,
    ) -> Result<(), String> {
        let others = self.machines[who].replica.known.applied.clone();
        let kept = self.machines[who].replica.kept.clone();
        let mut theirs = self.machines[who].replica.go_back(old.clone(), had);
        let registers = std::mem::take(&mut theirs.registers);
        // What the others have taken and this machine had read; and beside that what it has said just now.
        let beside: BTreeMap<Uuid, BTreeSet<Dot>> =
            old.iter().map(|(id, secret)| (*id, beside(secret, &others))).collect();
        let knows = |own: &Applied, dot: &Dot| {
            let is_own = own.has(&dot.object) && !others.has(&dot.object);
            let is_beside = beside.values().any(|beside| beside.contains(dot));
            is_own || had.has(&dot.object) && others.has(&dot.object) && !is_beside
        };
        self.say_at_return(who, registers, &knows)?;
        self.forget_what_nobody_took(who, &kept, &others);

        let (mut said, mut apart) = (Vec::new(), BTreeMap::new());
        for (id, secret) in &old {
            let replica = &self.machines[who].replica;
            if *id == FLEET || self.machines[who].own.contains_key(id) {
                continue;
            }
            let travels = self.travels(who, secret.field(NAME).unwrap_or_default());
            if !travels && !secret.is_tombstone() {
                let values = values_beyond(secret, replica.secrets.get(id).map(Arc::as_ref));
                let seen = vec![had.clone(), others.clone()];
                let (fields, beside) = (texts(secret), beside[id].clone());
                apart.insert(*id, Own { is_local: false, fields, values, seen, beside });
                continue;
            }
            said.extend(said_again(replica, *id, secret, self.wall(who)));
        }
        let purges = said.iter().chain(&theirs.destroyed);
        self.machines[who].compact |= purges.into_iter().any(|change| matches!(change, Change::Purge { .. }));
        self.say_at_return(who, said, &knows)?;
        self.say_own(who, |own| !own.is_local)?;
        let destroyed = std::mem::take(&mut theirs.destroyed);
        // A purge that is said again destroys what it has destroyed then, and not what this machine has now.
        let is_here = |dot: &Dot| {
            old.values().any(|secret| secret.live.contains_key(dot) || secret.earlier.contains_key(dot))
        };
        let knew = |_: &Applied, dot: &Dot| had.has(&dot.object) && others.has(&dot.object) && !is_here(dot);
        self.say_at_return(who, destroyed, &knew)?;
        let machine = &mut self.machines[who];
        for (id, own) in apart {
            machine.replica.keep(id, true);
            machine.own.insert(id, own);
        }
        let (taken, own) = (theirs.secrets.clone(), machine.own.clone());
        machine.replica.merge_theirs(theirs, had);
        let is_compared = |id: &Uuid| *id != FLEET && !own.contains_key(id) && !kept.contains_key(id);
        let ids = old.keys().chain(taken.keys()).filter(|id| is_compared(id));
        for id in ids.collect::<BTreeSet<_>>() {
            let none = Arc::default();
            let of = |state: &BTreeMap<_, _>| Arc::clone(state.get(id).unwrap_or(&none));
            let after = of(&self.machines[who].replica.secrets);
            check_return(&of(&old), &of(&taken), &after, had, &others)?;
        }
        self.follow(who)
    }

    fn say_at_return(
        &mut self,
        who: usize,
        changes: Vec<Change<String>>,
        knows: &dyn Fn(&Applied, &Dot) -> bool,
    ) -> Result<(), String> {
        if changes.is_empty() {
            return Ok(());
        }
        let own = self.machines[who].replica.known.applied.clone();
        self.write_knowing(who, changes, &|dot| knows(&own, dot))
    }

    /// What this machine had said of what goes its own way here, and nobody has taken, is its own alone.
    fn forget_what_nobody_took(
        &mut self,
        who: usize,
        kept: &BTreeMap<Uuid, Arc<Secret<String>>>,
        others: &Applied,
    ) {
        let Machine { replica, own, .. } = &mut self.machines[who];
        for (id, own) in own {
            let Some(before) = kept.get(id) else { continue };
            let mut values = values_beyond(before, replica.kept.get(id).map(Arc::as_ref));
            values.append(&mut own.values);
            own.values = values;
            let own_texts = std::mem::replace(&mut own.fields, texts(before));
            own.fields.extend(own_texts);
            own.seen.push(others.clone());
            own.beside = beside(before, others);
        }
    }

    /// A machine that reads alone is let in.
    pub(super) fn let_in_a_reader(&mut self) {
        let (me, writer) = (MachineId(self.draw()), Writer(self.draw()));
        self.members.add(member(me, true));
        let machine = Machine::new(me, writer, self.disk());
        self.machines.push(machine);
    }

    /// A machine that reads alone writes all the same, as one does that runs another program.
    pub(super) fn seal_by_a_reader(&mut self, who: usize, name: &str) -> Result<(), String> {
        if !self.reads_alone(who) || self.is_out(who) {
            return Ok(());
        }
        let replica = &self.machines[who].replica;
        let found = replica.secrets.iter().find(|(_, secret)| secret.field(NAME) == Some(name));
        let id = found.map_or_else(|| Uuid::from_u64_pair(2, self.now), |(id, _)| *id);
        let covers = found.map(|(_, secret)| secret.covers()).unwrap_or_default();
        let fields = BTreeMap::from([(NAME.to_owned(), Some(name.to_owned()))]);
        let clock = replica.clock(id, self.wall(who));
        let value = "by a reader".to_owned();
        let changes = vec![
            Change::Fields { id, clock, fields },
            Change::Value { id, clock, at: Some(0), covers, value },
        ];
        let writer = Writer(self.draw());
        let mut author = self.machines[who].replica.clone();
        author.begin_log(writer);
        let (number, entry) = author.draft(changes).ok_or("a log is full")?;
        let sealed = self.seal(who, Kind::Log, writer, number, &entry)?;
        self.put(sealed)
    }

    /// A machine that reads alone asks for nothing that the store has spoilt, and waits for the next snapshot.
    pub(super) fn write_snapshots_for_readers(&mut self) {
        let readers: Vec<_> = (0..self.machines.len()).map(|who| self.reads_alone(who)).collect();
        let is_there = readers.contains(&true);
        for (machine, reads_alone) in self.machines.iter_mut().zip(readers) {
            machine.compact |= is_there && !reads_alone;
        }
    }

    /// A machine that reads alone can give back nothing that all others have lost, and so does not agree with them.
    pub(super) fn throw_away_readers_of_what_is_lost(&mut self) {
        let mut all = Applied::default();
        for who in (0..self.machines.len()).filter(|who| !self.reads_alone(*who)) {
            let machine = &self.machines[who];
            if machine.again.is_none() && !self.is_out(who) {
                all.add_all(&machine.replica.known.applied);
            }
        }
        let members = &self.members;
        let reads_alone = |me| members.get(me).is_some_and(|member| member.reader);
        self.machines.retain(|machine| {
            let known = &machine.replica.known;
            !reads_alone(known.me) || all.has_all(&known.applied)
        });
    }
}

/// What is different between a secret as this machine had it and as it is without what the others have not taken: what a daemon
/// finds by comparing that with the rows of its vault.
fn said_again(replica: &Replica<String>, id: Uuid, had: &Secret<String>, wall: u64) -> Vec<Change<String>> {
    if had.is_tombstone() {
        return replica.purge(id, wall).into_iter().collect();
    }
    let new = values_beyond(had, replica.secrets.get(&id).map(Arc::as_ref));
    let when = When { wall, at: 0 };
    let here = Here {
        fields: texts(had),
        edited: wall,
        new: new.into_iter().map(|value| (when, value)).collect(),
        destroyed: Vec::new(),
        trashed: (!had.is_visible()).then_some(when),
    };
    replica.differences(id, here, |_, text| text.map(str::to_owned))
}

/// The values that stood beside one which nobody has taken: that is said again, and not in their place.
fn beside(had: &Secret<String>, others: &Applied) -> BTreeSet<Dot> {
    let is_lone = |dot: &&Dot| !others.has(&dot.object);
    let beside = had.live.keys().filter(|_| had.live.keys().any(|dot| is_lone(&dot)));
    beside.copied().collect()
}

/// What must be there after a return, of a secret that travels: of what the others have, what this machine had not read, or had
/// not replaced; and what it had that nobody has taken.
fn check_return(
    old: &Secret<String>,
    theirs: &Secret<String>,
    after: &Secret<String>,
    had: &Applied,
    others: &Applied,
) -> Result<(), String> {
    let stays = |dot: &&Dot| !had.has(&dot.object) || old.live.contains_key(*dot);
    let expected: BTreeSet<Dot> = theirs.live.keys().filter(stays).copied().collect();
    let is_theirs = |dot: &&Dot| others.has(&dot.object);
    let found: BTreeSet<Dot> = after.live.keys().filter(is_theirs).copied().collect();
    if found != expected {
        return Err(format!("after a return {found:?} are there instead of {expected:?}"));
    }
    let unheard = old.live.iter().filter(|(dot, _)| !others.has(&dot.object));
    let newest = unheard.max_by_key(|(dot, value)| (value.clock, **dot)).map(|(_, value)| &value.value);
    let said: Vec<_> = after.live.iter().filter(|(dot, _)| !is_theirs(dot)).collect();
    if said.iter().map(|(_, value)| &value.value).ne(newest) {
        return Err(format!("after a return {said:?} was said instead of {newest:?}"));
    }
    let was_purged = old.purges.iter().any(|dot| !others.has(&dot.object));
    let was_here = |dot: &Dot| old.live.contains_key(dot) || old.earlier.contains_key(dot);
    let is_back = |dot: &Dot| had.has(&dot.object) && !was_here(dot);
    if was_purged && after.earlier.keys().any(|dot| is_back(dot) && is_theirs(&dot)) {
        return Err("what was purged by a machine that comes back is back there".to_owned());
    }
    Ok(())
}
