//! The operations on secrets, inside one transaction. Each checks first, then writes rows, then the audit
//! entry; what it refuses, it has not touched.

mod approvals;
mod archive;
mod fleet;
mod import;
mod items;
mod keys;
mod reveal;
mod rules;
mod sessions;
mod tokens;
mod unit_grants;
mod uses;

pub(in crate::vault) use fleet::Synced;
pub(in crate::vault) use sessions::{Begun, Means};
pub(in crate::vault) use uses::told_of;

use std::sync::Arc;

use secrets_proto::approval::GuardedRight;
use secrets_proto::audit::{AuditAction, Refusal};
use secrets_proto::reveal::Remark;
use secrets_proto::rule::Rule;
use secrets_proto::secret::{CreateSecret, PatchSecret, SecretDetail, UpdateSecret};
use secrets_proto::{SecretName, SecretValue, Timestamp, Uuid};

use crate::audit::{self, Denial, Event};
use crate::caller::{Caller, Scope};
use crate::crypto::keys::Keys;
use crate::crypto::seal;
use crate::store::{AuditRow, RecordKey, RecordKind, RecordRow, Store, Writing};
use crate::vault::format::audit_chain::{audit_context, audit_mac};
use crate::vault::format::manifest::Manifest;
use crate::vault::format::record::{Record, StoredValue, record_context};
use crate::vault::writer::catalog::{Catalog, Change};
use crate::vault::writer::ids::Ids;
use crate::vault::writer::uses::Taken;
use crate::vault::{Error, FleetError};

use approvals::{Gate, Why};

/// How many versions of a value are kept, the present one included.
const VERSIONS_KEPT: usize = 10;

/// One transaction on an open vault, shared by the writes that arrived together.
pub(in crate::vault) struct Batch<'a> {
    writing: Writing<'a>,
    keys: &'a Keys,
    catalog: &'a mut Catalog,
    ids: &'a mut Ids,
    lineage: [u8; 16],
    manifest: Manifest,
    done: Committed,
    gate: Gate,
}

/// What a batch did, once it is durable.
#[derive(Debug, Default)]
pub(in crate::vault) struct Committed {
    /// The steps for every other copy of the catalog.
    pub(in crate::vault) changes: Vec<Change>,
    /// The records that were added or removed.
    pub(in crate::vault) rows: Vec<RecordKey>,
    /// Whether anything was written, be it an entry of the audit log alone.
    pub(in crate::vault) written: bool,
    /// Whether it must have left the disk before the answer.
    pub(in crate::vault) purged: bool,
    /// The number of key slots, if it may have changed.
    pub(in crate::vault) slots: Option<usize>,
    /// What was refused, for the audit log.
    pub(in crate::vault) denials: Vec<Denial>,
    /// Which values were taken to be used.
    pub(in crate::vault) uses: Vec<Taken>,
}

impl<'a> Batch<'a> {
    /// Starts a transaction. `catalog` is changed along with it; if the batch does not commit, it is stale.
    pub(in crate::vault) fn begin(
        store: &'a Store,
        keys: &'a Keys,
        catalog: &'a mut Catalog,
        ids: &'a mut Ids,
        lineage: [u8; 16],
        manifest: Manifest,
    ) -> Result<Self, Error> {
        let writing = store.begin()?;
        Ok(Self {
            writing,
            keys,
            catalog,
            ids,
            lineage,
            manifest,
            done: Committed::default(),
            gate: Gate::default(),
        })
    }

    /// Whether nothing was done since `before`.
    pub(in crate::vault) fn is_idle(&self, before: &Manifest) -> bool {
        self.manifest == *before
    }

    /// What became of it, if it is not to be committed.
    pub(in crate::vault) fn into_done(self) -> Committed {
        self.done
    }

