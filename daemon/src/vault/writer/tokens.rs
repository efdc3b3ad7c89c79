//! The access tokens of an open vault, by id and by digest.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use secrets_proto::token::TokenName;
use secrets_proto::{Timestamp, Uuid};

use crate::caller::TokenRights;
use crate::vault::Error;
use crate::vault::format::token::{Clocks, Token};

/// All tokens.
#[derive(Debug, Clone, Default)]
pub(in crate::vault) struct Tokens {
    by_id: HashMap<Uuid, Token>,
    by_hash: HashMap<[u8; 32], Uuid>,
    opened: Option<Clocks>,
}

impl Tokens {
    /// Adds a token, or puts it in the place of the one with its id.
    pub(in crate::vault) fn put(&mut self, token: Token) {
        self.by_hash.insert(token.hash, token.rights.id);
        self.by_id.insert(token.rights.id, token);
    }

    /// Removes a token.
    pub(in crate::vault) fn remove(&mut self, id: Uuid) {
        if let Some(token) = self.by_id.remove(&id) {
            self.by_hash.remove(&token.hash);
        }
    }

    /// The token with this digest.
    pub(in crate::vault) fn by_hash(&self, hash: &[u8; 32]) -> Option<&Token> {
        self.by_hash.get(hash).and_then(|id| self.by_id.get(id))
    }

    /// Counts a request of this token, and of those that it was made with, or says how many seconds too early it comes:
    /// what a token has made uses up its creator's rate, so that it is no way around that. What is not rated is free for a
    /// session.
    pub(in crate::vault) fn take(
        &self,
        token: &Token,
        now: Instant,
        time: Timestamp,
        is_rated: bool,
    ) -> Result<(), Error> {
        if !is_rated && token.session().is_some() {
            token.note_use(time);
            return Ok(());
        }
        token.take(now, time)?;
        let mut maker = token.made_by();
        while let Some(token) = maker.and_then(|id| self.by_id(id)) {
            token.pace(now)?;
            maker = token.made_by();
        }
        Ok(())
    }

    /// The token with this id.
    pub(in crate::vault) fn by_id(&self, id: Uuid) -> Option<&Token> {
        self.by_id.get(&id)
    }

    /// All of them, in no order.
    pub(in crate::vault) fn all(&self) -> impl ExactSizeIterator<Item = &Token> {
        self.by_id.values()
    }

    /// Whether one has this name, or the same but for case.
    pub(in crate::vault) fn has_name(&self, name: &TokenName) -> bool {
        self.all().any(|token| token.name().is_same(name.as_str()))
    }

    /// Whether one has this token's id, digest or name.
    pub(in crate::vault) fn has_any_of(&self, token: &Token) -> bool {
        self.by_id(token.rights.id).is_some()
            || self.by_hash(&token.hash).is_some()
            || self.has_name(token.name())
    }

    /// The tokens that a token has made, and those that they have made.
    pub(in crate::vault) fn descendants(&self, id: Uuid) -> Vec<Uuid> {
        let mut found = vec![id];
        let mut at = 0;
        while let Some(parent) = found.get(at).copied() {
            found.extend(
                self.all().filter(|token| token.made_by() == Some(parent)).map(|token| token.rights.id),
            );
            at += 1;
        }
        found.split_off(1)
    }

    /// Whether the token is still there and good: it may have been revoked since its request began.
    pub(in crate::vault) fn check(&self, rights: &TokenRights) -> Result<(), Error> {
        self.check_time(self.by_id(rights.id).ok_or(Error::UnknownToken)?)
    }

    /// Refuses a token whose time is over, or the time of one that it was made with: the wall clock may have been moved
    /// between the two.
    pub(in crate::vault) fn check_time(&self, token: &Token) -> Result<(), Error> {
        let makers = std::iter::successors(Some(token), |token| self.by_id(token.made_by()?));
        makers.into_iter().try_for_each(Token::check_time)
    }

    /// Notes both clocks as the vault is opened, or nothing if nothing may be destroyed by them.
    pub(in crate::vault) const fn open_at(&mut self, opened: Option<Clocks>) {
        self.opened = opened;
    }

    /// Has the wall clock alone end all tokens, as [`Token::doubt_clock`] says.
    pub(in crate::vault) fn doubt_clock(&mut self) {
        self.by_id.values_mut().for_each(Token::doubt_clock);
    }

    /// The time by which tokens may be forgotten: by whichever clock has gone less far since the vault was opened, so that
    /// a clock that leaps ahead removes nothing. `None`: by none.
    pub(in crate::vault) fn forgetting_time(&self) -> Option<Timestamp> {
        self.opened.map(|opened| opened.now_by_boot().min(Timestamp::now()))
    }

    /// Goes on counting uses where `before`, an earlier reading of the same file, was.
    pub(in crate::vault) fn keep_usage(&mut self, before: &Self) {
        self.opened = before.opened;
        for token in self.by_id.values_mut() {
            if let Some(known) = before.by_id(token.rights.id) {
                token.usage = Arc::clone(&known.usage);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::format::token::tests::token;

    #[test]
    fn what_a_token_has_made_is_found_however_deep() {
        let mut tokens = Tokens::default();
        for (id, made_by) in [(1, None), (2, Some(1)), (3, Some(2)), (4, None), (5, Some(1))] {
            tokens.put(token(id, made_by, None));
        }
        let mut found: Vec<u128> =
            tokens.descendants(Uuid::from_u128(1)).into_iter().map(|id| id.as_u128()).collect();
        found.sort_unstable();
        assert_eq!(found, [2, 3, 5]);
        assert!(tokens.descendants(Uuid::from_u128(4)).is_empty());
    }
}
