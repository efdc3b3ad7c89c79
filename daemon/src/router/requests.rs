//! How the request of each operation is made from path, query, headers and body.

use std::path::PathBuf;

use secrets_proto::credential::AllowCredentials;
use secrets_proto::reveal::{Purpose, Remark, RevealRequest};
use secrets_proto::secret::{CreateFromPreset, CreateSecret, PatchSecret, RollbackRequest, UpdateSecret};
use secrets_proto::selector::parse_id;
use secrets_proto::token::{CreateToken, Scope, TokenName};
use secrets_proto::vault::VerifyRequest;
use secrets_proto::{
    FieldErrorType, Glob, Invalid, Loc, Provider, SecretName, SecretValue, Selector, SensitiveString,
    Timestamp, UnitName,
};

use super::input::Input;
use super::replies;
use crate::handler::credentials::Revoke;
use crate::handler::secrets::{
    Create, Delete, Edit, Get, List, One, Restore, Reveal, Rollback, Trash, Update, View,
};
use crate::handler::vault::{AddKey, Init, Rotate, Unlock};
use crate::vault::{AuditQuery, Key, ListFilter};

/// A type that a request can become.
pub(super) trait FromRequest: Sized {
    /// Whether it has a body. One that is sent where none is wanted is received and ignored.
    const BODY: bool = false;

    /// Takes what it needs; `None` when a fault was noted. Everything is tried before giving up, so that one answer
    /// tells all the faults.
    fn take(input: &mut Input<'_>) -> Option<Self>;
}

impl FromRequest for () {
    fn take(_input: &mut Input<'_>) -> Option<Self> {
        Some(())
    }
}

impl FromRequest for List {
    fn take(input: &mut Input<'_>) -> Option<Self> {
        let provider = input.parameter("provider", Provider::parse);
        let name = input.parameter("name", Glob::parse);
        let view = view(input);
        Some(Self {
            filter: ListFilter { provider: provider?, name: name? },
            view: view?,
            render: replies::render,
            render_full: replies::render,
        })
    }
}

impl FromRequest for Trash {
    fn take(_input: &mut Input<'_>) -> Option<Self> {
        Some(Self { render: replies::render })
    }
}

impl FromRequest for Get {
    fn take(input: &mut Input<'_>) -> Option<Self> {
        let (id, view) = (input.id(), view(input));
        Some(Self { id: id?, view: view?, render: replies::render })
    }
}

impl<T: FromRequest> FromRequest for Create<T> {
    const BODY: bool = T::BODY;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        let (view, new) = (written_view(input), T::take(input));
        Some(Self { new: new?, view: view?.unwrap_or_default() })
    }
}

impl FromRequest for CreateSecret {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        let name = input.required("name", SecretName::try_from);
        let value = input.required("value", SecretValue::new);
        let provider = input.nullable("provider", Provider::try_from);
        Some(Self { name: name?, value: value?, provider: provider?.flatten() })
    }
}

impl FromRequest for CreateFromPreset {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        let provider = input.required("provider", Provider::try_from);
        let value = input.required("value", SecretValue::new);
        Some(Self { provider: provider?, value: value? })
    }
}

impl FromRequest for Update {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        let (id, view, expected) = (input.id(), written_view(input), input.expected_version());
        let value = input.required("value", SecretValue::new);
        let new = UpdateSecret { value: value? };
        Some(Self { id: id?, new, expected: expected?, view: view?.unwrap_or_default() })
    }
}

impl FromRequest for Edit {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        let (id, view, expected) = (input.id(), written_view(input), input.expected_version());
        let name = input.optional("name", SecretName::try_from);
        let provider = input.nullable("provider", Provider::try_from);
        let note = input.nullable("note", Remark::try_from);
        let expires_at = input.nullable("expires_at", |text| Timestamp::parse(&text));
        let patch = PatchSecret { name: name?, provider: provider?, note: note?, expires_at: expires_at? };
        // Its answer was in full before it could be asked for.
        Some(Self { id: id?, patch, expected: expected?, view: view?.unwrap_or(View::Full) })
    }
}

impl FromRequest for Delete {
    fn take(input: &mut Input<'_>) -> Option<Self> {
        let (id, expected) = (input.id(), input.expected_version());
        let purge = input.parameter("purge", |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Invalid::new(FieldErrorType::Enum, "true or false is expected")),
        });
        Some(Self { id: id?, expected: expected?, purge: purge?.unwrap_or(false) })
    }
}

impl FromRequest for Reveal {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        RevealRequest::take(input).map(|request| Self { request, render: replies::render_sensitive })
    }
}

impl FromRequest for RevealRequest {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        let secrets = input.list("secrets", 1..=Self::MAX_SELECTORS, Selector::try_from);
        let purpose = input.required("purpose", Purpose::try_from);
        let command = input.nullable("command", Remark::try_from);
        let reason = input.nullable("reason", Remark::try_from);
        Some(Self {
            secrets: secrets?,
            purpose: purpose?,
            command: command?.flatten(),
            reason: reason?.flatten(),
        })
    }
}

impl FromRequest for CreateToken {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        let name = input.required("name", TokenName::try_from);
        let scopes = input.list("scopes", 1..=Scope::ALL.len(), Scope::try_from);
        // An empty list is refused: it could be taken for no limit, and a token that sees nothing is of no use.
        let secrets = input.nullable_list("secrets", 1..=Self::MAX_GLOBS, Glob::try_from);
        let ttl_seconds = input.nullable_number("ttl_seconds", 1..=Self::MAX_TTL);
        let rate_per_minute = input.nullable_number("rate_per_minute", 1..=Self::MAX_RATE);
        Some(Self {
            name: name?,
            scopes: scopes?,
            secrets: secrets?,
            ttl_seconds: ttl_seconds?,
            rate_per_minute: rate_per_minute?.flatten(),
        })
    }
}

