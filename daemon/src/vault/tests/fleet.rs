//! A vault among machines that say what they like, with the keys of a member: what is taken of it.

mod kept;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use secrets_fleet::crypt::Place;
use secrets_fleet::ids::{FleetId, Hash};
use secrets_fleet::object::{self, Sealed, Signed};
use secrets_fleet::replica::Entry;
use secrets_fleet::{Change, Kind, MachineId, ObjectName, Writer};

use super::*;
use crate::crypto::exchange::{FleetCrypt, Private};
use crate::vault::format::fleet::{Fleet, Held, MachineKeys, Member, Members};

/// A member of the fleet of a vault, that writes what it is told.
struct Machine {
    id: MachineId,
    signing: Private,
    sealing: Private,
    writer: Writer,
    fleet: FleetId,
    keys: BTreeMap<u32, Private>,
    directory: PathBuf,
    number: u32,
    last: Option<Hash>,
}

fn fleet_of(vault: &Vault) -> Arc<Fleet> {
    vault.shared.read().view().unwrap().catalog.fleet.clone().unwrap()
}

impl Machine {
    /// One that this vault lets in.
    async fn let_in(fixture: &Fixture, number: u8) -> Self {
        let machine = Self::known_to(&fleet_of(&fixture.vault), number);
        let member = machine.member(&format!("machine-{number}"));
        let add =
            move |batch: &mut writer::batch::Batch<'_>, caller: &Caller| batch.add_machine(caller, member);
        fixture.vault.write(&fixture.owner, add).await.unwrap();
        fixture.sync().await;
        machine
    }

    /// One that has the keys of a fleet.
    fn known_to(fleet: &Fleet, number: u8) -> Self {
        Self {
            id: MachineId([number; 8]),
            signing: Private::generate().unwrap(),
            sealing: Private::generate().unwrap(),
            writer: Writer([number; 8]),
            fleet: fleet.meta.fleet,
            keys: fleet.meta.keys.clone(),
            directory: fleet.meta.directory.clone(),
            number: 0,
            last: None,
        }
    }

    fn member(&self, name: &str) -> Member {
        let keys = MachineKeys {
            signing: self.signing.signer().unwrap(),
            sealing: self.sealing.recipient(),
            welcome: None,
        };
        crate::vault::fleet::member(self.id, name.to_owned(), keys)
    }

    /// Another one with the same keys of the fleet.
    fn again(&self) -> Self {
        Self {
            signing: Private::generate().unwrap(),
            sealing: Private::generate().unwrap(),
            keys: self.keys.clone(),
            directory: self.directory.clone(),
            ..*self
        }
    }

    /// An object of this machine's, sealed and signed as it should be.
    fn seal<T: serde::Serialize + Signed>(&self, epoch: u32, kind: Kind, number: u32, body: &T) -> Sealed {
        let writers = BTreeMap::new();
        let crypt = FleetCrypt { keys: &self.keys, signing: &self.signing, writers: &writers };
        let place = Place { fleet: self.fleet, epoch, kind, writer: self.writer, number };
        object::seal(&crypt, &place, body).unwrap()
    }

    fn put(&self, sealed: &Sealed) {
        crate::exchange::write(&self.directory, &sealed.name, &sealed.bytes).unwrap();
    }

    /// Says in its log that it did this.
    fn say(&mut self, changes: Vec<Change<Held>>) -> ObjectName {
        self.number += 1;
        let entry = Entry { by: self.id, prev: self.last, seen: Vec::new(), changes };
        let epoch = *self.keys.last_key_value().unwrap().0;
        let sealed = self.seal(epoch, Kind::Log, self.number, &entry);
        self.last = Some(sealed.hash);
        self.put(&sealed);
        sealed.name
    }
}

impl Fixture {
    /// A vault with a fleet of its own.
    async fn with_fleet() -> Self {
        let fixture = Self::new().await;
        let directory = fixture.directory.path().join("exchange");
        std::fs::create_dir(&directory).unwrap();
        fixture.vault.begin_fleet(&fixture.owner, "first".to_owned(), directory).await.unwrap();
        fixture
    }

    async fn sync(&self) -> secrets_proto::fleet::FleetMerge {
        self.vault.merge_fleet(&self.owner).await.unwrap()
    }
}

fn name(id: Uuid, clock: u64, name: &str) -> Change<Held> {
    let text = |name: &str, text: Option<&str>| (name.to_owned(), text.map(str::to_owned));
    Change::Fields { id, clock, fields: [text("name", Some(name)), text("guarded", None)].into() }
}

/// Later than whatever these tests do.
const LATER: u64 = 10_000_000_000_000;

