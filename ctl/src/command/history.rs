//! `history`: the versions of a value that are kept, by their masks.

use clap::Args;
use secrets_client::Call;
use secrets_proto::secret::{SecretVersion, VersionList};

use crate::failure::Failure;
use crate::mask;
use crate::output::{self, Output};
use crate::project::{self, flags::NameArgs};
use crate::session::Session;
use crate::table;

/// Show the kept versions of a secret, masked
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  secretctl history OPENAI_API_KEY")]
pub(crate) struct HistoryArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) project: NameArgs,
}

pub(crate) fn run(session: &Session, output: Output, args: &HistoryArgs) -> Result<(), Failure> {
    let secret = project::wanted(&args.name, &args.project)?.get(session)?.secret;
    let answer = session.call(&Call::get(&format!("/user/secrets/{}/versions", secret.id)))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let VersionList { versions } = answer.parse()?;
    let rows: Vec<[String; 4]> = versions.iter().map(row).collect();
    output::answer(table::render(["VERSION", "MASKED", "STORED", ""], &rows, output.colour).as_bytes())
}

fn row(version: &SecretVersion) -> [String; 4] {
    let mark = if version.current { "current" } else { "" };
    [
        version.version.to_string(),
        mask::shown(&version.masked_value, None).into_owned(),
        version.created_at.to_string(),
        mark.to_owned(),
    ]
}
