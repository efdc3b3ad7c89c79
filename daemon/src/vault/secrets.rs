//! The facade's operations on secrets: reads from what is published, writes through the vault's thread.

use std::sync::Arc;

use bytes::Bytes;
use secrets_proto::audit::AuditAction;
use secrets_proto::reveal::{RevealReply, RevealRequest};
use secrets_proto::secret::{
    CreateFromPreset, CreateSecret, PatchSecret, Preset, PresetList, RollbackRequest, SameList, Secret,
    SecretDetail, UpdateSecret, VersionList, WriteSecret,
};
use secrets_proto::{Selector, Uuid};

use crate::caller::{Caller, Scope};

use super::format::record::Record;
use super::writer::effort::Effort;
use super::writer::shared::Published;
use super::{Error, Form, Held, Rendered, Vault, presets, rules};

/// A reveal of so many secrets by name or id is a small thing,
const LIGHT: usize = 16;

/// if they have no more bytes than this together: as many connections as there may be ask at once, and need not read.
const LIGHT_BYTES: u64 = 16 << 10;

/// Writing so many bytes of values takes as long as looking at a secret.
const BYTES_A_STEP: usize = 256;

impl Vault {
    /// All secrets, written by `form`, which is asked only for what has changed since. Scope `list`. For callers that see
    /// every name; others are refused, and ask for a filtered list.
    pub(crate) fn rendered_list(&self, caller: &Caller, form: Form<Secret>) -> Result<Rendered, Error> {
        self.check(caller, Scope::List, AuditAction::List)?;
        if !caller.sees_all() {
            return Err(Error::Internal("a list for all is not for this caller"));
        }
        if let Some(rendered) = &self.shared.read().view()?.rendered {
            return Ok(rendered.clone());
        }
        let Published::Unlocked(view) = &mut *self.shared.write() else { return Err(Error::Locked) };
        let stale = view.pages.stale(view.catalog.all(), |_| true);
        view.pages.write(stale, Record::to_secret, form.page);
        let body = view.pages.join(form.list, std::mem::take(&mut view.earlier));
        let rendered = Rendered { body, tag: Bytes::from(format!("\"{}\"", view.tag)) };
        Ok(view.rendered.insert(rendered).clone())
    }

    /// One secret, as `render` wrote it; it is called only when the secret has changed since. Scope `list`.
    pub(crate) fn rendered_secret(
        &self,
        caller: &Caller,
        id: Uuid,
        render: fn(&Secret) -> Bytes,
    ) -> Result<Rendered, Error> {
        self.check(caller, Scope::List, AuditAction::List)?;
        let published = self.shared.read();
        let secrets = published.view()?.catalog.of(caller);
        let (record, rendered) = secrets.rendered(id).ok_or(Error::NotFound)?;
        let render = || {
            let tag = Bytes::from(format!("\"{}\"", record.version));
            Box::new(Rendered { body: render(&record.to_secret()), tag })
        };
        Ok(Rendered::clone(rendered.get_or_init(render)))
    }

    /// One secret. Scope `list`.
    pub(crate) fn secret(&self, caller: &Caller, id: Uuid) -> Result<SecretDetail, Error> {
        self.check(caller, Scope::List, AuditAction::List)?;
        let published = self.shared.read();
        let found = published.view()?.catalog.of(caller).by_id(id);
        found.map(|record| record.to_detail()).ok_or(Error::NotFound)
    }

    /// The presets, with whether each is configured. Scope `list`.
    pub(crate) fn presets(&self, caller: &Caller) -> Result<PresetList, Error> {
        self.check(caller, Scope::List, AuditAction::List)?;
        let published = self.shared.read();
        let secrets = published.view()?.catalog.of(caller);
        let presets = presets::all().map_err(|_| Error::Internal("the table of presets is malformed"))?;
        let presets = presets
            .into_iter()
            .map(|(provider, env_var_name)| {
                let configured = secrets.by_name(&env_var_name).is_some();
                Preset { provider, env_var_name, configured }
            })
            .collect();
        Ok(PresetList { presets })
    }