/// What a store is paid for: objects are full before there is another one.
#[tokio::test]
async fn what_is_said_at_first_takes_no_more_than_it_is_long() {
    let fixture = Fixture::new().await;
    for number in 0..500 {
        fixture.create(&format!("SECRET_{number}"), "a value of a usual length").await.unwrap();
    }
    let directory = fixture.directory.path().join("exchange");
    std::fs::create_dir(&directory).unwrap();
    fixture.vault.begin_fleet(&fixture.owner, "first".to_owned(), directory.clone()).await.unwrap();
    let logs = crate::exchange::list(&directory).unwrap().into_iter().filter(|name| name.kind == Kind::Log);
    let sizes: Vec<_> = logs.map(|name| crate::exchange::stamp(&directory, &name).unwrap().length).collect();
    assert_eq!(sizes, [(512 << 10) + secrets_fleet::crypt::OVERHEAD as u64]);
}

/// An object is full in the middle of a secret's values: each still comes in the place of the one before.
#[tokio::test]
async fn what_is_said_in_two_objects_is_no_conflict() {
    let fixture = Fixture::new().await;
    let long = |number: u8| format!("{number:0>60000}");
    let mut last = None;
    for name in ["ONE", "TWO"] {
        let id = fixture.create(name, &long(0)).await.unwrap().secret.id;
        for number in 1..10 {
            let update = UpdateSecret { value: value_of(&long(number)) };
            fixture.vault.update(&fixture.owner, id, update, None).await.unwrap();
        }
        last = Some(id);
    }
    fixture.vault.delete(&fixture.owner, last.unwrap(), None, false).await.unwrap();
    let directory = fixture.directory.path().join("exchange");
    std::fs::create_dir(&directory).unwrap();
    fixture.vault.begin_fleet(&fixture.owner, "first".to_owned(), directory.clone()).await.unwrap();
    let logs = crate::exchange::list(&directory).unwrap().into_iter().filter(|name| name.kind == Kind::Log);
    assert_eq!(logs.count(), 2);
    let fleet = fleet_of(&fixture.vault);
    let lives: Vec<_> = fleet.replica.secrets.values().map(|secret| secret.live.len()).collect();
    assert_eq!(lives, [1, 1]);
    let seen = fleet.replica.secrets.values().filter(|secret| secret.is_visible()).count();
    assert_eq!(seen, 1);
}

#[tokio::test]
async fn a_name_of_a_later_version_destroys_nothing() {
    let fixture = Fixture::with_fleet().await;
    let mut later = Machine::let_in(&fixture, 2).await;
    let here = fixture.create("HERE", "of-here").await.unwrap().secret.id;
    fixture.sync().await;
    let there = Uuid::from_u128(7);
    let value = Change::Value {
        id: there,
        clock: 1,
        at: None,
        covers: vec![],
        value: Held::New(value_of("of-there")),
    };
    later.say(vec![name(here, LATER, "ein Name"), value, name(there, LATER, "noch ein Name")]);
    fixture.sync().await;
    assert_eq!(fixture.names().await, ["HERE"]);
    assert_eq!(fixture.reveal(&["HERE"]).await.unwrap(), [("HERE".to_owned(), "of-here".to_owned())]);
    // Another secret gets the name that this one has kept.
    let other = Uuid::from_u128(8);
    let value = Change::Value {
        id: other,
        clock: 1,
        at: None,
        covers: vec![],
        value: Held::New(value_of("of-other")),
    };
    later.say(vec![value, name(other, 1, "HERE")]);
    fixture.create("MORE", "more").await.unwrap();
    fixture.sync().await;
    let all = [("HERE".to_owned(), "of-other".to_owned()), ("HERE_2".to_owned(), "of-here".to_owned())];
    assert_eq!(fixture.reveal(&["HERE", "HERE_2"]).await.unwrap(), all);
    let fleet = fleet_of(&fixture.vault);
    let live: Vec<_> = fleet.replica.secrets.values().map(|secret| secret.live.len()).collect();
    assert_eq!(live, [1, 1, 1, 1], "nothing was purged");
    assert!(fleet.replica.secrets.values().all(|secret| secret.purges.is_empty()));
    // It is there once it has a name that this version knows.
    later.say(vec![name(there, LATER + 1, "THERE")]);
    fixture.sync().await;
    assert_eq!(fixture.reveal(&["THERE"]).await.unwrap(), [("THERE".to_owned(), "of-there".to_owned())]);
    let verified = fixture.vault.verify(&fixture.owner, VerifyRequest::default()).await;
    verified.unwrap();
}

#[tokio::test]
async fn a_text_of_a_later_version_is_not_taken_away() {
    let fixture = Fixture::with_fleet().await;
    let mut later = Machine::let_in(&fixture, 2).await;
    let id = fixture.create("KEY", "value").await.unwrap().secret.id;
    fixture.sync().await;
    let texts = [("provider", "a provider\n"), ("expires_at", "next week")];
    let fields = texts.map(|(name, text)| (name.to_owned(), Some(text.to_owned()))).into();
    later.say(vec![Change::Fields { id, clock: LATER, fields }]);
    fixture.sync().await;
    let update = UpdateSecret { value: value_of("newer") };
    fixture.vault.update(&fixture.owner, id, update, None).await.unwrap();
    fixture.sync().await;
    let fleet = fleet_of(&fixture.vault);
    for (name, text) in texts {
        assert_eq!(fleet.replica.secrets[&id].field(name), Some(text));
    }
}

