//! What is known of an open vault in memory: all secrets, what units may load, and the access tokens. Listings and
//! look-ups are served from it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use secrets_proto::{SecretName, UnitName, Uuid};

use crate::caller::Caller;
use crate::vault::format::record::Record;
use crate::vault::format::token::Token;
use crate::vault::format::unit_grant::UnitGrant;

use super::index::Secrets;
use super::tokens::Tokens;

/// All secrets, what units may load, and the access tokens; and for each token that is bound to names, a view of its own.
#[derive(Debug, Clone, Default)]
pub(in crate::vault) struct Catalog {
    all: Secrets,
    /// By token, made at its first question. What a bound token asks is looked up in its view alone, so that no answer of
    /// it takes longer for a secret that it must not know of.
    views: HashMap<Uuid, OnceLock<Secrets>>,
    grants: BTreeMap<UnitName, Arc<UnitGrant>>,
    /// The access tokens.
    pub(in crate::vault) tokens: Tokens,
}

/// One step from a catalog to the next.
#[derive(Debug, Clone)]
pub(in crate::vault) enum Change {
    /// This is now the secret with its id.
    Put(Arc<Record>),
    /// The secret with this id is gone.
    Remove(Uuid),
    /// This is now what its unit may load.
    Allow(Arc<UnitGrant>),
    /// This unit may load nothing any more.
    Revoke(UnitName),
    /// This is now the token with its id.
    PutToken(Box<Token>),
    /// The token with this id is gone.
    RemoveToken(Uuid),
}

impl Catalog {
    /// Takes a step. A record replaces the earlier one with its id, under whatever name that had.
    pub(in crate::vault) fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(record) => {
                let entry = self.all.put(Arc::clone(record));
                for (token, view) in &mut self.views {
                    let Some(view) = view.get_mut() else { continue };
                    if self.tokens.by_id(*token).is_some_and(|token| token.rights.sees(&record.meta.name)) {
                        view.insert(Arc::clone(&entry));
                    } else {
                        // It may have had a name before that the token sees.
                        view.remove(record.id);
                    }
                }
            }
            Change::Remove(id) => {
                self.all.remove(*id);
                self.views.values_mut().filter_map(OnceLock::get_mut).for_each(|view| view.remove(*id));
            }
            Change::Allow(grant) => {
                self.grants.insert(grant.meta.unit.clone(), Arc::clone(grant));
            }
            Change::Revoke(unit) => {
                self.grants.remove(unit);
            }
            Change::PutToken(token) => {
                // A token's names never change.
                if token.rights.names.is_some() {
                    self.views.entry(token.rights.id).or_default();
                }
                self.tokens.put(Token::clone(token));
            }
            Change::RemoveToken(id) => {
                self.views.remove(id);
                self.tokens.remove(*id);
            }
        }
    }

    /// Whether a list may show something else after this step. A version counts every change but when a secret was used,
    /// which no list shows that is kept written.
    pub(in crate::vault) fn is_shown_by(&self, change: &Change) -> bool {
        match change {
            Change::Put(record) => self.all.any(record.id).is_none_or(|old| old.version != record.version),
            Change::Remove(_) => true,
            Change::Allow(_) | Change::Revoke(_) | Change::PutToken(_) | Change::RemoveToken(_) => false,
        }
    }

    /// All secrets.
    pub(in crate::vault) const fn all(&self) -> &Secrets {
        &self.all
    }

    /// The secrets that this caller sees: what it asks for is looked up here and nowhere else.
    pub(in crate::vault) fn of(&self, caller: &Caller) -> &Secrets {
        if caller.sees_all() {
            return &self.all;
        }
        let view = caller.rights().and_then(|rights| Some((rights, self.views.get(&rights.id)?)));
        match view {
            Some((rights, view)) => view.get_or_init(|| self.all.seen_by(rights)),
            // Its token was revoked meanwhile, or it is nobody.
            None => Secrets::none(),
        }
    }

    /// What this unit, or template, may load by a grant of its own.
    pub(in crate::vault) fn grant(&self, unit: &UnitName) -> Option<&Arc<UnitGrant>> {
        self.grants.get(unit)
    }

    /// Whether this unit may load this secret, by its own name or as an instance of a template.
    pub(in crate::vault) fn allows(&self, unit: &UnitName, name: &SecretName) -> bool {
        let covers = |unit: &UnitName| self.grants.get(unit).is_some_and(|grant| grant.covers(name));
        covers(unit) || unit.template().is_some_and(|template| covers(&template))
    }

    /// What units may load, by unit.
    pub(in crate::vault) fn grants(&self) -> impl Iterator<Item = &Arc<UnitGrant>> {
        self.grants.values()
    }
}