    /// Stores a new secret; durable when this returns. Scope `write`.
    pub(crate) async fn create(&self, caller: &Caller, new: CreateSecret) -> Result<SecretDetail, Error> {
        self.check(caller, Scope::Write, AuditAction::Create)?;
        self.write(caller, move |batch, caller| batch.create(caller, new)).await
    }

    /// Stores a new secret under its preset's name. Scope `write`.
    pub(crate) async fn create_from_preset(
        &self,
        caller: &Caller,
        new: CreateFromPreset,
    ) -> Result<SecretDetail, Error> {
        self.check(caller, Scope::Write, AuditAction::Create)?;
        let name = presets::variable_of(&new.provider).ok_or(Error::UnknownPreset)?;
        let (value, provider) = (new.value, Some(new.provider));
        self.create(caller, CreateSecret { name, value, provider, local: false }).await
    }

    /// Stores all of these in one transaction, or none. Scope `write`.
    pub(crate) async fn write_all(
        &self,
        caller: &Caller,
        all: Vec<WriteSecret>,
    ) -> Result<Vec<SecretDetail>, Error> {
        let _permit = self.heavy_permit(caller).await?;
        self.check(caller, Scope::Write, AuditAction::Create)?;
        let shared = Arc::clone(&self.shared);
        // Of no use without its answer: a client that has gone before its turn has given up.
        self.write_for_answer(caller, move |batch, caller| {
            batch.write_all(caller, all, &Effort::new(shared.urgent.interrupts()))
        })
        .await
    }

    /// Gives a secret a new value. `expected` are the versions that `If-Match` names. Scope `write`.
    pub(crate) async fn update(
        &self,
        caller: &Caller,
        id: Uuid,
        new: UpdateSecret,
        expected: Option<Vec<u64>>,
    ) -> Result<SecretDetail, Error> {
        self.check(caller, Scope::Write, AuditAction::Update)?;
        self.write(caller, move |batch, caller| batch.update(caller, id, &new, expected)).await
    }

    /// Changes a secret's metadata. Scope `write`; with a provider whose rules are others, `admin` too.
    pub(crate) async fn edit(
        &self,
        caller: &Caller,
        id: Uuid,
        patch: PatchSecret,
        expected: Option<Vec<u64>>,
    ) -> Result<SecretDetail, Error> {
        self.check(caller, Scope::Write, AuditAction::Edit)?;
        self.write(caller, move |batch, caller| batch.edit(caller, id, patch, expected, rules::that_hold))
            .await
    }

    /// Moves a secret to the trash, or destroys it with all its versions. Scope `write`.
    pub(crate) async fn delete(
        &self,
        caller: &Caller,
        id: Uuid,
        expected: Option<Vec<u64>>,
        purge: bool,
    ) -> Result<(), Error> {
        let action = if purge { AuditAction::Purge } else { AuditAction::Delete };
        self.check(caller, Scope::Write, action)?;
        self.write_again(caller, move |batch, caller| {
            let expected = expected.clone();
            if purge { batch.purge(caller, id, expected) } else { batch.delete(caller, id, expected) }
        })
        .await
    }

