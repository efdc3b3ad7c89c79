//! What to say about a command line that is none. clap's own text quotes the words it stumbles over, and
//! such a word may be a secret in the wrong place; here only our own flags and commands are named.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, FromArgMatches};
use secrets_proto::SecretName;

use crate::cli::alone::alone;
use crate::cli::{Cli, groups};
use crate::input::NO_VALUES;
use crate::shell::quoted;
use crate::{output, providers};

mod words;

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

/// Commands that start another one, with how that is written.
const RUNNING: [(&str, &str); 3] = [
    ("run", "-s NAME -- COMMAND"),
    ("proxy run", "-s NAME -- COMMAND"),
    ("proxy attach", "SESSION -- COMMAND"),
];

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
        .or_else(|error| if is_help(error.kind()) { read(with_groups(words), words) } else { Err(error) });
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

/// For eyes as much as they see at once; all of it for pagers and programs, and for who asks by the command `help`.
fn with_groups(words: &[OsString]) -> Command {
    let is_flag = !words.iter().any(|word| word == "help");
    if is_flag && output::stdout_is_terminal() { groups::brief() } else { groups::command() }
}

fn explain(kind: ErrorKind, error: &clap::Error, words: &[OsString]) -> String {
    let command = named_command(words);
    let see = format!("see: {command} --help");
    let is = |names: &[&str]| names.iter().any(|name| command == format!("secretctl {name}"));
    if kind == ErrorKind::UnknownArgument {
        let unknown = unknown_option(error);
        // The suggestion is one of our flags, and may have little of what was typed.
        let is_near = |flag: &String| {
            unknown.as_deref().is_some_and(|option| words::is_slip(option.trim_start(), flag))
        };
        let near = ours(error, ContextKind::SuggestedArg).filter(is_near);
        let near = near.map(|flag| format!("did you mean {flag}? "));
        let Some(option) = unknown else {
            return match running(&command).filter(|_| near.is_none()) {
                Some(rest) => without_dashes(words, &command, rest),
                None if is(&["token create"]) => format!("one word too many; write: {command} --name NAME"),
                None => too_many(is(&STORING), &see),
            };
        };
        if let Some(place) = too_early(option.trim_start(), words) {
            return place;
        }
        if let Some(hint) = words::option_elsewhere(option.trim_start(), &command).filter(|_| near.is_none())
        {
            return format!("unknown option{option}; {hint}");
        }
        if near.is_none() && is(&STORING) {
            return format!("unknown option{option}; {NO_VALUES}; {see}");
        }
        return format!("unknown option{option}; {}{see}", near.unwrap_or_default());
    }
    if kind == ErrorKind::InvalidSubcommand {
        if command == "secretctl" && words.get(1).is_some_and(|word| word == "version") {
            return "no such command; write: secretctl --version".to_owned();
        }
        let (hint, command) = meant_command(error, words);
        return format!("no such command; {}see: {command} --help", hint.unwrap_or_default());
    }
    // In all other kinds the argument is one of ours; its value is never taken from the context.
    let argument = ours(error, ContextKind::InvalidArg).unwrap_or_else(|| "an argument".to_owned());
    if kind == ErrorKind::MissingRequiredArgument {
        return missing(&argument, &command);
    }
    let what = if kind == ErrorKind::InvalidValue {
        match ours(error, ContextKind::ValidValue) {
            Some(valid) => format!("{argument} must be one of: {valid}"),
            None => format!("{argument} needs a value"),
        }
    } else if kind == ErrorKind::ArgumentConflict {
        match ours(error, ContextKind::PriorArg) {
            Some(prior) if prior != argument => {
                format!("{argument} cannot be used with {prior}; leave one of them out")
            }
            Some(_) | None => format!("{argument} is given twice"),
        }
    } else if kind == ErrorKind::MissingSubcommand {
        "no command given".to_owned()
    } else if kind == ErrorKind::InvalidUtf8 {
        "an argument is not UTF-8 text".to_owned()
    } else {
        format!("{argument} is used wrongly")
    };
    format!("{what}; {see}")
}

