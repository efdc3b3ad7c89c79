//! The command line of what makes the client at home on a machine: completions, manual pages, and finding
//! what is wrong.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum ShellCommand {
    /// Find what is wrong with this setup, and say how to mend it
    #[command(after_help = "\
Looks at directories, socket, token, vault files, both programs, systemd's units and the system. It needs
no open vault, asks nothing, starts no daemon and changes nothing. Each finding comes with the command that
mends it.

Exit status: 0 without faults, 1 with at least one. Warnings do not count.

Example:
  secretctl doctor
  secretctl doctor --json")]
    Doctor,
    /// Print the script that completes commands, flags and names of secrets
    #[command(after_help = "\
Names come from the daemon if it runs and the vault is open; nothing is asked or started for them. Put the
line for your shell into ~/.bashrc, ~/.zshrc (after compinit) or ~/.config/fish/config.fish.

Example:
  eval \"$(secretctl completions bash)\"
  eval \"$(secretctl completions zsh)\"
  secretctl completions fish | source")]
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them to a directory
    #[command(after_help = "\
Example:
  secretctl man run | man -l -
  secretctl man key add > secretctl-key-add.1
  secretctl man --dir ~/.local/share/man/man1")]
    Man(ManArgs),
    /// Answers the completion scripts: words on stdin, candidates on stdout
    #[command(name = crate::completion::COMMAND, hide = true)]
    Complete,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that reads the script
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// A shell that can be told how to complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command whose page to print; without one, the page of secretctl itself
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// Write the pages of all commands to this directory, which is made if it is absent
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(crate) dir: Option<PathBuf>,
}
