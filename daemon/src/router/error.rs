//! What a caller is told of each error of the vault, one by one, so that a new one does not compile until somebody has
//! decided.

use secrets_proto::rule::decide::Refused;
use secrets_proto::{ErrorType, FieldError, FieldErrorType, Invalid, Loc};

use crate::caller::Scope;
use crate::guarded::Subject;
use crate::http::failure::Failure;
use crate::key_provider::{self, Fault};
use crate::vault::{self, FleetError};

impl From<vault::Error> for Failure {
    fn from(error: vault::Error) -> Self {
        use ErrorType as Type;
        let cause = error.to_string();
        let failure = match error {
            vault::Error::Uninitialized => {
                Self::new(Type::VaultLockedError, "There is no vault yet; run `secretctl init`")
            }
            vault::Error::Locked | vault::Error::GivenUp => {
                Self::new(Type::VaultLockedError, "The vault is locked; run `secretctl unlock`")
            }
            vault::Error::AlreadyInitialized => {
                Self::new(Type::AlreadyExistsError, "The vault already exists; run `secretctl unlock`")
            }
            vault::Error::WrongKey => {
                Self::new(Type::WrongKeyError, "This key does not open the vault; check it and try again")
            }
            vault::Error::UnusableKey(field, invalid) => {
                Self::validation(vec![in_body(field.as_str(), invalid)])
            }
            vault::Error::NoKey(failure) => no_key(&failure),
            vault::Error::TooManyUnlocks => {
                Self::rate_limit(2, "Too many unlocks are waiting; wait until they are answered")
            }
            vault::Error::Forbidden(scope) => Self::new(Type::ForbiddenError, lacks(scope)),
            vault::Error::BoundToNames => Self::new(
                Type::ForbiddenError,
                "This needs a token for the whole vault, and this one is limited to some names; use another",
            ),
            vault::Error::OutsideNames => Self::new(
                Type::ForbiddenError,
                "The token is not valid for this name; choose a name that its globs match, or use another token",
            ),
            vault::Error::ChangesRules => Self::new(
                Type::ForbiddenError,
                "With this provider the value may be used elsewhere, which takes the scope admin; give the secret rules of its own first",
            ),
            vault::Error::BeyondMaker => Self::new(
                Type::ForbiddenError,
                "A token cannot have more rights than the one that creates it: ask at most for its scopes, expiry and rate",
            ),
            vault::Error::UnknownToken => Self::unauthenticated(
                "Authentication failed; this token is unknown or revoked, ask the vault's owner for another",
            ),
            vault::Error::TokenExpired => Self::challenge(
                Type::ExpiredTokenError,
                "This token has expired; ask the vault's owner for another (`secretctl token create`)",
            ),
            vault::Error::TokenAhead => Self::challenge(
                Type::ExpiredTokenError,
                "This token was created at a time that is still to come: set the clock, or ask the vault's owner for another",
            ),
            vault::Error::TooManyRequests(seconds) => {
                Self::rate_limit(seconds, "Too many requests with this token; wait, then continue")
            }
            vault::Error::TokenNameTaken => Self::new(
                Type::AlreadyExistsError,
                "A token with this name already exists; revoke it or choose another name",
            ),
            vault::Error::TooManyTokens => Self::new(
                Type::ConflictError,
                "There are already 256 tokens, the maximum; revoke unused ones",
            ),
            vault::Error::TooManySessions => Self::new(
                Type::ConflictError,
                "There are already as many sessions as there can be, or as this token may begin; end one that is not needed",
            ),
            vault::Error::NotFound => Self::new(
                Type::NotFoundError,
                "No such secret, version, key or token; list them to see which there are",
            ),
            vault::Error::Missing(indexes) => {
                let detail = "Some of these secrets do not exist; nothing was done, see errors";
                Self::new(Type::NotFoundError, detail).with_errors(indexes.into_iter().map(missing).collect())
            }
            vault::Error::Fleet(error) => fleet(error),
            vault::Error::NoRule(refused) => Self::new(Type::ForbiddenError, no_rule(refused)),
            vault::Error::NoSession => Self::new(
                Type::ForbiddenError,
                "Values are used in sessions alone; begin one with POST /use/sessions and send its token",
            ),
            vault::Error::Unusable(places) => {
                Self::validation(places.into_iter().map(|(index, why)| unusable(index, why)).collect())
            }
            vault::Error::TooMuchWork => Self::validation(vec![in_body(
                "secrets",
                Invalid::new(
                    FieldErrorType::TooLong,
                    "too many globs for so many secrets; give names, or globs that begin with more letters",
                ),
            )]),
            vault::Error::TooMuchToReveal => Self::validation(vec![in_body(
                "secrets",
                Invalid::new(
                    FieldErrorType::TooLong,
                    "these values are too large for one answer; ask for fewer at once",
                ),
            )]),
            vault::Error::ApprovalRequired(id) => Self::approval(id),
            vault::Error::ApprovalDenied { names, by_rule } => {
                Self::found(Type::ApprovalDeniedError, denied(&names, by_rule))
            }
            vault::Error::TooManyAsks => Self::too_many_asks(),
            vault::Error::Settled => Self::new(
                Type::ConflictError,
                "This was answered before, or nobody has answered it in time; list the open asks with `secretctl approve`",
            ),
            vault::Error::OwnAsk => Self::new(
                Type::ForbiddenError,
                "A token cannot answer what it has asked for itself; use another, or the owner's",
            ),
            vault::Error::UnfitAnswer(field, invalid) => Self::validation(vec![in_body(field, invalid)]),
            vault::Error::Unproven => Self::new(
                Type::WrongKeyError,
                "A secret is guarded, so this takes the passphrase or the recovery key of the vault; send it as proof",
            ),
            vault::Error::NoPassphrase => Self::new(
                Type::ConflictError,
                "A guard asks for the vault's passphrase, and it has none; add one with `secretctl key add`",
            ),
            vault::Error::TooManyApprovalRules => Self::new(
                Type::ConflictError,
                "There are already 1000 approval rules, the maximum; remove some with `secretctl rules rm`",
            ),
            vault::Error::NameGranted => Self::new(
                Type::ConflictError,
                "A unit may load a secret of this name, and this one is guarded; first take that from the unit with `secretctl credential revoke`",
            ),
            vault::Error::AlreadyOpen => {
                Self::new(Type::ConflictError, "The vault is open; nobody needs to be asked to open it")
            }
            vault::Error::NotGranted => Self::new(
                Type::NotFoundError,
                "No such grant for this unit; list them to see which there are",
            ),
            vault::Error::NameTaken => Self::new(
                Type::AlreadyExistsError,
                "A secret with this name already exists; update it or choose another name",
            ),
            vault::Error::NamesTaken(indexes) => {
                let detail = "Some of these names are taken, or given twice; nothing was stored, see errors";
                Self::new(Type::AlreadyExistsError, detail)
                    .with_errors(indexes.into_iter().map(taken).collect())
            }
            vault::Error::TooManyItems => Self::new(
                Type::LimitExceededError,
                "There are already 10000 items, the maximum, or 64 MiB of labels and attributes; delete some with `secretctl items rm`",
            ),
            vault::Error::Stale => Self::new(
                Type::ConflictError,
                "The secret has changed in the meantime; read it again and repeat",
            ),
            vault::Error::PresentValue => Self::new(
                Type::ConflictError,
                "This is the secret's present value; give it a new one first, or delete the secret",
            ),
            vault::Error::KeysChanged => Self::new(
                Type::ConflictError,
                "The vault's keys have changed in the meantime; list them, then repeat if needed",
            ),
            vault::Error::Replaced => Self::new(
                Type::VaultCorruptError,
                "The vault's file was removed or replaced while it was in use, and nothing more is stored; save what is in memory with `secretctl backup FILE`, then run `secretctl lock` and put the right file back",
            ),
            vault::Error::VaultMissing => Self::new(
                Type::ConflictError,
                "The vault's file is gone: put it back (an interrupted restore leaves it as vault.db.before-restore-…, with its log, in the data directory); or, to start over without it, remove `anchor` from the state directory and `vault.db-wal` from the data directory",
            ),
            vault::Error::UnsafeFile(_) => Self::new(
                Type::StorageError,
                "A file of the vault is not a private regular file of yours; see the daemon's log for which one and what to do",
            ),
            vault::Error::TooManyKeys => Self::new(
                Type::ConflictError,
                "A vault has at most 64 keys; remove one before adding another",
            ),
            vault::Error::LastKey => Self::new(
                Type::ConflictError,
                "This is the last key that opens the vault; add another before removing it",
            ),
            vault::Error::UnknownPreset => Self::validation(vec![in_body(
                "provider",
                Invalid::new(
                    FieldErrorType::Enum,
                    "unknown provider; list the presets to see which there are",
                ),
            )]),
            vault::Error::DiskFull => Self::new(
                Type::StorageError,
                "The vault's disk is full and nothing was changed; free some space and repeat (deleting secrets still works)",
            ),
            vault::Error::NoDescriptors => Self::new(
                Type::StorageError,
                "The daemon is out of file descriptors and nothing was changed; close connections or raise its limit (`ulimit -n`, LimitNOFILE=), then repeat",
            ),
            vault::Error::NoMemory => Self::new(
                Type::StorageError,
                "The daemon has no memory for deriving the key and nothing was changed; raise its limit (`ulimit -v`, MemoryMax=) or lower `memory_kib` in its settings for new keys, then repeat",
            ),
            vault::Error::MemoryLimit { needed, left, limit } => Self::found(
                Type::StorageError,
                format!(
                    "Deriving the key takes {needed} MiB of memory, and {limit} leaves the daemon {left} MiB; nothing was changed. Raise the limit (MemoryMax= of its unit, the container's memory, `ulimit`), or, for a new key, lower `memory_kib` in its settings, then repeat"
                ),
            ),
            vault::Error::Storage(_) => Self::new(
                Type::StorageError,
                "The disk is full or failing; no stored data is lost. Free some space or check the disk, then repeat",
            ),
            vault::Error::Unfit(lacks, system) => Self::found(
                Type::StorageError,
                format!(
                    "The vault's directory is on {system}, which cannot {lacks}; choose one on another file system with SECRETSD_DATA_DIR, and SECRETSD_STATE_DIR for the rollback guard"
                ),
            ),
            vault::Error::Corrupt(what) => Self::corrupt(format!(
                "The vault cannot be trusted: {what}; put a backup in its place with `secretctl restore-vault`"
            )),
            vault::Error::AuditBroken(entry, what) => Self::corrupt(format!(
                "The audit log is broken at entry {entry}: {what}, by another program than secretsd; `secretctl audit --verify` names the first such entry"
            )),
            vault::Error::AnchorDamaged => Self::new(
                Type::VaultCorruptError,
                "The guard against rollback was changed by another program; if the vault is the newest you have, remove the file `anchor` in the state directory and unlock again",
            ),
            vault::Error::RolledBack => Self::new(
                Type::VaultCorruptError,
                "Rollback detected: the vault is older than it was; put the newer one back, or run `secretctl verify --accept-restore` to keep this one",
            ),
            vault::Error::NewerFormat { .. } | vault::Error::NewerVault => {
                Self::new(Type::StorageError, "The vault was written by a newer secretsd; upgrade this one")
            }
            vault::Error::Timeout => Self::new(
                Type::GatewayTimeoutError,
                "The vault did not answer in time; check whether the change was made, then repeat",
            ),
            vault::Error::Internal(_) => Self::internal(""),
        };
        failure.with_cause(cause)
    }
}

