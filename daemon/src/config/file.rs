//! The settings file: TOML, whose every fault is reported with its line.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{AutoLock, CredentialSettings, Error, Kdf, Limits, LockOn, StartKey};
use crate::key_provider::ProviderCommand;

/// No settings file is larger.
pub(super) const LIMIT: u64 = 64 * 1024;

/// What the file sets, with defaults for the rest.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) auto_lock: AutoLock,
    pub(super) lock_on: LockOn,
    pub(super) kdf: Kdf,
    pub(super) limits: Limits,
    pub(super) credentials: CredentialSettings,
    pub(super) key_providers: BTreeMap<String, ProviderCommand>,
    pub(super) unlock_at_start: Option<StartKey>,
}

type Number = Option<Spanned<u64>>;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tables {
    auto_lock: AutoLockTable,
    lock_on: LockOnTable,
    kdf: KdfTable,
    limits: LimitsTable,
    credentials: CredentialsTable,
    key_providers: BTreeMap<Spanned<String>, KeyProviderTable>,
    unlock_at_start: Option<Spanned<UnlockAtStartTable>>,
    approve: ApproveTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AutoLockTable {
    idle_seconds: Number,
    max_seconds: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LockOnTable {
    suspend: Option<bool>,
    session_lock: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct KdfTable {
    memory_kib: Number,
    passes: Number,
    lanes: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CredentialsTable {
    socket: Option<bool>,
    system_manager: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyProviderTable {
    argv: Spanned<Vec<String>>,
    seconds: Number,
    stderr: Option<StderrTo>,
}

/// Where what a key provider command says goes; by default nowhere.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StderrTo {
    Log,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UnlockAtStartTable {
    key_file: Option<PathBuf>,
    key_provider: Option<String>,
}

/// What `secretctl-approve` reads here, and we only look at: one file has all settings, and says where it is wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ApproveTable {
    pinentry: Option<Spanned<PathBuf>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LimitsTable {
    connections: Number,
    connections_per_process: Number,
    body_bytes: Number,
    wrong_tokens: Number,
    header_seconds: Number,
    body_seconds: Number,
    request_seconds: Number,
    idle_seconds: Number,
}

/// Reads the text of a settings file; `path` is for messages.
pub(super) fn parse(text: &str, path: &Path) -> Result<Settings, Error> {
    let at = |offset, message| Error::Line { path: path.to_owned(), line: line_of(text, offset), message };
    // Of several faults the one that stands first in the file, in whatever order they are looked for.
    let first = RefCell::new(None::<(usize, String)>);
    let fault = |offset: usize, message: String| {
        let mut first = first.borrow_mut();
        if first.as_ref().is_none_or(|(before, _)| offset < *before) {
            *first = Some((offset, message));
        }
    };
    let tables: Tables = toml::from_str(text)
        .map_err(|error| at(error.span().map_or(0, |span| span.start), error.message().replace('\n', " ")))?;
    let number = |number: Number, default: u64, range: RangeInclusive<u64>| {
        let Some(number) = number else { return default };
        if !range.contains(number.get_ref()) {
            let message = format!("this number must be from {} to {}", range.start(), range.end());
            fault(number.span().start, message);
        }
        *number.get_ref()
    };
    let small = |given, default, range| u32::try_from(number(given, default, range)).unwrap_or(u32::MAX);
    let count = |given, default: usize, range| {
        usize::try_from(number(given, default as u64, range)).unwrap_or(usize::MAX)
    };
    let seconds = |given, default: u64, range| Duration::from_secs(number(given, default, range));

    let mut key_providers = BTreeMap::new();
    for (name, KeyProviderTable { argv, seconds: limit, stderr }) in tables.key_providers {
        if secrets_proto::Provider::parse(name.get_ref()).is_err() {
            let message =
                "a key provider's name has only lower-case letters, digits, underscores and hyphens";
            fault(name.span().start, message.to_owned());
        }
        if !argv.get_ref().first().is_some_and(|program| program.starts_with('/')) {
            let message = "argv starts with the absolute path of a program";
            fault(argv.span().start, message.to_owned());
        }
        let deadline = seconds(limit, 10, 1..=30);
        let logs_stderr = matches!(stderr, Some(StderrTo::Log));
        let command = ProviderCommand { argv: argv.into_inner(), deadline, logs_stderr };
        key_providers.insert(name.into_inner(), command);
    }

    let mut unlock_at_start = None;
    if let Some(table) = tables.unlock_at_start {
        let start = table.span().start;
        let UnlockAtStartTable { key_file, key_provider } = table.into_inner();
        unlock_at_start = match (key_file, key_provider) {
            (Some(path), None) if path.is_absolute() => Some(StartKey::File(path)),
            (None, Some(name)) if key_providers.contains_key(&name) => Some(StartKey::Provider(name)),
            _ => {
                let message = "unlock_at_start takes either the absolute path of a key_file, or a key_provider of this file";
                fault(start, message.to_owned());
                None
            }
        };
    }

    if let Some(pinentry) = tables.approve.pinentry.filter(|path| !path.get_ref().is_absolute()) {
        fault(pinentry.span().start, "pinentry is the absolute path of a program".to_owned());
    }

    let usual = Limits::default();
    let settings = Settings {
        key_providers,
        credentials: CredentialSettings {
            socket: tables.credentials.socket.unwrap_or(true),
            system_manager: tables.credentials.system_manager,
        },
        unlock_at_start,
        lock_on: LockOn {
            suspend: tables.lock_on.suspend.unwrap_or(true),
            session_lock: tables.lock_on.session_lock.unwrap_or(true),
        },
        auto_lock: AutoLock {
            idle: seconds(tables.auto_lock.idle_seconds, 900, 0..=31_536_000),
            max: seconds(tables.auto_lock.max_seconds, 28_800, 0..=31_536_000),
        },
        kdf: Kdf {
            memory_kib: small(tables.kdf.memory_kib, 65_536, 19_456..=2_097_152),
            passes: small(tables.kdf.passes, 3, 2..=16),
            lanes: small(tables.kdf.lanes, 1, 1..=8),
        },
        limits: Limits {
            connections: count(tables.limits.connections, usual.connections, 1..=65_536),
            connections_per_process: count(
                tables.limits.connections_per_process,
                usual.connections_per_process,
                1..=65_536,
            ),
            body_bytes: count(tables.limits.body_bytes, usual.body_bytes, 1_024..=1_048_576),
            wrong_tokens: count(tables.limits.wrong_tokens, usual.wrong_tokens, 1..=65_536),
            header: seconds(tables.limits.header_seconds, usual.header.as_secs(), 1..=300),
            body: seconds(tables.limits.body_seconds, usual.body.as_secs(), 1..=300),
            request: seconds(tables.limits.request_seconds, usual.request.as_secs(), 1..=600),
            long_request: usual.long_request,
            idle: seconds(tables.limits.idle_seconds, usual.idle.as_secs(), 1..=86_400),
        },
    };
    match first.into_inner() {
        Some((offset, message)) => Err(at(offset, message)),
        None => Ok(settings),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