    /// Makes everything durable, with the manifest that accounts for it. Returns what was done, and the vault's lineage and
    /// manifest from now on.
    pub(in crate::vault) fn commit(mut self) -> Result<(Committed, [u8; 16], Manifest), Error> {
        self.manifest.generation += 1;
        self.manifest.mark_guarded(self.catalog.has_guarded_secrets(), self.catalog.items.has_guarded());
        self.manifest.mark_local(self.catalog.has_local());
        self.writing.update_manifest(&self.manifest.seal(self.keys, &self.lineage)?)?;
        self.writing.commit()?;
        self.done.written = true;
        Ok((self.done, self.lineage, self.manifest))
    }

    /// Stores a new secret.
    pub(in crate::vault) fn create(
        &mut self,
        caller: &Caller,
        new: CreateSecret,
    ) -> Result<SecretDetail, Error> {
        self.create_noted(caller, new, None)
    }

    /// Stores a new secret with a note.
    fn create_noted(
        &mut self,
        caller: &Caller,
        new: CreateSecret,
        note: Option<Remark>,
    ) -> Result<SecretDetail, Error> {
        if !caller.sees(&new.name) {
            self.refuse_name(caller, AuditAction::Create, &new.name);
            return Err(Error::OutsideNames);
        }
        if self.catalog.of(caller).by_name(&new.name).is_some() {
            return Err(Error::NameTaken);
        }
        let id = self.ids.next()?;
        let mut record = Record::new(id, new.name, new.provider, &new.value);
        (record.meta.note, record.meta.local) = (note, new.local);
        self.insert_value(&record, &new.value)?;
        self.put(None, record, caller, AuditAction::Create)
    }

    /// Gives a secret a new value.
    pub(in crate::vault) fn update(
        &mut self,
        caller: &Caller,
        id: Uuid,
        new: &UpdateSecret,
        expected: Option<Vec<u64>>,
    ) -> Result<SecretDetail, Error> {
        let old = self.find_to_change(caller, id, expected, AuditAction::Update)?;
        self.renew(caller, &old, new)
    }

    /// Gives a secret a new value that the caller may change.
    fn renew(&mut self, caller: &Caller, old: &Record, new: &UpdateSecret) -> Result<SecretDetail, Error> {
        let record = old.next_with_value(&new.value);
        self.insert_value(&record, &new.value)?;
        self.drop_old_versions(old.id)?;
        self.put(Some(old), record, caller, AuditAction::Update)
    }

    /// Changes a secret's metadata. Another provider may bring other rules, `rules` says which: then it takes the scope of
    /// those who set rules.
    pub(in crate::vault) fn edit(
        &mut self,
        caller: &Caller,
        id: Uuid,
        patch: PatchSecret,
        expected: Option<Vec<u64>>,
        rules: fn(&Record) -> Vec<Rule>,
    ) -> Result<SecretDetail, Error> {
        let old = self.find_to_change(caller, id, expected, AuditAction::Edit)?;
        if let Some(name) = &patch.name {
            if !caller.sees(name) {
                self.refuse_name(caller, AuditAction::Edit, name);
                return Err(Error::OutsideNames);
            }
            if self.catalog.of(caller).by_name(name).is_some_and(|other| other.id != id) {
                return Err(Error::NameTaken);
            }
            if *name != old.meta.name {
                self.check_not_granted(&old, name)?;
            }
        }
        let record = old.next(|meta| {
            meta.name = patch.name.unwrap_or_else(|| meta.name.clone());
            meta.provider = patch.provider.unwrap_or_else(|| meta.provider.clone());
            meta.note = patch.note.unwrap_or_else(|| meta.note.clone());
            meta.expires_at = patch.expires_at.unwrap_or(meta.expires_at);
        });
        if !caller.may(Scope::Admin) && rules(&old) != rules(&record) {
            self.refuse_name(caller, AuditAction::RuleSet, &old.meta.name);
            return Err(Error::ChangesRules);
        }
        let detail = self.put(Some(&old), record, caller, AuditAction::Edit)?;
        if detail.secret.name != old.meta.name {
            self.follow_name(id)?;
        }
        Ok(detail)
    }

