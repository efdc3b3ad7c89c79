//! `history`: the versions of a value that are kept, by their masks, and dropping one of them.

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::ErrorType;
use secrets_proto::Uuid;
use secrets_proto::secret::{SecretVersion, VersionList};

use super::{kept, sync};
use crate::clock::Clock;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::project::{self, flags::NameArgs};
use crate::session::Session;
use crate::{mask, pager, prompt, table};

/// Show the kept versions of a secret, masked, or drop one
#[derive(Debug, Args)]
#[command(after_help = "\
The last 10 values of a secret are kept. Every change of a secret takes a number,
also one of its name, note or expiry; a version has the number of the change that
stored its value. --drop destroys an earlier one, which cannot be brought back. Backups made before still have it, and its provider takes
it until you revoke it there.

Example:
  secretctl history OPENAI_API_KEY
  secretctl history OPENAI_API_KEY --drop 1")]
pub(crate) struct HistoryArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Destroy this earlier version
    #[arg(long, value_name = "VERSION")]
    pub(crate) drop: Option<String>,
    /// Do not ask before destroying it
    #[arg(long, requires = "drop")]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) project: NameArgs,
}

pub(crate) fn run(session: &Session, output: Output, args: &HistoryArgs) -> Result<(), Failure> {
    let version = args.drop.as_deref().map(super::rollback::number).transpose()?;
    let secret = project::wanted(&args.name, &args.project)?.get(session)?.secret;
    if let Some(version) = version {
        let question = format!("destroy version {version} of {}? it cannot be brought back", secret.name);
        let is_meant = args.yes || prompt::confirm(&question).map_err(unasked)?;
        if !is_meant {
            return Err(Failure::new(Exit::Other, "nothing was dropped"));
        }
        drop_version(session, secret.id, version).map_err(|failure| match failure.kind() {
            Some(ErrorType::NotFoundError) => Failure::new(
                failure.exit(),
                format!("no version {version} of {0}; see: secretctl history {0}", secret.name),
            ),
            _ => failure,
        })?;
        output::say(&format!("dropped version {version} of {}", secret.name));
        kept::remind("the dropped value may still be in");
        return Ok(());
    }
    let answer = session.call(&Call::get(&format!("/user/secrets/{}/versions", secret.id)))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let VersionList { versions } = answer.parse()?;
    let clock = Clock::of_stdout();
    // Where the vault is on one machine, there is nothing to tell.
    let text = if versions.iter().any(|version| version.from.is_some()) {
        let rows: Vec<[String; 5]> = versions.iter().map(|version| row_from(version, &clock)).collect();
        table::render(["VERSION", "MASKED", "STORED", "FROM", ""], &rows, output.colour)
    } else {
        let rows: Vec<[String; 4]> = versions.iter().map(|version| row(version, &clock)).collect();
        table::render(["VERSION", "MASKED", "STORED", ""], &rows, output.colour)
    };
    pager::answer_paged(&text)?;
    if output::stdout_is_terminal() && has_gaps(&versions) {
        output::say("the numbers between are changes of name, note or expiry, or values that were dropped");
    }
    Ok(())
}

/// Whether numbers are left out.
fn has_gaps(versions: &[SecretVersion]) -> bool {
    versions.windows(2).any(|pair| matches!(pair, [one, other] if one.version.abs_diff(other.version) > 1))
}

fn unasked(error: prompt::Error) -> Failure {
    if matches!(error, prompt::Error::NoTerminal) {
        return Failure::new(
            Exit::Usage,
            "--drop cannot be undone and there is no terminal to ask on; use --yes",
        );
    }
    Failure::new(Exit::Other, error.told("nothing was dropped", ""))
}

/// Destroys an earlier value of a secret.
pub(super) fn drop_version(session: &Session, id: Uuid, version: u64) -> Result<(), Failure> {
    let call = Call::new(Method::DELETE, &format!("/user/secrets/{id}/versions"));
    session.call(&call.query("version", &version.to_string())).map(drop)
}

fn row(version: &SecretVersion, clock: &Clock) -> [String; 4] {
    let mark = match version {
        SecretVersion { current: true, .. } => "current",
        SecretVersion { beside: true, .. } => "beside it",
        SecretVersion { .. } => "",
    };
    [
        version.version.to_string(),
        mask::shown(&version.masked_value, None).into_owned(),
        clock.shown(version.created_at),
        mark.to_owned(),
    ]
}

fn row_from(version: &SecretVersion, clock: &Clock) -> [String; 5] {
    let [number, masked, stored, mark] = row(version, clock);
    [number, masked, stored, sync::conflicts::from(version), mark]
}
