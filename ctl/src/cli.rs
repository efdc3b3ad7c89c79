//! The command line as a whole. What the arguments mean is checked by the commands, so that a malformed
//! name is invalid input and not a usage error.

use clap::{CommandFactory, Parser};

use crate::command::Command;
use crate::globals::Globals;

pub(crate) mod alone;
#[cfg(test)]
mod examples;
pub(crate) mod groups;
mod paragraphs;
pub(crate) mod start_page;

/// What the exit codes mean, for the manual page.
pub(crate) const EXIT_STATUS: &str = "\
Exit status:
  0    success; also if the reader of the output closes it early
  1    any other failure
  2    wrong command line
  3    locked, or guarded and not allowed, and no terminal to ask on
  4    not found
  5    not allowed
  6    already exists, or conflict
  7    invalid input
  8    no daemon
  9    daemon failure: storage, damage, rollback, timeout
  10   scan: a value was found
  125  run: secretctl failed; 126: cannot execute the command; 127: not found";

/// Stores secrets in secretsd and passes their values to programs by name.
#[derive(Debug, Parser)]
#[command(name = "secretctl", version, max_term_width = 100, subcommand_required = true)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Example:
  secretctl init
  secretctl set OPENAI_API_KEY
  secretctl run -s OPENAI_API_KEY -- npm start"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command line as manual pages describe it.
pub(crate) fn described() -> clap::Command {
    let root = Cli::command();
    let help = root.get_after_help().map(ToString::to_string).unwrap_or_default();
    root.after_help(format!("{EXIT_STATUS}\n\n{help}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in [["secretctl", "--json", "list"], ["secretctl", "list", "--json"]] {
            assert!(Cli::try_parse_from(line).unwrap().globals.json);
        }
        let run = ["secretctl", "run", "-s", "A,B", "-s", "C*", "--", "cmd", "--json", "--", "-s"];
        let cli = Cli::try_parse_from(run).unwrap();
        assert!(!cli.globals.json);
        let Command::Run(run) = cli.command else { panic!("run is expected") };
        assert_eq!(run.selectors, ["A", "B", "C*"]);
        assert_eq!(run.command, ["cmd", "--json", "--", "-s"]);
    }
}