    /// Moves a secret to the trash; its name is free at once.
    pub(in crate::vault) fn delete(
        &mut self,
        caller: &Caller,
        id: Uuid,
        expected: Option<Vec<u64>>,
    ) -> Result<(), Error> {
        let old = self.find_to_change(caller, id, expected, AuditAction::Delete)?;
        let record = old.next(|meta| meta.deleted_at = Some(meta.updated_at));
        self.put(Some(&old), record, caller, AuditAction::Delete).map(drop)
    }

    /// Destroys a secret with all its versions, in the trash or not.
    pub(in crate::vault) fn purge(
        &mut self,
        caller: &Caller,
        id: Uuid,
        expected: Option<Vec<u64>>,
    ) -> Result<(), Error> {
        let old = self.catalog.of(caller).any(id).cloned().ok_or(Error::NotFound)?;
        check_version(&old, expected)?;
        self.approve(caller, GuardedRight::Write, AuditAction::Purge, [&old], Why::default())?;
        self.check_approved(&old, &[GuardedRight::Write])?;
        self.hold_of_others(id, |_| true)?;
        for row in self.writing.records_of(RecordKind::Value, id.as_bytes())? {
            self.delete_row(&row)?;
        }
        self.delete_record(&old)?;
        self.remove_approval_rules_of(id)?;
        self.apply(Change::Remove(id));
        self.done.purged = true;
        let event = Event::done(AuditAction::Purge, vec![old.meta.name.clone()]);
        self.audit(caller, Event { approvals: self.approved_by(), ..event })
    }

    /// Takes a secret out of the trash, unless its name was given to another meanwhile.
    pub(in crate::vault) fn restore(&mut self, caller: &Caller, id: Uuid) -> Result<SecretDetail, Error> {
        let old = self.catalog.of(caller).any(id).filter(|record| record.is_deleted());
        let old = old.cloned().ok_or(Error::NotFound)?;
        if self.catalog.of(caller).by_name(&old.meta.name).is_some() {
            return Err(Error::NameTaken);
        }
        self.approve(caller, GuardedRight::Write, AuditAction::Restore, [&old], Why::default())?;
        self.check_not_granted(&old, &old.meta.name)?;
        let record = old.next(|meta| meta.deleted_at = None);
        self.put(Some(&old), record, caller, AuditAction::Restore)
    }

    /// Makes an earlier value the present one again, as a new version.
    pub(in crate::vault) fn rollback(
        &mut self,
        caller: &Caller,
        id: Uuid,
        version: u64,
        expected: Option<Vec<u64>>,
    ) -> Result<SecretDetail, Error> {
        let old = self.find_to_change(caller, id, expected, AuditAction::Rollback)?;
        let row = self.writing.record(RecordKind::Value, id.as_bytes(), version)?.ok_or(Error::NotFound)?;
        let (_, value) = StoredValue::open(self.keys, &row)?;
        let record = old.next_with_value(&value);
        self.insert_value(&record, &value)?;
        self.drop_old_versions(id)?;
        self.put(Some(&old), record, caller, AuditAction::Rollback)
    }