/// A list of machines, as anybody can write one who has the keys.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Said {
    by: MachineId,
    members: Members,
    have: BTreeSet<MachineId>,
    keys: BTreeMap<u32, BTreeMap<MachineId, String>>,
}

impl Signed for Said {
    fn by(&self) -> MachineId {
        self.by
    }
}

impl Machine {
    /// Puts a list there that it has made up, under this key.
    fn list(&self, epoch: u32, members: Members, keys: BTreeMap<u32, BTreeMap<MachineId, String>>) {
        let have = members.all().map(|member| member.id).collect();
        self.put(&self.seal(epoch, Kind::Members, 1, &Said { by: self.id, members, have, keys }));
    }

    /// Takes all keys that the lists give to it, no matter who has signed these.
    fn follow(&mut self, fixture: &Fixture) {
        let members = fleet_of(&fixture.vault).meta.members.clone();
        let writers = members.all().map(|member| (member.id, member.keys.signing)).collect();
        for _ in 0..4 {
            for name in crate::exchange::list(&self.directory).unwrap() {
                let bytes = crate::exchange::read(&self.directory, &name).unwrap().unwrap();
                let crypt = FleetCrypt { keys: &self.keys, signing: &self.signing, writers: &writers };
                let Ok((list, _)) = object::open::<Said>(&crypt, self.fleet, &name, &bytes) else { continue };
                for (epoch, sealed) in list.keys {
                    let place = [&self.fleet.0[..], &epoch.to_be_bytes(), &self.id.0].concat();
                    let key = sealed.get(&self.id).and_then(|text| self.sealing.unwrap(text, &place).ok());
                    self.keys.extend(key.map(|key| (epoch, key)));
                }
            }
        }
    }
}

impl Fixture {
    /// Another vault of the same fleet.
    async fn joined(&self, name: &str) -> Self {
        let other = Self::new().await;
        let directory = fleet_of(&self.vault).meta.directory.clone();
        let name = secrets_proto::fleet::MachineName::parse(name).unwrap();
        let invited = self.vault.invite_machine(&self.owner).await.unwrap();
        let joining =
            other.vault.join_fleet(&other.owner, invited.code.unwrap(), name, directory).await.unwrap();
        self.vault.invitation(&self.owner, invited.id).await.unwrap();
        other.vault.invitation(&other.owner, joining.id).await.unwrap();
        let unanswered = other.vault.confirm_invitation(&other.owner, joining.id, true, None).await;
        assert!(matches!(unanswered, Err(Error::Fleet(FleetError::Unanswered))));
        self.vault.confirm_invitation(&self.owner, invited.id, true, None).await.unwrap();
        other.vault.confirm_invitation(&other.owner, joining.id, true, None).await.unwrap();
        self.sync().await;
        other
    }

    fn me(&self) -> MachineId {
        fleet_of(&self.vault).me()
    }

    /// The machines that belong to the fleet, and the epoch in which this one writes.
    fn present(&self) -> (BTreeSet<MachineId>, u32) {
        let fleet = fleet_of(&self.vault);
        (fleet.present().map(|member| member.id).collect(), fleet.epoch().unwrap())
    }

    /// Removes a machine before it hears of anything else.
    async fn remove_now(&self, machine: MachineId) {
        let remove = move |batch: &mut writer::batch::Batch<'_>, caller: &Caller| {
            batch.remove_machine(caller, machine, &[])
        };
        self.vault.write(&self.owner, remove).await.unwrap();
    }
}

