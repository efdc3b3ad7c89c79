//! `/fleet`: its routes, what their requests are made from, and how their replies are written.

use hyper::{HeaderMap, StatusCode};
use secrets_proto::audit::AuditAction;
use secrets_proto::fleet::{
    BeginFleet, ConflictList, FilterList, FleetMerge, FleetStatus, Invitation, JoinFleet, KeptLocal, KeyRole,
    MachineKey, MachineName, MachineRemoved,
};
use secrets_proto::{FieldErrorType, Glob, Invalid, SensitiveString};

use super::approvals::proof;
use super::codec::{FromRequest, IntoResponse, json};
use super::route::{Route, delete, get, patch, post, put, read};
use super::secrets::written_view;
use super::serve::{serve, serve_now};
use crate::caller::Scope;
use crate::crypto::recovery::RecoveryKey;
use crate::handler::fleet::{
    self as handler, ByKey, ChangeFilter, Confirm, Made, NewKey, Rename, SetLocal, Settle,
};
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::Right;

const LIST: Right = Right::Scope(Scope::List, AuditAction::List);
const WRITE: Right = Right::Scope(Scope::Write, AuditAction::Rollback);
const WHOLE: Right = Right::Whole(AuditAction::Fleet);

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    read("/api/v1/fleet", "get_fleet", LIST, |x| serve_now(x, handler::get)),
    post("/api/v1/fleet", "begin_fleet", WHOLE, |x| serve(x, handler::begin)),
    post("/api/v1/fleet/merge", "merge_fleet", LIST, |x| serve(x, handler::merge)),
    post("/api/v1/fleet/join", "join_fleet", WHOLE, |x| serve(x, handler::join)),
    post("/api/v1/fleet/keys", "create_machine_key", WHOLE, |x| serve(x, handler::create_key)),
    post("/api/v1/fleet/keys/join", "join_by_key", WHOLE, |x| serve(x, handler::join_by_key)),
    post("/api/v1/fleet/invitations", "invite_machine", WHOLE, |x| serve(x, handler::invite)),
    get("/api/v1/fleet/invitations/{id}", "get_invitation", WHOLE, |x| serve(x, handler::invitation)),
    post("/api/v1/fleet/invitations/{id}", "confirm_invitation", WHOLE, |x| serve(x, handler::confirm)),
    get("/api/v1/fleet/conflicts", "list_conflicts", LIST, |x| serve(x, handler::conflicts)),
    post("/api/v1/fleet/conflicts/{id}/resolve", "resolve_conflict", WRITE, |x| serve(x, handler::resolve)),
    post("/api/v1/fleet/filter", "change_filter", WHOLE, |x| serve(x, handler::filter)),
    put("/api/v1/user/secrets/{id}/local", "set_local", Right::Whole(AuditAction::KeepLocal), |x| {
        serve(x, handler::set_local)
    }),
    patch("/api/v1/fleet/machines/{id}", "rename_machine", WHOLE, |x| serve(x, handler::rename)),
    post("/api/v1/fleet/machines/{id}/keep", "keep_machine", WHOLE, |x| serve(x, handler::keep)),
    delete("/api/v1/fleet/machines/{id}", "remove_machine", WHOLE, |x| serve(x, handler::remove)),
];

/// The greatest whole number that JSON is sure to keep.
const MOST_WHOLE: u64 = (1 << 53) - 1;

/// The longest path of a directory.
const LONGEST: usize = 4_096;

fn path(text: String) -> Result<String, Invalid> {
    if text.is_empty() || text.len() > LONGEST || text.contains('\0') {
        let kind = FieldErrorType::StringPatternMismatch;
        return Err(Invalid::new(kind, "this is not a path"));
    }
    Ok(text)
}

impl FromRequest for BeginFleet {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (name, directory) =
            (parts.required("name", MachineName::try_from), parts.required("directory", path));
        Some(Self { name: name?, directory: directory? })
    }
}

impl FromRequest for JoinFleet {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let code = parts.required("code", |text| Ok(SensitiveString::new(text)));
        let (name, directory) =
            (parts.required("name", MachineName::try_from), parts.required("directory", path));
        Some(Self { code: code?, name: name?, directory: directory? })
    }
}

impl FromRequest for NewKey {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (name, role) = (parts.required("name", MachineName::try_from), parts.required("role", role));
        let proof = proof(parts);
        Some(Self { name: name?, role: role?, proof: proof? })
    }
}

impl FromRequest for ByKey {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (key, role) = (parts.required("key", key), parts.required("role", role));
        let (name, directory) =
            (parts.required("name", MachineName::try_from), parts.required("directory", path));
        let proof = proof(parts);
        Some(Self { key: key?, role: role?, name: name?, directory: directory?, proof: proof? })
    }
}

fn role(text: String) -> Result<KeyRole, Invalid> {
    KeyRole::parse(&text)
}

fn key(text: String) -> Result<RecoveryKey, Invalid> {
    RecoveryKey::parse(&SensitiveString::new(text)).map_err(|invalid| {
        let text = if invalid.kind == FieldErrorType::ValueError {
            "the key has a typing error: its checksum does not match"
        } else {
            "a key has 56 letters and digits, usually in 14 groups of 4; this is cut, or none"
        };
        Invalid::new(invalid.kind, text)
    })
}

impl FromRequest for Confirm {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, accept, proof) = (parts.id(), parts.required_flag("accept"), proof(parts));
        Some(Self { id: id?, accept: accept?, proof: proof? })
    }
}

impl FromRequest for Rename {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, name) = (parts.id(), parts.required("name", MachineName::try_from));
        Some(Self { id: id?, name: name? })
    }
}

impl FromRequest for SetLocal {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, local, proof) = (parts.id(), parts.required_flag("local"), proof(parts));
        Some(Self { id: id?, local: local?, proof: proof? })
    }
}

impl FromRequest for ChangeFilter {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let list = parts.required("list", |text| match text.as_str() {
            "include" => Ok(FilterList::Include),
            "exclude" => Ok(FilterList::Exclude),
            _ => Err(Invalid::new(FieldErrorType::Enum, "expected include or exclude")),
        });
        let (glob, remove, proof) =
            (parts.required("glob", Glob::try_from), parts.flag("remove"), proof(parts));
        Some(Self { list: list?, glob: glob?, remove: remove?, proof: proof? })
    }
}

impl FromRequest for Settle {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, view) = (parts.id(), written_view(parts));
        let version = parts.nullable_number("version", 1..=MOST_WHOLE)?.flatten();
        Some(Self { id: id?, version, view: view?.unwrap_or_default() })
    }
}

impl IntoResponse for Made<FleetStatus> {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::metadata(StatusCode::CREATED, &self.0)?)
    }
}

impl IntoResponse for Made<MachineKey> {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::sensitive(StatusCode::CREATED, &self.0)?)
    }
}

impl IntoResponse for Made<Invitation> {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::sensitive(StatusCode::CREATED, &self.0)?)
    }
}

json! {
    ConflictList => metadata(OK),
    FleetStatus => metadata(OK),
    FleetMerge => metadata(OK),
    Invitation => sensitive(OK),
    KeptLocal => metadata(OK),
    MachineRemoved => metadata(OK),
}
