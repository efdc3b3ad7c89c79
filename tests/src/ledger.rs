//! What the answers so far promise about the secrets, and whether the vault keeps it.
//!
//! A write that was answered with success must be there, exactly; one whose answer never came, or was an
//! error of the storage, may be there or not, but never in part.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::connection::Connection;
use crate::http::Answer;
use crate::random::Random;

/// The secrets of one client, which alone changes them.
#[derive(Debug)]
pub struct Ledger {
    random: Random,
    names: BTreeMap<String, Fate>,
    trashed: BTreeSet<String>,
    purged: BTreeSet<String>,
    /// By action and name: how many were answered with success, and how many may have happened besides.
    audit: BTreeMap<(&'static str, String), (usize, usize)>,
    values: u64,
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Absent,
    /// With this value; the id is unknown if the answer that would have told it never came.
    Present {
        id: Option<String>,
        value: String,
    },
    /// A write was not answered: as before or as after.
    Either(Box<Fate>, Box<Fate>),
}

/// How one write ended.
#[derive(Debug)]
pub enum Outcome {
    /// Answered with success.
    Done,
    /// Answered with an error.
    Refused(Answer),
    /// Not answered: the connection is gone.
    Lost,
}

impl Ledger {
    /// A ledger of this many names, all absent, which all begin with `prefix`.
    pub fn new(prefix: &str, names: usize, random: Random) -> Self {
        let names = (0..names).map(|number| (format!("{prefix}_{number}"), Fate::Absent)).collect();
        Self {
            random,
            names,
            trashed: BTreeSet::new(),
            purged: BTreeSet::new(),
            audit: BTreeMap::new(),
            values: 0,
        }
    }

    /// The stream of choices.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Writes something to one of the names whose state is known, and takes note of the answer. Any other answer than
    /// success or a storage error fails the test.
    pub fn step(&mut self, connection: &mut Connection) -> Outcome {
        let known: Vec<String> = self
            .names
            .iter()
            .filter(|(_, fate)| !matches!(fate, Fate::Either(..)))
            .map(|(name, _)| name.clone())
            .collect();
        if known.is_empty() {
            // Every name waits for `check`; nothing more can be learnt before.
            return Outcome::Lost;
        }
        let at = usize::try_from(self.random.below(known.len() as u64)).unwrap();
        let name = known[at].clone();
        let before = self.names[&name].clone();
        let value = self.value(&name);
        let changed = |id: &Option<String>| Fate::Present { id: id.clone(), value: value.clone() };
        let (action, after, method, path, body) = match &before {
            Fate::Absent => {
                let body = json!({ "name": name, "value": value });
                ("create", changed(&None), "POST", "/user/secrets".to_owned(), Some(body))
            }
            Fate::Present { id, .. } => {
                let path = format!("/user/secrets/{}", id.as_ref().unwrap());
                match self.random.below(10) {
                    0..=5 => ("update", changed(id), "PUT", path, Some(json!({ "value": value }))),
                    6..=7 => ("delete", Fate::Absent, "DELETE", path, None),
                    _ => ("purge", Fate::Absent, "DELETE", path + "?purge=true", None),
                }
            }
            Fate::Either(..) => unreachable!("filtered out above"),
        };
        let answer = connection.exchange(method, &path, body.as_ref());
        let counts = self.audit.entry((action, name.clone())).or_default();
        match answer {
            Ok(answer) if (200..300).contains(&answer.status) => {
                counts.0 += 1;
                let after = match (after, &before) {
                    (Fate::Present { value, .. }, _) => {
                        Fate::Present { id: Some(answer.json()["id"].as_str().unwrap().to_owned()), value }
                    }
                    (after, Fate::Present { id: Some(id), .. }) => {
                        let gone = if action == "purge" { &mut self.purged } else { &mut self.trashed };
                        gone.insert(id.clone());
                        after
                    }
                    (after, _) => after,
                };
                self.names.insert(name, after);
                Outcome::Done
            }
            Ok(answer) => {
                answer.expect_error(500, "storage_error");
                counts.1 += 1;
                self.names.insert(name, Fate::Either(Box::new(before), Box::new(after)));
                Outcome::Refused(answer)
            }
            Err(_) => {
                counts.1 += 1;
                self.names.insert(name, Fate::Either(Box::new(before), Box::new(after)));
                Outcome::Lost
            }
        }
    }