#[tokio::test]
async fn who_was_removed_leaves_nobody_behind() {
    for is_first in [true, false] {
        let a = Fixture::with_fleet().await;
        let b = a.joined("second").await;
        // Its name comes before all others.
        let mut removed = Machine::let_in(&a, 0).await;
        b.sync().await;
        let old = *removed.keys.last_key_value().unwrap().0;
        let mut ghost = Machine { id: MachineId([9; 8]), writer: Writer([9; 8]), ..removed.again() };
        let mut members = fleet_of(&a.vault).meta.members.clone();
        members.add(ghost.member("ghost"));
        let plant = || removed.list(old, members.clone(), BTreeMap::new());
        if is_first {
            a.remove_now(removed.id).await;
            plant();
        } else {
            a.vault.remove_machine(&a.owner, removed.id).await.unwrap();
            b.sync().await;
            plant();
        }
        for fixture in [&a, &b, &a, &b] {
            fixture.sync().await;
        }
        let both = BTreeSet::from([a.me(), b.me()]);
        assert_eq!(a.present(), (both.clone(), b.present().1));
        assert_eq!(b.present().0, both);
        // Not if it says itself that it has the new key, or begins an epoch of its own.
        let place =
            |epoch: u32, machine: MachineId| [&ghost.fleet.0[..], &epoch.to_be_bytes(), &machine.0].concat();
        let (last, mine) = (b.present().1, Private::generate().unwrap());
        let own = mine.wrap_to(&ghost.sealing.recipient(), &place(last, ghost.id)).unwrap();
        let beside = last | 0xFFFF;
        let all = [&a, &b].map(|fixture| {
            let fleet = fleet_of(&fixture.vault);
            let sealing = fleet.meta.members.get(fleet.me()).unwrap().keys.sealing;
            (fleet.me(), mine.wrap_to(&sealing, &place(beside, fleet.me())).unwrap())
        });
        let keys = [(last, [(ghost.id, own)].into()), (beside, all.into())].into();
        ghost.list(old, members.clone(), keys);
        for fixture in [&a, &b, &a, &b] {
            fixture.sync().await;
        }
        assert_eq!((a.present(), b.present()), ((both.clone(), last), (both.clone(), last)));
        // Nor is it heard, nor given the key when the lists were lost.
        let id = Uuid::from_u128(1);
        let value =
            Change::Value { id, clock: 1, at: None, covers: vec![], value: Held::New(value_of("planted")) };
        ghost.say(vec![value, name(id, 1, "PLANTED")]);
        for name in crate::exchange::list(&removed.directory).unwrap() {
            if name.kind == Kind::Members {
                crate::exchange::remove(&removed.directory, &name).unwrap();
            }
        }
        b.create("AFTER", "after").await.unwrap();
        for fixture in [&b, &a, &b] {
            fixture.sync().await;
        }
        assert_eq!((a.names().await, b.names().await), (vec!["AFTER".to_owned()], vec!["AFTER".to_owned()]));
        let last = b.present().1;
        for machine in [&mut removed, &mut ghost] {
            machine.follow(&b);
            assert!(!machine.keys.contains_key(&last), "it has the key under which the others write");
        }
    }
}

#[tokio::test]
async fn no_key_is_taken_out_of_its_turn() {
    let a = Fixture::with_fleet().await;
    let member = Machine::let_in(&a, 2).await;
    let old = *member.keys.last_key_value().unwrap().0;
    let members = fleet_of(&a.vault).meta.members.clone();
    let mine = Private::generate().unwrap();
    let sealing = members.get(a.me()).unwrap().keys.sealing;
    let keys = [u32::MAX, old + (2 << 16)].map(|epoch| {
        let place = [&member.fleet.0[..], &epoch.to_be_bytes(), &a.me().0].concat();
        (epoch, BTreeMap::from([(a.me(), mine.wrap_to(&sealing, &place).unwrap())]))
    });
    member.list(old, members, keys.into());
    a.sync().await;
    assert_eq!(a.present().1, old);
    a.vault.remove_machine(&a.owner, member.id).await.unwrap();
    assert_eq!(a.present(), (BTreeSet::from([a.me()]), a.present().1));
    assert_eq!(a.present().1 >> 16, (old >> 16) + 1);
}

#[tokio::test]
async fn who_was_removed_at_the_same_time_as_another_has_no_key_of_later() {
    let a = Fixture::with_fleet().await;
    let b = a.joined("second").await;
    let (mut one, mut other) = (Machine::let_in(&a, 2).await, Machine::let_in(&a, 3).await);
    b.sync().await;
    a.remove_now(one.id).await;
    b.remove_now(other.id).await;
    for fixture in [&a, &b, &a, &b] {
        fixture.sync().await;
    }
    let both = BTreeSet::from([a.me(), b.me()]);
    assert_eq!((a.present(), b.present().0), ((both.clone(), b.present().1), both));
    for machine in [&mut one, &mut other] {
        machine.follow(&a);
        assert!(machine.keys.len() <= 2 && !machine.keys.contains_key(&a.present().1));
    }
    a.create("AFTER", "after").await.unwrap();
    for fixture in [&a, &b] {
        fixture.sync().await;
    }
    assert_eq!(b.names().await, ["AFTER"]);
}

#[tokio::test]
async fn who_was_let_in_beside_a_removal_gets_the_last_key() {
    let a = Fixture::with_fleet().await;
    let b = a.joined("second").await;
    let mut removed = Machine::let_in(&a, 2).await;
    b.sync().await;
    a.remove_now(removed.id).await;
    let mut new = Machine { id: MachineId([3; 8]), ..removed.again() };
    let member = new.member("third");
    let add = move |batch: &mut writer::batch::Batch<'_>, caller: &Caller| batch.add_machine(caller, member);
    b.vault.write(&b.owner, add).await.unwrap();
    for fixture in [&a, &b, &a, &b] {
        fixture.sync().await;
    }
    let three = BTreeSet::from([a.me(), b.me(), new.id]);
    assert_eq!((a.present(), b.present().0), ((three.clone(), b.present().1), three));
    new.follow(&a);
    removed.follow(&a);
    let last = a.present().1;
    assert!(new.keys.contains_key(&last) && !removed.keys.contains_key(&last));
}

