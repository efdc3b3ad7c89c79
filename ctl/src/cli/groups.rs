//! The commands in groups, as the program's own help shows them: forty in one list are too many to look through. The
//! parser has no word for this, so that the list is part of the help's template.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use super::Cli;
use crate::command::GROUPS;

/// clap's own command, which is no row of the table; it stands last in the last group.
const HELP: &str = "help";

/// The command line, whose help has the commands in groups.
pub(crate) fn command() -> Command {
    let mut built = Cli::command();
    built.build();
    Cli::command().help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{}\nOptions:\n{{options}}{{after-help}}",
        list(&built)
    ))
}

fn list(root: &Command) -> String {
    let groups: Vec<_> = GROUPS.iter().filter(|(title, _)| !title.is_empty()).collect();
    let width = groups.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (at, (title, names)) in (1..).zip(&groups) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{title}:");
        let help = (at == groups.len()).then_some(&HELP);
        for command in names.iter().chain(help).filter_map(|name| root.find_subcommand(name)) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let aliases: Vec<&str> = command.get_visible_aliases().collect();
            let also =
                if aliases.is_empty() { String::new() } else { format!(" [alias: {}]", aliases.join(", ")) };
            let _ = writeln!(text, "  {:width$}  {about}{also}", command.get_name());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_shows_commands_flags_and_examples_within_a_terminals_width() {
        let help = command().render_help().to_string();
        for shown in [
            "  restore-vault ",
            "[alias: ls]",
            "--token-file <PATH>",
            "-V, --version",
            "Exit status:",
            "Example:",
        ] {
            assert!(help.contains(shown), "{shown} is missing: {help}");
        }
        let list = list(&Cli::command());
        assert!(list.lines().all(|line| line.chars().count() <= 100), "{list}");
        // The template would take it for something of its own.
        assert!(!list.contains('{'), "{list}");
    }
}