    /// Hands values over, as `write` wrote them, after the audit entry is durable. Scope `reveal`.
    pub(crate) async fn reveal<T: Send + 'static>(
        &self,
        caller: &Caller,
        request: RevealRequest,
        write: impl FnOnce(RevealReply) -> T + Send + 'static,
    ) -> Result<Held<T>, Error> {
        let size = self.size_of(caller, &request.secrets);
        let is_heavy = request.secrets.len() > LIGHT
            || request.secrets.iter().any(Selector::is_glob)
            || size > LIGHT_BYTES;
        let permit = if is_heavy { Some(self.heavy_permit(caller).await?) } else { None };
        self.check(caller, Scope::Reveal, AuditAction::Reveal)?;
        let permit = match permit {
            Some(permit) => {
                Some(permit.with(self.room.take(caller, usize::try_from(size).unwrap_or(usize::MAX)).await))
            }
            None => None,
        };
        let shared = Arc::clone(&self.shared);
        let reveal = self.write_for_answer(caller, move |batch, caller| {
            batch.reveal(caller, request, Effort::new(shared.urgent.interrupts()))
        });
        let reply = reveal.await?;
        let size: usize = reply.secrets.iter().map(|secret| secret.value.expose().len()).sum();
        let reply = self.at_leisure(caller, size / BYTES_A_STEP, move || write(reply)).await?;
        Ok(Held { reply, permit })
    }

    /// The other secrets with the same value. Scope `reveal`: that two values are equal tells about both, and who may store
    /// could try values until one is.
    pub(crate) async fn same(&self, caller: &Caller, id: Uuid) -> Result<SameList, Error> {
        let _permit = self.heavy_permit(caller).await?;
        self.check(caller, Scope::Reveal, AuditAction::Compare)?;
        let shared = Arc::clone(&self.shared);
        let same = self.write_for_answer(caller, move |batch, caller| {
            batch.same(caller, id, Effort::new(shared.urgent.interrupts()))
        });
        let secrets = same.await?;
        Ok(SameList { total: secrets.len(), secrets })
    }

    /// How many bytes the values have together that are named, as far as the caller sees them; if one is a glob, those of all
    /// that it sees.
    fn size_of(&self, caller: &Caller, selectors: &[Selector]) -> u64 {
        let published = self.shared.read();
        let Ok(view) = published.view() else { return 0 };
        let secrets = view.catalog.of(caller);
        if selectors.iter().any(Selector::is_glob) {
            return secrets.bytes();
        }
        let found = selectors.iter().filter_map(|selector| match selector {
            Selector::Id(id) => secrets.by_id(*id),
            Selector::Name(name) => secrets.by_name(name),
            Selector::Glob(_) => None,
        });
        found.map(|record| record.meta.size).sum()
    }

    /// The kept versions of a secret's value, masked. Scope `list`.
    pub(crate) async fn versions(&self, caller: &Caller, id: Uuid) -> Result<VersionList, Error> {
        // Each kept value is opened, on the thread that reveals wait for.
        let _permit = self.heavy_permit(caller).await?;
        self.check(caller, Scope::List, AuditAction::List)?;
        let asker = caller.clone();
        let versions = self.read(caller, move |reading| reading.versions(&asker, id)).await?;
        Ok(VersionList { versions })
    }

    /// Makes an earlier value the present one again. Scope `write`: no value leaves.
    pub(crate) async fn rollback(
        &self,
        caller: &Caller,
        id: Uuid,
        request: RollbackRequest,
        expected: Option<Vec<u64>>,
    ) -> Result<SecretDetail, Error> {
        self.check(caller, Scope::Write, AuditAction::Rollback)?;
        self.write(caller, move |batch, caller| batch.rollback(caller, id, request.version, expected)).await
    }

    /// Destroys an earlier value of a secret. Scope `write`, as for destroying the secret.
    pub(crate) async fn drop_version(
        &self,
        caller: &Caller,
        id: Uuid,
        version: u64,
        expected: Option<Vec<u64>>,
    ) -> Result<(), Error> {
        self.check(caller, Scope::Write, AuditAction::VersionDrop)?;
        self.write(caller, move |batch, caller| batch.drop_version(caller, id, version, expected)).await
    }

    /// Takes a secret out of the trash. Scope `write`.
    pub(crate) async fn restore(&self, caller: &Caller, id: Uuid) -> Result<SecretDetail, Error> {
        self.check(caller, Scope::Write, AuditAction::Restore)?;
        self.write(caller, move |batch, caller| batch.restore(caller, id)).await
    }
}
