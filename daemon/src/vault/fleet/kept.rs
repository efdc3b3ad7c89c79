//! The facade's operations on what stays on this machine.

use std::sync::Arc;

use secrets_fleet::Secret;
use secrets_fleet::filter::{Filter, List};
use secrets_fleet::secret::NAME;
use secrets_proto::audit::AuditAction;
use secrets_proto::fleet::{FleetAside, FleetDisplaced, FleetStatus, KeptLocal};
use secrets_proto::{Glob, SecretName, Uuid};

use crate::caller::Caller;
use crate::vault::format::fleet::{Fleet, Held};
use crate::vault::writer::catalog::Catalog;
use crate::vault::{Error, Key, Vault};

/// What is told of that.
pub(super) struct Kept {
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<String>,
    pub(super) local: Vec<SecretName>,
    pub(super) excluded: Vec<SecretName>,
    pub(super) aside: Vec<FleetAside>,
    pub(super) displaced: Vec<FleetDisplaced>,
}

impl Kept {
    /// What this caller may know.
    pub(super) fn of(fleet: &Fleet, catalog: &Catalog, caller: &Caller) -> Self {
        let (travel, Filter { include, exclude }) = (fleet.travel(), fleet.replica.filter());
        let globs = |globs: std::collections::BTreeSet<String>| match caller.sees_all() {
            true => globs.into_iter().collect(),
            false => Vec::new(),
        };
        let (mut local, mut excluded) = (Vec::new(), Vec::new());
        for record in catalog.of(caller).live() {
            let name = &record.meta.name;
            if record.meta.local {
                local.push(name.clone());
            } else if !travel.lets(name) {
                excluded.push(name.clone());
            }
        }
        let aside = |(id, secret): (&Uuid, &Arc<Secret<Held>>)| {
            let name = SecretName::parse(secret.field(NAME)?).ok()?;
            let is_aside = secret.is_visible() && catalog.all().any(*id).is_none();
            let is_told = travel.lets(&name) && caller.sees(&name);
            (is_aside && is_told).then_some(FleetAside { id: *id, name })
        };
        let aside = fleet.replica.secrets.iter().filter_map(aside).collect();
        let displaced = fleet.meta.unnamed.iter().filter_map(|id| {
            let name = catalog.of(caller).any(*id)?.meta.name.clone();
            let holder = catalog.of(caller).by_name(&name).filter(|holder| !holder.meta.local)?;
            let (_, value) = fleet.replica.secrets.get(&holder.id)?.current()?;
            Some(FleetDisplaced { id: *id, name, by: fleet.name_of(value.by).to_owned() })
        });
        let displaced = displaced.collect();
        Self { include: globs(include), exclude: globs(exclude), local, excluded, aside, displaced }
    }
}

impl Vault {
    /// Keeps a secret on this machine, or lets it travel again; a guarded one with a proof. Scope `admin`, on all names.
    pub(crate) async fn set_local(
        &self,
        caller: &Caller,
        id: Uuid,
        local: bool,
        proof: Option<Key>,
    ) -> Result<KeptLocal, Error> {
        let action = if local { AuditAction::KeepLocal } else { AuditAction::Share };
        self.check_whole(caller, action)?;
        let caller = match proof {
            Some(proof) => self.prove(caller, Some(proof), action).await?,
            None => caller.clone(),
        };
        let _turn = self.exchanging.lock().await;
        let set = self.write(&caller, move |batch, caller| batch.set_local(caller, id, local)).await;
        let (kept, synced) = self.note_refusal(&caller, action, set)?;
        self.place_soon(synced).await;
        Ok(kept)
    }

    /// Says for all machines that names like this travel, or do not, or takes that back; with a proof, if something that is
    /// guarded would leave this machine by that. Scope `admin`, on all names.
    pub(crate) async fn list_names(
        &self,
        caller: &Caller,
        list: List,
        glob: Glob,
        is_said: bool,
        proof: Option<Key>,
    ) -> Result<FleetStatus, Error> {
        let action = AuditAction::Fleet;
        self.check_whole(caller, action)?;
        let caller = match proof {
            Some(proof) => self.prove(caller, Some(proof), action).await?,
            None => caller.clone(),
        };
        let _turn = self.exchanging.lock().await;
        let listed =
            self.write(&caller, move |batch, caller| batch.list_names(caller, list, &glob, is_said)).await;
        let synced = self.note_refusal(&caller, action, listed)?;
        self.place_soon(synced).await;
        self.fleet_status(&caller)
    }

    /// Puts objects into the exchange, or leaves them to the next round: what was decided holds already.
    async fn place_soon(&self, synced: super::Synced) {
        if let Err(error) = self.place(synced).await {
            tracing::debug!(%error, "what is new waits for the exchange");
        }
    }
}
