//! What to say about a command line that is none. clap's own text quotes the words it stumbles over, and
//! such a word may be a secret in the wrong place; here only our own flags and commands are named.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, FromArgMatches};
use strsim::osa_distance;

use crate::cli::alone::alone;
use crate::cli::{Cli, groups};
use crate::input::NO_VALUES;

/// A command line that leads to no command.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Help or the version, as asked for.
    Answer(String),
    /// Help that was not asked for, because there was no command at all.
    Help(String),
    /// What is wrong with it.
    Wrong(String),
}

/// Commands that take a value from the user.
const STORING: [&str; 4] = ["set", "add", "update", "preset"];

/// Reads the command line.
pub(crate) fn parse(words: &[OsString]) -> Result<Cli, Stop> {
    match alone(words).map(|command| read(command, words)) {
        Some(Ok(cli)) => Ok(cli),
        Some(Err(_)) | None => parse_by_all(words),
    }
}

fn read(mut command: Command, words: &[OsString]) -> Result<Cli, clap::Error> {
    let matches = command.try_get_matches_from_mut(words);
    // Thousands of small pieces, which the end of the process takes back at once.
    std::mem::forget(command);
    Cli::from_arg_matches_mut(&mut matches?)
}

/// Reads it by the description of all commands.
pub(crate) fn parse_by_all(words: &[OsString]) -> Result<Cli, Stop> {
    let is_help =
        |kind| matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    // The help's groups are made of all commands, each of which must be described to its end for that.
    let read = read(Cli::command(), words)
        .or_else(|error| if is_help(error.kind()) { read(groups::command(), words) } else { Err(error) });
    read.map_err(|error| {
        let kind = error.kind();
        if kind == ErrorKind::DisplayHelp || kind == ErrorKind::DisplayVersion {
            return Stop::Answer(error.to_string());
        }
        if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Stop::Help(error.to_string());
        }
        Stop::Wrong(explain(kind, &error, words))
    })
}

fn explain(kind: ErrorKind, error: &clap::Error, words: &[OsString]) -> String {
    let has = |command: &str| words.iter().any(|word| word == command);
    if kind == ErrorKind::UnknownArgument {
        // The unknown word itself is the context's InvalidArg; the suggestion is one of our flags.
        let hint = ours(error, ContextKind::SuggestedArg).map(|flag| format!("; did you mean {flag}?"));
        let reason = match hint {
            Some(hint) => hint,
            None if STORING.iter().any(|command| has(command)) => format!("; {NO_VALUES};"),
            None if has("run") => "; put the command after --;".to_owned(),
            None => ";".to_owned(),
        };
        return format!("unknown argument{reason} see --help");
    }
    if kind == ErrorKind::InvalidSubcommand {
        let hint = near_command(error).map(|command| format!("did you mean {command}? ")).unwrap_or_default();
        return format!("no such command; {hint}see: secretctl --help");
    }
    // In all other kinds the argument is one of ours; its value is never taken from the context.
    let argument = ours(error, ContextKind::InvalidArg).unwrap_or_else(|| "an argument".to_owned());
    if kind == ErrorKind::MissingRequiredArgument {
        return missing(&argument, has("run"));
    }
    let what = if kind == ErrorKind::InvalidValue {
        match ours(error, ContextKind::ValidValue) {
            Some(valid) => format!("{argument} must be one of: {valid}"),
            None => format!("{argument} needs a value"),
        }
    } else if kind == ErrorKind::ArgumentConflict {
        match ours(error, ContextKind::PriorArg) {
            Some(prior) if prior != argument => format!("{argument} cannot be used with {prior}"),
            Some(_) | None => format!("{argument} is given twice"),
        }
    } else if kind == ErrorKind::MissingSubcommand {
        "no command given".to_owned()
    } else if kind == ErrorKind::InvalidUtf8 {
        "an argument is not UTF-8 text".to_owned()
    } else {
        format!("{argument} is used wrongly")
    };
    format!("{what}; see --help")
}

fn missing(arguments: &str, in_run: bool) -> String {
    if arguments.contains("<SELECTOR>") {
        return "no secrets selected; use -s NAME or --all; see --help".to_owned();
    }
    if in_run {
        return "no command; put it after --; see --help".to_owned();
    }
    format!("{arguments} is missing; see --help")
}