/// What was denied, and by whom. Of many names the first: the caller knows what it has asked for.
fn denied(subjects: &[Subject], by_rule: bool) -> String {
    let what = match subjects {
        [] => "To open the vault".to_owned(),
        // Its label is the caller's own text.
        [Subject::Item(_), ..] => "This item is guarded, and this".to_owned(),
        [Subject::Secret(name)] => format!("{name} is guarded, and this"),
        [Subject::Secret(name), others @ ..] => {
            format!("{name} and {} more are guarded, and this", others.len())
        }
    };
    if by_rule {
        return format!("{what} was denied by a rule; `secretctl rules` lists the rules");
    }
    format!("{what} was denied by a person within the last minute; nobody is asked again until that is over")
}

/// Which key provider gave no key, why, and how to find out more.
fn no_key(failure: &key_provider::Failure) -> Failure {
    let key_provider::Failure { name, fault } = failure;
    let is_late = matches!(fault, Fault::Late(_));
    let kind = if is_late { ErrorType::GatewayTimeoutError } else { ErrorType::BadGatewayError };
    Failure::found(kind, format!("The key provider `{name}` gave no key: {fault}; {HINT}"))
}

/// Why a command that works by hand may fail in the daemon.
const HINT: &str = "if it works by hand: there it has your environment, a terminal and no sandbox; `stderr = \"log\"` in its settings puts what it says into the daemon's log";

