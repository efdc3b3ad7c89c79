//! The program's own help. All commands in one list are too many to look through, so they stand in groups; and what is
//! needed every day comes first where eyes look at it. The parser has no word for either, so that the lists are part of
//! the help's template.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use super::{Cli, paragraphs};
use crate::command::GROUPS;

/// clap's own command, which is no row of the table; it stands last in the last group.
const HELP: &str = "help";

/// What is needed every day.
pub(crate) const DAILY: [&str; 6] = ["import", "set", "list", "run", "get", "lock"];

/// Helpers that other programs run: nobody types them, so that they are left out where there is little room.
const HELPERS: [&str; 7] = [
    "git-credential",
    "aws-credentials",
    "docker-credential",
    "cargo-credential",
    "keyring",
    "kube-credential",
    "vault-client",
];

/// So many columns has every terminal.
const COLUMNS: usize = 80;

/// The lines of the smallest terminal, of which the prompt needs one.
#[cfg(test)]
const LINES: usize = 23;

/// The command line, whose help has all commands in groups, and what each does.
pub(crate) fn command() -> Command {
    paragraphs::filled(Cli::command()).help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{}\nOptions:\n{{options}}{{after-help}}",
        list(&built())
    ))
}

/// The command line, whose help fits on the smallest screen: it says what the daily commands do and names the others.
pub(crate) fn brief() -> Command {
    let list = brief_list(&built());
    Cli::command().help_template(format!("{{about-with-newline}}{{usage-heading}} {{usage}}\n{list}"))
}

fn built() -> Command {
    let mut built = Cli::command();
    built.build();
    built
}

/// The groups that are shown, the last with clap's own command.
fn groups() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let shown: Vec<_> = GROUPS.iter().filter(|(title, _)| !title.is_empty()).collect();
    let last = shown.len().saturating_sub(1);
    shown.into_iter().enumerate().map(move |(at, (title, names))| {
        let help = (at == last).then_some(HELP);
        (*title, names.iter().copied().chain(help).collect())
    })
}

fn list(root: &Command) -> String {
    let width = groups().flat_map(|(_, names)| names).map(str::len).max().unwrap_or_default();
    let mut text = String::new();
    for (title, names) in groups() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{title}:");
        names.iter().filter_map(|name| root.find_subcommand(name)).for_each(|command| {
            let _ = writeln!(text, "  {:width$}  {}", command.get_name(), about(command));
        });
    }
    text
}

fn brief_list(root: &Command) -> String {
    let mut text = "\nEvery day:\n".to_owned();
    DAILY.iter().filter_map(|name| root.find_subcommand(name)).for_each(|command| {
        let _ = writeln!(text, "  {:8}{}", command.get_name(), about(command));
    });
    text.push_str("\nAll commands:\n");
    let width = 2 + groups().map(|(title, _)| title.len()).max().unwrap_or_default();
    for (title, names) in groups() {
        let mut line = format!("  {title:width$}");
        for name in names.iter().filter(|name| !HELPERS.contains(name)) {
            if line.len() + 1 + name.len() > COLUMNS {
                let _ = writeln!(text, "{}", line.trim_end());
                line = format!("  {:width$}", "");
            }
            line.push_str(name);
            line.push(' ');
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str("\nall options, and the helpers that git, docker and others run: secretctl help\n");
    text
}

fn about(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let aliases: Vec<&str> = command.get_visible_aliases().collect();
    if aliases.is_empty() { about } else { format!("{about} [alias: {}]", aliases.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_shows_commands_flags_and_examples_within_a_terminals_width() {
        let help = command().render_help().to_string();
        for shown in ["  restore-vault ", "[alias: ls]", "--token-file <PATH>", "-V, --version", "Example:"] {
            assert!(help.contains(shown), "{shown} is missing: {help}");
        }
        let list = list(&Cli::command());
        assert!(list.lines().all(|line| line.chars().count() <= 100), "{list}");
        // The template would take it for something of its own.
        assert!(!list.contains('{'), "{list}");
    }
    #[test]
    fn help_for_eyes_fits_on_a_screen_and_names_every_command() {
        let help = brief().render_help().to_string();
        assert!(help.lines().count() <= LINES, "{} lines: {help}", help.lines().count());
        let list = brief_list(&Cli::command());
        assert!(list.lines().all(|line| line.chars().count() <= COLUMNS), "{list}");
        for name in groups().flat_map(|(_, names)| names) {
            let is_there = list.split_whitespace().any(|word| word == name);
            assert_eq!(is_there, !HELPERS.contains(&name), "{name}: {help}");
        }
        // Helpers are those that say who runs them.
        let root = Cli::command();
        let runs = |about: String| about.ends_with(" runs this") || about.ends_with(" run this");
        for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            assert_eq!(runs(about(command)), HELPERS.contains(&name), "{name}");
        }
        assert!(DAILY.iter().all(|name| help.contains(&format!("\n  {name:8}"))), "{help}");
    }
}
