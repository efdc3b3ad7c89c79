//! `/vault`: its routes, what their requests are made from, and how their replies are written.

use std::path::PathBuf;

use hyper::{HeaderMap, StatusCode};
use secrets_proto::audit::AuditAction;
use secrets_proto::selector::parse_id;
use secrets_proto::vault::{
    AddKeyReply, InitReply, KeyList, RotateReply, VaultStatus, VerifyReply, VerifyRequest,
};
use secrets_proto::{FieldErrorType, Invalid, Loc, SensitiveString};

use super::approvals::proof;
use super::codec::{FromRequest, IntoResponse, json};
use super::route::{Route, delete, get, post, read};
use super::serve::{serve, serve_costly, serve_now};
use crate::caller::Scope;
use crate::handler::vault::{self as handler, AddKey, Copy, Locked, RemoveKey, Unlock, WithRecovery};
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::{Key, Right};

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    read("/api/v1/vault", "get_vault", Right::Token(AuditAction::Access), |x| serve_now(x, handler::status)),
    post("/api/v1/vault/init", "init_vault", Right::Whole(AuditAction::Init), |x| serve(x, handler::init)),
    post("/api/v1/vault/unlock", "unlock_vault", Right::Scope(Scope::Admin, AuditAction::Unlock), |x| {
        serve(x, handler::unlock)
    }),
    post("/api/v1/vault/lock", "lock_vault", Right::AdminOrItems(AuditAction::Lock), |x| {
        serve(x, handler::lock)
    }),
    post("/api/v1/vault/verify", "verify_vault", Right::Whole(AuditAction::Verify), |x| {
        serve(x, handler::verify)
    })
    .slow(),
    get("/api/v1/vault/backup", "backup_vault", Right::Whole(AuditAction::Backup), |x| {
        serve_costly(x, "application/octet-stream", handler::backup)
    })
    .slow(),
    post("/api/v1/vault/rotate", "rotate_vault", Right::Whole(AuditAction::Rotate), |x| {
        serve(x, handler::rotate)
    })
    .slow(),
    get("/api/v1/vault/keys", "list_keys", Right::Whole(AuditAction::KeyList), |x| serve(x, handler::keys)),
    post("/api/v1/vault/keys", "add_key", Right::Whole(AuditAction::KeyAdd), |x| serve(x, handler::add_key)),
    delete("/api/v1/vault/keys/{id}", "remove_key", Right::Whole(AuditAction::KeyRemove), |x| {
        serve(x, handler::remove_key)
    }),
    post("/api/v1/vault/keys/{id}/confirm", "confirm_key", Right::Whole(AuditAction::KeyConfirm), |x| {
        serve(x, handler::confirm_key)
    }),
];

impl FromRequest for VerifyRequest {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        Some(Self { accept_restore: parts.flag("accept_restore")? })
    }
}

impl FromRequest for AddKey {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let replaces = parts.nullable("replaces", |text| {
            parse_id(&text)
                .ok_or(Invalid::new(FieldErrorType::UuidParsing, "expected a UUID of 36 characters"))
        });
        let proof = proof(parts);
        let key = if parts.flag("recovery")? { None } else { Some(key(parts, false)?) };
        let confirm = parts.flag("confirm");
        Some(Self { key, replaces: replaces?.flatten(), proof: proof?, confirm: confirm? })
    }
}

impl FromRequest for RemoveKey {
    const BODY: bool = true;
    const MAY_LACK_BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, proof) = (parts.id(), proof(parts));
        Some(Self { id: id?, proof: proof? })
    }
}

impl FromRequest for WithRecovery {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (key, confirm) = (key(parts, false), parts.flag("confirm"));
        Some(Self { key: key?, confirm: confirm? })
    }
}

impl FromRequest for Unlock {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        key(parts, true).map(Self)
    }
}

/// Exactly one key; a recovery key only where there is a vault to recover.
fn key(parts: &mut RequestParts<'_>, recovery: bool) -> Option<Key> {
    let passphrase = parts.nullable("passphrase", |text| Ok(Key::Passphrase(SensitiveString::new(text))));
    let file = parts.nullable("key_file", |text| Ok(Key::File(PathBuf::from(text))));
    let recovery_key = if recovery {
        parts.nullable("recovery_key", |text| Ok(Key::Recovery(SensitiveString::new(text))))
    } else {
        Some(None)
    };
    let credential = parts.flag("credential").map(|credential| credential.then_some(Key::Credential));
    let provider = parts.nullable("key_provider", |text| Ok(Key::Provider(text)));
    let keys =
        [passphrase?.flatten(), file?.flatten(), recovery_key?.flatten(), credential?, provider?.flatten()];
    let mut keys = keys.into_iter().flatten();
    match (keys.next(), keys.next()) {
        (Some(key), None) => Some(key),
        (Some(_), Some(_)) => {
            let invalid = Invalid::new(FieldErrorType::ValueError, "expected exactly one key");
            parts.fault(vec![Loc::field("body")], invalid);
            None
        }
        (None, _) => {
            let invalid = Invalid::new(FieldErrorType::Missing, "a passphrase or another key is required");
            parts.fault(vec![Loc::field("body"), Loc::field("passphrase")], invalid);
            None
        }
    }
}

impl IntoResponse for Locked {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::metadata(StatusCode::OK, &self.0)?.after_relaunch())
    }
}

impl IntoResponse for Copy {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::binary(self.0))
    }
}

json! {
    VaultStatus => metadata(OK),
    InitReply => sensitive(CREATED),
    VerifyReply => metadata(OK),
    KeyList => metadata(OK),
    AddKeyReply => sensitive(CREATED),
    RotateReply => sensitive(OK),
}