/// A fault in this field of the body.
fn in_body(field: &'static str, invalid: Invalid) -> FieldError {
    FieldError::new(vec![Loc::field("body"), Loc::field(field)], invalid)
}

/// Why no rule allows it, and what to do.
const fn no_rule(refused: Refused) -> &'static str {
    match refused {
        Refused::NoRules => "This secret has no rule any more; set one with `secretctl proxy rule set`",
        Refused::Host => {
            "No rule of this secret is for this host and port; `secretctl proxy rule show` lists them"
        }
        Refused::Site => {
            "No rule of this secret for this host puts its value there, or there it cannot stand; `secretctl proxy rule show` lists them"
        }
        Refused::Method => {
            "No rule of this secret for this host is for this method; `secretctl proxy rule show` lists them"
        }
        Refused::Path => {
            "No rule of this secret for this host is for this path; `secretctl proxy rule show` lists them"
        }
        Refused::Excepted(_) => {
            "The rule of this secret for this host excepts this path; `secretctl proxy rule show` lists them"
        }
        Refused::AmbiguousPath(_) => {
            "This path can be read in two ways, and a rule asks about it; send it without dot segments, doubled slashes and needless percent-encoding"
        }
    }
}

/// Why the value of the secret at this place cannot be used, and what to do.
fn unusable(index: usize, why: vault::Unusable) -> FieldError {
    let message = match why {
        vault::Unusable::NoRule => {
            "no rule says where the value of this secret may be used; set one with: secretctl proxy rule set"
        }
        vault::Unusable::Value => {
            "the value of this secret has characters that cannot stand where its rules put it; see: secretctl proxy rule show"
        }
    };
    FieldError::new(
        vec![Loc::field("body"), Loc::field("secrets"), Loc::Index(index)],
        Invalid::new(FieldErrorType::ValueError, message),
    )
}

