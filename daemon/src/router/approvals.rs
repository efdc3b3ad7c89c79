//! `/approvals` and `/user/secrets/{id}/guard`: their routes, what their requests are made from, and how their replies are
//! written.

use std::time::Duration;

use hyper::{HeaderMap, StatusCode};
use secrets_proto::approval::{
    Approval, ApprovalList, ApprovalRuleList, ApprovalScope, ClientPattern, Decision, Effect, Guard,
    GuardedRight, MAX_SECONDS, MAX_WAIT, Narrowing,
};
use secrets_proto::audit::AuditAction;
use secrets_proto::{FieldErrorType, Invalid, SecretName, SensitiveString};

use super::codec::{FromRequest, IntoResponse, json};
use super::route::{Route, delete, get, post, put, read};
use super::serve::{serve, serve_now};
use crate::guarded::RuleAbout;
use crate::handler::approvals::{
    self as handler, AskUnlock, Decide, Get, List, Made, MadeItemRule, MadeRule, NewItemRule, SetGuard,
};
use crate::http::failure::Failure;
use crate::http::parts::RequestParts;
use crate::http::response::Response;
use crate::vault::{AnswerTo, Key, NewRule, Right};

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    put("/api/v1/user/secrets/{id}/guard", "set_guard", Right::Whole(AuditAction::Guard), |x| {
        serve(x, handler::set_guard)
    }),
    get("/api/v1/approvals", "list_approvals", Right::Whole(AuditAction::Approve), |x| {
        serve(x, handler::list)
    })
    .waiting(),
    post("/api/v1/approvals", "ask_unlock", Right::AdminOrItems(AuditAction::Ask), |x| {
        serve_now(x, handler::ask_unlock)
    }),
    get("/api/v1/approvals/{id}", "get_approval", Right::Token(AuditAction::Ask), |x| serve(x, handler::get))
        .waiting(),
    post("/api/v1/approvals/{id}/decision", "decide_approval", Right::Whole(AuditAction::Approve), |x| {
        serve(x, handler::decide)
    }),
    read("/api/v1/approvals/rules", "list_approval_rules", Right::Whole(AuditAction::RuleAdd), |x| {
        serve_now(x, handler::rules)
    }),
    post("/api/v1/items/{id}/rules", "add_item_approval_rule", Right::Whole(AuditAction::RuleAdd), |x| {
        serve(x, handler::add_item_rule)
    }),
    post("/api/v1/approvals/rules", "add_approval_rule", Right::Whole(AuditAction::RuleAdd), |x| {
        serve(x, handler::add_rule)
    }),
    delete(
        "/api/v1/approvals/rules/{id}",
        "remove_approval_rule",
        Right::Whole(AuditAction::RuleRemove),
        |x| serve(x, handler::remove_rule),
    ),
];

/// The proof that a request may hold.
pub(super) fn proof(parts: &mut RequestParts<'_>) -> Option<Option<Key>> {
    let proof = parts.object("proof", |parts| {
        let passphrase = parts.nullable("passphrase", |text| Ok(Key::Passphrase(SensitiveString::new(text))));
        let recovery = parts.nullable("recovery_key", |text| Ok(Key::Recovery(SensitiveString::new(text))));
        match (passphrase?.flatten(), recovery?.flatten()) {
            (Some(key), None) | (None, Some(key)) => Some(Ok(key)),
            (Some(_), Some(_)) | (None, None) => Some(Err(Invalid::new(
                FieldErrorType::ValueError,
                "expected exactly one of passphrase and recovery_key",
            ))),
        }
    });
    match proof? {
        None => Some(None),
        Some(Ok(key)) => Some(Some(key)),
        Some(Err(invalid)) => {
            parts.fault_in_body("proof", invalid);
            None
        }
    }
}

/// How long is waited, from the query.
pub(super) fn wait(parts: &mut RequestParts<'_>) -> Option<Duration> {
    let wait = parts.parameter("wait", |text| {
        text.parse::<u64>().ok().filter(|seconds| *seconds <= MAX_WAIT).ok_or(Invalid::new(
            FieldErrorType::IntParsing,
            "expected a whole number of seconds from 0 to 86400",
        ))
    });
    Some(Duration::from_secs(wait?.unwrap_or(0)))
}

