//! `edit`: what is noted about a secret, without its value.

use clap::Args;
use secrets_client::{Answer, Call, Method};
use secrets_proto::reveal::Remark;
use secrets_proto::secret::{PatchSecret, SecretDetail};
use secrets_proto::{ErrorType, Provider, Timestamp, Uuid};

use super::expiry;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::project::{self, flags::NameArgs};
use crate::providers;
use crate::session::Session;

/// Change a secret's note, expiry or provider, not its value
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  secretctl edit STRIPE_KEY --expires 90d --note 'CI account'")]
pub(crate) struct EditArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// A note for `secretctl show`; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// When the secret expires: a time, a date, or a duration like 90d
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// It never expires
    #[arg(long, conflicts_with = "expires")]
    pub(crate) no_expiry: bool,
    /// Who issued the secret; an empty one removes it
    #[arg(long, value_name = "PROVIDER")]
    pub(crate) provider: Option<String>,
    #[command(flatten)]
    pub(crate) project: NameArgs,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &EditArgs,
) -> Result<(), Failure> {
    let wanted = project::wanted(&args.name, &args.project)?;
    let expires = if args.no_expiry { Some("never") } else { args.expires.as_deref() };
    let provider = args.provider.as_deref().map(|text| match text {
        "" => Ok(None),
        text => Provider::parse(text).map(Some),
    });
    let asked = PatchSecret { provider: provider.transpose()?, ..remarks(args.note.as_deref(), expires)? };
    if asked == PatchSecret::default() {
        return Err(Failure::new(
            Exit::Usage,
            "nothing to change; use --note, --expires, --no-expiry or --provider",
        ));
    }
    let session = open()?;
    let before = wanted.get(&session)?;
    let answer = patch(&session, before.secret.id, Some(before.version), &asked)?;
    let after: SecretDetail = answer.parse()?;
    output::say(&format!("{}: {}", after.secret.name, changes(&before, &after)));
    if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) }
}

/// What a note and an expiry that were typed ask for.
pub(super) fn remarks(note: Option<&str>, expires: Option<&str>) -> Result<PatchSecret, Failure> {
    let note = match note {
        Some(text) if text.split_whitespace().any(providers::looks_like_key) => {
            return Err(Failure::new(Exit::Usage, "the note holds what looks like a value; leave it out"));
        }
        Some("") => Some(None),
        Some(text) => Some(Some(Remark::parse(text)?)),
        None => None,
    };
    let expires_at = expires.map(|text| expiry::parse(text, Timestamp::now())).transpose()?;
    Ok(PatchSecret { note, expires_at, ..PatchSecret::default() })
}

/// Changes what is noted, if the secret still has this version.
pub(super) fn patch(
    session: &Session,
    id: Uuid,
    version: Option<u64>,
    patch: &PatchSecret,
) -> Result<Answer, Failure> {
    let call = Call::new(Method::PATCH, &format!("/user/secrets/{id}")).json(patch)?;
    let call = match version {
        Some(version) => call.if_version(version),
        None => call,
    };
    session.call(&call).map_err(|failure| match failure.kind() {
        Some(ErrorType::ConflictError) => {
            Failure::new(failure.exit(), "the secret was changed meanwhile; nothing was done, try again")
        }
        _ => failure,
    })
}

/// What is another than before, in words.
fn changes(before: &SecretDetail, after: &SecretDetail) -> String {
    let mut parts = Vec::new();
    if before.expires_at != after.expires_at {
        parts.push(match after.expires_at {
            Some(time) => format!("expires {}", expiry::shown(time)),
            None => "no longer expires".to_owned(),
        });
    }
    if before.note != after.note {
        parts.push(match (&before.note, &after.note) {
            (_, None) => "note removed".to_owned(),
            (None, Some(_)) => "note added".to_owned(),
            (Some(_), Some(_)) => "note changed".to_owned(),
        });
    }
    if before.secret.provider != after.secret.provider {
        parts.push(match &after.secret.provider {
            Some(provider) => format!("provider {provider}"),
            None => "provider removed".to_owned(),
        });
    }
    if parts.is_empty() { "it is so already".to_owned() } else { parts.join(", ") }
}
