//! Who belongs to the fleet. What machines say of it are facts that only become more, so that whatever order they come in,
//! all machines draw the same conclusions from the same facts.
//!
//! Two machines that removed each other are the one question that no rule answers: either may be the thief's. Each of the two
//! goes on, all others stop, and a person says on one of these which is kept.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::fault::{self, Fault};
use crate::ids::MachineId;

/// A machine; `K` are its public keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member<K> {
    /// Which one.
    pub id: MachineId,
    /// What it is called.
    pub name: String,
    /// How often its name was changed: of two names that with the greater number counts.
    #[serde(default)]
    pub named: u64,
    /// Its keys, as it had them when it was let in.
    #[serde(flatten)]
    pub keys: K,
    /// Whether it reads alone: nobody takes anything from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reader: bool,
    /// Whether it is a key alone, with no machine behind it: it says nothing by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key_alone: bool,
    /// The machines that have removed it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub removed_by: BTreeSet<MachineId>,
    /// The machines over which it was kept, and how often that was said: of two that were kept over each other, the one with
    /// the greater number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept_over: BTreeMap<MachineId, u64>,
}

/// How a machine stands in the eyes of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It belongs to the fleet.
    Member,
    /// It was removed.
    Removed,
    /// It and another one have removed each other, and nobody has said yet which is kept.
    Disputed,
}

/// The machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Members<K>(Vec<Member<K>>);

impl<K> Default for Members<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K> Members<K> {
    /// All that ever belonged to the fleet, in the order of their ids.
    pub fn all(&self) -> impl Iterator<Item = &Member<K>> {
        self.0.iter()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: MachineId) -> Option<&Member<K>> {
        self.0.iter().find(|member| member.id == id)
    }

    /// Those that belong to the fleet, in the eyes of `me`.
    pub fn present(&self, me: MachineId) -> impl Iterator<Item = &Member<K>> {
        self.all().filter(move |member| self.standing(me, member.id) == Standing::Member)
    }

    /// Whether two machines beside `me` have removed each other.
    #[must_use]
    pub fn is_disputed(&self, me: MachineId) -> bool {
        self.all().any(|member| self.standing(me, member.id) == Standing::Disputed)
    }

    /// How `of` stands in the eyes of `me`.
    #[must_use]
    pub fn standing(&self, me: MachineId, of: MachineId) -> Standing {
        let mut standing = Standing::Member;
        for by in self.removers(of) {
            if !self.removers(by).contains(&of) || by == me {
                return Standing::Removed;
            }
            // One's own removal is ignored by who has removed the other.
            if of != me {
                standing = Standing::Disputed;
            }
        }
        standing
    }

    /// Takes what machine `by` has said, in the eyes of `me`. Of one that does not belong to the fleet any more it is only
    /// heard that it has removed who had removed it. Whether all was taken.
    pub fn merge(&mut self, me: MachineId, by: MachineId, said: Self) -> bool {
        let belongs = self.get(by).is_some_and(Member::may_write);
        let is_heard = belongs && self.standing(me, by) == Standing::Member;
        let against: BTreeSet<MachineId> = self.get(by).map(|by| by.removed_by.clone()).unwrap_or_default();
        for new in said.0 {
            let Some(known) = self.0.iter_mut().find(|known| known.id == new.id) else {
                if is_heard {
                    self.add(new);
                }
                continue;
            };
            if is_heard {
                known.take(new);
            } else if belongs && against.contains(&new.id) && new.removed_by.contains(&by) {
                known.removed_by.insert(by);
            }
        }
        is_heard
    }

    /// Adds a machine.
    pub fn add(&mut self, member: Member<K>) {
        let at = self.0.partition_point(|known| known.id < member.id);
        if self.0.get(at).is_none_or(|known| known.id != member.id) {
            self.0.insert(at, member);
        }
    }

    /// Notes that `by` has removed `of`. Whether there is such a machine.
    pub fn remove(&mut self, by: MachineId, of: MachineId) -> bool {
        // It may have been kept over `by` before.
        let rounds = self.get(of).and_then(|member| member.kept_over.get(&by)).copied();
        if let (Some(rounds), Some(by)) = (rounds, self.find(by)) {
            let over = by.kept_over.entry(of).or_default();
            *over = rounds.max(*over).saturating_add(1);
        }
        self.find(of).map(|member| member.removed_by.insert(by)).is_some()
    }

