//! Machines that are removed and come back, and machines that read alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::applied::Applied;
use crate::change::Change;
use crate::ids::{Dot, MachineId, Writer};
use crate::name::Kind;
use crate::replica::Replica;
use crate::said::{Here, When};
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
        let reads_alone = self.reads_alone(who);
        self.members.add(member(me, reads_alone));
        let Machine { replica, skew, again, .. } = self.machines[who].clone();
        let mut machine = Machine::new(me, writer);
        machine.skew = skew;
        // A key to read with is used in a vault that has nothing yet.
        if !reads_alone {
            machine.replica.secrets = replica.secrets;
            // What it has not gone on with yet is still what it had.
            let had = again.map_or(replica.known.applied, |(had, _)| had);
            machine.again = Some((had, expected));
        }
        self.machines[who] = machine;
    }

    /// Says what this machine did while it was out, and takes what the others did, in the order in which the daemon does.
    pub(super) fn go_on(
        &mut self,
        who: usize,
        old: BTreeMap<Uuid, Arc<Secret<String>>>,
        had: &Applied,
    ) -> Result<(), String> {
        let others = self.machines[who].replica.known.applied.clone();
        let mut theirs = self.machines[who].replica.go_back(old.clone(), had);
        let here = |id: &Uuid, dot: &Dot| {
            let known = self.machines[who].replica.secrets.get(id);
            known.is_some_and(|known| known.live.contains_key(dot))
        };
        let lives = old.iter().flat_map(|(id, secret)| secret.live.keys().map(move |dot| (id, *dot)));
        let beside: BTreeSet<Dot> = lives.filter(|(id, dot)| !here(id, dot)).map(|(_, dot)| dot).collect();
        let replica = &self.machines[who].replica;
        let said = old.iter().flat_map(|(id, secret)| said_again(replica, *id, secret, self.wall(who)));
        let dropped = std::mem::take(&mut theirs.dropped);
        let dropped = dropped.into_iter().map(|(id, dots)| Change::Drop { id, dots });
        let said = said.collect();
        for changes in [std::mem::take(&mut theirs.registers), said, dropped.collect()] {
            // What the others have taken and this machine had read; and beside that what it has said just now.
            let own = self.machines[who].replica.known.applied.clone();
            let knows = |dot: &Dot| {
                let is_own = own.has(&dot.object) && !others.has(&dot.object);
                is_own || had.has(&dot.object) && others.has(&dot.object) && !beside.contains(dot)
            };
            if !changes.is_empty() {
                self.write_knowing(who, changes, &knows)?;
            }
        }
        self.machines[who].replica.merge_theirs(theirs, had);
        Ok(())
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
    let known = |dot: &Dot| {
        let secret = replica.secrets.get(&id);
        secret.is_some_and(|known| known.live.contains_key(dot) || known.earlier.contains_key(dot))
    };
    let mut new: Vec<_> = had.earlier.iter().chain(&had.live).filter(|(dot, _)| !known(dot)).collect();
    new.sort_by_key(|(dot, value)| (value.clock, **dot));
    let when = When { wall, at: 0 };
    let here = Here {
        fields: had.fields.iter().map(|(name, field)| (name.clone(), field.text.clone())).collect(),
        edited: wall,
        new: new.into_iter().map(|(_, value)| (when, value.value.clone())).collect(),
        destroyed: Vec::new(),
        trashed: (!had.is_visible()).then_some(when),
    };
    replica.differences(id, here, |_, text| text.map(str::to_owned))
}