fn missing(index: usize) -> FieldError {
    FieldError::new(
        vec![Loc::field("body"), Loc::field("secrets"), Loc::Index(index)],
        Invalid::new(FieldErrorType::Missing, "no secret with this name or id"),
    )
}

fn taken(index: usize) -> FieldError {
    FieldError::new(
        vec![Loc::field("body"), Loc::field("secrets"), Loc::Index(index)],
        Invalid::new(FieldErrorType::ValueError, "a secret with this name already exists"),
    )
}

const fn lacks(scope: Scope) -> &'static str {
    match scope {
        Scope::List => "The token lacks the scope `list`; use one that has it",
        Scope::Write => "The token lacks the scope `write`; use one that has it",
        Scope::Reveal => "The token lacks the scope `reveal`; use one that has it",
        Scope::Admin => "The token lacks the scope `admin`; use one that has it",
        Scope::Use => "The token lacks the scope `use`; use one that has it",
        Scope::Items => "The token lacks the scope `items`; use one that has it",
    }
}

fn fleet(error: FleetError) -> Failure {
    use ErrorType as Type;
    let (kind, detail) = match error {
        FleetError::None => (
            Type::NotFoundError,
            "The vault is on this machine alone; run `secretctl machine init --store STORE`",
        ),
        FleetError::Exists => {
            (Type::ConflictError, "The vault is on several machines already; run `secretctl machine list`")
        }
        FleetError::Directory => {
            let text = "give the absolute path of a directory that is there and that you may write to";
            let invalid = Invalid::new(FieldErrorType::StringPatternMismatch, text);
            return Failure::validation(vec![in_body("directory", invalid)]);
        }
        FleetError::Gone => (
            Type::BadGatewayError,
            "The directory that the machines share is not there; nothing was exchanged, and what is new here waits",
        ),
        FleetError::Forbidden => (
            Type::BadGatewayError,
            "The daemon may not write to the directory that the machines share; nothing was exchanged, and what is new here waits. Under systemd its unit needs a line for it: ReadWritePaths=DIRECTORY",
        ),
        FleetError::Unreadable => (
            Type::BadGatewayError,
            "The directory that the machines share cannot be read or written; nothing was exchanged, and what is new here waits",
        ),
        FleetError::Full => (
            Type::BadGatewayError,
            "There is no room in the directory that the machines share: its disk, or a limit of the store's program, is full. What is new here waits; free some space there (all machines together take 256 MiB and 20,000 files at the most), then repeat",
        ),
        FleetError::Other => (
            Type::ConflictError,
            "The directory is in use for another vault; nothing was read or written, choose another one",
        ),
        FleetError::NoInvitation => (
            Type::NotFoundError,
            "No such invitation, or its time is over; run `secretctl machine invite` again",
        ),
        FleetError::WrongCode => {
            (Type::WrongKeyError, "No machine shows this code now; check the code and the store")
        }
        // Not as a wrong passphrase is answered, which the same request may need.
        FleetError::WrongKey => {
            let text =
                "the store knows no such key: it is another vault's, or the store is another one; check both";
            let invalid = Invalid::new(FieldErrorType::StringPatternMismatch, text);
            return Failure::validation(vec![in_body("key", invalid)]);
        }
        FleetError::OtherRole => (
            Type::ConflictError,
            "The key is for something else: one for paper is joined with --paper-key-file, one for a runner with --runner-key-file",
        ),
        FleetError::Unanswered => {
            (Type::GatewayTimeoutError, "The other machine has not answered yet; try again")
        }
        FleetError::NoMachine => {
            (Type::NotFoundError, "No machine of this name; run `secretctl machine list`")
        }
        FleetError::NameTaken => {
            (Type::AlreadyExistsError, "A machine with this name is there already; choose another name")
        }
        FleetError::Disputed => (
            Type::ConflictError,
            "Two machines have removed each other, and nothing is exchanged until somebody says which is kept; run `secretctl machine list`, then `secretctl machine keep NAME`",
        ),
        FleetError::NoDispute => (
            Type::ConflictError,
            "This machine and another one have not removed each other; nothing was changed",
        ),
        FleetError::Reader => {
            (Type::ForbiddenError, "This machine only reads what the others write; do it on another one")
        }
        FleetError::TooMany => (
            Type::LimitExceededError,
            "100 machines have this vault, which is the most; remove one with `secretctl machine remove NAME`",
        ),
        FleetError::NoConflict => (
            Type::NotFoundError,
            "This secret has one value; run `secretctl sync conflicts` for those with several",
        ),
        FleetError::Removed => (
            Type::ForbiddenError,
            "This machine was removed by another one; it can come back: run `secretctl machine invite` on one that has the vault, and `secretctl machine join` here",
        ),
        FleetError::KeyEnded => (
            Type::ForbiddenError,
            "The key was removed on a machine of the vault and opens nothing any more; a new one is made there, with `secretctl machine invite --paper` or `--runner`",
        ),
        FleetError::NoGlob => (
            Type::NotFoundError,
            "There is no such glob; run `secretctl sync status` for those that there are",
        ),
        FleetError::TooManyKeys => (
            Type::LimitExceededError,
            "There are as many keys for paper and runners as fit into the list of machines; remove one with `secretctl machine remove NAME`",
        ),
        FleetError::TooManyGlobs => (
            Type::LimitExceededError,
            "There are 100 globs, which is the most; remove one with `secretctl sync exclude --remove GLOB`",
        ),
        FleetError::TooManyGlobsEver => (
            Type::LimitExceededError,
            "There were 500 globs, with those that were removed, which is the most; use one of them again, or run `secretctl sync keep-local NAME` on each machine",
        ),
    };
    Failure::new(kind, detail)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use hyper::header::{RETRY_AFTER, WWW_AUTHENTICATE};
    use hyper::{HeaderMap, StatusCode};
    use secrets_proto::ErrorBody;

    use super::*;
    use crate::vault::KeyField;

    async fn body(failure: Failure) -> (StatusCode, HeaderMap, ErrorBody) {
        let (parts, body) = failure.into_response("id").into_http("id".into(), HeaderMap::new()).into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn every_error_of_the_vault_has_its_answer() {
        use ErrorType as Type;
        let secret = || "canary".to_owned();
        let unusable = Invalid::new(FieldErrorType::StringTooShort, "the passphrase is empty");
        let no_key = |fault| vault::Error::NoKey(key_provider::Failure { name: "tpm".to_owned(), fault });
        for (error, kind) in [
            (vault::Error::Uninitialized, Type::VaultLockedError),
            (vault::Error::Locked, Type::VaultLockedError),
            (vault::Error::AlreadyInitialized, Type::AlreadyExistsError),
            (vault::Error::WrongKey, Type::WrongKeyError),
            (vault::Error::UnusableKey(KeyField::Passphrase, unusable), Type::ValidationError),
            (no_key(Fault::TooShort(0)), Type::BadGatewayError),
            (no_key(Fault::Late(Duration::from_secs(10))), Type::GatewayTimeoutError),
            (vault::Error::TooManyUnlocks, Type::RateLimitError),
            (vault::Error::Forbidden(Scope::Reveal), Type::ForbiddenError),
            (vault::Error::BoundToNames, Type::ForbiddenError),
            (vault::Error::OutsideNames, Type::ForbiddenError),
            (vault::Error::ChangesRules, Type::ForbiddenError),
            (vault::Error::BeyondMaker, Type::ForbiddenError),
            (vault::Error::UnknownToken, Type::AuthenticationError),
            (vault::Error::TokenExpired, Type::ExpiredTokenError),
            (vault::Error::TokenAhead, Type::ExpiredTokenError),
            (vault::Error::TooManyRequests(3), Type::RateLimitError),
            (vault::Error::TokenNameTaken, Type::AlreadyExistsError),
            (vault::Error::TooManyTokens, Type::ConflictError),
            (vault::Error::TooManySessions, Type::ConflictError),
            (vault::Error::NotFound, Type::NotFoundError),
            (vault::Error::Missing(vec![0, 2]), Type::NotFoundError),
            (vault::Error::TooMuchWork, Type::ValidationError),
            (vault::Error::TooMuchToReveal, Type::ValidationError),
            (vault::Error::NotGranted, Type::NotFoundError),
            (vault::Error::NameTaken, Type::AlreadyExistsError),
            (vault::Error::Stale, Type::ConflictError),
            (vault::Error::TooManyItems, Type::LimitExceededError),
            (vault::Error::KeysChanged, Type::ConflictError),
            (vault::Error::VaultMissing, Type::ConflictError),
            (vault::Error::Replaced, Type::VaultCorruptError),
            (vault::Error::UnsafeFile(secret()), Type::StorageError),
            (vault::Error::TooManyKeys, Type::ConflictError),
            (vault::Error::LastKey, Type::ConflictError),
            (vault::Error::UnknownPreset, Type::ValidationError),
            (vault::Error::DiskFull, Type::StorageError),
            (vault::Error::NoDescriptors, Type::StorageError),
            (vault::Error::NoMemory, Type::StorageError),
            (vault::Error::MemoryLimit { needed: 66, left: 9, limit: "a limit" }, Type::StorageError),
            (vault::Error::Storage(secret()), Type::StorageError),
            (vault::Error::Unfit("lock files", "FAT".to_owned()), Type::StorageError),
            (vault::Error::Corrupt("rows were removed"), Type::VaultCorruptError),
            (vault::Error::AuditBroken(3, "it is gone"), Type::VaultCorruptError),
            (vault::Error::AnchorDamaged, Type::VaultCorruptError),
            (vault::Error::RolledBack, Type::VaultCorruptError),
            (vault::Error::NewerFormat { found: 2, known: 1 }, Type::StorageError),
            (vault::Error::NewerVault, Type::StorageError),
            (vault::Error::Timeout, Type::GatewayTimeoutError),
            (vault::Error::Internal("canary"), Type::InternalError),
        ] {
            let name = format!("{error:?}");
            let (status, headers, body) = body(error.into()).await;
            assert_eq!((body.kind, body.code), (kind, kind.code()), "{name}");
            assert_eq!(status.as_u16(), kind.code(), "{name}");
            assert_eq!(headers.contains_key(RETRY_AFTER), kind == Type::RateLimitError, "{name}");
            assert_eq!(headers.contains_key(WWW_AUTHENTICATE), kind.code() == 401, "{name}");
            assert_eq!(
                body.errors.is_empty(),
                kind != Type::ValidationError && !name.starts_with("Missing"),
                "{name}"
            );
            assert!(!format!("{body:?}{headers:?}").contains("canary"), "{name}");
        }
    }

    #[tokio::test]
    async fn missing_selectors_are_named_by_their_places() {
        let (_, _, body) = body(vault::Error::Missing(vec![4]).into()).await;
        assert_eq!(
            serde_json::to_string(&body.errors).unwrap(),
            r#"[{"loc":["body","secrets",4],"msg":"no secret with this name or id","type":"missing"}]"#
        );
    }
}
