//! The operations of the socket over which values are taken.

use secrets_proto::session::{RefusedUse, ReturnedLease, TakeReply, TakeRequest};

use super::secrets::Done;
use crate::caller::Caller;
use crate::vault::{Error, Vault};

/// `POST /use/take`
pub(crate) async fn take(vault: &Vault, caller: &Caller, request: TakeRequest) -> Result<TakeReply, Error> {
    vault.take(caller, request).await
}

/// `POST /use/returns`
pub(crate) async fn returned(vault: &Vault, caller: &Caller, lease: ReturnedLease) -> Result<Done, Error> {
    vault.returned(caller, lease).map(|()| Done)
}

/// `POST /use/refusals`
pub(crate) async fn refused(vault: &Vault, caller: &Caller, refused: RefusedUse) -> Result<Done, Error> {
    vault.refused_use(caller, refused).map(|()| Done)
}
