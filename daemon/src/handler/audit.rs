//! The operations on `/audit`.

use secrets_proto::audit::{ArchiveAudit, AuditArchived, AuditList, AuditVerified};

use crate::caller::Caller;
use crate::vault::{AuditQuery, Error, Held, Vault};

/// `GET /audit`
pub(crate) async fn list(
    vault: &Vault,
    caller: &Caller,
    query: AuditQuery,
) -> Result<Held<AuditList>, Error> {
    vault.audit(caller, query).await
}

/// `GET /audit/verify`
pub(crate) async fn verify(vault: &Vault, caller: &Caller, (): ()) -> Result<AuditVerified, Error> {
    vault.verify_audit(caller).await
}

/// `POST /audit/archive`
pub(crate) async fn archive(
    vault: &Vault,
    caller: &Caller,
    request: ArchiveAudit,
) -> Result<AuditArchived, Error> {
    vault.archive_audit(caller, request).await
}
