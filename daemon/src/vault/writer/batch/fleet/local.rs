//! What this vault has that the others do not know yet, as changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secrets_fleet::said::{Here, When};
use secrets_fleet::secret::{GUARDED, NAME};
use secrets_fleet::{Change as FleetChange, Secret};
use secrets_proto::reveal::Remark;
use secrets_proto::{Provider, Timestamp, Uuid};

use crate::store::RecordKind;
use crate::vault::Error;
use crate::vault::format::fleet::{Fleet, Held};
use crate::vault::format::record::{Record, StoredValue};

use super::super::Batch;
use super::wall;

/// The fields that all machines know, and a secret's texts for them.
pub(super) fn fields(record: &Record) -> BTreeMap<String, Option<String>> {
    let meta = &record.meta;
    let text = |name: &str, text: Option<String>| (name.to_owned(), text);
    [
        text(NAME, Some(meta.name.as_str().to_owned())),
        text("provider", meta.provider.as_ref().map(Provider::as_str).map(str::to_owned)),
        text("note", meta.note.as_ref().map(Remark::as_str).map(str::to_owned)),
        text("expires_at", meta.expires_at.map(|time| time.as_second().to_string())),
        text(GUARDED, meta.guarded.then(|| "yes".to_owned())),
    ]
    .into()
}

/// The provider of this text. None as well if a later version wrote it, which this one does not know; so are the others.
pub(super) fn provider(text: Option<&str>) -> Option<Provider> {
    Provider::parse(text?).ok()
}

/// The note of this text.
pub(super) fn note(text: Option<&str>) -> Option<Remark> {
    Remark::parse(text?).ok()
}

/// The time of this text.
pub(super) fn expiry(text: Option<&str>) -> Option<Timestamp> {
    Timestamp::from_second(text?.parse().ok()?)
}

/// What this version makes of a field's text: it takes no text away that it does not know.
fn understood(name: &str, text: Option<&str>) -> Option<String> {
    match name {
        "provider" => provider(text).map(|provider| provider.as_str().to_owned()),
        "note" => note(text).map(|note| note.as_str().to_owned()),
        "expires_at" => expiry(text).map(|time| time.as_second().to_string()),
        _ => text.map(str::to_owned),
    }
}

/// What came of saying what is new.
pub(super) struct Said {
    /// Whether something was destroyed here that is in the exchange.
    pub(super) purged: bool,
    /// Secrets that had gone their own way, and travel again.
    pub(super) back: BTreeSet<Uuid>,
}

impl Batch<'_> {
    /// Writes objects with all that is new here and travels.
    pub(super) fn say_what_is_new(&mut self, fleet: &mut Fleet) -> Result<Said, Error> {
        let synced = |id: &Uuid| fleet.rows.get(id).map_or(0, |(_, synced)| *synced);
        let travel = fleet.travel();
        let is_new = |record: &&Arc<Record>| {
            synced(&record.id) != record.version && !record.meta.local && travel.lets(&record.meta.name)
        };
        let new: Vec<_> = self.catalog.all().with_trash().filter(is_new).cloned().collect();
        // One that was never here has a name that this version does not know.
        let is_gone = |(id, secret): &(&Uuid, &Arc<Secret<Held>>)| {
            !secret.is_tombstone() && synced(id) > 0 && self.catalog.all().any(**id).is_none()
        };
        let gone: Vec<Uuid> = fleet.replica.secrets.iter().filter(is_gone).map(|(id, _)| *id).collect();
        let (mut changes, mut versions) = (Vec::new(), BTreeMap::new());
        changes.extend(gone.iter().filter_map(|id| fleet.replica.purge(*id, wall())));
        for record in &new {
            self.differences(fleet, record, &mut changes, &mut versions)?;
            // Whatever it was, the row says up to which version it goes.
            fleet.replica.touched.insert(record.id);
        }
        self.write_entries(fleet, changes, &versions)?;
        let mut back = BTreeSet::new();
        for record in &new {
            let version = fleet.rows.get(&record.id).map_or(0, |(version, _)| *version);
            fleet.rows.insert(record.id, (version, record.version));
            if fleet.replica.kept.remove(&record.id).is_some() {
                back.insert(record.id);
            }
        }
        Ok(Said { purged: !gone.is_empty() || std::mem::take(&mut fleet.meta.compact), back })
    }

    /// What is different between a secret as it is here and as the others know it.
    fn differences(
        &self,
        fleet: &Fleet,
        record: &Record,
        changes: &mut Vec<FleetChange<Held>>,
        versions: &mut BTreeMap<(Uuid, u64), u64>,
    ) -> Result<(), Error> {
        let id = record.id;
        let none = Secret::default();
        let known = fleet.replica.seen_here(id).unwrap_or(&none);
        let rows = self.writing.records_of(RecordKind::Value, id.as_bytes())?;
        let values = || known.live.values().chain(known.earlier.values());
        let is_held = |version: u64| values().any(|value| is_row(&value.value, |row| row == version));
        let (mut new, mut of) = (Vec::new(), Vec::new());
        for row in rows.iter().filter(|row| !is_held(row.version)) {
            let (stored_at, value) = StoredValue::open(self.keys, row)?;
            new.push((when(stored_at), Held::New(value)));
            of.push(row.version);
        }
        let there: BTreeSet<u64> = rows.iter().map(|row| row.version).collect();
        let is_gone = |value: &Held| is_row(value, |row| !there.contains(&row));
        let gone = known.earlier.iter().filter(|(_, value)| is_gone(&value.value));
        let here = Here {
            fields: fields(record),
            edited: wall_of(record.meta.updated_at),
            new,
            destroyed: gone.map(|(dot, _)| *dot).collect(),
            trashed: record.is_deleted().then(|| when(record.meta.deleted_at.unwrap_or_else(Timestamp::now))),
        };
        let mut of = of.into_iter();
        for change in fleet.replica.differences(id, here, understood) {
            if let FleetChange::Value { clock, .. } = &change
                && let Some(version) = of.next()
            {
                versions.insert((id, *clock), version);
            }
            changes.push(change);
        }
        Ok(())
    }
}

/// Whether a value is one of this vault's rows, of which this holds.
fn is_row(value: &Held, holds: impl Fn(u64) -> bool) -> bool {
    matches!(value, Held::Row(version) if holds(*version))
}

fn when(at: Timestamp) -> When {
    When { wall: wall_of(at), at: at.as_second() }
}

/// When something was done that has this time, in milliseconds: a machine that comes later with what it has does not make it
/// newer by that. Times are kept to the second, and so what was done in the present one is of now.
pub(super) fn wall_of(at: Timestamp) -> u64 {
    let end = u64::try_from(at.as_second()).unwrap_or(0).saturating_mul(1_000).saturating_add(999);
    wall().min(end)
}