/// The one command that differs from the word by a slip or two: a character that was left out, added, replaced, or swapped
/// with its neighbour. None is better than a wild guess.
fn near_command(error: &clap::Error) -> Option<String> {
    let ContextValue::String(word) = error.get(ContextKind::InvalidSubcommand)? else { return None };
    let cli = Cli::command();
    let names = cli.get_subcommands().filter(|command| !command.is_hide_set()).flat_map(|command| {
        std::iter::once(command.get_name())
            .chain(command.get_visible_aliases())
            .map(move |name| (name, command))
    });
    let near = names
        .map(|(name, command)| (osa_distance(word, name), command.get_name()))
        .filter(|(slips, _)| *slips <= 2 && slips * 2 <= word.chars().count());
    let near: Vec<(usize, &str)> = near.collect();
    let least = near.iter().map(|(slips, _)| *slips).min()?;
    let mut nearest = near.iter().filter(|(slips, _)| *slips == least);
    let (_, name) = nearest.next()?;
    nearest.all(|(_, other)| other == name).then(|| (*name).to_owned())
}

/// A piece of context that holds only names of ours.
fn ours(error: &clap::Error, kind: ContextKind) -> Option<String> {
    let value = error.get(kind)?;
    if let ContextValue::String(text) = value {
        return Some(text.clone());
    }
    let ContextValue::Strings(texts) = value else { return None };
    (!texts.is_empty()).then(|| texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "sk-canary-canary";

    fn wrong(line: &[&str]) -> String {
        let mut words = vec![OsString::from("secretctl")];
        words.extend(line.iter().map(OsString::from));
        match parse(&words) {
            Err(Stop::Wrong(message)) => message,
            other => panic!("{line:?} is not refused: {other:?}"),
        }
    }

    #[test]
    fn no_error_quotes_what_was_typed() {
        let flag = format!("--{CANARY}");
        let assigned = format!("--no-spawn={CANARY}");
        let colour = format!("--color={CANARY}");
        let short = format!("-x{CANARY}");
        for line in [
            vec![CANARY],
            vec!["help", CANARY],
            vec!["list", "A", CANARY],
            vec!["set", "A", flag.as_str()],
            vec!["set", "A", short.as_str()],
            vec![assigned.as_str(), "list"],
            vec![colour.as_str(), "list"],
            vec!["run", "-s", CANARY],
            vec!["run", "-s", CANARY, CANARY],
            vec!["run", "--", CANARY],
            vec!["status", CANARY],
            vec!["set", "A", "--provider", CANARY, "--provider", CANARY],
            vec!["unlock", "--key-file", CANARY, "--passphrase-file", CANARY],
        ] {
            let message = wrong(&line);
            assert!(!message.contains("canary"), "{line:?}: {message}");
            assert!(!message.contains('\n'), "{line:?}: {message}");
        }
    }

    #[test]
    fn says_what_to_do() {
        for (line, expected) in [
            (vec!["lits"], "no such command; did you mean list? see: secretctl --help"),
            (vec!["lst"], "no such command; did you mean list? see: secretctl --help"),
            (vec!["delete"], "no such command; see: secretctl --help"),
            (vec!["x"], "no such command; see: secretctl --help"),
            (vec!["run", "--", "x"], "no secrets selected; use -s NAME or --all; see --help"),
            (vec!["run", "-s", "A"], "no command; put it after --; see --help"),
            (vec!["run", "-s", "A", "x"], "unknown argument; put the command after --; see --help"),
            (vec!["show"], "<NAME> is missing; see --help"),
            (vec!["list", "--color", "x"], "--color <WHEN> must be one of: auto, always, never; see --help"),
            (vec!["list", "--provider"], "--provider <PROVIDER> needs a value; see --help"),
            (vec!["list", "--prvider", "x"], "unknown argument; did you mean --provider? see --help"),
        ] {
            assert_eq!(wrong(&line), expected, "{line:?}");
        }
    }

    #[test]
    fn help_and_version_are_answers_without_colour_codes() {
        for line in
            [vec!["secretctl", "--help"], vec!["secretctl", "--version"], vec!["secretctl", "help", "run"]]
        {
            let words: Vec<OsString> = line.iter().map(OsString::from).collect();
            let Err(Stop::Answer(text)) = parse(&words) else { panic!("{line:?}") };
            assert!(!text.contains('\x1b'));
            assert!(!text.contains("__"), "{text}");
        }
        assert!(matches!(parse(&["secretctl".into()]), Err(Stop::Help(_))));
    }
}
