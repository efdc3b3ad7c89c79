//! A vault among machines that say what they like, with the keys of a member: what is taken of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrets_fleet::crypt::Place;
use secrets_fleet::ids::{FleetId, Hash};
use secrets_fleet::object::{self, Sealed, Signed};
use secrets_fleet::replica::Entry;
use secrets_fleet::{Change, Kind, MachineId, ObjectName, Writer};

use super::*;
use crate::crypto::exchange::{FleetCrypt, Private};
use crate::vault::format::fleet::{Fleet, Held, MachineKeys, Member};

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
        let fleet = fleet_of(&fixture.vault);
        let machine = Self {
            id: MachineId([number; 8]),
            signing: Private::generate().unwrap(),
            sealing: Private::generate().unwrap(),
            writer: Writer([number; 8]),
            fleet: fleet.meta.fleet,
            keys: fleet.meta.keys.clone(),
            directory: fleet.meta.directory.clone(),
            number: 0,
            last: None,
        };
        let member = machine.member(&format!("machine-{number}"));
        let add =
            move |batch: &mut writer::batch::Batch<'_>, caller: &Caller| batch.add_machine(caller, member);
        fixture.vault.write(&fixture.owner, add).await.unwrap();
        fixture.sync().await;
        machine
    }

    fn member(&self, name: &str) -> Member {
        let keys = MachineKeys { signing: self.signing.signer().unwrap(), sealing: self.sealing.recipient() };
        crate::vault::fleet::member(self.id, name.to_owned(), keys)
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

#[tokio::test]
async fn a_name_of_a_later_version_destroys_nothing() {
    let fixture = Fixture::with_fleet().await;
    let mut later = Machine::let_in(&fixture, 2).await;
    let here = fixture.create("HERE", "of-here").await.unwrap().secret.id;
    fixture.sync().await;
    let there = Uuid::from_u128(7);
    let value =
        Change::Value { id: there, clock: 1, at: 0, covers: vec![], value: Held::New(value_of("of-there")) };
    later.say(vec![name(here, LATER, "ein Name"), value, name(there, LATER, "noch ein Name")]);
    fixture.sync().await;
    assert_eq!(fixture.names().await, ["HERE"]);
    assert_eq!(fixture.reveal(&["HERE"]).await.unwrap(), [("HERE".to_owned(), "of-here".to_owned())]);
    // Another secret gets the name that this one has kept.
    let other = Uuid::from_u128(8);
    let value =
        Change::Value { id: other, clock: 1, at: 0, covers: vec![], value: Held::New(value_of("of-other")) };
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
