//! `rollback`: an earlier value becomes the present one, without being shown to anybody.

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::secret::RollbackRequest;

use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::project::{self, flags::NameArgs};
use crate::session::Session;

/// Go back to an earlier version of a secret's value
#[derive(Debug, Args)]
#[command(after_help = "\
The present value stays in the history. Prints no value.

Example:
  secretctl history OPENAI_API_KEY
  secretctl rollback OPENAI_API_KEY 3")]
pub(crate) struct RollbackArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The version; `secretctl history` lists them
    #[arg(value_name = "VERSION")]
    pub(crate) version: String,
    #[command(flatten)]
    pub(crate) project: NameArgs,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &RollbackArgs,
) -> Result<(), Failure> {
    let wanted = project::wanted(&args.name, &args.project)?;
    let version = number(&args.version)?;
    let session = open()?;
    let secret = wanted.get(&session)?.secret;
    let call = Call::new(Method::POST, &format!("/user/secrets/{}/rollback", secret.id));
    let answer = session.call(&call.json(&RollbackRequest { version })?).map_err(|failure| {
        if failure.exit() != Exit::NotFound {
            return failure;
        }
        let text = format!("no version {version} of {0}; see: secretctl history {0}", secret.name);
        Failure::new(Exit::NotFound, text)
    })?;
    output::say(&format!("{} has the value of version {version} again", secret.name));
    if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) }
}

/// A version's number.
pub(super) fn number(text: &str) -> Result<u64, Failure> {
    text.parse()
        .map_err(|_| Failure::new(Exit::Invalid, "not a version number; `secretctl history` lists them"))
}
