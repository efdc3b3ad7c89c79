//! `/fleet`: its routes, what their requests are made from, and how their replies are written.

use hyper::{HeaderMap, StatusCode};
use secrets_proto::audit::AuditAction;
use secrets_proto::fleet::{
    BeginFleet, FleetMerge, FleetStatus, Invitation, JoinFleet, MachineName, MachineRemoved,
};
use secrets_proto::{Invalid, SensitiveString};

use super::approvals::proof;
use super::codec::{FromRequest, IntoResponse, json};
use super::route::{Route, delete, get, post, read};
use super::serve::{serve, serve_now};
use crate::caller::Scope;
use crate::handler::fleet::{self as handler, Confirm, Made};
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::Right;

const LIST: Right = Right::Scope(Scope::List, AuditAction::List);
const WHOLE: Right = Right::Whole(AuditAction::Fleet);

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    read("/api/v1/fleet", "get_fleet", LIST, |x| serve_now(x, handler::get)),
    post("/api/v1/fleet", "begin_fleet", WHOLE, |x| serve(x, handler::begin)),
    post("/api/v1/fleet/merge", "merge_fleet", LIST, |x| serve(x, handler::merge)),
    post("/api/v1/fleet/join", "join_fleet", WHOLE, |x| serve(x, handler::join)),
    post("/api/v1/fleet/invitations", "invite_machine", WHOLE, |x| serve(x, handler::invite)),
    get("/api/v1/fleet/invitations/{id}", "get_invitation", WHOLE, |x| serve(x, handler::invitation)),
    post("/api/v1/fleet/invitations/{id}", "confirm_invitation", WHOLE, |x| serve(x, handler::confirm)),
    delete("/api/v1/fleet/machines/{id}", "remove_machine", WHOLE, |x| serve(x, handler::remove)),
];

/// The longest path of a directory.
const LONGEST: usize = 4_096;

fn path(text: String) -> Result<String, Invalid> {
    if text.is_empty() || text.len() > LONGEST || text.contains('\0') {
        let kind = secrets_proto::FieldErrorType::StringPatternMismatch;
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

impl FromRequest for Confirm {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, accept, proof) = (parts.id(), parts.required_flag("accept"), proof(parts));
        Some(Self { id: id?, accept: accept?, proof: proof? })
    }
}

impl IntoResponse for Made<FleetStatus> {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::metadata(StatusCode::CREATED, &self.0)?)
    }
}

impl IntoResponse for Made<Invitation> {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::sensitive(StatusCode::CREATED, &self.0)?)
    }
}

json! {
    FleetStatus => metadata(OK),
    FleetMerge => metadata(OK),
    Invitation => sensitive(OK),
    MachineRemoved => metadata(OK),
}
