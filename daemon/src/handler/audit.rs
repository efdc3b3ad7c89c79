//! The operations on `/audit`.

use secrets_proto::audit::AuditList;

use crate::caller::Caller;
use crate::vault::{AuditQuery, Error, Vault};

/// `GET /audit`
pub(crate) async fn list(vault: &Vault, caller: &Caller, query: AuditQuery) -> Result<AuditList, Error> {
    vault.audit(caller, query).await
}