#[tokio::test]
async fn a_machine_is_let_in_only_as_one_that_is_new_and_sound() {
    let a = Fixture::with_fleet().await;
    let machine = Machine::let_in(&a, 2).await;
    let new = Machine { id: MachineId([3; 8]), ..machine.again() };
    let sound = new.member("third");
    let zero: crate::crypto::exchange::Public =
        serde_json::from_value(serde_json::json!("00".repeat(32))).unwrap();
    let with = |change: &dyn Fn(&mut Member)| {
        let mut member = sound.clone();
        change(&mut member);
        member
    };
    let bad = [
        with(&|member| member.id = a.me()),
        with(&|member| member.id = machine.id),
        with(&|member| member.name = "first".to_owned()),
        with(&|member| member.name = "\u{1b}[2J".to_owned()),
        with(&|member| member.name = String::new()),
        with(&|member| member.keys.sealing = zero),
    ];
    let before = a.present();
    for member in bad.clone() {
        let add =
            move |batch: &mut writer::batch::Batch<'_>, caller: &Caller| batch.add_machine(caller, member);
        assert!(a.vault.write(&a.owner, add).await.is_err());
    }
    // Nor if a member says so.
    for member in &bad[3..] {
        let mut members = fleet_of(&a.vault).meta.members.clone();
        members.add(member.clone());
        machine.list(*machine.keys.last_key_value().unwrap().0, members, BTreeMap::new());
        assert!(a.sync().await.fleet.refused > 0, "a list that is not taken is counted");
    }
    assert_eq!(a.present(), before);
    assert!(fleet_of(&a.vault).meta.members.get(new.id).is_none());
    a.vault.remove_machine(&a.owner, machine.id).await.unwrap();
}

#[tokio::test]
async fn a_removal_that_the_directory_loses_or_spoils_is_said_again() {
    for is_spoilt in [false, true] {
        let a = Fixture::with_fleet().await;
        let b = a.joined("second").await;
        let mut removed = Machine::let_in(&a, 2).await;
        b.sync().await;
        let lists = || {
            let names = crate::exchange::list(&removed.directory).unwrap().into_iter();
            names.filter(|name| name.kind == Kind::Members).collect::<Vec<_>>()
        };
        let before = lists();
        a.vault.remove_machine(&a.owner, removed.id).await.unwrap();
        for name in lists().into_iter().filter(|name| !before.contains(name)) {
            let path = removed.directory.join(name.to_string());
            if is_spoilt {
                std::fs::write(&path, "spoilt").unwrap()
            } else {
                std::fs::remove_file(&path).unwrap()
            }
        }
        b.sync().await;
        assert_eq!(b.present().0.len(), 3);
        a.sync().await;
        b.sync().await;
        assert_eq!(b.present(), a.present());
        // Then it is quiet.
        let (written, there) = (a.sync().await.written, lists().len());
        b.sync().await;
        a.sync().await;
        assert_eq!((written, lists().len()), (0, there));
        removed.follow(&b);
        assert!(!removed.keys.contains_key(&b.present().1));
    }
}

#[tokio::test]
async fn what_nobody_has_written_keeps_nothing_from_being_read() {
    let a = Fixture::with_fleet().await;
    let b = a.joined("second").await;
    let machine = Machine::let_in(&a, 2).await;
    b.sync().await;
    // More than is kept of a round, with names that come first and are right.
    let put = |number: u32, bytes: &[u8]| {
        let hash = crate::crypto::exchange::hash_of(bytes).short();
        let id = secrets_fleet::ObjectId { writer: Writer([0; 8]), number, hash };
        std::fs::write(machine.directory.join(ObjectName { kind: Kind::Log, id }.to_string()), bytes)
            .unwrap();
    };
    for number in 1..=33 {
        put(number, &vec![1; (2 << 20) - number as usize]);
    }
    for number in 34..300 {
        put(number, &number.to_be_bytes());
    }
    a.create("KEY", "value").await.unwrap();
    a.remove_now(machine.id).await;
    a.sync().await;
    let told = b.sync().await;
    assert_eq!((b.names().await, b.present().0.len()), (vec!["KEY".to_owned()], 2));
    assert_eq!(told.fleet.refused, 299);
    // They are asked for, but not all of them, and it comes to rest.
    let known = || fleet_of(&b.vault).meta.missing.clone();
    assert_eq!(known().len(), 64);
    for _ in 0..4 {
        b.sync().await;
    }
    let largest = std::fs::read_dir(&machine.directory).unwrap().map(|entry| entry.unwrap());
    let of_b = fleet_of(&b.vault).replica.known.writer.to_string();
    let sizes = largest.filter(|entry| entry.file_name().to_str().unwrap().contains(&of_b));
    assert!(sizes.map(|entry| entry.metadata().unwrap().len()).all(|size| size < 40 << 10));
}

