//! What each route takes of its caller, asked before the request is read: one that may not ask at all is told just that,
//! whatever it has sent, and nothing that it has sent is parsed. The vault asks again, as the first step of the operation.

use secrets_proto::audit::AuditAction;

use super::routes::{Action, Route};
use crate::vault::Right;

impl Route {
    /// The right, and what a refusal is written down as; `None` for a route that needs no caller.
    pub(super) fn right(&self, query: Option<&str>) -> Option<Right> {
        let Action::Guarded(scope, _) = &self.action else { return None };
        let (action, whole) = self.asks(query);
        Some(match scope {
            None => Right::Token(action),
            Some(_) if whole => Right::Whole(action),
            Some(scope) => Right::Scope(*scope, action),
        })
    }

    /// What the operation does, and whether it concerns the vault as a whole.
    fn asks(&self, query: Option<&str>) -> (AuditAction, bool) {
        let purges = || query.is_some_and(|query| query.split('&').any(|pair| pair == "purge=true"));
        let of_some = |action| (action, false);
        let of_all = |action| (action, true);
        match self.operation {
            "list_secrets" | "get_provider_presets" | "get_secret" | "list_versions" | "list_trash" => {
                of_some(AuditAction::List)
            }
            "create_secret" | "create_secret_from_preset" => of_some(AuditAction::Create),
            "update_secret" => of_some(AuditAction::Update),
            "edit_secret" => of_some(AuditAction::Edit),
            "delete_secret" if purges() => of_some(AuditAction::Purge),
            "delete_secret" => of_some(AuditAction::Delete),
            "reveal_secrets" => of_some(AuditAction::Reveal),
            "rollback_secret" => of_some(AuditAction::Rollback),
            "restore_secret" => of_some(AuditAction::Restore),
            "unlock_vault" => of_some(AuditAction::Unlock),
            "lock_vault" => of_some(AuditAction::Lock),
            "list_audit" => of_some(AuditAction::Audit),
            "init_vault" => of_all(AuditAction::Init),
            "verify_vault" => of_all(AuditAction::Verify),
            "backup_vault" => of_all(AuditAction::Backup),
            "rotate_vault" => of_all(AuditAction::Rotate),
            "list_keys" => of_all(AuditAction::KeyList),
            "add_key" => of_all(AuditAction::KeyAdd),
            "remove_key" => of_all(AuditAction::KeyRemove),
            "list_credentials" => of_all(AuditAction::CredentialList),
            "allow_credentials" => of_all(AuditAction::CredentialAllow),
            "revoke_credentials" => of_all(AuditAction::CredentialRevoke),
            "list_tokens" => of_all(AuditAction::TokenList),
            "create_token" => of_all(AuditAction::TokenCreate),
            "revoke_token" => of_all(AuditAction::TokenRevoke),
            "verify_audit" => of_all(AuditAction::Audit),
            _ => of_some(AuditAction::Access),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::routes::ROUTES;

    #[test]
    fn every_route_that_takes_a_right_says_what_it_does_with_it() {
        for route in ROUTES {
            let right = route.right(None);
            let is_named = !matches!(right, Some(Right::Scope(_, AuditAction::Access)));
            assert!(is_named, "{} is missing here", route.operation);
        }
    }
}