/// How a command is written that starts another one, behind its name.
fn running(command: &str) -> Option<&'static str> {
    let name = command.strip_prefix("secretctl ")?;
    RUNNING.iter().find(|(known, _)| *known == name).map(|(_, rest)| *rest)
}

fn missing(arguments: &str, command: &str) -> String {
    if arguments.contains("<SECRET>") {
        return format!("no names given; write: {command} --from FILE");
    }
    if arguments.contains("<SELECTOR>") {
        return format!("no secrets selected, add -s NAME or --all; see: {command} --help");
    }
    if let Some(rest) = running(command).filter(|_| arguments.contains("<CMD>")) {
        return format!("no command to run; write: {command} {rest}");
    }
    format!("{arguments} is missing; see: {command} --help")
}

/// What stands behind `run` without `--` may be a value as well as a command: it is repeated only on the terminal on which
/// it was typed, and not if it looks like a key.
fn without_dashes(words: &[OsString], command: &str, rest: &str) -> String {
    let typed = io::stderr().is_terminal().then(|| with_dashes(words)).flatten();
    let line = typed.unwrap_or_else(|| format!("{command} {rest}"));
    format!("-- must stand before the command to run; write: {line}")
}

/// The command line with `--` before its command.
fn with_dashes(words: &[OsString]) -> Option<String> {
    let words: Vec<&str> = words.iter().skip(1).map(|word| word.to_str()).collect::<Option<_>>()?;
    if words.iter().any(|word| word.split(['=', ',']).any(providers::begins_like_key)) {
        return None;
    }
    let root = Cli::command();
    let (mut command, mut at, mut positions) = (&root, 0, 0);
    // Past the words that are ours, of which options may take the next one.
    while let Some(word) = words.get(at) {
        if let Some(name) = word.strip_prefix('-') {
            let options = || root.get_arguments().chain(command.get_arguments());
            let option = options().find(|option| match name.strip_prefix('-') {
                Some(long) => option.get_long() == long.split('=').next(),
                None => name.len() == 1 && option.get_short() == name.chars().next(),
            });
            let takes_next =
                option.is_some_and(|option| option.get_action().takes_values()) && !word.contains('=');
            at += if takes_next { 2 } else { 1 };
        } else if let Some(below) = command.find_subcommand(word) {
            (command, at) = (below, at + 1);
        } else if positions < command.get_positionals().filter(|position| !position.is_last_set()).count() {
            (positions, at) = (positions + 1, at + 1);
        } else {
            break;
        }
    }
    let (ours, theirs) = words.split_at_checked(at).filter(|(_, theirs)| !theirs.is_empty())?;
    let is_selected = ours.iter().any(|word| word.starts_with("-s") || word.starts_with("--secret"));
    let must_select = command
        .get_arguments()
        .any(|argument| argument.get_long() == Some("secret") && argument.is_required_set());
    let quoted =
        |words: &[&str]| words.iter().map(|word| quoted(Path::new(word))).collect::<Vec<_>>().join(" ");
    // A name of a secret that stands where the command was to be.
    let (names, mut theirs) = theirs.split_at(theirs.iter().take_while(|word| is_name(word)).count());
    let is_known = command.get_arguments().any(|argument| argument.get_long() == Some("secret"));
    let names = if is_known && !is_selected { names } else { &[] };
    if theirs.first() == Some(&"--") {
        theirs = theirs.get(1..).unwrap_or_default();
    }
    let theirs = if theirs.is_empty() { "COMMAND".to_owned() } else { quoted(theirs) };
    let select = match names {
        [] if must_select && !is_selected => " -s NAME".to_owned(),
        [] => String::new(),
        names => format!(" -s {}", names.join(",")),
    };
    Some(format!("secretctl {}{select} -- {theirs}", quoted(ours)))
}

/// Whether it is written as people write names of secrets, and hardly anybody a program's.
fn is_name(word: &str) -> bool {
    SecretName::parse(word).is_ok_and(|name| name.as_str() == word) && word.len() > 2
}

fn too_many(stores: bool, see: &str) -> String {
    if stores {
        format!("one word too many; {NO_VALUES}; {see}")
    } else {
        format!("one word too many; {see}")
    }
}

