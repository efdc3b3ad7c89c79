//! An index of secrets, by id and by name: of all of them, or of those that one access token sees. Indexes share their
//! entries.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use secrets_proto::{Glob, SecretName, Uuid};

use crate::caller::TokenRights;
use crate::vault::format::record::Record;
use crate::vault::{Error, Rendered};

use super::effort::Effort;

/// Every secret by id, and those outside the trash by name.
#[derive(Debug, Clone, Default)]
pub(in crate::vault) struct Secrets {
    by_id: HashMap<Uuid, Arc<Entry>>,
    by_name: BTreeSet<ByName>,
    /// How many bytes the values of those outside the trash have.
    bytes: u64,
}

/// One secret.
#[derive(Debug)]
pub(in crate::vault) struct Entry {
    record: Arc<Record>,
    /// The secret as the router rendered it, if somebody has asked for it since it changed.
    rendered: OnceLock<Box<Rendered>>,
}

impl Secrets {
    /// An index of nothing.
    pub(in crate::vault) fn none() -> &'static Self {
        static NONE: OnceLock<Secrets> = OnceLock::new();
        NONE.get_or_init(Self::default)
    }

    /// An index of the secrets that the token sees.
    pub(in crate::vault) fn seen_by(&self, rights: &TokenRights) -> Self {
        let mut seen = Self::default();
        let entries = self.by_id.values().filter(|entry| rights.sees(&entry.record.meta.name));
        entries.for_each(|entry| seen.insert(Arc::clone(entry)));
        seen
    }

    /// Puts a record in the place of the one with its id, under whatever name that had.
    pub(in crate::vault) fn put(&mut self, record: Arc<Record>) -> Arc<Entry> {
        let entry = Arc::new(Entry { record, rendered: OnceLock::new() });
        self.insert(Arc::clone(&entry));
        entry
    }

    /// Puts an entry of another index here.
    pub(in crate::vault) fn insert(&mut self, entry: Arc<Entry>) {
        self.remove(entry.record.id);
        if !entry.record.is_deleted() {
            self.bytes += entry.record.meta.size;
            self.by_name.insert(ByName(Arc::clone(&entry)));
        }
        self.by_id.insert(entry.record.id, entry);
    }

    /// Removes the secret with this id, if it is here.
    pub(in crate::vault) fn remove(&mut self, id: Uuid) {
        if let Some(old) = self.by_id.remove(&id)
            && !old.record.is_deleted()
        {
            self.bytes -= old.record.meta.size;
            self.by_name.remove(old.record.meta.name.as_str());
        }
    }

    /// The secret with this id, in the trash or not.
    pub(in crate::vault) fn any(&self, id: Uuid) -> Option<&Arc<Record>> {
        self.by_id.get(&id).map(|entry| &entry.record)
    }

    /// The secret with this id, unless it is in the trash.
    pub(in crate::vault) fn by_id(&self, id: Uuid) -> Option<&Arc<Record>> {
        self.any(id).filter(|record| !record.is_deleted())
    }

    /// The secret with this id, unless it is in the trash, and the place where it is kept rendered.
    pub(in crate::vault) fn rendered(&self, id: Uuid) -> Option<(&Record, &OnceLock<Box<Rendered>>)> {
        let entry = self.by_id.get(&id).filter(|entry| !entry.record.is_deleted())?;
        Some((&entry.record, &entry.rendered))
    }

    /// The secret with this name.
    pub(in crate::vault) fn by_name(&self, name: &SecretName) -> Option<&Arc<Record>> {
        self.by_name.get(name.as_str()).map(|ByName(entry)| &entry.record)
    }

    /// How many are outside the trash.
    pub(in crate::vault) fn live_count(&self) -> usize {
        self.by_name.len()
    }

    /// How many bytes the values of all outside the trash have together.
    pub(in crate::vault) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All outside the trash, by name.
    pub(in crate::vault) fn live(&self) -> impl ExactSizeIterator<Item = &Arc<Record>> {
        self.by_name.iter().map(|ByName(entry)| &entry.record)
    }

    /// The secrets outside the trash whose names begin so, by name.
    pub(in crate::vault) fn live_from<'a>(
        &'a self,
        beginning: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Record>> {
        let range = (Bound::Included(beginning), Bound::Unbounded);
        let from = self.by_name.range::<str, _>(range).map(|ByName(entry)| &entry.record);
        from.take_while(move |record| record.meta.name.as_str().starts_with(beginning))
    }

    /// The secrets outside the trash from this name to before that one, or all that follow, by name.
    pub(in crate::vault) fn live_between<'a>(
        &'a self,
        first: &'a str,
        end: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Record>> {
        let range = (Bound::Included(first), end.map_or(Bound::Unbounded, Bound::Excluded));
        self.by_name.range::<str, _>(range).map(|ByName(entry)| &entry.record)
    }

    /// The secrets outside the trash whose names match, by name. Only names that begin as the glob does are looked at: most commands ask for
    /// one name. Each one looked at is a step of `effort`, whose refusal ends the search.
    pub(in crate::vault) fn live_like<'a>(
        &'a self,
        glob: &'a Glob,
        effort: &mut Effort<'_>,
    ) -> Result<Vec<&'a Arc<Record>>, Error> {
        let (beginning, matcher) = (glob.beginning(), glob.matcher());
        let mut found = Vec::new();
        for record in self.live_from(beginning) {
            effort.step()?;
            if matcher.matches(&record.meta.name) {
                found.push(record);
            }
        }
        Ok(found)
    }

    /// All of them, the trash included, in no order.
    pub(in crate::vault) fn with_trash(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.by_id.values().map(|entry| &entry.record)
    }
}

/// An entry where its name puts it.
#[derive(Debug, Clone)]
struct ByName(Arc<Entry>);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.0.record.meta.name.as_str()
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        Borrow::<str>::borrow(self).cmp(other.borrow())
    }
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ByName {}