    /// Compares what was promised with what an open vault holds, and takes what it holds as known from now on.
    pub fn check(&mut self, world: &World) {
        for (name, fate) in &mut self.names {
            let found = world.live.get(name).map_or(Fate::Absent, |(id, value)| Fate::Present {
                id: Some(id.clone()),
                value: value.clone(),
            });
            assert!(fate.allows(&found), "{name}: promised {fate:?}, found {found:?}");
            *fate = found;
        }
        for id in &self.trashed {
            assert!(world.trashed.contains(id), "{id} was moved to the trash and is not there");
        }
        for id in &self.purged {
            assert!(!world.holds(id), "{id} was destroyed and is there");
        }
        for ((action, name), (sure, unsure)) in &mut self.audit {
            let entries = world.audit.get(&((*action).to_owned(), name.clone())).copied().unwrap_or(0);
            assert!(
                (*sure..=*sure + *unsure).contains(&entries),
                "{action} of {name}: {sure} answered and {unsure} not, but {entries} audit entries"
            );
            (*sure, *unsure) = (entries, 0);
        }
    }

    /// Whether the ledger speaks of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// A value that no other write has; most are short, some fill pages.
    fn value(&mut self, name: &str) -> String {
        self.values += 1;
        let padding = match self.random.below(8) {
            0 => 9_000 + self.random.below(9_000),
            _ => self.random.below(200),
        };
        format!("{name} value {}{}", self.values, ".".repeat(usize::try_from(padding).unwrap()))
    }
}

impl Fate {
    fn allows(&self, found: &Self) -> bool {
        match (self, found) {
            (Self::Either(before, after), found) => before.allows(found) || after.allows(found),
            (Self::Present { id: None, value }, Self::Present { value: found, .. }) => value == found,
            (expected, found) => expected == found,
        }
    }
}

/// What an open vault holds, as its owner sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct World {
    /// By name: id and value.
    pub live: BTreeMap<String, (String, String)>,
    /// The ids in the trash.
    pub trashed: BTreeSet<String>,
    /// By action and name: the number of audit entries.
    audit: BTreeMap<(String, String), usize>,
    /// The number of audit entries.
    pub audit_entries: u64,
}

impl World {
    /// Reads everything, and lets the daemon verify all it has. The audit log must fit into one answer.
    pub fn read(connection: &mut Connection) -> Self {
        let listed = connection.ask("GET", "/user/secrets", None).expect(200);
        let listed: BTreeMap<String, String> =
            items(&listed["secrets"]).map(|secret| (text(&secret["name"]), text(&secret["id"]))).collect();
        let mut live = BTreeMap::new();
        if !listed.is_empty() {
            let request = json!({ "secrets": ["*"], "purpose": "test" });
            let revealed = connection.ask("POST", "/user/secrets/reveal", Some(&request)).expect(200);
            for secret in items(&revealed["secrets"]) {
                live.insert(text(&secret["name"]), (text(&secret["id"]), text(&secret["value"])));
            }
        }
        assert!(
            listed.iter().eq(live.iter().map(|(name, (id, _))| (name, id))),
            "listed {listed:?}, revealed {live:?}"
        );
        let trash = connection.ask("GET", "/user/secrets/trash", None).expect(200);
        let trashed = items(&trash["secrets"]).map(|secret| text(&secret["id"])).collect();
        let verified = connection.ask("POST", "/vault/verify", Some(&json!({}))).expect(200);
        assert_eq!(verified["secrets"], live.len());
        let list = connection.ask("GET", "/audit?limit=1000", None).expect(200);
        let mut audit: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut audit_entries = 0;
        for entry in items(&list["entries"]) {
            audit_entries += 1;
            assert_eq!(entry["sequence"], audit_entries, "the audit log has a gap");
            for name in entry["names"].as_array().into_iter().flatten() {
                *audit.entry((text(&entry["action"]), text(name))).or_default() += 1;
            }
        }
        assert_eq!(verified["audit_entries"], audit_entries);
        Self { live, trashed, audit, audit_entries }
    }

    fn holds(&self, id: &str) -> bool {
        self.trashed.contains(id) || self.live.values().any(|(known, _)| known == id)
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().unwrap().iter()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(id: Option<&str>, value: &str) -> Fate {
        Fate::Present { id: id.map(str::to_owned), value: value.to_owned() }
    }

    #[test]
    fn an_answered_write_allows_one_outcome_and_an_unanswered_one_two() {
        let (old, new) = (present(Some("1"), "old"), present(Some("1"), "new"));
        assert!(old.allows(&old) && !old.allows(&new) && !old.allows(&Fate::Absent));
        let either = Fate::Either(Box::new(old.clone()), Box::new(new.clone()));
        assert!(either.allows(&old) && either.allows(&new) && !either.allows(&Fate::Absent));
        assert!(!either.allows(&present(Some("1"), "mixed")));
        assert!(present(None, "new").allows(&new) && !present(None, "new").allows(&old));
    }
}
