//! The commands in groups, as the program's own help shows them: forty in one list are too many to look through. The
//! parser has no word for this, so that the list is part of the help's template.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use super::Cli;

/// Each command that is not hidden, in one group.
const GROUPS: [(&str, &[&str]); 6] = [
    ("The vault", &["init", "status", "unlock", "lock"]),
    (
        "Secrets",
        &[
            "set", "add", "update", "preset", "presets", "import", "list", "show", "rename", "history",
            "rollback", "rm", "trash", "restore",
        ],
    ),
    ("Handing them out", &["run", "get", "inject", "export", "git-credential", "aws-credentials"]),
    ("Who may have what", &["token", "credential", "audit"]),
    ("Keys and copies of the vault", &["key", "passwd", "rotate", "backup", "restore-vault", "verify"]),
    ("This machine", &["doctor", "completions", "man", "help"]),
];

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
    let width = GROUPS.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (title, names) in GROUPS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{title}:");
        for command in names.iter().filter_map(|name| root.find_subcommand(name)) {
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
    fn every_command_is_in_one_group() {
        let mut built = Cli::command();
        built.build();
        let mut all: Vec<&str> =
            built.get_subcommands().filter(|below| !below.is_hide_set()).map(Command::get_name).collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        all.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(grouped, all);
    }

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