/// The state after which something is waited for, from the query.
pub(super) fn after(parts: &mut RequestParts<'_>) -> Option<Option<u64>> {
    parts.parameter("after", |text| {
        text.parse::<u64>()
            .map_err(|_| Invalid::new(FieldErrorType::IntParsing, "expected a number of changes"))
    })
}

impl FromRequest for SetGuard {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, guarded, proof) = (parts.id(), parts.required_flag("guarded"), proof(parts));
        Some(Self { id: id?, guarded: guarded?, proof: proof? })
    }
}

impl FromRequest for List {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (wait, after) = (wait(parts), after(parts));
        Some(Self { wait: wait?, after: after? })
    }
}

impl FromRequest for Get {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, wait) = (parts.id(), wait(parts));
        Some(Self { id: id?, wait: wait? })
    }
}

impl FromRequest for AskUnlock {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let right = parts.required("right", |text| match text.as_str() {
            "unlock" => Ok(()),
            _ => Err(Invalid::new(
                FieldErrorType::Enum,
                "expected unlock: everything else is asked for by doing it",
            )),
        });
        right.map(|()| Self)
    }
}

impl FromRequest for Decide {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let id = parts.id();
        let effect = parts.required("decision", |text| Effect::parse(&text));
        let scope = parts.nullable("scope", |text| ApprovalScope::parse(&text));
        let seconds = parts.nullable_number("seconds", 1..=MAX_SECONDS);
        let narrowing = parts.object("client", Narrowing::take);
        let proof = proof(parts);
        Some(Self {
            id: id?,
            answer: AnswerTo {
                effect: effect?,
                scope: scope?.flatten(),
                seconds: seconds?.flatten().unwrap_or(Decision::DEFAULT_SECONDS),
                narrowing: narrowing?.unwrap_or_default(),
                proof: proof?,
            },
        })
    }
}

impl FromRequest for Narrowing {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let unit = parts.nullable("unit", Self::text);
        let program = parts.nullable("program", Self::text);
        let script = parts.nullable("script", Self::text);
        let directory = parts.nullable("directory", Self::text);
        let command = parts.nullable("command", Self::text);
        Some(Self {
            unit: unit?.flatten(),
            program: program?.flatten(),
            script: script?.flatten(),
            directory: directory?.flatten(),
            command: command?.flatten(),
        })
    }
}

impl FromRequest for NewRule {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let secret = parts.required("secret", SecretName::try_from);
        rule(parts, secret.map(RuleAbout::Secret))
    }
}

impl FromRequest for NewItemRule {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let id = parts.id();
        rule(parts, id.map(RuleAbout::Item)).map(Self)
    }
}

/// The rule that a body describes.
fn rule(parts: &mut RequestParts<'_>, about: Option<RuleAbout>) -> Option<NewRule> {
    let effect = parts.required("effect", |text| Effect::parse(&text));
    let rights = parts.list("rights", 1..=3, |text| GuardedRight::parse(&text));
    let clients = parts.object("client", |parts| {
        let token = parts.required("token", Narrowing::text);
        let narrowing = Narrowing::take(parts);
        let Narrowing { unit, program, script, directory, command } = narrowing?;
        Some(ClientPattern { token: token?, unit, program, script, directory, command })
    });
    let proof = proof(parts);
    let clients = clients?;
    if clients.is_none() {
        parts.fault_in_body("client", Invalid::new(FieldErrorType::Missing, "this field is required"));
    }
    let mut rights = rights?;
    rights.sort_unstable();
    rights.dedup();
    Some(NewRule { effect: effect?, about: about?, rights, clients: clients?, proof: proof? })
}

impl IntoResponse for Made {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::metadata(StatusCode::CREATED, &self.0)?)
    }
}

impl IntoResponse for MadeItemRule {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::metadata(StatusCode::CREATED, &self.0)?)
    }
}

impl IntoResponse for MadeRule {
    fn into_response(self, _asked: &HeaderMap) -> Result<Response, Failure> {
        Ok(Response::metadata(StatusCode::CREATED, &self.0)?)
    }
}

json! {
    Guard => metadata(OK),
    Approval => metadata(OK),
    ApprovalList => metadata(OK),
    ApprovalRuleList => metadata(OK),
}
