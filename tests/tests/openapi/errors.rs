//! What all operations have in common when they fail: one response a status, with an example of each type of error.

use secrets_proto::{ErrorBody, ErrorType, FieldError, FieldErrorType, Invalid, Loc};
use serde_json::{Map, Value, json};

use super::document::header;

/// One response a status, with an example of each type of error that has it.
pub(super) fn responses() -> Map<String, Value> {
    let mut codes: Vec<u16> = ErrorType::ALL.iter().map(|kind| kind.code()).collect();
    codes.dedup();
    codes.into_iter().map(|code| (code.to_string(), error(code))).collect()
}

fn error(code: u16) -> Value {
    let kinds: Vec<ErrorType> = ErrorType::ALL.into_iter().filter(|kind| kind.code() == code).collect();
    let name = |kind: &ErrorType| serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned();
    let names: Vec<String> = kinds.iter().map(name).collect();
    let examples: Map<String, Value> =
        kinds.iter().map(|kind| (name(kind), json!({ "value": example(*kind) }))).collect();
    let mut headers = json!({ "X-Request-Id": header("X-Request-Id") });
    let own = match code {
        403 => Some("X-Secretsd-Approval"),
        401 => Some("WWW-Authenticate"),
        404 => Some("Allow"),
        426 => Some("Upgrade"),
        429 => Some("Retry-After"),
        _ => None,
    };
    if let Some(own) = own {
        headers[own] = header(own);
    }
    json!({
        "description": names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        "headers": headers,
        "content": { "application/json": {
            "schema": {
                "allOf": [{ "$ref": "#/components/schemas/ErrorBody" }],
                "properties": { "code": { "const": code }, "type": { "enum": names } },
            },
            "examples": examples,
        } },
    })
}

fn example(kind: ErrorType) -> ErrorBody {
    let detail = match kind {
        ErrorType::InvalidRequestError => "The body is not well-formed JSON in UTF-8",
        ErrorType::AuthenticationError => {
            "Authentication failed; send the token as Authorization: Bearer or X-API-Key"
        }
        ErrorType::ExpiredTokenError => "The token has expired; make a new one",
        ErrorType::ForbiddenError => "The token lacks the scope `reveal`; use one that has it",
        ErrorType::VaultLockedError => "The vault is locked; run `secretctl unlock`",
        ErrorType::WrongKeyError => "This key does not open the vault; check it and try again",
        ErrorType::ApprovalRequiredError => {
            "This is guarded, and nobody has allowed it yet; answer the ask with `secretctl approve`, then repeat"
        }
        ErrorType::ApprovalDeniedError => {
            "KEY is guarded, and this was denied by a rule; `secretctl rules` lists the rules"
        }
        ErrorType::NotFoundError => {
            "There is no such secret, version or key; list them to see which there are"
        }
        ErrorType::AlreadyExistsError => {
            "A secret with this name already exists; update it or choose another name"
        }
        ErrorType::ConflictError => "The secret has changed in the meantime; read it again and repeat",
        ErrorType::ValidationError => "Some fields are missing or malformed; see errors",
        ErrorType::LimitExceededError => "An item cannot be so large; nothing was done, see errors",
        ErrorType::UpgradeRequiredError => "This daemon speaks version 1 of the API; upgrade one of the two",
        ErrorType::RateLimitError => "Too many wrong tokens; wait, and read the token file again",
        ErrorType::InternalError => "The daemon has a bug; see its log for this X-Request-Id",
        ErrorType::StorageError => {
            "The vault's disk is full and nothing was changed; free some space and repeat (deleting secrets still works)"
        }
        ErrorType::VaultCorruptError => {
            "Rollback detected: the vault is older than it was; put the newer one back, or run `secretctl verify --accept-restore` to keep this one"
        }
        ErrorType::BadGatewayError => {
            "The key provider `tpm` gave no key: it ended with exit status 1; if it works by hand: there it has your environment, a terminal and no sandbox; `stderr = \"log\"` in its settings puts what it says into the daemon's log"
        }
        ErrorType::GatewayTimeoutError => {
            "The vault did not answer in time; check whether the change was made, then repeat"
        }
    };
    let mut body = ErrorBody::new(kind, detail);
    if kind == ErrorType::ValidationError {
        let missing = Invalid::new(FieldErrorType::Missing, "this field is required");
        body.errors = vec![FieldError::new(vec![Loc::field("body"), Loc::field("name")], missing)];
    }
    if kind == ErrorType::ApprovalRequiredError {
        let ask = Invalid::new(FieldErrorType::Approval, "01234567-89ab-4cde-8f01-23456789abcd");
        body.errors = vec![FieldError::new(vec![Loc::field("approval")], ask)];
    }
    body
}
