//! What is known of an open vault in memory: all secrets, what units may load, and the access tokens. Listings and
//! look-ups are served from it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use secrets_proto::{SecretName, UnitName, Uuid};

use crate::caller::Caller;
use crate::vault::format::approval_rule::ApprovalRule;
use crate::vault::format::fleet::Fleet;
use crate::vault::format::item::{Collection, Item};
use crate::vault::format::record::Record;
use crate::vault::format::token::Token;
use crate::vault::format::unit_grant::UnitGrant;

use super::index::Secrets;
use super::items::Items;
use super::tokens::Tokens;

/// All secrets, what units may load, and the access tokens; and for each token that is bound to names, a view of its own.
#[derive(Debug, Clone, Default)]
pub(in crate::vault) struct Catalog {
    all: Secrets,
    /// By token, made at its first question. What a bound token asks is looked up in its view alone, so that no answer of
    /// it takes longer for a secret that it must not know of.
    views: HashMap<Uuid, OnceLock<Secrets>>,
    grants: BTreeMap<UnitName, Arc<UnitGrant>>,
    /// Who may have or change guarded secrets, by secret.
    approval_rules: BTreeMap<Uuid, Vec<Arc<ApprovalRule>>>,
    /// How many secrets are guarded, in the trash or not.
    guarded: usize,
    /// How many stay on this machine, in the trash or not.
    local: usize,
    /// The items.
    pub(in crate::vault) items: Items,
    /// The fleet that the vault belongs to.
    pub(in crate::vault) fleet: Option<Arc<Fleet>>,
    /// The access tokens.
    pub(in crate::vault) tokens: Tokens,
}

/// One step from a catalog to the next.
#[derive(Debug, Clone)]
pub(in crate::vault) enum Change {
    /// Put this secret in the place of the one with its id.
    Put(Arc<Record>),
    /// Remove the secret with this id.
    Remove(Uuid),
    /// Put this in the place of what its unit may load.
    Allow(Arc<UnitGrant>),
    /// Let this unit load nothing any more.
    Revoke(UnitName),
    /// Put this token in the place of the one with its id.
    PutToken(Box<Token>),
    /// Remove the token with this id.
    RemoveToken(Uuid),
    /// Put this approval rule beside the others of its secret.
    PutApprovalRule(Arc<ApprovalRule>),
    /// Remove this approval rule.
    RemoveApprovalRule(Arc<ApprovalRule>),
    /// Put this item in the place of the one with its id.
    PutItem(Arc<Item>),
    /// Remove the item with this id.
    RemoveItem(Uuid),
    /// Put this in the place of what holds all items.
    PutCollection(Arc<Collection>),
    /// What is known of the fleet from now on.
    PutFleet(Arc<Fleet>),
}

