//! `show`: all that is known about a secret but its value.

use clap::Args;
use secrets_client::Call;
use secrets_proto::Timestamp;
use secrets_proto::secret::{SecretDetail, SecretVersion, VersionList};
use serde::Serialize;

use crate::clock::Clock;
use crate::failure::{Exit, Failure};
use crate::lookup::Wanted;
use crate::mask;
use crate::output::{self, Output};
use crate::session::Session;

/// Show a secret's details, without its value
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  secretctl show OPENAI_API_KEY")]
pub(crate) struct ShowArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// A secret as `show --json` writes it: the API's object, and the kept versions of its value.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    detail: SecretDetail,
    versions: Vec<SecretVersion>,
}

pub(crate) fn run(session: &Session, output: Output, args: &ShowArgs) -> Result<(), Failure> {
    let detail = Wanted::parse(&args.name)?.get(session)?;
    let call = Call::get(&format!("/user/secrets/{}/versions", detail.secret.id));
    let VersionList { versions } = session.fetch(&call)?;
    if output.json {
        let text = serde_json::to_vec(&Shown { detail, versions })
            .map_err(|_| Failure::new(Exit::Other, "the secret cannot be written as JSON"))?;
        return output::answer_json_line(&text);
    }
    output::answer(describe(&detail, &versions, output::columns()).as_bytes())
}

fn describe(detail: &SecretDetail, versions: &[SecretVersion], columns: Option<usize>) -> String {
    let secret = &detail.secret;
    let clock = Clock::of_stdout();
    let mut lines = vec![
        ("name", secret.name.to_string()),
        ("id", secret.id.to_string()),
        ("masked", mask::shown(&secret.masked_value, Some(detail.size_class)).into_owned()),
        ("size", mask::in_words(detail.size_class).to_owned()),
        ("created", clock.shown(secret.created_at)),
        ("updated", clock.shown(secret.updated_at)),
        ("last used", detail.last_used_at.map_or("never".to_owned(), |time| clock.shown(time))),
    ];
    if detail.guarded {
        lines.push(("guarded", "a person decides who may have or change it".to_owned()));
    }
    if detail.local {
        lines.push(("local", "it stays on this machine".to_owned()));
    }
    lines.extend(secret.provider.as_ref().map(|provider| ("provider", provider.to_string())));
    lines.extend(detail.expires_at.map(|time| {
        let title = if time <= Timestamp::now() { "expired" } else { "expires" };
        (title, clock.shown(time))
    }));
    lines.extend(detail.note.as_ref().map(|note| ("note", note.as_str().to_owned())));
    lines.extend(versions.iter().map(|version| {
        let mark = if version.current { ", current" } else { "" };
        let stored = clock.shown(version.created_at);
        (
            "stored",
            format!(
                "version {}: {} {stored}{mark}",
                version.version,
                mask::shown(&version.masked_value, None)
            ),
        )
    }));
    // The note of somebody else must not reach where a title stands.
    let shown = |text| output::folded(&output::in_one_line(text), columns, 11);
    lines.iter().map(|(title, text)| format!("{title:<10} {}\n", shown(text))).collect()
}