    /// Notes that a machine is kept and those that it has removed, and that have removed it, are not. Whether there is one.
    pub fn keep(&mut self, kept: MachineId) -> bool {
        let others: Vec<_> =
            self.removers(kept).into_iter().filter(|by| self.removers(*by).contains(&kept)).collect();
        for other in &others {
            let over = self.get(*other).and_then(|other| other.kept_over.get(&kept)).copied().unwrap_or(0);
            if let Some(kept) = self.find(kept) {
                let rounds = kept.kept_over.entry(*other).or_default();
                *rounds = over.max(*rounds).saturating_add(1);
            }
        }
        !others.is_empty()
    }

    /// Gives a machine another name. Whether there is one.
    pub fn rename(&mut self, id: MachineId, name: String) -> bool {
        let renamed = self.find(id).map(|member| {
            (member.name, member.named) = (name, member.named.saturating_add(1));
        });
        renamed.is_some()
    }

    fn find(&mut self, id: MachineId) -> Option<&mut Member<K>> {
        self.0.iter_mut().find(|member| member.id == id)
    }

    /// Who has removed a machine, as far as it was not kept over them. What a machine says that was itself removed, by another
    /// than this one, does not count: it may have said it to take the others with it.
    fn removers(&self, of: MachineId) -> BTreeSet<MachineId> {
        let is_void = |by: &MachineId| {
            let others = self.all_removers(*by);
            others.iter().any(|other| *other != of && !self.all_removers(*other).contains(by))
        };
        let mut removers = self.all_removers(of);
        removers.retain(|by| !is_void(by));
        removers
    }

    /// Who has removed a machine, as far as it was not kept over them.
    fn all_removers(&self, of: MachineId) -> BTreeSet<MachineId> {
        let Some(member) = self.get(of) else { return BTreeSet::new() };
        let counts = |by: &MachineId| {
            let kept = member.kept_over.get(by).copied().unwrap_or(0);
            let other = self.get(*by).and_then(|by| by.kept_over.get(&of)).copied().unwrap_or(0);
            kept <= other
        };
        member.removed_by.iter().copied().filter(counts).collect()
    }
}

impl<K> Member<K> {
    /// Whether others take what it writes.
    #[must_use]
    pub fn may_write(&self) -> bool {
        !self.reader || fault::is(Fault::ReadersAreHeard)
    }

