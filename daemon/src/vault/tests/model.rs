//! The vault against a model that cannot lose anything: random operations with locks and restarts between them, and
//! after each step the two must agree.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;

/// Names are few, so that operations meet.
const NAMES: [&str; 2] = ["A", "B"];

#[derive(Debug, Clone)]
enum Step {
    Create(usize, String),
    Update(usize, String),
    Rename(usize, usize),
    Rollback(usize, usize),
    DropVersion(usize, usize),
    Delete(usize),
    Purge(usize),
    Restore(usize),
    Rotate,
    Lock,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    let value = "\\PC{1,30}|[a-z\n]{1,2000}";
    prop_oneof![
        4 => (name.clone(), value).prop_map(|(name, value)| Step::Create(name, value)),
        12 => (name.clone(), value).prop_map(|(name, value)| Step::Update(name, value)),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => (name.clone(), 0..12_usize).prop_map(|(name, back)| Step::Rollback(name, back)),
        2 => (name.clone(), 0..12_usize).prop_map(|(name, back)| Step::DropVersion(name, back)),
        2 => name.clone().prop_map(Step::Delete),
        1 => name.clone().prop_map(Step::Purge),
        2 => (0..4_usize).prop_map(Step::Restore),
        1 => Just(Step::Rotate),
        1 => Just(Step::Lock),
        1 => Just(Step::Restart),
    ]
}

/// What a secret was given, by version: what `versions` must list, the last 10 of it.
#[derive(Debug, Clone)]
struct Kept {
    version: u64,
    values: Vec<(u64, String)>,
}

impl Kept {
    fn give(&mut self, value: String) {
        self.version += 1;
        self.values.push((self.version, value));
        if self.values.len() > 10 {
            self.values.remove(0);
        }
    }

    fn present(&self) -> &str {
        &self.values.last().unwrap().1
    }
}

#[derive(Default)]
struct Model {
    live: BTreeMap<String, (Uuid, Kept)>,
    trash: HashMap<Uuid, (String, Kept)>,
}

struct Pair {
    fixture: Fixture,
    key: PathBuf,
    model: Model,
}