    /// Settles on one of the values that several machines have stored at the same time, as a new version: by default on the
    /// present one.
    pub(in crate::vault) fn resolve(
        &mut self,
        caller: &Caller,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<SecretDetail, Error> {
        let record = self.find(caller, id, None)?;
        if !record.has_conflict() {
            return Err(Error::Fleet(FleetError::NoConflict));
        }
        self.rollback(caller, id, version.unwrap_or(record.meta.value_version), None)
    }

    /// Destroys an earlier value of a secret; the present one stays.
    pub(in crate::vault) fn drop_version(
        &mut self,
        caller: &Caller,
        id: Uuid,
        version: u64,
        expected: Option<Vec<u64>>,
    ) -> Result<(), Error> {
        let record = self.find_to_change(caller, id, expected, AuditAction::VersionDrop)?;
        if record.meta.value_version == version {
            return Err(Error::PresentValue);
        }
        let row = self.writing.record(RecordKind::Value, id.as_bytes(), version)?.ok_or(Error::NotFound)?;
        self.hold_of_others(id, |gone| gone == version)?;
        self.delete_row(&row)?;
        self.value_is_gone(id)?;
        self.done.purged = true;
        let event = Event::done(AuditAction::VersionDrop, vec![record.meta.name.clone()]);
        self.audit(caller, Event { approvals: self.approved_by(), ..event })
    }

    /// Destroys what has been in the trash for too long by `now`.
    pub(in crate::vault) fn empty_trash(&mut self, caller: &Caller, now: Timestamp) -> Result<(), Error> {
        let due: Vec<Uuid> = self
            .catalog
            .all()
            .with_trash()
            .filter(|record| record.purged_at().is_some_and(|time| time <= now))
            .map(|record| record.id)
            .filter(|id| self.may_expire(*id, now))
            .collect();
        due.into_iter().try_for_each(|id| self.purge(caller, id, None))?;
        self.empty_item_trash(caller, now)
    }

    /// Adds an entry to the audit log: sealed, and chained to the one before.
    pub(in crate::vault) fn audit(&mut self, caller: &Caller, event: Event) -> Result<(), Error> {
        self.append(audit::encode(caller, event))
    }

    /// Adds the entries of denials that have waited to be written.
    pub(in crate::vault) fn denials(&mut self, denials: &[Denial]) -> Result<(), Error> {
        denials.iter().try_for_each(|denial| self.append(denial.encode()))
    }

    /// Notes a refusal. Its entry is written later: nobody who is refused waits for the disk.
    fn refuse(&mut self, caller: &Caller, event: Event) {
        self.done.denials.push(Denial::now(caller, event));
    }

    fn refuse_name(&mut self, caller: &Caller, action: AuditAction, name: &SecretName) {
        self.refuse(caller, Event { names: vec![name.clone()], ..Event::refused(action, Refusal::Scope) });
    }

    fn append(&mut self, plaintext: Option<Vec<u8>>) -> Result<(), Error> {
        let plaintext = plaintext.ok_or(Error::Internal("an audit entry does not encode"))?;
        let sequence = self.manifest.audit_count + 1;
        let sealed = seal::seal(self.keys, audit_context(&sequence.to_be_bytes(), sequence), &plaintext)?;
        let mac = audit_mac(self.keys, &self.manifest.audit_head, sequence, &sealed);
        self.writing.append_audit(&AuditRow { sequence, sealed, mac })?;
        (self.manifest.audit_count, self.manifest.audit_head) = (sequence, mac);
        Ok(())
    }

    /// The secret with this id, as far as the caller can tell, if it has the version that the caller expects.
    fn find(&self, caller: &Caller, id: Uuid, expected: Option<Vec<u64>>) -> Result<Arc<Record>, Error> {
        let record = self.catalog.of(caller).by_id(id).cloned().ok_or(Error::NotFound)?;
        check_version(&record, expected)?;
        Ok(record)
    }

    /// Refuses a name for a guarded secret that a unit may load: nobody has allowed the unit this secret.
    fn check_not_granted(&self, record: &Record, name: &SecretName) -> Result<(), Error> {
        let is_granted = || self.catalog.grants().any(|grant| grant.covers(name));
        if record.meta.guarded && is_granted() { Err(Error::NameGranted) } else { Ok(()) }
    }

    /// The secret as [`find`](Self::find) has it, if the caller may change it.
    fn find_to_change(
        &mut self,
        caller: &Caller,
        id: Uuid,
        expected: Option<Vec<u64>>,
        action: AuditAction,
    ) -> Result<Arc<Record>, Error> {
        let record = self.find(caller, id, expected)?;
        self.approve(caller, GuardedRight::Write, action, [&record], Why::default())?;
        Ok(record)
    }

    /// Writes a record in place of `old`, if there was one, with its audit entry.
    fn put(
        &mut self,
        old: Option<&Record>,
        record: Record,
        caller: &Caller,
        action: AuditAction,
    ) -> Result<SecretDetail, Error> {
        if let Some(old) = old {
            self.check_approved(old, &[GuardedRight::Write])?;
            self.delete_record(old)?;
        }
        let names = names_of(old, &record);
        let detail = record.to_detail();
        self.insert_record(record)?;
        self.audit(caller, Event { approvals: self.approved_by(), ..Event::done(action, names) })?;
        Ok(detail)
    }

    fn insert_record(&mut self, record: Record) -> Result<(), Error> {
        let context = record_context(RecordKind::Secret, record.id.as_bytes(), record.version);
        let sealed = seal::seal(self.keys, context, &record.encode()?)?;
        self.insert_row(&RecordRow {
            kind: RecordKind::Secret,
            id: *record.id.as_bytes(),
            version: record.version,
            sealed,
        })?;
        self.apply(Change::Put(Arc::new(record)));
        Ok(())
    }

    fn delete_record(&mut self, record: &Record) -> Result<(), Error> {
        let row = self.writing.record(RecordKind::Secret, record.id.as_bytes(), record.version)?;
        self.delete_row(&row.ok_or(Error::Corrupt("a secret's row is missing"))?)
    }

    fn insert_value(&mut self, record: &Record, value: &SecretValue) -> Result<(), Error> {
        let row = StoredValue::seal(
            self.keys,
            record.id,
            record.meta.value_version,
            record.meta.updated_at,
            value,
        )?;
        self.insert_row(&row)
    }

    fn open_value(&self, record: &Record) -> Result<SecretValue, Error> {
        self.check_approved(record, &[GuardedRight::Reveal, GuardedRight::Use])?;
        let row = self.writing.record(RecordKind::Value, record.id.as_bytes(), record.meta.value_version)?;
        let row = row.ok_or(Error::Corrupt("a secret's value is missing"))?;
        StoredValue::open(self.keys, &row).map(|(_, value)| value)
    }

    fn drop_old_versions(&mut self, id: Uuid) -> Result<(), Error> {
        let rows = self.writing.records_of(RecordKind::Value, id.as_bytes())?;
        let Some(oldest) = rows.iter().rev().nth(VERSIONS_KEPT - 1).map(|row| row.version) else {
            return Ok(());
        };
        self.hold_of_others(id, |version| version < oldest)?;
        rows.iter().filter(|row| row.version < oldest).try_for_each(|row| self.delete_row(row))
    }

    fn insert_row(&mut self, row: &RecordRow) -> Result<(), Error> {
        self.check_value_row(row)?;
        self.writing.insert_record(row)?;
        self.done.rows.push(row.key());
        self.manifest.add(self.keys, row)
    }

    fn delete_row(&mut self, row: &RecordRow) -> Result<(), Error> {
        self.check_value_row(row)?;
        self.writing.delete_record(row)?;
        self.done.rows.push(row.key());
        self.manifest.remove(self.keys, row)
    }

    fn apply(&mut self, change: Change) {
        self.catalog.apply(&change);
        self.done.changes.push(change);
    }
}

fn check_version(record: &Record, expected: Option<Vec<u64>>) -> Result<(), Error> {
    match expected {
        Some(versions) if !versions.contains(&record.version) => Err(Error::Stale),
        _ => Ok(()),
    }
}

/// The names that an audit entry about this change concerns: the new one, and the old one if it was another.
fn names_of(old: Option<&Record>, new: &Record) -> Vec<SecretName> {
    let mut names = vec![new.meta.name.clone()];
    names.extend(old.map(|old| old.meta.name.clone()).filter(|name| *name != new.meta.name));
    names
}