#[tokio::test]
async fn what_a_removed_machine_writes_is_not_what_nobody_has_written() {
    let a = Fixture::with_fleet().await;
    let mut machine = Machine::let_in(&a, 2).await;
    a.create("KEY", "value").await.unwrap();
    a.sync().await;
    let members = fleet_of(&a.vault).meta.members.clone();
    a.vault.remove_machine(&a.owner, machine.id).await.unwrap();
    // It has not heard of it.
    let written = machine.say(vec![name(Uuid::from_u128(7), 1, "LATE")]);
    machine.list(*machine.keys.last_key_value().unwrap().0, members, BTreeMap::new());
    let told = |merge: secrets_proto::fleet::FleetMerge| (merge.fleet.refused, merge.fleet.missing);
    // The second time they are not read again.
    for _ in 0..3 {
        assert_eq!(told(a.sync().await), (0, 0));
        assert_eq!(a.names().await, ["KEY"]);
    }
    // What it has not signed is by nobody, and so is what was changed.
    let mut stranger = machine.again();
    stranger.say(vec![name(Uuid::from_u128(8), 1, "STRANGE")]);
    assert_eq!(told(a.sync().await).0, 1);
    std::fs::remove_file(machine.directory.join(written.to_string())).unwrap();
    assert_eq!(told(a.sync().await).0, 1);
    assert_eq!(fleet_of(&a.vault).meta.strays.len(), 1, "what is gone is forgotten");
}

#[tokio::test]
async fn a_removed_machine_does_not_make_the_vault_larger_without_end() {
    let a = Fixture::with_fleet().await;
    let mut machine = Machine::let_in(&a, 2).await;
    a.vault.remove_machine(&a.owner, machine.id).await.unwrap();
    for number in 0..1_030 {
        machine.say(vec![name(Uuid::from_u128(number), 1, "LATE")]);
    }
    assert_eq!(a.sync().await.fleet.refused, 6);
    assert_eq!(fleet_of(&a.vault).meta.strays.len(), 1_024);
}

#[tokio::test]
async fn a_number_that_was_not_promised_is_not_taken() {
    let (a, b) = (Fixture::with_fleet().await, Fixture::new().await);
    let directory = fleet_of(&a.vault).meta.directory.clone();
    let invited = a.vault.invite_machine(&a.owner).await.unwrap();
    let code = invited.code.unwrap();
    let name = secrets_proto::fleet::MachineName::parse("second").unwrap();
    let joining = b.vault.join_fleet(&b.owner, code.clone(), name, directory.clone()).await.unwrap();
    assert_eq!(joining.words, None);
    // By who has the code, in the place of the third step, with a name that comes first.
    let key = crate::crypto::exchange::code_key(code.expose()).unwrap().unwrap();
    let writer = Writer(*key.name().unwrap().first_chunk().unwrap());
    let mut others = Vec::new();
    for _ in 0..8 {
        let number = serde_json::to_vec(&Private::generate().unwrap()).unwrap();
        let sealed = key.seal(b"3", &number).unwrap();
        let id = secrets_fleet::ObjectId {
            writer,
            number: 3,
            hash: crate::crypto::exchange::hash_of(&sealed).short(),
        };
        let name = ObjectName { kind: Kind::Invitation, id };
        crate::exchange::write(&directory, &name, &sealed).unwrap();
        others.push(name);
    }
    let words = b.vault.invitation(&b.owner, joining.id).await.unwrap().words;
    assert_eq!(words, None, "the number is not the one that the first step promised");
    assert!(b.vault.confirm_invitation(&b.owner, joining.id, true, None).await.is_err());
    for name in others {
        crate::exchange::remove(&directory, &name).unwrap();
    }
    let here = a.vault.invitation(&a.owner, invited.id).await.unwrap().words;
    let there = b.vault.invitation(&b.owner, joining.id).await.unwrap().words;
    assert!(here.is_some() && here == there);
}

/// A yes is said again where it could not be written as a whole.
#[tokio::test]
async fn a_machine_is_let_in_once_however_often_it_is_said() {
    let fixture = Fixture::with_fleet().await;
    let machine = Machine::known_to(&fleet_of(&fixture.vault), 7);
    let add = |member: Member| {
        let add =
            move |batch: &mut writer::batch::Batch<'_>, caller: &Caller| batch.add_machine(caller, member);
        fixture.vault.write(&fixture.owner, add)
    };
    add(machine.member("second")).await.unwrap();
    let lists = fleet_of(&fixture.vault).meta.lists;
    add(machine.member("second")).await.unwrap();
    let fleet = fleet_of(&fixture.vault);
    assert_eq!((fleet.meta.members.all().count(), fleet.meta.lists), (2, lists));
    // By other keys, or another id, it is another one.
    for other in [machine.again(), Machine::known_to(&fleet, 8)] {
        let refused = add(other.member("second")).await;
        assert!(matches!(refused, Err(Error::Fleet(FleetError::NameTaken))));
    }
}

