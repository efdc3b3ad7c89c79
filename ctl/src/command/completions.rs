//! `completions`: the script for a shell.

use clap::Args;

use crate::completion::{self, Shell};
use crate::failure::Failure;
use crate::output;

/// Print the script that completes commands, flags and names of secrets
#[derive(Debug, Args)]
#[command(after_help = "\
Names come from the daemon if it runs and the vault is open; nothing is asked or started for them. Put the
line for your shell into ~/.bashrc, ~/.zshrc (after compinit) or ~/.config/fish/config.fish.

Example:
  eval \"$(secretctl completions bash)\"
  eval \"$(secretctl completions zsh)\"
  secretctl completions fish | source")]
pub(crate) struct CompletionsArgs {
    /// The shell that reads the script
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    output::answer(completion::script(args.shell).as_bytes())
}