impl Pair {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        files_with(&key, &[7; 32]);
        let vault = Vault::start(settings(directory.path()), None).unwrap();
        let owner = Caller::owner(Peer { uid: 0, pid: 1 });
        vault.init(&owner, Key::File(key.clone()), false).await.unwrap();
        Self { fixture: Fixture { directory, vault, owner }, key, model: Model::default() }
    }

    async fn take(&mut self, step: Step) {
        let (vault, owner) = (self.fixture.vault.clone(), self.fixture.owner.clone());
        let Model { live, trash } = &mut self.model;
        let found = |name: usize| live.get(NAMES[name]).map(|(id, _)| *id);
        match step {
            Step::Create(name, value) => {
                let created = self.fixture.create(NAMES[name], &value).await;
                match found(name) {
                    Some(_) => assert!(matches!(created, Err(Error::NameTaken))),
                    None => {
                        let kept = Kept { version: 1, values: vec![(1, value)] };
                        live.insert(NAMES[name].to_owned(), (created.unwrap().secret.id, kept));
                    }
                }
            }
            Step::Update(name, value) => {
                let Some((id, kept)) = live.get_mut(NAMES[name]) else { return };
                let new = UpdateSecret { value: value_of(&value) };
                vault.update(&owner, *id, new, Some(vec![kept.version])).await.unwrap();
                kept.give(value);
            }
            Step::Rename(from, to) => {
                let Some(id) = found(from) else { return };
                let name = Some(SecretName::parse(NAMES[to]).unwrap());
                let renamed =
                    vault.edit(&owner, id, PatchSecret { name, ..PatchSecret::default() }, None).await;
                if from != to && found(to).is_some() {
                    assert!(matches!(renamed, Err(Error::NameTaken)));
                    return;
                }
                let (id, mut kept) = live.remove(NAMES[from]).unwrap();
                kept.version += 1;
                assert_eq!(renamed.unwrap().version, kept.version);
                live.insert(NAMES[to].to_owned(), (id, kept));
            }
            Step::Rollback(name, back) => {
                let Some((id, kept)) = live.get_mut(NAMES[name]) else { return };
                let target = kept.values.iter().rev().nth(back).cloned();
                let version = target.as_ref().map_or(1_000, |(version, _)| *version);
                let rolled_back = vault.rollback(&owner, *id, RollbackRequest { version }, None).await;
                match target {
                    Some((_, value)) => {
                        rolled_back.unwrap();
                        kept.give(value);
                    }
                    None => assert!(matches!(rolled_back, Err(Error::NotFound))),
                }
            }
            Step::DropVersion(name, back) => {
                let Some((id, kept)) = live.get_mut(NAMES[name]) else { return };
                let at = kept.values.len().checked_sub(back + 1);
                let version = at.map_or(1_000, |at| kept.values[at].0);
                let dropped = vault.drop_version(&owner, *id, version, None).await;
                match at {
                    None => assert!(matches!(dropped, Err(Error::NotFound))),
                    Some(_) if back == 0 => assert!(matches!(dropped, Err(Error::PresentValue))),
                    Some(at) => {
                        dropped.unwrap();
                        kept.values.remove(at);
                    }
                }
            }
            Step::Delete(name) => {
                let Some((id, mut kept)) = live.remove(NAMES[name]) else { return };
                vault.delete(&owner, id, None, false).await.unwrap();
                kept.version += 1;
                trash.insert(id, (NAMES[name].to_owned(), kept));
            }
            Step::Purge(name) => {
                let Some((id, _)) = live.remove(NAMES[name]) else { return };
                vault.delete(&owner, id, None, true).await.unwrap();
            }
            Step::Restore(at) => {
                let Some((id, name)) = trash.iter().nth(at).map(|(id, (name, _))| (*id, name.clone())) else {
                    return;
                };
                let restored = vault.restore(&owner, id).await;
                if live.contains_key(&name) {
                    assert!(matches!(restored, Err(Error::NameTaken)));
                    return;
                }
                let (name, mut kept) = trash.remove(&id).unwrap();
                kept.version += 1;
                assert_eq!(restored.unwrap().version, kept.version);
                live.insert(name, (id, kept));
            }
            Step::Rotate => drop(vault.rotate(&owner, Key::File(self.key.clone()), false).await.unwrap()),
            Step::Lock => {
                vault.lock(&owner).await.unwrap();
                assert!(matches!(self.fixture.reveal(&["*"]).await, Err(Error::Locked)));
                vault.unlock(&owner, Key::File(self.key.clone())).await.unwrap();
            }
            Step::Restart => {
                self.fixture.restart().await;
                self.fixture.vault.unlock(&owner, Key::File(self.key.clone())).await.unwrap();
            }
        }
    }

    async fn compare(&self) {
        let (vault, owner) = (&self.fixture.vault, &self.fixture.owner);
        let listed = self.fixture.list(owner).await.unwrap();
        assert_eq!(listed.len(), self.model.live.len());
        for (detail, (name, (id, kept))) in listed.iter().zip(&self.model.live) {
            let shown = (detail.secret.name.as_str(), detail.secret.id, detail.version);
            assert_eq!(shown, (name.as_str(), *id, kept.version));
            let versions = vault.versions(owner, *id).await.unwrap().versions;
            let numbers: Vec<u64> = versions.iter().rev().map(|version| version.version).collect();
            let expected: Vec<u64> = kept.values.iter().map(|(version, _)| *version).collect();
            assert_eq!(numbers, expected);
        }
        if !self.model.live.is_empty() {
            let values = self.fixture.reveal(&["*"]).await.unwrap();
            let expected = self.model.live.iter().map(|(name, (_, kept))| (name.as_str(), kept.present()));
            assert!(values.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected));
        }
        assert_eq!(self.fixture.trash().await.total, self.model.trash.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_vault_and_the_model_agree(steps in prop::collection::vec(step(), 1..70)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new().await;
            for step in steps {
                pair.take(step).await;
                pair.compare().await;
            }
            pair.fixture.vault.verify(&pair.fixture.owner, VerifyRequest::default()).await.unwrap();
            Ok::<(), TestCaseError>(())
        })?;
    }
}