/// The command that these words name, as far down as they do. Only words of ours are in it.
fn named_command(words: &[OsString]) -> String {
    let root = Cli::command();
    let (mut command, mut text) = (&root, "secretctl".to_owned());
    for word in words.iter().skip(1).take_while(|word| *word != "--").filter_map(|word| word.to_str()) {
        if let Some(below) = command.find_subcommand(word).filter(|below| !below.is_hide_set()) {
            text = format!("{text} {}", below.get_name());
            command = below;
        }
    }
    text
}

/// The option that is none of ours, as it may be shown, behind a space: its name up to `=`, if that looks like the name
/// of an option and not like a value in its place. Nothing if the word is no option at all.
fn unknown_option(error: &clap::Error) -> Option<String> {
    let ContextValue::String(word) = error.get(ContextKind::InvalidArg)? else { return None };
    let word = word.strip_prefix('-').filter(|rest| !rest.is_empty())?;
    let Some(long) = word.strip_prefix('-') else {
        let short = word.chars().next().filter(char::is_ascii_alphabetic);
        return Some(short.map(|short| format!(" -{short}")).unwrap_or_default());
    };
    let name = long.split('=').next().unwrap_or_default();
    let is_word =
        |part: &str| (1..=12).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_name = name.split('-').count() <= 3 && name.split('-').all(is_word);
    Some(if is_name && !providers::begins_like_key(long) { format!(" --{name}") } else { String::new() })
}

/// What may be meant by a word that is no command, as a question; and the command whose help lists those that there are.
fn meant_command(error: &clap::Error, words: &[OsString]) -> (Option<String>, String) {
    let root = Cli::command();
    let (mut parent, mut text) = (&root, "secretctl".to_owned());
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return (None, text);
    };
    for before in words.iter().skip(1).take_while(|before| *before != word.as_str()) {
        let known = before.to_str().and_then(|before| parent.find_subcommand(before));
        if let Some(below) = known.filter(|below| !below.is_hide_set()) {
            text = format!("{text} {}", below.get_name());
            parent = below;
        }
    }
    let meant: Vec<String> = words::meant(word, parent)
        .iter()
        .map(|name| format!("{text} {name}").trim_start_matches("secretctl ").to_owned())
        .collect();
    ((!meant.is_empty()).then(|| format!("did you mean {}? ", meant.join(" or "))), text)
}