impl Catalog {
    /// Takes a step. A record replaces the earlier one with its id, under whatever name that had.
    pub(in crate::vault) fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(record) => {
                self.count(record.id, record.meta.guarded, record.meta.local);
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
                self.count(*id, false, false);
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
            Change::PutItem(item) => self.items.put(Arc::clone(item)),
            Change::RemoveItem(id) => self.items.remove(*id),
            Change::PutCollection(collection) => self.items.set_collection(Arc::clone(collection)),
            Change::PutApprovalRule(rule) => {
                self.approval_rules.entry(rule.meta.secret).or_default().push(Arc::clone(rule));
            }
            Change::PutFleet(fleet) => self.fleet = Some(Arc::clone(fleet)),
            Change::RemoveApprovalRule(rule) => {
                if let Some(rules) = self.approval_rules.get_mut(&rule.meta.secret) {
                    rules.retain(|other| other.id != rule.id);
                    if rules.is_empty() {
                        self.approval_rules.remove(&rule.meta.secret);
                    }
                }
            }
        }
    }

    /// Whether a list may show something else after this step. A version counts every change but when a secret was used,
    /// which no list shows that is kept written.
    pub(in crate::vault) fn is_shown_by(&self, change: &Change) -> bool {
        match change {
            Change::Put(record) => self.all.any(record.id).is_none_or(|old| old.version != record.version),
            Change::Remove(_) => true,
            Change::Allow(_)
            | Change::Revoke(_)
            | Change::PutToken(_)
            | Change::RemoveToken(_)
            | Change::PutApprovalRule(_)
            | Change::RemoveApprovalRule(_)
            | Change::PutItem(_)
            | Change::RemoveItem(_)
            | Change::PutCollection(_)
            | Change::PutFleet(_) => false,
        }
    }

    /// Whether after this step, which was taken, the other machines of the vault do not know all that is here.
    pub(in crate::vault) fn is_unsaid(&self, change: &Change) -> bool {
        let Some(fleet) = &self.fleet else { return false };
        match change {
            Change::Put(record) => fleet.is_unsaid(record.id, self.all.any(record.id)),
            Change::Remove(id) => fleet.is_unsaid(*id, self.all.any(*id)),
            Change::PutFleet(fleet) => fleet.version == 1 || fleet.meta.compact,
            Change::Allow(_)
            | Change::Revoke(_)
            | Change::PutToken(_)
            | Change::RemoveToken(_)
            | Change::PutApprovalRule(_)
            | Change::RemoveApprovalRule(_)
            | Change::PutItem(_)
            | Change::RemoveItem(_)
            | Change::PutCollection(_) => false,
        }
    }

    /// Counts a secret that is about to take the place of the one with its id, or to go.
    fn count(&mut self, id: Uuid, is_guarded: bool, is_local: bool) {
        let (was_guarded, was_local) =
            self.all.any(id).map_or((false, false), |old| (old.meta.guarded, old.meta.local));
        self.guarded = (self.guarded + usize::from(is_guarded)).saturating_sub(usize::from(was_guarded));
        self.local = (self.local + usize::from(is_local)).saturating_sub(usize::from(was_local));
    }

    /// Whether any secret stays on this machine, in the trash or not.
    pub(in crate::vault) const fn has_local(&self) -> bool {
        self.local > 0
    }

    /// Whether any secret is guarded, in the trash or not.
    pub(in crate::vault) const fn has_guarded_secrets(&self) -> bool {
        self.guarded > 0
    }

    /// Whether any secret or item is guarded, in the trash or not.
    pub(in crate::vault) const fn has_guarded(&self) -> bool {
        self.has_guarded_secrets() || self.items.has_guarded()
    }

    /// Who may have or change this secret if it is guarded, and who may not.
    pub(in crate::vault) fn approval_rules_of(&self, secret: Uuid) -> &[Arc<ApprovalRule>] {
        self.approval_rules.get(&secret).map_or(&[], Vec::as_slice)
    }

    /// All approval rules.
    pub(in crate::vault) fn approval_rules(&self) -> impl Iterator<Item = &Arc<ApprovalRule>> {
        self.approval_rules.values().flatten()
    }

    /// The names that the secret of this step has now and will have after it.
    pub(in crate::vault) fn names_in<'a>(&'a self, change: &'a Change) -> impl Iterator<Item = &'a str> {
        let (id, next) = match change {
            Change::Put(record) => (Some(record.id), Some(record)),
            Change::Remove(id) => (Some(*id), None),
            Change::Allow(_)
            | Change::Revoke(_)
            | Change::PutToken(_)
            | Change::RemoveToken(_)
            | Change::PutApprovalRule(_)
            | Change::RemoveApprovalRule(_)
            | Change::PutItem(_)
            | Change::RemoveItem(_)
            | Change::PutCollection(_)
            | Change::PutFleet(_) => (None, None),
        };
        let now = id.and_then(|id| self.all.any(id));
        now.into_iter().chain(next).map(|record| record.meta.name.as_str())
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

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;
    use secrets_proto::token::TokenName;
    use secrets_proto::{Glob, SecretValue, Timestamp};

    use super::*;
    use crate::caller::{Peer, Scope};
    use crate::vault::format::token::{Meta, SealedScope};
    use crate::vault::writer::effort::Effort;
    use crate::vault::writer::interrupts::Interrupts;

    const NAMES: [&str; 6] = ["A", "AB", "A_B", "B", "BA", "C"];
    const GLOBS: [&str; 5] = ["A*", "*B*", "?", "AB", "[!A]*"];

    #[derive(Debug, Clone)]
    enum Step {
        /// A secret of this number under this name, in the trash or not.
        Put(u128, usize, bool),
        Remove(u128),
        /// A token of this number, with these globs if there was none of it.
        Token(u128, Vec<usize>),
        Revoke(u128),
        /// A question of the token, which makes its view.
        Ask(u128),
        /// A copy goes on in its place, as at a renewal of what is published.
        Copy,
    }

    fn step() -> impl Strategy<Value = Step> {
        let (secret, token) = (0..6_u128, 0..3_u128);
        let globs = prop::collection::vec(0..GLOBS.len(), 1..3);
        prop_oneof![
            8 => (secret.clone(), 0..NAMES.len(), any::<bool>()).prop_map(|(id, name, deleted)| Step::Put(id, name, deleted)),
            2 => secret.prop_map(Step::Remove),
            2 => (token.clone(), globs).prop_map(|(id, globs)| Step::Token(id, globs)),
            1 => token.clone().prop_map(Step::Revoke),
            3 => token.prop_map(Step::Ask),
            1 => Just(Step::Copy),
        ]
    }

    fn token(id: u128, globs: &[usize]) -> Token {
        let meta = Meta {
            name: TokenName::parse(&format!("token {id}")).unwrap(),
            hash: HEXLOWER.encode(&[u8::try_from(id).unwrap(); 32]),
            scopes: vec![SealedScope::Known(Scope::List)],
            secrets: Some(globs.iter().map(|at| Glob::parse(GLOBS[*at]).unwrap()).collect()),
            created_at: Timestamp::now(),
            expires_at: None,
            rate_per_minute: None,
            last_used_at: None,
            made_by: None,
            session: None,
        };
        Token::new(Uuid::from_u128(id), meta).unwrap()
    }

    fn put(id: u128, name: &str, version: u64, deleted: bool) -> Change {
        let value = SecretValue::new("v".to_owned()).unwrap();
        let mut record = Record::new(Uuid::from_u128(id), SecretName::parse(name).unwrap(), None, &value);
        record.version = version;
        record.meta.deleted_at = deleted.then(Timestamp::now);
        Change::Put(Arc::new(record))
    }

    /// What a caller finds, by every way there is, against asking of each secret whether it sees its name.
    fn compare(catalog: &Catalog, caller: &Caller) {
        let (view, interrupts) = (catalog.of(caller), Interrupts::default());
        let of = |record: &Arc<Record>| (record.id, record.version);
        let seen = |record: &&Arc<Record>| caller.sees(&record.meta.name);
        let mut expected: Vec<_> = catalog.all().with_trash().filter(seen).map(of).collect();
        let mut found: Vec<_> = view.with_trash().map(of).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        let expected: Vec<_> = catalog.all().live().filter(seen).map(of).collect();
        assert_eq!(view.live().map(of).collect::<Vec<_>>(), expected);
        let any = Glob::parse("*").unwrap();
        let all = view.live_like(&any, &mut Effort::new(&interrupts)).unwrap();
        assert_eq!(all.into_iter().map(of).collect::<Vec<_>>(), expected);
        assert_eq!(view.live_count(), expected.len());
        for record in catalog.all().with_trash() {
            let sees = seen(&record);
            assert_eq!(view.any(record.id).map(of), sees.then(|| of(record)));
            let live = sees && !record.is_deleted();
            assert_eq!(view.by_id(record.id).map(of), live.then(|| of(record)));
            assert_eq!(
                view.rendered(record.id).map(|(record, _)| record.version),
                live.then_some(record.version)
            );
        }
        for name in NAMES {
            let name = SecretName::parse(name).unwrap();
            let there = catalog.all().by_name(&name).filter(seen).map(of);
            assert_eq!(view.by_name(&name).map(of), there);
        }
    }

    proptest! {
        #[test]
        fn a_view_holds_what_its_token_sees_after_any_steps(steps in prop::collection::vec(step(), 1..60)) {
            let mut catalog = Catalog::default();
            let mut callers: HashMap<u128, Caller> = HashMap::new();
            let gone = Caller::holding(Peer { uid: 0, pid: 1 }, Arc::clone(&token(9, &[0]).rights));
            for (at, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Put(id, name, deleted) => {
                        // No two live ones have a name, as the vault sees to.
                        let name = SecretName::parse(NAMES[name]).unwrap();
                        let taken = catalog.all().by_name(&name).is_some_and(|other| other.id.as_u128() != id);
                        catalog.apply(&put(id, name.as_str(), at as u64 + 1, deleted || taken));
                    }
                    Step::Remove(id) => catalog.apply(&Change::Remove(Uuid::from_u128(id))),
                    Step::Token(id, globs) => {
                        // Put again, as when its use is noted, it has the names that it had.
                        let there = catalog.tokens.by_id(Uuid::from_u128(id)).cloned();
                        let token = there.unwrap_or_else(|| token(id, &globs));
                        callers.insert(id, Caller::holding(Peer { uid: 0, pid: 1 }, Arc::clone(&token.rights)));
                        catalog.apply(&Change::PutToken(Box::new(token)));
                    }
                    Step::Revoke(id) => {
                        catalog.apply(&Change::RemoveToken(Uuid::from_u128(id)));
                        if let Some(caller) = callers.remove(&id) {
                            assert_eq!(catalog.of(&caller).with_trash().count(), 0);
                        }
                    }
                    Step::Ask(id) => {
                        if let Some(caller) = callers.get(&id) {
                            compare(&catalog, caller);
                        }
                    }
                    Step::Copy => catalog = catalog.clone(),
                }
                assert_eq!(catalog.of(&gone).with_trash().count(), 0);
            }
            callers.values().for_each(|caller| compare(&catalog, caller));
        }
    }
}
