//! The index of all secrets, of what units may load, and of the access tokens, in memory: what listings and lookups are
//! served from.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use secrets_proto::{Glob, SecretName, UnitName, Uuid};

use super::Rendered;
use super::grant::Grant;
use super::record::Record;
use super::tokens::{Token, Tokens};

/// Every secret by id, and those outside the trash by name; and the access tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    by_id: HashMap<Uuid, Entry>,
    by_name: BTreeMap<SecretName, Arc<Record>>,
    grants: BTreeMap<UnitName, Arc<Grant>>,
    /// The access tokens.
    pub(super) tokens: Tokens,
}

/// One secret.
#[derive(Debug, Clone)]
struct Entry {
    record: Arc<Record>,
    /// As the router rendered it, if somebody has asked for it since it changed.
    rendered: OnceLock<Box<Rendered>>,
}

/// One step from a catalog to the next.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// This is now the secret with its id.
    Put(Arc<Record>),
    /// The secret with this id is gone.
    Remove(Uuid),
    /// This is now what its unit may load.
    Allow(Arc<Grant>),
    /// This unit may load nothing any more.
    Revoke(UnitName),
    /// This is now the token with its id.
    PutToken(Box<Token>),
    /// The token with this id is gone.
    RemoveToken(Uuid),
}

impl Catalog {
    /// Takes a step. A record replaces the earlier one with its id, under whatever name that had.
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(record) => {
                self.forget(record.id);
                if !record.is_deleted() {
                    self.by_name.insert(record.meta.name.clone(), Arc::clone(record));
                }
                let entry = Entry { record: Arc::clone(record), rendered: OnceLock::new() };
                self.by_id.insert(record.id, entry);
            }
            Change::Remove(id) => self.forget(*id),
            Change::Allow(grant) => {
                self.grants.insert(grant.meta.unit.clone(), Arc::clone(grant));
            }
            Change::Revoke(unit) => {
                self.grants.remove(unit);
            }
            Change::PutToken(token) => self.tokens.put(Token::clone(token)),
            Change::RemoveToken(id) => self.tokens.remove(*id),
        }
    }

    fn forget(&mut self, id: Uuid) {
        if let Some(Entry { record: old, .. }) = self.by_id.remove(&id)
            && !old.is_deleted()
        {
            self.by_name.remove(&old.meta.name);
        }
    }

    /// Whether a list may show something else after this step. A version counts every change but when a secret was used,
    /// which no list shows that is kept written.
    pub(super) fn is_shown_by(&self, change: &Change) -> bool {
        match change {
            Change::Put(record) => self.any(record.id).is_none_or(|old| old.version != record.version),
            Change::Remove(_) => true,
            Change::Allow(_) | Change::Revoke(_) | Change::PutToken(_) | Change::RemoveToken(_) => false,
        }
    }

    /// The secret with this id, in the trash or not.
    pub(super) fn any(&self, id: Uuid) -> Option<&Arc<Record>> {
        self.by_id.get(&id).map(|entry| &entry.record)
    }

    /// The secret with this id, unless it is in the trash.
    pub(super) fn by_id(&self, id: Uuid) -> Option<&Arc<Record>> {
        self.any(id).filter(|record| !record.is_deleted())
    }

    /// The same, with the place where it is kept rendered.
    pub(super) fn rendered(&self, id: Uuid) -> Option<(&Record, &OnceLock<Box<Rendered>>)> {
        let entry = self.by_id.get(&id).filter(|entry| !entry.record.is_deleted())?;
        Some((&entry.record, &entry.rendered))
    }

    /// The secret with this name.
    pub(super) fn by_name(&self, name: &SecretName) -> Option<&Arc<Record>> {
        self.by_name.get(name)
    }

    /// All secrets outside the trash, by name.
    pub(super) fn live(&self) -> impl ExactSizeIterator<Item = &Arc<Record>> {
        self.by_name.values()
    }

    /// Those of them whose names match. Only names that begin as the glob does are looked at: most commands ask for one
    /// name.
    pub(super) fn live_like<'a>(&'a self, glob: &'a Glob) -> impl Iterator<Item = &'a Arc<Record>> {
        let beginning = glob.beginning();
        let from = (Bound::Included(beginning), Bound::Unbounded);
        let begun = self.by_name.range::<str, _>(from).map(|(_, record)| record);
        begun
            .take_while(move |record| record.meta.name.as_str().starts_with(beginning))
            .filter(|record| glob.matches(&record.meta.name))
    }

    /// What this unit, or template, may load by a grant of its own.
    pub(super) fn grant(&self, unit: &UnitName) -> Option<&Arc<Grant>> {
        self.grants.get(unit)
    }

    /// Whether this unit may load this secret, by its own name or as an instance of a template.
    pub(super) fn allows(&self, unit: &UnitName, name: &SecretName) -> bool {
        let covers = |unit: &UnitName| self.grants.get(unit).is_some_and(|grant| grant.covers(name));
        covers(unit) || unit.template().is_some_and(|template| covers(&template))
    }

    /// What units may load, by unit.
    pub(super) fn grants(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.grants.values()
    }

    /// All secrets, the trash included, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.by_id.values().map(|entry| &entry.record)
    }
}