/// An option that a command has and that stands before it: where it belongs.
fn too_early(option: &str, words: &[OsString]) -> Option<String> {
    let root = Cli::command();
    let (mut command, mut text, mut is_before) = (&root, "secretctl".to_owned(), false);
    let mut has_passed = false;
    for word in words.iter().skip(1).take_while(|word| *word != "--").filter_map(|word| word.to_str()) {
        has_passed |= word.split('=').next() == Some(option);
        if let Some(below) = command.find_subcommand(word).filter(|below| !below.is_hide_set()) {
            is_before = has_passed;
            text = format!("{text} {}", below.get_name());
            command = below;
        }
    }
    let written = words::option_of(command, option).filter(|_| is_before)?;
    let name = text.strip_prefix("secretctl ")?;
    Some(format!("{option} goes behind {name}; write: {text} {written}"))
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
            (vec!["delete", "A"], "no such command; did you mean rm? see: secretctl --help"),
            (vec!["remove", "A"], "no such command; did you mean rm? see: secretctl --help"),
            (vec!["view", "A"], "no such command; did you mean show or get? see: secretctl --help"),
            (vec!["cat", "A"], "no such command; did you mean get or show? see: secretctl --help"),
            (vec!["st"], "no such command; did you mean status? see: secretctl --help"),
            (vec!["key", "delete"], "no such command; did you mean key remove? see: secretctl key --help"),
            (
                vec!["proxy", "rule", "shwo"],
                "no such command; did you mean proxy rule show? see: secretctl proxy rule --help",
            ),
            (vec!["token", "x"], "no such command; see: secretctl token --help"),
            (
                vec!["--since", "1h", "audit"],
                "--since goes behind audit; write: secretctl audit --since TIME",
            ),
            (
                vec!["proxy", "--host=x", "rule", "set", "A"],
                "--host goes behind proxy rule set; write: secretctl proxy rule set --host HOST",
            ),
            (vec!["-s", "A", "run", "--", "env"], "-s goes behind run; write: secretctl run -s SELECTOR"),
            (vec!["--names", "list"], "--names goes behind list; write: secretctl list --names"),
            (vec!["--zzz", "list"], "unknown option --zzz; see: secretctl list --help"),
            (vec!["x"], "no such command; see: secretctl --help"),
            (vec!["generate", "A"], "no such command; did you mean set? see: secretctl --help"),
            (vec!["decrypt"], "no such command; did you mean export or get? see: secretctl --help"),
            (vec!["version"], "no such command; write: secretctl --version"),
            (vec!["-v"], "unknown option -v; write: secretctl --version"),
            (
                vec!["run", "--env-file", "x", "--", "y"],
                "unknown option --env-file; to store what is in the file: secretctl import FILE",
            ),
            (vec!["run", "-e", "A", "--", "y"], "unknown option -e; write: secretctl run -s NAME -- COMMAND"),
            (vec!["cp", "A", "B"], "no such command; see: secretctl --help"),
            (
                vec!["token", "create", "agent", "--scope", "list"],
                "one word too many; write: secretctl token create --name NAME",
            ),
            (vec!["project", "init"], "no names given; write: secretctl project init --from FILE"),
            (vec!["exec", "-s", "A"], "no such command; did you mean run? see: secretctl --help"),
            (vec!["env"], "no such command; did you mean run? see: secretctl --help"),
            (vec!["find", "x"], "no such command; did you mean list? see: secretctl --help"),
            (vec!["run", "-s", "A"], "no command to run; write: secretctl run -s NAME -- COMMAND"),
            (
                vec!["run", "-s", "A", "x"],
                "-- must stand before the command to run; write: secretctl run -s NAME -- COMMAND",
            ),
            (vec!["show"], "<NAME> is missing; see: secretctl show --help"),
            (vec!["key", "remove"], "<ID> is missing; see: secretctl key remove --help"),
            (
                vec!["list", "--color", "x"],
                "--color <WHEN> must be one of: auto, always, never; see: secretctl list --help",
            ),
            (vec!["list", "--provider"], "--provider <PROVIDER> needs a value; see: secretctl list --help"),
            (
                vec!["list", "--prvider", "x"],
                "unknown option --prvider; did you mean --provider? see: secretctl list --help",
            ),
            (vec!["import", ".env", "--zzz=v"], "unknown option --zzz; see: secretctl import --help"),
            (vec!["list", "-xv"], "unknown option -x; see: secretctl list --help"),
            (vec!["list", "--V4lue"], "unknown option; see: secretctl list --help"),
            (vec!["list", "A", "B"], "one word too many; see: secretctl list --help"),
        ] {
            assert_eq!(wrong(&line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_line_is_given_back_with_what_it_lacks() {
        let line = |words: &[&str]| {
            let words: Vec<OsString> = ["secretctl"].iter().chain(words).map(OsString::from).collect();
            with_dashes(&words)
        };
        for (words, expected) in [
            (vec!["run", "npm", "start"], "secretctl run -- npm start"),
            (
                vec!["--no-spawn", "run", "-s", "A,B", "--mask", "sh", "-c", "echo $A"],
                "secretctl --no-spawn run -s A,B --mask -- sh -c 'echo $A'",
            ),
            (
                vec!["run", "--secret=A", "--reason", "a b", "x"],
                "secretctl run --secret=A --reason 'a b' -- x",
            ),
            (vec!["proxy", "run", "x"], "secretctl proxy run -s NAME -- x"),
            (vec!["proxy", "run", "-sA", "run"], "secretctl proxy run -sA -- run"),
            (vec!["proxy", "attach", "build", "npm", "ci"], "secretctl proxy attach build -- npm ci"),
        ] {
            assert_eq!(line(&words).as_deref(), Some(expected), "{words:?}");
        }
        for words in
            [vec!["run", CANARY], vec!["run", "env", "KEY=sk-canary"], vec!["run", "-s", CANARY, "x"]]
        {
            assert_eq!(line(&words), None, "{words:?}");
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