/// One of before the joining machine said what its person had answered: its answer lacks the field, and so is as it was.
#[tokio::test]
async fn a_joining_machine_of_an_older_version_is_let_in_by_one_yes() {
    let (a, b) = (Fixture::with_fleet().await, Fixture::new().await);
    let directory = fleet_of(&a.vault).meta.directory.clone();
    let invited = a.vault.invite_machine(&a.owner).await.unwrap();
    let code = invited.code.unwrap();
    let name = secrets_proto::fleet::MachineName::parse("second").unwrap();
    b.vault.join_fleet(&b.owner, code.clone(), name, directory.clone()).await.unwrap();
    let key = crate::crypto::exchange::code_key(code.expose()).unwrap().unwrap();
    let step =
        crate::exchange::list(&directory).unwrap().into_iter().find(|name| name.id.number == 2).unwrap();
    let said = key.open(b"2", &crate::exchange::read(&directory, &step).unwrap().unwrap()).unwrap();
    let mut said: serde_json::Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(said.as_object_mut().unwrap().remove("replies"), Some(serde_json::Value::Bool(true)));
    let sealed = key.seal(b"2", &serde_json::to_vec(&said).unwrap()).unwrap();
    let hash = crate::crypto::exchange::hash_of(&sealed).short();
    crate::exchange::remove(&directory, &step).unwrap();
    let older = ObjectName { id: secrets_fleet::ObjectId { hash, ..step.id }, ..step };
    crate::exchange::write(&directory, &older, &sealed).unwrap();
    a.vault.invitation(&a.owner, invited.id).await.unwrap();
    let done = a.vault.confirm_invitation(&a.owner, invited.id, true, None).await.unwrap();
    assert_eq!(done.state, secrets_proto::fleet::InvitationState::Done);
}

#[tokio::test]
async fn who_comes_into_a_directory_of_before_knows_that_something_is_missing() {
    let a = Fixture::with_fleet().await;
    a.create("KEY", "value").await.unwrap();
    a.sync().await;
    let directory = fleet_of(&a.vault).meta.directory.clone();
    let logs = crate::exchange::list(&directory).unwrap().into_iter().filter(|name| name.kind == Kind::Log);
    let logs: Vec<_> =
        logs.map(|name| (name, crate::exchange::read(&directory, &name).unwrap().unwrap())).collect();
    let fresh = Fixture::new().await;
    let name = secrets_proto::fleet::MachineName::parse("second").unwrap();
    let invited = a.vault.invite_machine(&a.owner).await.unwrap();
    let code = invited.code.unwrap();
    let joining = fresh.vault.join_fleet(&fresh.owner, code, name, directory.clone()).await.unwrap();
    a.vault.invitation(&a.owner, invited.id).await.unwrap();
    fresh.vault.invitation(&fresh.owner, joining.id).await.unwrap();
    fresh.vault.confirm_invitation(&fresh.owner, joining.id, true, None).await.unwrap_err();
    a.vault.confirm_invitation(&a.owner, invited.id, true, None).await.unwrap();
    logs.iter().for_each(|(name, _)| crate::exchange::remove(&directory, name).unwrap());
    fresh.vault.confirm_invitation(&fresh.owner, joining.id, true, None).await.unwrap();
    assert!(fresh.sync().await.fleet.missing > 0);
    logs.iter().for_each(|(name, bytes)| crate::exchange::write(&directory, name, bytes).unwrap());
    assert_eq!((fresh.sync().await.fleet.missing, fresh.names().await), (0, vec!["KEY".to_owned()]));
}

/// What a machine says that reads alone, with its own key, and all of the fleet's.
#[tokio::test]
async fn nobody_takes_anything_from_a_machine_that_reads_alone() {
    for reads_alone in [true, false] {
        let fixture = Fixture::with_fleet().await;
        let fleet = fleet_of(&fixture.vault);
        let mut reader = Machine::known_to(&fleet, 2);
        let member = Member { reader: reads_alone, ..reader.member("reader") };
        let add =
            move |batch: &mut writer::batch::Batch<'_>, caller: &Caller| batch.add_machine(caller, member);
        fixture.vault.write(&fixture.owner, add).await.unwrap();
        let id = fixture.create("KEY", "value").await.unwrap().secret.id;
        fixture.sync().await;
        // A change, a purge of what is there, and a list with one more machine and without the first.
        let there = Uuid::from_u128(7);
        let value = Change::Value {
            id: there,
            clock: 1,
            at: Some(0),
            covers: vec![],
            value: Held::New(value_of("x")),
        };
        reader.say(vec![value, name(there, 1, "THERE")]);
        reader.say(vec![name(id, LATER, "RENAMED")]);
        let fleet = fleet_of(&fixture.vault);
        let mut members = fleet.meta.members.clone();
        members.add(Member { id: MachineId([3; 8]), ..reader.again().member("third") });
        let epoch = *reader.keys.last_key_value().unwrap().0;
        reader.list(epoch, members.clone(), BTreeMap::new());
        members.remove(reader.id, fleet.me());
        let said = Said { by: reader.id, members, have: BTreeSet::new(), keys: BTreeMap::new() };
        reader.put(&reader.seal(epoch, Kind::Members, 2, &said));
        let merged = fixture.vault.merge_fleet(&fixture.owner).await;
        let names = fixture.names().await;
        let fleet = fleet_of(&fixture.vault);
        if reads_alone {
            merged.unwrap();
            assert_eq!(names, ["KEY"]);
            assert_eq!(fleet.meta.members.all().count(), 2);
            assert_eq!(fleet.meta.refused, 4);
        } else {
            // The same of one that may write: it is what was said that is refused.
            merged.unwrap_err();
            assert_eq!(fleet.meta.members.all().count(), 3);
        }
    }
}

