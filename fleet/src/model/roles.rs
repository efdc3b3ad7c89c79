//! Machines that are removed and come back, and machines that read alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::applied::Applied;
use crate::change::Change;
use crate::ids::{Dot, MachineId, Writer};
use crate::name::Kind;
use crate::secret::{NAME, Secret};

use super::crypt::member;
use super::world::{Machine, World};

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
        self.members.add(member(me, self.reads_alone(who)));
        let Machine { replica, skew, again, .. } = self.machines[who].clone();
        let mut machine = Machine::new(me, writer);
        machine.skew = skew;
        machine.replica.secrets = replica.secrets;
        // What it has not gone on with yet is still what it had.
        let had = again.map_or(replica.known.applied, |(had, _)| had);
        machine.again = Some((had, expected));
        self.machines[who] = machine;
    }

    /// Says what this machine did while it was out, and takes what the others did.
    pub(super) fn go_on(
        &mut self,
        who: usize,
        old: BTreeMap<Uuid, Arc<Secret<String>>>,
        had: &Applied,
    ) -> Result<(), String> {
        let wall = self.wall(who);
        let others = self.machines[who].replica.known.applied.clone();
        let theirs = self.machines[who].replica.go_back(old.clone(), had);
        let reads_alone = self.reads_alone(who);
        for (id, secret) in old.iter().filter(|_| !reads_alone) {
            let mut changes = self.said_again(who, *id, secret, wall);
            if let Some(dots) = theirs.dropped.get(id) {
                changes.push(Change::Drop { id: *id, dots: dots.clone() });
            }
            let replica = &self.machines[who].replica;
            let (own, known) = (replica.known.applied.clone(), replica.secrets.get(id).cloned());
            let stands_beside = |dot: &Dot| {
                let is_known = known.as_ref().is_some_and(|known| known.live.contains_key(dot));
                secret.live.contains_key(dot) && !is_known
            };
            let knows = |dot: &Dot| {
                let is_own = own.has(&dot.object) && !others.has(&dot.object);
                is_own || had.has(&dot.object) && others.has(&dot.object) && !stands_beside(dot)
            };
            if !changes.is_empty() {
                self.write_knowing(who, changes, &knows)?;
            }
        }
        self.machines[who].replica.merge_theirs(theirs, had);
        Ok(())
    }

    /// What is different between a secret as this machine had it and as it is without what the others have not taken.
    fn said_again(&self, who: usize, id: Uuid, had: &Secret<String>, wall: u64) -> Vec<Change<String>> {
        let replica = &self.machines[who].replica;
        let (none, clock) = (Arc::default(), replica.clock(id, wall));
        let known = replica.secrets.get(&id).unwrap_or(&none);
        let covers = known.covers();
        let mut changes = Vec::new();
        if had.is_tombstone() {
            if !covers.is_empty() {
                changes.push(Change::Purge { id, clock, covers });
            }
            return changes;
        }
        let is_other = |name: &String, text: &Option<String>| {
            known.fields.get(name).is_none_or(|field| field.text != *text)
        };
        let texts = had.fields.iter().map(|(name, field)| (name.clone(), field.text.clone()));
        let fields: BTreeMap<_, _> = texts.filter(|(name, text)| is_other(name, text)).collect();
        if !fields.is_empty() {
            changes.push(Change::Fields { id, clock, fields });
        }
        let mut values: Vec<_> = had.earlier.iter().chain(&had.live).collect();
        values.retain(|(dot, _)| !known.live.contains_key(dot) && !known.earlier.contains_key(dot));
        values.sort_by_key(|(dot, value)| (value.clock, **dot));
        let mut clock = clock;
        for (_, value) in &values {
            clock += 1;
            let (covers, value) = (covers.clone(), value.value.clone());
            changes.push(Change::Value { id, clock, at: Some(0), covers, value });
        }
        let was_visible = known.is_visible() || !values.is_empty();
        if was_visible && !had.is_visible() {
            changes.push(Change::Trash { id, clock: clock + 1, at: 1, covers, name_taken: false });
        } else if !was_visible && had.is_visible() {
            changes.push(Change::Restore { id, clock: clock + 1, covers });
        }
        changes
    }

    /// A machine that reads alone is let in.
    pub(super) fn let_in_a_reader(&mut self) {
        let (me, writer) = (MachineId(self.draw()), Writer(self.draw()));
        self.members.add(member(me, true));
        self.machines.push(Machine::new(me, writer));
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
            !reads_alone(known.me) || machine.again.is_some() || all.has_all(&known.applied)
        });
    }
}
