//! The facade's operations that look at many secrets. What they cost grows with the vault and is chosen by callers, so one
//! caller's take turns, and long ones leave the runtime's thread to the others.

use std::sync::Arc;

use bytes::Bytes;
use secrets_proto::audit::AuditAction;
use secrets_proto::secret::{Secret, SecretDetail, TrashList, TrashedSecret};
use secrets_proto::{Glob, Provider};
use tokio::sync::SemaphorePermit;

use crate::caller::{Caller, Scope};
use crate::permits::Permit;

use super::format::record::Record;
use super::writer::shared::{ListOf, Published, View};
use super::{Error, Form, Held, ListFilter, Rendered, Vault};

/// How many secrets are looked at without letting others go first.
const SHORT: usize = 64;

/// How many are looked at on the runtime's thread.
const INLINE: usize = 512;

/// So many secrets that are written already are joined to a list in the time that it takes to write one.
const JOINED_IN_THE_TIME_OF_ONE: usize = 50;

impl Vault {
    /// The secrets that match, by name, as `write` wrote them. Scope `list`.
    pub(crate) async fn list<T: Send + 'static>(
        &self,
        caller: &Caller,
        filter: ListFilter,
        write: impl FnOnce(Vec<SecretDetail>) -> T + Send + 'static,
    ) -> Result<Held<T>, Error> {
        let permit = self.heavy_permit(caller).await?;
        self.check(caller, Scope::List, AuditAction::List)?;
        let beginning = filter.name.as_ref().map_or("", Glob::beginning);
        let begun: Vec<Arc<Record>> =
            self.shared.read().view()?.catalog.of(caller).live_from(beginning).cloned().collect();
        let permit = permit.with(self.room.take(caller, length_of(&begun)).await);
        let _turn = self.owners_turn(caller).await;
        let reply = self.at_leisure(caller, begun.len(), move || {
            let matcher = filter.name.as_ref().map(Glob::matcher);
            let fits = |record: &&Arc<Record>| {
                (filter.provider.is_none() || filter.provider == record.meta.provider)
                    && matcher.as_ref().is_none_or(|matcher| matcher.matches(&record.meta.name))
            };
            write(begun.iter().filter(fits).map(|record| record.to_detail()).collect())
        });
        Ok(Held { reply: reply.await?, permit: Some(permit) })
    }

    /// The owner's list of all secrets or one provider's, with all there is to tell, written by `form`. Scope `list`.
    pub(crate) async fn full_list(
        &self,
        caller: &Caller,
        provider: Option<Provider>,
        form: Form<SecretDetail>,
    ) -> Result<Held<Bytes>, Error> {
        self.kept_list(caller, ListOf { provider, full: true }, Record::to_detail, form).await
    }

    /// The owner's list of one provider's secrets, written by `form`. Scope `list`.
    pub(crate) async fn list_of(
        &self,
        caller: &Caller,
        provider: Provider,
        form: Form<Secret>,
    ) -> Result<Held<Bytes>, Error> {
        self.kept_list(caller, ListOf { provider: Some(provider), full: false }, Record::to_secret, form)
            .await
    }

    /// A list of the owner's. It is written once for all who ask at the same time and shared by them: it is large, and need
    /// not be read.
    async fn kept_list<T: Send + 'static>(
        &self,
        caller: &Caller,
        list: ListOf,
        show: fn(&Record) -> T,
        form: Form<T>,
    ) -> Result<Held<Bytes>, Error> {
        let permit = Some(self.heavy_permit(caller).await?);
        self.check(caller, Scope::List, AuditAction::List)?;
        let asked = self.shared.read().view()?.changes;
        // What was begun after this one asked is new enough for it, however much has changed since.
        let known = |view: &View| {
            let (changes, text) = view.lists.get(&list)?.written.as_ref()?;
            (*changes >= asked).then(|| text.clone())
        };
        if let Some(reply) = known(self.shared.read().view()?) {
            return Ok(Held { reply, permit });
        }
        let _turn = self.owners_lists.acquire().await.map_err(|_| Error::Internal("the turns are closed"))?;
        let (opened, changes, mut pages, stale, joined, earlier) = {
            let Published::Unlocked(view) = &mut *self.shared.write() else { return Err(Error::Locked) };
            if let Some(reply) = known(view) {
                return Ok(Held { reply, permit });
            }
            let kept = view.lists.get_mut(&list);
            let (mut pages, earlier) =
                kept.map(|kept| (kept.pages.clone(), kept.written.take())).unwrap_or_default();
            let earlier = earlier.map(|(_, text)| text).unwrap_or_default();
            let stale = pages.stale(view.catalog.all(), |record| list.has(record));
            let joined = view.catalog.all().live_count() / JOINED_IN_THE_TIME_OF_ONE;
            (view.since, view.changes, pages, stale, joined, earlier)
        };
        let written = self.at_leisure(caller, stale.secrets() + joined, move || {
            pages.write(stale, show, form.page);
            (pages.join(form.list, earlier), pages)
        });
        let (reply, pages) = written.await?;
        // What is of no provider would be kept for each name that somebody asks for.
        if let Published::Unlocked(view) = &mut *self.shared.write()
            && view.since == opened
            && !pages.are_empty()
        {
            let is_newest = view.changes == changes;
            let kept = view.lists.entry(list).or_default();
            kept.written = Some((changes, reply.clone()));
            // Else some of them are stale by now.
            if is_newest {
                kept.pages = pages;
            }
        }
        Ok(Held { reply, permit })
    }

    /// Whether the list of all secrets is so long that a token's holder has no more than a few of them under way: each that
    /// is not read, and was written before something changed, is memory of its own.
    pub(crate) fn list_takes_turns(&self, caller: &Caller) -> bool {
        let is_long = |view: &View| view.catalog.all().live_count() > SHORT;
        !caller.is_master() && self.shared.read().view().is_ok_and(is_long)
    }

    /// The list as [`Vault::rendered_list`] gives it, when it is the caller's turn.
    pub(crate) async fn rendered_list_in_turn(
        &self,
        caller: &Caller,
        form: Form<Secret>,
    ) -> Result<Held<Rendered>, Error> {
        let permit =
            if self.list_takes_turns(caller) { Some(self.heavy_permit(caller).await?) } else { None };
        Ok(Held { reply: self.rendered_list(caller, form)?, permit })
    }

    /// The deleted secrets, newest first, as `write` wrote them. Scope `list`.
    pub(crate) async fn trash<T: Send + 'static>(
        &self,
        caller: &Caller,
        write: impl FnOnce(TrashList) -> T + Send + 'static,
    ) -> Result<Held<T>, Error> {
        let permit = self.heavy_permit(caller).await?;
        self.check(caller, Scope::List, AuditAction::List)?;
        let all: Vec<Arc<Record>> =
            self.shared.read().view()?.catalog.of(caller).with_trash().cloned().collect();
        let permit = permit.with(self.room.take(caller, length_of(&all)).await);
        let _turn = self.owners_turn(caller).await;
        let reply = self.at_leisure(caller, all.len(), move || {
            let mut secrets: Vec<TrashedSecret> =
                all.iter().filter_map(|record| record.to_trashed()).collect();
            secrets.sort_by(|a, b| {
                (b.deleted_at, &b.secret.name, b.secret.id).cmp(&(a.deleted_at, &a.secret.name, a.secret.id))
            });
            write(TrashList { total: secrets.len(), secrets })
        });
        Ok(Held { reply: reply.await?, permit: Some(permit) })
    }

    async fn owners_turn(&self, caller: &Caller) -> Option<SemaphorePermit<'_>> {
        if caller.is_master() { self.owners_lists.acquire().await.ok() } else { None }
    }

    /// A permit for what looks at many secrets, when what the same asker asked before has been answered.
    pub(super) async fn heavy_permit(&self, caller: &Caller) -> Result<Permit, Error> {
        self.heavy.take_of_share(caller.quota_key()).await.ok_or(Error::Internal("the permits are closed"))
    }

    /// Does `work`, which looks at so many secrets, where it holds up nobody.
    pub(super) async fn at_leisure<T: Send + 'static>(
        &self,
        caller: &Caller,
        secrets: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        if secrets > SHORT {
            tokio::task::yield_now().await;
        }
        if secrets <= INLINE {
            return Ok(work());
        }
        // Those of tokens share the processors with the runtime's thread; the owner does not wait for them.
        let reader = match caller.is_master() {
            true => None,
            false => self.readers.acquire().await.ok(),
        };
        let done = tokio::task::spawn_blocking(work).await;
        drop(reader);
        done.map_err(|_| Error::Internal("a listing panicked"))
    }
}

/// About how long these are as JSON, with all there is to tell.
fn length_of(records: &[Arc<Record>]) -> usize {
    let of_words = |record: &Record| record.meta.note.as_ref().map_or(0, |note| note.as_str().len());
    records.iter().map(|record| 400 + record.meta.name.as_str().len() + of_words(record)).sum()
}
