//! Which command of ours may be meant by a word that is none, and where an option belongs that stands too early.

use clap::{Arg, Command};
use strsim::osa_distance;

/// Words that people know from other programs, and ours for them, the likeliest first. Of these only those are named that
/// there are where the word stood.
const ELSEWHERE: [(&[&str], &[&str]); 23] = [
    (
        &["delete", "del", "remove", "rm", "unset", "erase", "destroy", "forget", "revoke"],
        &["rm", "remove", "revoke"],
    ),
    (&["view", "info", "describe", "details"], &["show", "get"]),
    (&["cat", "read", "print", "reveal", "fetch"], &["get", "show"]),
    (&["st", "state"], &["status"]),
    (&["find", "search", "grep", "dir", "ls"], &["list"]),
    (&["exec", "env"], &["run"]),
    (&["generate"], &["set"]),
    (&["encrypt"], &["import", "set"]),
    (&["decrypt"], &["export", "get"]),
    (&["create", "new", "insert", "put", "store", "save", "write", "add"], &["set", "create", "add"]),
    (&["change", "modify", "annotate"], &["edit"]),
    (&["mv", "move"], &["rename"]),
    (&["log", "logs"], &["audit"]),
    (&["versions"], &["history"]),
    (&["undo", "revert"], &["rollback", "restore"]),
    (&["undelete"], &["restore"]),
    (&["open", "login", "signin", "unseal"], &["unlock"]),
    (&["close", "logout", "signout", "seal"], &["lock"]),
    (&["quit", "exit", "kill", "shutdown"], &["stop", "end"]),
    (&["password", "passphrase"], &["passwd"]),
    (&["load"], &["import"]),
    (&["dump"], &["export"]),
    (&["tui", "browse"], &["ui"]),
];

/// Our commands that may be meant by a word among the commands of `parent`: at most two, and none rather than a wild guess.
pub(super) fn meant(word: &str, parent: &Command) -> Vec<String> {
    let there = |name: &&&str| {
        parent.get_subcommands().any(|command| command.get_name() == **name && !command.is_hide_set())
    };
    let known = ELSEWHERE.iter().find(|(theirs, _)| theirs.contains(&word));
    let ours: Vec<String> = known
        .map(|(_, ours)| ours.iter().filter(there).take(2).map(|name| (*name).to_owned()).collect())
        .unwrap_or_default();
    if ours.is_empty() { near(word, parent).into_iter().collect() } else { ours }
}

/// The one command that differs from the word by a slip or two: a character that was left out, added, replaced, or swapped
/// with its neighbour.
fn near(word: &str, parent: &Command) -> Option<String> {
    let names = parent.get_subcommands().filter(|command| !command.is_hide_set()).flat_map(|command| {
        std::iter::once(command.get_name())
            .chain(command.get_visible_aliases())
            .map(move |name| (name, command))
    });
    let length = |word: &str| word.chars().count();
    let near = names
        // A word of two letters is a slip of many longer ones.
        .filter(|(name, _)| length(word) > 2 || length(name) <= 2)
        .map(|(name, command)| (osa_distance(word, name), command.get_name()))
        .filter(|(slips, _)| *slips <= 2 && slips * 2 <= length(word));
    let near: Vec<(usize, &str)> = near.collect();
    let least = near.iter().map(|(slips, _)| *slips).min()?;
    let mut nearest = near.iter().filter(|(slips, _)| *slips == least);
    let (_, name) = nearest.next()?;
    nearest.all(|(_, other)| other == name).then(|| (*name).to_owned())
}

/// Whether an option may be a slip of the other, or its beginning.
pub(super) fn is_slip(option: &str, other: &str) -> bool {
    osa_distance(option, other) <= 2 || option.len() > 4 && other.starts_with(option)
}

/// What to do in place of an option that people know from other programs.
pub(super) fn option_elsewhere(option: &str, command: &str) -> Option<&'static str> {
    match (command, option) {
        ("secretctl run", "--env-file") => Some("to store what is in the file: secretctl import FILE"),
        ("secretctl run", "-e" | "--env") => Some("write: secretctl run -s NAME -- COMMAND"),
        ("secretctl", "-v") => Some("write: secretctl --version"),
        _ => None,
    }
}

/// The option of this command that a word names, as it is written there: with what stands for its value.
pub(super) fn option_of(command: &Command, option: &str) -> Option<String> {
    let is_it = |known: &&Arg| match option.strip_prefix("--") {
        Some(long) => known.get_long() == Some(long),
        None => known.get_short().is_some_and(|short| option.strip_prefix('-') == Some(&short.to_string())),
    };
    let known = command.get_arguments().find(is_it)?;
    let value =
        known.get_value_names().and_then(|names| names.first()).filter(|_| known.get_action().takes_values());
    Some(value.map_or_else(|| option.to_owned(), |value| format!("{option} {value}")))
}