impl FromRequest for One {
    fn take(input: &mut Input<'_>) -> Option<Self> {
        input.id().map(Self)
    }
}

impl FromRequest for Restore {
    fn take(input: &mut Input<'_>) -> Option<Self> {
        let (id, view) = (input.id(), written_view(input));
        Some(Self { id: id?, view: view?.unwrap_or_default() })
    }
}

impl FromRequest for Rollback {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        let (id, view, expected) = (input.id(), written_view(input), input.expected_version());
        let to = RollbackRequest { version: input.number("version")? };
        Some(Self { id: id?, to, expected: expected?, view: view?.unwrap_or_default() })
    }
}

impl FromRequest for VerifyRequest {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        Some(Self { accept_restore: input.flag("accept_restore")? })
    }
}

impl FromRequest for AddKey {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        let replaces = input.nullable("replaces", |text| {
            parse_id(&text)
                .ok_or(Invalid::new(FieldErrorType::UuidParsing, "a UUID of 36 characters is expected"))
        });
        let key = if input.flag("recovery")? { None } else { Some(key(input, false)?) };
        Some(Self { key, replaces: replaces?.flatten() })
    }
}

impl FromRequest for Rotate {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        key(input, false).map(Self)
    }
}

impl FromRequest for Init {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        key(input, false).map(Self)
    }
}

impl FromRequest for Unlock {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        key(input, true).map(Self)
    }
}

impl FromRequest for AllowCredentials {
    const BODY: bool = true;

    fn take(input: &mut Input<'_>) -> Option<Self> {
        let unit = input.required("unit", UnitName::try_from);
        let secrets = input.list("secrets", 1..=Self::MAX_SECRETS, SecretName::try_from);
        Some(Self { unit: unit?, secrets: secrets? })
    }
}

impl FromRequest for Revoke {
    fn take(input: &mut Input<'_>) -> Option<Self> {
        let unit = input.required_parameter("unit", UnitName::parse);
        let name = input.parameter("name", SecretName::parse);
        Some(Self { unit: unit?, name: name? })
    }
}

impl FromRequest for AuditQuery {
    fn take(input: &mut Input<'_>) -> Option<Self> {
        let since = input.parameter("since", Timestamp::parse);
        let name = input.parameter("name", SecretName::parse);
        let before = input.parameter("before", |text| {
            whole(text)
                .filter(|number| *number > 0)
                .ok_or(Invalid::new(FieldErrorType::IntParsing, "a whole number from 1 on is expected"))
        });
        let limit = input.parameter("limit", limit);
        let limit = Some(limit?.unwrap_or(DEFAULT_LIMIT));
        Some(Self { since: since?, name: name?, before: before?, limit })
    }
}

/// How many audit entries an answer has unless asked.
const DEFAULT_LIMIT: usize = 100;

fn limit(text: &str) -> Result<usize, Invalid> {
    whole(text)
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| (1..=1_000).contains(number))
        .ok_or(Invalid::new(FieldErrorType::IntParsing, "a whole number from 1 to 1000 is expected"))
}

/// A number of digits alone.
fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn view(input: &mut Input<'_>) -> Option<View> {
    asked_view(input, View::Full).map(Option::unwrap_or_default)
}

/// The view of what a write leads to, if one is asked for: with warnings.
fn written_view(input: &mut Input<'_>) -> Option<Option<View>> {
    asked_view(input, View::Warned)
}

fn asked_view(input: &mut Input<'_>, full: View) -> Option<Option<View>> {
    input.parameter("view", |text| match text {
        "basic" => Ok(View::Basic),
        "full" => Ok(full),
        _ => Err(Invalid::new(FieldErrorType::Enum, "basic or full is expected")),
    })
}

/// Exactly one key; a recovery key only where there is a vault to recover.
fn key(input: &mut Input<'_>, recovery: bool) -> Option<Key> {
    let passphrase = input.nullable("passphrase", |text| Ok(Key::Passphrase(SensitiveString::new(text))));
    let file = input.nullable("key_file", |text| Ok(Key::File(PathBuf::from(text))));
    let recovery_key = if recovery {
        input.nullable("recovery_key", |text| Ok(Key::Recovery(SensitiveString::new(text))))
    } else {
        Some(None)
    };
    let credential = input.flag("credential").map(|credential| credential.then_some(Key::Credential));
    let provider = input.nullable("key_provider", |text| Ok(Key::Provider(text)));
    let keys =
        [passphrase?.flatten(), file?.flatten(), recovery_key?.flatten(), credential?, provider?.flatten()];
    let mut keys = keys.into_iter().flatten();
    match (keys.next(), keys.next()) {
        (Some(key), None) => Some(key),
        (Some(_), Some(_)) => {
            let invalid = Invalid::new(FieldErrorType::ValueError, "exactly one key is expected");
            input.fault(vec![Loc::field("body")], invalid);
            None
        }
        (None, _) => {
            let invalid = Invalid::new(FieldErrorType::Missing, "a passphrase or another key is required");
            input.fault(vec![Loc::field("body"), Loc::field("passphrase")], invalid);
            None
        }
    }
}
