//! `completions`: the script for a shell.

use clap::Args;

use crate::completion::{self, Shell};
use crate::failure::Failure;
use crate::output;

/// Print the shell completion script
#[derive(Debug, Args)]
#[command(after_help = "\
Names of secrets are completed if the daemon is running and the vault is
unlocked; completion never starts or unlocks it. Put the line for your shell
into ~/.bashrc, ~/.zshrc (after compinit) or ~/.config/fish/config.fish.

Example:
  eval \"$(secretctl completions bash)\"
  eval \"$(secretctl completions zsh)\"
  secretctl completions fish | source")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    output::answer(completion::script(args.shell).as_bytes())
}
