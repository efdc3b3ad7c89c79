//! `project`: the manifests that may have secrets, and writing one.

mod allow;
mod forget;
mod init;
mod known;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

/// Say which projects may have secrets, by their secretspec.toml
#[derive(Debug, Args)]
#[command(after_help = "\
A project's secretspec.toml names the secrets that it needs. Its API_KEY is
MY_APP__API_KEY in the vault, for a project called my-app, and
MY_APP__PRODUCTION__API_KEY comes first in the profile production. A project
gets nothing until you have allowed it; when its secretspec.toml changes, you
have to allow it again.

Example:
  secretctl project init --from .env
  secretctl project allow
  secretctl run -- npm start")]
pub(crate) struct ProjectArgs {
    #[command(subcommand)]
    command: ProjectCommand,
}

/// The commands on projects.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Allow the project here to have what its secretspec.toml names
    #[command(after_help = "\
Shows the names that the project gets: its own, and those of the vault that it
would share with other programs. What was allowed is remembered by the file's
path and by what it says, with all that it extends. A new description of a
secret does not matter; any other change has to be allowed again.

Example:
  secretctl project allow
  secretctl project allow --no-shared --yes")]
    Allow(allow::AllowArgs),
    /// List the projects that are allowed, and whether they still are
    #[command(after_help = "Example:\n  secretctl project list")]
    List,
    /// Forget that a project is allowed
    #[command(after_help = "Example:\n  secretctl project forget\n  secretctl project forget ~/src/old")]
    Forget(forget::ForgetArgs),
    /// Write a secretspec.toml from names, or from a dotenv file
    #[command(after_help = "\
The file has names and no values; fill in what each is for. With --from the
values of the dotenv file are imported into the vault under the project's
names, as `import` does; the file stays.

Example:
  secretctl project init DATABASE_URL API_KEY
  secretctl project init --from .env --name shop")]
    Init(init::InitArgs),
}

pub(crate) fn run(
    open: impl Fn() -> Result<Session, Failure>,
    output: Output,
    args: &ProjectArgs,
) -> Result<(), Failure> {
    match &args.command {
        ProjectCommand::Allow(args) => allow::run(open, args),
        ProjectCommand::List => known::run(output),
        ProjectCommand::Forget(args) => forget::run(args),
        ProjectCommand::Init(args) => init::run(open, output, args),
    }
}