    fn take(&mut self, new: Self) {
        if (new.named, &new.name) > (self.named, &self.name) {
            (self.named, self.name) = (new.named, new.name);
        }
        // Who reads alone stays so.
        self.reader |= new.reader;
        self.key_alone |= new.key_alone;
        if !fault::is(Fault::RemovalForgotten) {
            self.removed_by.extend(new.removed_by);
        }
        for (over, rounds) in new.kept_over {
            let known = self.kept_over.entry(over).or_default();
            *known = rounds.max(*known);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u8) -> MachineId {
        MachineId([number; 8])
    }

    fn of(count: u8) -> Members<()> {
        let mut members = Members::default();
        for number in 1..=count {
            members.add(Member {
                id: id(number),
                name: format!("m{number}"),
                named: 0,
                keys: (),
                reader: false,
                key_alone: false,
                removed_by: BTreeSet::new(),
                kept_over: BTreeMap::new(),
            });
        }
        members
    }

    fn standings(members: &Members<()>, me: u8) -> Vec<Standing> {
        (1..=4).map(|number| members.standing(id(me), id(number))).collect()
    }

    #[test]
    fn two_that_removed_each_other_stand_until_a_person_has_decided() {
        use Standing::{Disputed, Member, Removed};
        let (mut a, mut b) = (of(4), of(4));
        assert!(a.remove(id(1), id(2)) && b.remove(id(2), id(1)));
        for order in [[(1, &a), (2, &b)], [(2, &b), (1, &a)]] {
            let mut third = of(4);
            for (by, said) in order {
                third.merge(id(3), id(by), said.clone());
            }
            assert_eq!(standings(&third, 3), [Disputed, Disputed, Member, Member]);
            assert!(third.is_disputed(id(3)) && !third.is_disputed(id(1)));
            // Each of the two ignores its own removal.
            assert_eq!(standings(&third, 1)[..2], [Member, Removed]);
            assert_eq!(standings(&third, 2)[..2], [Removed, Member]);
            let mut fourth = third.clone();
            assert!(third.keep(id(1)) && !third.keep(id(4)));
            for me in 1..=4 {
                assert_eq!(standings(&third, me), [Member, Removed, Member, Member], "{me}");
            }
            // Two people decide otherwise at the same time: it is open again, and one decides again.
            assert!(fourth.keep(id(2)));
            assert!(third.merge(id(3), id(4), fourth));
            assert!(third.is_disputed(id(3)));
            assert!(third.keep(id(2)));
            assert_eq!(standings(&third, 4), [Removed, Member, Member, Member]);
        }
    }

    #[test]
    fn who_was_removed_is_not_heard_but_against_who_removed_it() {
        let mut members = of(4);
        members.remove(id(1), id(2));
        let mut said = members.clone();
        said.remove(id(2), id(3));
        said.rename(id(4), "mine".to_owned());
        said.keep(id(2));
        assert!(!members.merge(id(3), id(2), said));
        assert_eq!(members, {
            let mut same = of(4);
            same.remove(id(1), id(2));
            same
        });
        // Nor is one that reads alone, or that nobody knows.
        let mut said = of(5);
        said.remove(id(5), id(1));
        assert!(!members.merge(id(3), id(5), said));
        assert!(members.get(id(5)).is_none());
    }

    #[test]
    fn who_reads_alone_is_not_heard() {
        let heard = |is_removed: bool, fault| {
            let mut members = of(3);
            members.find(id(2)).unwrap().reader = true;
            if is_removed {
                members.remove(id(1), id(2));
            }
            let before = members.clone();
            let mut said = of(4);
            said.remove(id(2), id(1));
            said.rename(id(3), "mine".to_owned());
            fault::seed(fault);
            members.merge(id(3), id(2), said);
            fault::seed(None);
            members != before
        };
        for is_removed in [false, true] {
            assert!(!heard(is_removed, None), "{is_removed}");
            // One that may write is, also against who has removed it.
            assert!(heard(is_removed, Some(Fault::ReadersAreHeard)), "{is_removed}");
        }
        // Nor does it become one that writes because another says so.
        let mut members = of(3);
        members.find(id(2)).unwrap().reader = true;
        assert!(members.merge(id(3), id(1), of(3)));
        assert!(members.get(id(2)).unwrap().reader);
    }

    #[test]
    fn who_was_removed_takes_nobody_with_it() {
        // The one that was removed says that it has removed all others; one of these has removed it.
        let (mut thief, mut owner) = (of(4), of(4));
        for other in [1, 3, 4] {
            thief.remove(id(2), id(other));
        }
        owner.remove(id(1), id(2));
        for order in [[(1, &owner), (2, &thief)], [(2, &thief), (1, &owner)]] {
            let mut third = of(4);
            for (by, said) in order {
                third.merge(id(3), id(by), said.clone());
            }
            // Who says so last is not heard, or it is a question for a person; then all others are there again.
            third.keep(id(1));
            for me in [1, 3, 4] {
                use Standing::{Member, Removed};
                assert_eq!(standings(&third, me), [Member, Removed, Member, Member], "{me}");
            }
        }
    }

    #[test]
    fn who_was_kept_can_be_removed_later() {
        let mut members = of(3);
        members.remove(id(1), id(2));
        members.remove(id(2), id(1));
        members.keep(id(1));
        assert_eq!(members.standing(id(3), id(1)), Standing::Member);
        members.remove(id(3), id(1));
        assert_eq!(members.standing(id(2), id(1)), Standing::Removed);
    }

    #[test]
    fn a_removal_is_passed_on() {
        let told = |fault| {
            let (mut one, mut other) = (of(3), of(3));
            one.remove(id(1), id(2));
            fault::seed(fault);
            other.merge(id(3), id(1), one);
            fault::seed(None);
            other.standing(id(3), id(2))
        };
        assert_eq!(told(None), Standing::Removed);
        assert_eq!(told(Some(Fault::RemovalForgotten)), Standing::Member);
    }

    proptest! {
        #[test]
        fn the_same_facts_lead_to_the_same_conclusions(
            steps in prop::collection::vec((0_u8..4, 1_u8..=4, 1_u8..=4), 1..12),
            order in Just((0_usize..12).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            // Each step is said by a machine that all listen to.
            let said: Vec<_> = steps.iter().map(|(what, by, other)| {
                let mut one = of(4);
                match what {
                    0 | 1 => drop(one.remove(id(*by), id(*other))),
                    2 => drop(one.rename(id(*other), format!("by {by}"))),
                    _ => {
                        one.remove(id(*by), id(*other));
                        one.remove(id(*other), id(*by));
                        one.keep(id(*by));
                    }
                }
                one
            }).collect();
            let merged = |order: &mut dyn Iterator<Item = usize>| {
                let mut all = of(4);
                all.add(Member { id: id(9), ..of(1).get(id(1)).cloned().unwrap() });
                for at in order.filter(|at| *at < said.len()) {
                    all.merge(id(8), id(9), said[at].clone());
                }
                all
            };
            prop_assert_eq!(merged(&mut (0..12)), merged(&mut order.into_iter()));
        }
    }
}