#[tokio::test]
async fn a_key_takes_a_proof_if_what_comes_with_it_is_guarded() {
    let fixture = Fixture::with_fleet().await;
    let mut machine = Machine::let_in(&fixture, 2).await;
    fixture.sync().await;
    let id = Uuid::from_u128(7);
    let text = |name: &str, text: &str| (name.to_owned(), Some(text.to_owned()));
    let fields = [text("name", "HELD"), text("guarded", "yes")].into();
    let value =
        Change::Value { id, clock: 1, at: Some(0), covers: vec![], value: Held::New(value_of("held")) };
    machine.say(vec![value, Change::Fields { id, clock: 1, fields }]);
    let name = secrets_proto::fleet::MachineName::parse("paper").unwrap();
    let role = secrets_proto::fleet::KeyRole::Paper;
    fixture.vault.create_machine_key(&fixture.owner, name, role, None).await.unwrap_err();
    assert_eq!(
        (fixture.names().await, fleet_of(&fixture.vault).meta.members.all().count()),
        (vec!["HELD".to_owned()], 2)
    );
}

#[tokio::test]
async fn no_more_keys_are_made_than_leave_room_to_remove_one() {
    use crate::vault::format::fleet::KeptWelcome;

    let fixture = Fixture::with_fleet().await;
    let mut member = Machine::known_to(&fleet_of(&fixture.vault), 2).member("full");
    member.keys.welcome = Some(KeptWelcome::new(Writer([2; 8]), &vec![0; 576 << 10]));
    let id = member.id;
    let add = move |batch: &mut writer::batch::Batch<'_>, caller: &Caller| batch.add_machine(caller, member);
    fixture.vault.write(&fixture.owner, add).await.unwrap();
    let create = || {
        let name = secrets_proto::fleet::MachineName::parse("paper").unwrap();
        fixture.vault.create_machine_key(&fixture.owner, name, secrets_proto::fleet::KeyRole::Paper, None)
    };
    let refused = create().await.unwrap_err();
    assert!(matches!(refused, Error::Fleet(FleetError::TooManyKeys)), "{refused:?}");
    fixture.vault.remove_machine(&fixture.owner, id).await.unwrap();
    create().await.unwrap();
}

#[tokio::test]
async fn globs_that_were_taken_back_leave_room_for_a_machine_that_joins() {
    use secrets_fleet::filter::{FLEET, List};
    use secrets_proto::Glob;

    let fixture = Fixture::with_fleet().await;
    let mut machine = Machine::let_in(&fixture, 2).await;
    let glob = |number: usize| format!("{number:A>255}");
    let fields = (0..500).map(|number| (format!("exclude {}", glob(number)), None)).collect();
    machine.say(vec![Change::Fields { id: FLEET, clock: 1, fields }]);
    fixture.sync().await;
    assert_eq!(fleet_of(&fixture.vault).replica.registers().len(), 500);
    let exclude = |number: usize| {
        let glob = Glob::parse(&glob(number)).unwrap();
        fixture.vault.list_names(&fixture.owner, List::Exclude, glob, true, None)
    };
    let refused = exclude(500).await.unwrap_err();
    assert!(matches!(refused, Error::Fleet(FleetError::TooManyGlobsEver)), "{refused:?}");
    // One that there was is said again.
    exclude(499).await.unwrap();
    assert_eq!(fleet_of(&fixture.vault).replica.filter().exclude.len(), 1);
    let paper = secrets_proto::fleet::MachineName::parse("paper").unwrap();
    let role = secrets_proto::fleet::KeyRole::Paper;
    fixture.vault.create_machine_key(&fixture.owner, paper, role, None).await.unwrap();
    let key =
        *fleet_of(&fixture.vault).present().find(|member| member.key_alone).map(|member| &member.id).unwrap();
    fixture.vault.remove_machine(&fixture.owner, key).await.unwrap();
}
