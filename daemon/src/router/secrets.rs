//! `/user/secrets`: its routes.
//!
//! - [`requests`]: what their requests are made from
//! - [`responses`]: how their replies are written

mod requests;
mod responses;

use secrets_proto::audit::AuditAction;

pub(super) use requests::written_view;

use super::route::{Route, delete, get, patch, post, put, read};
use super::serve::{serve, serve_either, serve_now};
use crate::caller::Scope;
use crate::handler::secrets as handler;
use crate::vault::Right;

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    read("/api/v1/user/secrets", "list_secrets", Right::Scope(Scope::List, AuditAction::List), |x| {
        serve_either(x, handler::list)
    }),
    post("/api/v1/user/secrets", "create_secret", Right::Scope(Scope::Write, AuditAction::Create), |x| {
        serve(x, handler::create)
    }),
    post(
        "/api/v1/user/secrets/batch",
        "write_secrets",
        Right::Scope(Scope::Write, AuditAction::Create),
        |x| serve(x, handler::write_all),
    ),
    read(
        "/api/v1/user/secrets/presets",
        "get_provider_presets",
        Right::Scope(Scope::List, AuditAction::List),
        |x| serve_now(x, handler::presets),
    ),
    post(
        "/api/v1/user/secrets/preset",
        "create_secret_from_preset",
        Right::Scope(Scope::Write, AuditAction::Create),
        |x| serve(x, handler::create_from_preset),
    ),
    read("/api/v1/user/secrets/{id}", "get_secret", Right::Scope(Scope::List, AuditAction::List), |x| {
        serve_now(x, handler::get)
    }),
    put("/api/v1/user/secrets/{id}", "update_secret", Right::Scope(Scope::Write, AuditAction::Update), |x| {
        serve(x, handler::update)
    }),
    patch("/api/v1/user/secrets/{id}", "edit_secret", Right::Scope(Scope::Write, AuditAction::Edit), |x| {
        serve(x, handler::edit)
    }),
    delete(
        "/api/v1/user/secrets/{id}",
        "delete_secret",
        Right::Scope(Scope::Write, AuditAction::Delete),
        |x| serve(x, handler::delete),
    ),
    post(
        "/api/v1/user/secrets/reveal",
        "reveal_secrets",
        Right::Scope(Scope::Reveal, AuditAction::Reveal),
        |x| serve(x, handler::reveal),
    ),
    get(
        "/api/v1/user/secrets/{id}/versions",
        "list_versions",
        Right::Scope(Scope::List, AuditAction::List),
        |x| serve(x, handler::versions),
    ),
    delete(
        "/api/v1/user/secrets/{id}/versions",
        "drop_version",
        Right::Scope(Scope::Write, AuditAction::VersionDrop),
        |x| serve(x, handler::drop_version),
    ),
    post(
        "/api/v1/user/secrets/{id}/same",
        "find_same",
        Right::Scope(Scope::Reveal, AuditAction::Compare),
        |x| serve(x, handler::same),
    ),
    post(
        "/api/v1/user/secrets/{id}/rollback",
        "rollback_secret",
        Right::Scope(Scope::Write, AuditAction::Rollback),
        |x| serve(x, handler::rollback),
    ),
    get("/api/v1/user/secrets/trash", "list_trash", Right::Scope(Scope::List, AuditAction::List), |x| {
        serve(x, handler::trash)
    }),
    post(
        "/api/v1/user/secrets/{id}/restore",
        "restore_secret",
        Right::Scope(Scope::Write, AuditAction::Restore),
        |x| serve(x, handler::restore),
    ),
];
