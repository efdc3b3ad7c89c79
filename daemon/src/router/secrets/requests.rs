//! What the requests of `/user/secrets` are made from.

use secrets_proto::reveal::{Purpose, Remark, RevealRequest};
use secrets_proto::secret::{
    CreateFromPreset, CreateSecret, PatchSecret, RollbackRequest, UpdateSecret, WriteSecret, WriteSecrets,
};
use secrets_proto::{FieldErrorType, Glob, Invalid, Provider, SecretName, SecretValue, Selector, Timestamp};

use crate::handler::secrets::{
    Create, Delete, DropVersion, Edit, Get, List, Restore, Reveal, Rollback, Trash, Update, View,
};
use crate::http::parts::RequestParts;
use crate::router::codec::{FromRequest, form, render, render_sensitive};
use crate::vault::ListFilter;

/// The largest number that JSON has exactly, so that a version can be told.
const LARGEST: u64 = 9_007_199_254_740_991;

impl FromRequest for List {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let provider = parts.parameter("provider", Provider::parse);
        let name = parts.parameter("name", Glob::parse);
        let view = view(parts);
        Some(Self {
            filter: ListFilter { provider: provider?, name: name? },
            view: view?,
            basic: form(),
            full: form(),
        })
    }
}

impl FromRequest for Trash {
    fn take(_input: &mut RequestParts<'_>) -> Option<Self> {
        Some(Self { render })
    }
}

impl FromRequest for Get {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, view) = (parts.id(), view(parts));
        Some(Self { id: id?, view: view?, render })
    }
}

impl<T: FromRequest> FromRequest for Create<T> {
    const BODY: bool = T::BODY;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (view, new) = (written_view(parts), T::take(parts));
        Some(Self { new: new?, view: view?.unwrap_or_default() })
    }
}

impl FromRequest for CreateSecret {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (new, local) = (new_secret(parts), parts.flag("local"));
        let (name, value, provider) = new?;
        Some(Self { name, value, provider, local: local? })
    }
}

fn new_secret(parts: &mut RequestParts<'_>) -> Option<(SecretName, SecretValue, Option<Provider>)> {
    let name = parts.required("name", SecretName::try_from);
    let value = parts.required("value", SecretValue::new);
    let provider = parts.nullable("provider", Provider::try_from);
    Some((name?, value?, provider?.flatten()))
}

impl FromRequest for WriteSecrets {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        Some(Self { secrets: parts.objects("secrets", 1..=Self::MAX, WriteSecret::take)? })
    }
}

impl FromRequest for WriteSecret {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (new, replace, local) = (new_secret(parts), parts.flag("replace"), parts.flag("local"));
        let note = parts.nullable("note", Remark::try_from);
        let (name, value, provider) = new?;
        Some(Self { name, value, provider, note: note?.flatten(), replace: replace?, local: local? })
    }
}

impl FromRequest for CreateFromPreset {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let provider = parts.required("provider", Provider::try_from);
        let value = parts.required("value", SecretValue::new);
        Some(Self { provider: provider?, value: value? })
    }
}

impl FromRequest for Update {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, view, expected) = (parts.id(), written_view(parts), parts.expected_versions());
        let value = parts.required("value", SecretValue::new);
        let new = UpdateSecret { value: value? };
        Some(Self { id: id?, new, expected: expected?, view: view?.unwrap_or_default() })
    }
}

impl FromRequest for Edit {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, view, expected) = (parts.id(), written_view(parts), parts.expected_versions());
        let name = parts.optional("name", SecretName::try_from);
        let provider = parts.nullable("provider", Provider::try_from);
        let note = parts.nullable("note", Remark::try_from);
        let expires_at = parts.nullable("expires_at", |text| Timestamp::parse(&text));
        let patch = PatchSecret { name: name?, provider: provider?, note: note?, expires_at: expires_at? };
        // Its answer was in full before it could be asked for.
        Some(Self { id: id?, patch, expected: expected?, view: view?.unwrap_or(View::Full) })
    }
}

impl FromRequest for Delete {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, expected) = (parts.id(), parts.expected_versions());
        let purge = parts.parameter("purge", |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Invalid::new(FieldErrorType::Enum, "expected true or false")),
        });
        Some(Self { id: id?, expected: expected?, purge: purge?.unwrap_or(false) })
    }
}

impl FromRequest for DropVersion {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, expected) = (parts.id(), parts.expected_versions());
        let version = parts.required_parameter("version", |text| {
            let number = text.parse().ok().filter(|number| (1..=LARGEST).contains(number));
            number.ok_or_else(|| {
                Invalid::new(FieldErrorType::IntParsing, "expected a version's number, from 1 on")
            })
        });
        Some(Self { id: id?, version: version?, expected: expected? })
    }
}

impl FromRequest for Reveal {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        RevealRequest::take(parts).map(|request| Self { request, render: render_sensitive })
    }
}

impl FromRequest for RevealRequest {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let secrets = parts.list("secrets", 1..=Self::MAX_SELECTORS, Selector::try_from);
        let purpose = parts.required("purpose", Purpose::try_from);
        let command = parts.nullable("command", Remark::try_from);
        let reason = parts.nullable("reason", Remark::try_from);
        let directory = parts.nullable("directory", Remark::try_from);
        Some(Self {
            secrets: secrets?,
            purpose: purpose?,
            command: command?.flatten(),
            reason: reason?.flatten(),
            directory: directory?.flatten(),
        })
    }
}

impl FromRequest for Restore {
    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, view) = (parts.id(), written_view(parts));
        Some(Self { id: id?, view: view?.unwrap_or_default() })
    }
}

impl FromRequest for Rollback {
    const BODY: bool = true;

    fn take(parts: &mut RequestParts<'_>) -> Option<Self> {
        let (id, view, expected) = (parts.id(), written_view(parts), parts.expected_versions());
        let to = RollbackRequest { version: parts.number("version")? };
        Some(Self { id: id?, to, expected: expected?, view: view?.unwrap_or_default() })
    }
}

fn view(parts: &mut RequestParts<'_>) -> Option<View> {
    asked_view(parts, View::Full).map(Option::unwrap_or_default)
}

/// The view of what a write leads to, if one is asked for: with warnings.
pub(in crate::router) fn written_view(parts: &mut RequestParts<'_>) -> Option<Option<View>> {
    asked_view(parts, View::Warned)
}

fn asked_view(parts: &mut RequestParts<'_>, full: View) -> Option<Option<View>> {
    parts.parameter("view", |text| match text {
        "basic" => Ok(View::Basic),
        "full" => Ok(full),
        _ => Err(Invalid::new(FieldErrorType::Enum, "expected basic or full")),
    })
}
