//! Prompts: what is done once a person has allowed it. Nothing waits without end: a prompt without anybody who could answer
//! is dismissed at once, and any other after two minutes at most.

use std::sync::Arc;

use secrets_proto::Uuid;
use secrets_proto::approval::{Approval, ApprovalState};
use secrets_proto::vault::VaultState;
use tokio::time::Instant;
use zbus::{ObjectPath, Variant};

use crate::daemon::ask_of;
use crate::desk::{Asker, Desk, ITEM, PROMPT};
use crate::error::Error;
use crate::held::{Locked, Work};
use crate::items::{self, Stored};
use crate::path::{Kept, NONE, Object};

/// Does the work of a prompt beside everything else, and tells its owner what came of it.
pub(crate) fn show(desk: &Arc<Desk>, asker: &Arc<Asker>, number: u64) -> Result<(), Error> {
    let work = desk.held().begin(&asker.name, number)?;
    let (here, by) = (Arc::clone(desk), Arc::clone(asker));
    let running = tokio::spawn(async move {
        let nothing = nothing(&work);
        let end = Instant::now() + here.patience;
        let outcome = tokio::time::timeout_at(end, perform(&here, &by, work, end)).await.ok().flatten();
        if here.held().done(number) {
            completed(&here, &by.name, number, outcome.is_none(), outcome.unwrap_or(nothing)).await;
        }
    });
    desk.held().runs(&asker.name, number, running.abort_handle());
    Ok(())
}

/// Ends a prompt that its owner no longer wants.
pub(crate) async fn dismiss(desk: &Arc<Desk>, asker: &Asker, number: u64) -> Result<(), Error> {
    desk.held().end(&asker.name, number)?;
    completed(desk, &asker.name, number, true, Variant::from("")).await;
    Ok(())
}

async fn completed(desk: &Desk, owner: &str, number: u64, is_dismissed: bool, result: Variant<'static>) {
    let path = Object::numbered("prompt", number);
    desk.signal(Some(owner), path.as_str(), PROMPT, "Completed", &(is_dismissed, result)).await;
}

/// What a dismissed prompt gives: what its kind gives, without anything in it.
fn nothing(work: &Work) -> Variant<'static> {
    match work {
        Work::Unlock(_) => Variant::from(Vec::<ObjectPath<'_>>::new()),
        Work::Create(_) => Variant::from(ObjectPath::from_string_unchecked(NONE.to_owned())),
        Work::Delete(_) => Variant::from(""),
    }
}

/// `None` if nobody has allowed it.
async fn perform(desk: &Arc<Desk>, asker: &Asker, work: Work, end: Instant) -> Option<Variant<'static>> {
    if !unlock(desk, asker, end).await {
        return None;
    }
    match work {
        Work::Unlock(objects) => {
            let mut paths = Vec::new();
            for object in objects {
                if unlock_one(desk, asker, &object, end).await {
                    paths.push(ObjectPath::from_string_unchecked(object.path));
                }
            }
            // If nobody has allowed any, that is what a dismissed prompt is.
            (!paths.is_empty()).then(|| Variant::from(paths))
        }
        Work::Create(item) => {
            let waits = match items::store(desk, asker, Kept::Login, item).await.ok()? {
                Stored::As(id) => return Some(Variant::from(id.path())),
                Stored::Waits(item) => item,
            };
            // It replaces a guarded one. The refusal has made the ask already; the same again finds it.
            let refusal = desk.daemon.create(&asker.facts(), &waits).await.err()?;
            if !settled(desk, ask_of(&refusal)?, end).await {
                return None;
            }
            match items::store(desk, asker, Kept::Login, waits).await.ok()? {
                Stored::As(id) => Some(Variant::from(id.path())),
                Stored::Waits(_) => None,
            }
        }
        Work::Delete(item) => {
            match items::delete(desk, asker, item).await {
                Ok(()) => return Some(Variant::from("")),
                Err(Error::IsLocked) => {}
                Err(_) => return None,
            }
            let ask = items::ask_for_delete(desk, asker, item).await.ok()??;
            if !settled(desk, ask, end).await {
                return None;
            }
            items::delete(desk, asker, item).await.ok().map(|()| Variant::from(""))
        }
    }
}

/// Whether one object is unlocked in the end. A guarded item is asked for.
async fn unlock_one(desk: &Arc<Desk>, asker: &Asker, object: &Locked, end: Instant) -> bool {
    let Some(item) = object.item else { return true };
    let is_unlocked = match items::ask_for(desk, asker, item).await {
        Ok(None) => true,
        Ok(Some(ask)) => settled(desk, ask, end).await,
        Err(_) => false,
    };
    if is_unlocked {
        desk.changed(&item.path(), ITEM, [("Locked", Variant::from(false))]).await;
    }
    is_unlocked
}

/// Whether the vault is open in the end.
async fn unlock(desk: &Arc<Desk>, asker: &Asker, end: Instant) -> bool {
    match desk.daemon.state().await {
        Ok(VaultState::Unlocked) => return true,
        Ok(VaultState::Locked) => {}
        Ok(VaultState::Uninitialized) | Err(_) => return false,
    }
    if let Ok(Approval { id, approvers, .. }) = desk.daemon.ask_unlock(&asker.facts()).await
        && approvers > 0
    {
        settled(desk, id, end).await;
    }
    // Whatever has become of the ask, this is what counts.
    desk.is_open().await.unwrap_or(false)
}

/// Whether an ask is allowed in the end, or before everybody is gone who could allow it.
async fn settled(desk: &Arc<Desk>, ask: Uuid, end: Instant) -> bool {
    // Looked at before it is waited for: nobody may be there.
    let mut wait = 0;
    loop {
        let Ok(approval) = desk.daemon.ask(ask, wait).await else { return false };
        if approval.state != ApprovalState::Pending {
            return approval.state == ApprovalState::Allowed;
        }
        let left = end.saturating_duration_since(Instant::now());
        if approval.approvers == 0 || left.is_zero() {
            return false;
        }
        // Whole seconds; who called ends this in time.
        wait = left.as_secs() + 1;
    }
}
