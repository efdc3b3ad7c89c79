//! What could come next on a command line that is being typed: a walk along clap's own description of the
//! command line, so that a new command or flag completes without a word here. What an argument takes is told
//! by its value's name, as the help shows it. It knows no daemon and no shell; the scripts beside it know
//! their shell and nothing of the command line.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, ValueEnum};
use secrets_proto::token::Scope;

use crate::globals::Globals;

/// The hidden command that the scripts call.
pub(crate) const COMMAND: &str = "__complete";

/// A shell that can be told how to complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The script for a shell.
pub(crate) const fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("secretctl.bash"),
        Shell::Zsh => include_str!("secretctl.zsh"),
        Shell::Fish => include_str!("secretctl.fish"),
    }
}

/// What the last word of a command line may become.
#[derive(Debug, Default)]
pub(crate) struct Next {
    /// What stands before the part of the word that is completed, like `--provider=`.
    pub(crate) before: String,
    /// Words that are known without asking anybody, and what they mean.
    pub(crate) words: Vec<(String, String)>,
    /// What else there may be.
    pub(crate) source: Source,
    /// Where the daemon is, as far as the line says.
    pub(crate) globals: Globals,
}

/// Where candidates come from.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nowhere else.
    #[default]
    None,
    /// Names of secrets.
    Names,
    /// Names of secrets in the trash.
    Trash,
    /// Names of issuers.
    Providers,
    /// Ids of the vault's keys.
    Keys,
    /// Items.
    Items,
    /// Names of access tokens.
    Tokens,
    /// Machines that have the vault.
    Machines,
    /// Units that may load secrets.
    Units,
    /// Sessions with names.
    Sessions,
    /// Profiles of the manifest here.
    Profiles,
    /// Scopes of the manifest here.
    Scopes,
    /// The shell's files.
    Files,
    /// The shell's directories.
    Directories,
    /// The command line of another program, which begins at this word.
    Command(usize),
}

/// What may come next after these words, the program's name not among them; the last one is being typed.
pub(crate) fn next(root: &Command, words: &[String]) -> Next {
    let Some((typed, before)) = words.split_last() else { return Next::default() };
    let mut walk = Walk::new(root);
    for (at, word) in before.iter().enumerate() {
        walk.pass(at, word);
    }
    walk.finish(typed, words.len() - 1)
}

/// How far along a command line we are.
struct Walk<'a> {
    root: &'a Command,
    command: &'a Command,
    /// The option that the next word is the value of.
    open: Option<&'a Arg>,
    /// How many words were none of options and commands.
    positionals: usize,
    /// Where the words after `--` begin.
    escaped: Option<usize>,
    used: Vec<&'a Arg>,
    globals: Globals,
    /// The command that words lead to which are arguments, as those of `man`.
    named: &'a Command,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Command) -> Self {
        Self {
            root,
            command: root,
            open: None,
            positionals: 0,
            escaped: None,
            used: Vec::new(),
            globals: Globals::default(),
            named: root,
        }
    }

    fn pass(&mut self, at: usize, word: &str) {
        if let Some(option) = self.open.take() {
            return self.remember(option, word);
        }
        if self.escaped.is_some() {
            self.positionals += 1;
        } else if word == "--" {
            self.escaped = Some(at + 1);
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let Some(option) = self.options().find(|arg| arg.get_long() == Some(name)) else { return };
            self.used.push(option);
            match value {
                Some(value) => self.remember(option, value),
                None => self.open = Some(option).filter(|option| takes_value(option)),
            }
        } else if word.len() > 1 && word.starts_with('-') {
            // A cluster of flags, the last of which may want a value that is not in the word.
            self.open = self.short_with_value(word).filter(|(_, value)| value.is_empty()).map(|(arg, _)| arg);
        } else if let Some(below) = self.below(word) {
            self.command = below;
            self.positionals = 0;
        } else {
            if value_name(self.positional()) == "COMMAND" {
                self.named = self.named.find_subcommand(word).unwrap_or(self.named);
            }
            self.positionals += 1;
        }
    }

    fn finish(mut self, typed: &str, at: usize) -> Next {
        let globals = std::mem::take(&mut self.globals);
        let next = if let Some(option) = self.open {
            values(self.command, option, "", typed)
        } else if let Some(start) = self.escaped {
            let positional = self.positional();
            let program = positional.is_some_and(Arg::is_last_set) && value_name(positional) == "CMD";
            let source = Source::Command(start.min(at));
            if program { Next { source, ..Next::default() } } else { self.positional_values(typed) }
        } else if let Some((option, value)) = self.assigned(typed) {
            let before = typed.get(..typed.len() - value.len()).unwrap_or_default();
            values(self.command, option, before, value)
        } else if typed.starts_with('-') {
            Next { words: self.flags(typed), ..Next::default() }
        } else {
            let mut next = self.positional_values(typed);
            if self.positionals == 0 {
                next.words.extend(commands(self.command, typed));
            }
            next
        };
        Next { globals, ..next }
    }

    /// The option and the beginning of its value, when both are in the word: `--flag=value`, `-fvalue`.
    fn assigned<'b>(&self, typed: &'b str) -> Option<(&'a Arg, &'b str)> {
        let Some(long) = typed.strip_prefix("--") else {
            return self.short_with_value(typed).filter(|(_, value)| !value.is_empty());
        };
        let (name, value) = long.split_once('=')?;
        let option = self.options().find(|arg| arg.get_long() == Some(name))?;
        takes_value(option).then_some((option, value))
    }

    /// The first flag of a cluster that takes a value, and what of it stands in the word.
    fn short_with_value<'b>(&self, word: &'b str) -> Option<(&'a Arg, &'b str)> {
        let cluster = word.strip_prefix('-').filter(|cluster| !cluster.starts_with('-'))?;
        cluster.char_indices().find_map(|(at, short)| {
            let option = self.options().find(|arg| arg.get_short() == Some(short))?;
            let value = cluster.get(at + short.len_utf8()..)?;
            takes_value(option).then_some((option, value))
        })
    }

    fn options(&self) -> impl Iterator<Item = &'a Arg> + use<'a> {
        let of_all = self.root.get_arguments().filter(|arg| arg.is_global_set());
        let own = self.command.get_arguments().filter(|arg| !arg.is_global_set());
        own.chain(of_all).filter(|arg| !arg.is_positional() && !arg.is_hide_set())
    }

    fn flags(&self, typed: &str) -> Vec<(String, String)> {
        let again = |option: &Arg| matches!(option.get_action(), ArgAction::Append);
        let is_used = |option: &Arg| self.used.iter().any(|used| used.get_id() == option.get_id());
        self.options()
            .filter(|option| again(option) || !is_used(option))
            .filter_map(|option| Some((format!("--{}", option.get_long()?), help(option.get_help()))))
            .filter(|(flag, _)| flag.starts_with(typed))
            .collect()
    }

    fn below(&self, word: &str) -> Option<&'a Command> {
        if self.positionals > 0 {
            return None;
        }
        let is_meant = |command: &&Command| {
            command.get_name() == word || command.get_all_aliases().any(|alias| alias == word)
        };
        self.command.get_subcommands().find(is_meant)
    }

    /// The argument that a word without a flag is for.
    fn positional(&self) -> Option<&'a Arg> {
        let all = || self.command.get_positionals();
        let is_open = |arg: &Arg| matches!(arg.get_action(), ArgAction::Append) || arg.is_last_set();
        let last = || all().last().filter(|arg| is_open(arg));
        all().nth(self.positionals).or_else(last).filter(|arg| !arg.is_hide_set())
    }

    fn positional_values(&self, typed: &str) -> Next {
        match self.positional() {
            arg @ Some(_) if value_name(arg) == "COMMAND" => {
                Next { words: commands(self.named, typed), ..Next::default() }
            }
            Some(arg) if self.escaped.is_some() || !arg.is_last_set() => values(self.command, arg, "", typed),
            Some(_) | None => Next::default(),
        }
    }

    fn remember(&mut self, option: &Arg, value: &str) {
        let place = match option.get_id().as_str() {
            "socket" => &mut self.globals.socket,
            "token_file" => &mut self.globals.token_file,
            _ => return,
        };
        *place = Some(PathBuf::from(value));
    }
}

fn commands(of: &Command, typed: &str) -> Vec<(String, String)> {
    let shown = of.get_subcommands().filter(|command| !command.is_hide_set());
    let named = shown.map(|command| (command.get_name().to_owned(), help(command.get_about())));
    named.filter(|(name, _)| name.starts_with(typed)).collect()
}

/// What this argument takes, where `typed` stands after `before`. In a list the last item is completed.
fn values(command: &Command, arg: &Arg, before: &str, typed: &str) -> Next {
    let listed = arg.get_value_delimiter().and_then(|delimiter| typed.rfind(delimiter));
    let (done, typed) = typed.split_at(listed.map_or(0, |at| at + 1));
    let shown = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
    let scopes = Scope::ALL
        .into_iter()
        .filter(|_| value_name(Some(arg)) == "SCOPE" && arg.get_id() != "manifest_scope");
    let words: Vec<(String, String)> = shown
        .map(|value| (value.get_name().to_owned(), help(value.get_help())))
        .chain(scopes.map(|scope| (scope.as_str().to_owned(), "scope".to_owned())))
        .filter(|(name, _)| name.starts_with(typed))
        .collect();
    let source = if words.is_empty() { source(command, arg) } else { Source::None };
    Next { before: format!("{before}{done}"), words, source, ..Next::default() }
}

/// Known by the name that help shows for the value.
fn source(command: &Command, arg: &Arg) -> Source {
    // Names of something else than secrets.
    let names_new = matches!(command.get_name(), "create" | "init" | "join");
    if arg.get_id() == "key_provider" || (names_new && arg.get_id() == "name") {
        return Source::None;
    }
    match (value_name(Some(arg)), command.get_name()) {
        ("NAME", "restore") => Source::Trash,
        ("ITEM", _) => Source::Items,
        ("MACHINE", _) => Source::Machines,
        ("NAME" | "OLD" | "SELECTOR" | "GLOB", _) => Source::Names,
        ("PROVIDER", _) => Source::Providers,
        ("ID", "remove" | "passwd") => Source::Keys,
        ("ID", "revoke") => Source::Tokens,
        // A new one has a new name.
        ("SESSION", "start") => Source::None,
        ("SESSION", _) => Source::Sessions,
        ("UNIT", "revoke") => Source::Units,
        ("FILE" | "PATH", _) => Source::Files,
        ("DIR", _) => Source::Directories,
        ("PROFILE", _) => Source::Profiles,
        ("SCOPE", _) => Source::Scopes,
        _ => Source::None,
    }
}

fn value_name(arg: Option<&Arg>) -> &str {
    arg.and_then(|arg| arg.get_value_names()?.first()).map_or("", |name| name.as_str())
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.takes_values())
}

fn help(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(|text| text.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn after(line: &[&str]) -> Next {
        let mut root = Cli::command();
        root.build();
        next(&root, &line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    fn words(line: &[&str]) -> Vec<String> {
        after(line).words.into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn commands_and_those_below_them() {
        assert_eq!(words(&["hist"]), ["history"]);
        assert_eq!(words(&["key", ""]), ["list", "add", "remove", "help"]);
        assert_eq!(words(&["--json", "key", "re"]), ["remove"]);
        assert!(words(&["show", "his"]).is_empty());
        for (word, help) in after(&[""]).words {
            assert!(!word.starts_with("__") && !help.is_empty(), "{word}");
        }
    }

    #[test]
    fn flags_of_the_command_and_of_all() {
        assert_eq!(words(&["list", "--p"]), ["--provider", "--project", "--profile"]);
        assert_eq!(words(&["list", "--provider", "x", "--p"]), ["--project", "--profile"]);
        assert_eq!(words(&["run", "-s", "A", "--s"]), ["--secret", "--scope", "--socket"]);
        assert!(words(&["lock", "-"]).contains(&"--json".to_owned()));
        assert!(words(&["run", "--all", "--", "--j"]).is_empty());
    }

    #[test]
    fn values_by_what_the_help_calls_them() {
        for (line, source, before) in [
            (&["show", "OPE"][..], Source::Names, ""),
            (&["rm", "A", "B"], Source::Names, ""),
            (&["rename", "A", "B"], Source::None, ""),
            (&["ls", "A"], Source::Names, ""),
            (&["restore", ""], Source::Trash, ""),
            (&["set", "A", "--provider", "op"], Source::Providers, ""),
            (&["set", "A", "--provider=op"], Source::Providers, "--provider="),
            (&["set", "A", "secret"], Source::None, ""),
            (&["run", "-s", "A,B"], Source::Names, "A,"),
            (&["run", "-sA,B"], Source::Names, "-sA,"),
            (&["run", "--secret=A,"], Source::Names, "--secret=A,"),
            (&["run", "-s", "A", "np"], Source::None, ""),
            (&["run", "-s", "A", "--", "np"], Source::Command(4), ""),
            (&["run", "-s", "A", "--", "npm", "--he"], Source::Command(4), ""),
            (&["--socket", "/r"], Source::Files, ""),
            (&["man", "--dir", "/r"], Source::Directories, ""),
            (&["key", "remove", ""], Source::Keys, ""),
            (&["token", "revoke", ""], Source::Tokens, ""),
            (&["token", "create", "--secret", "A,B"], Source::Names, "A,"),
            (&["token", "create", "--name", "a"], Source::None, ""),
            (&["proxy", "start", ""], Source::None, ""),
            (&["proxy", "stop", ""], Source::Sessions, ""),
            (&["proxy", "attach", "b"], Source::Sessions, ""),
            (&["proxy", "attach", "b", "--", "np"], Source::Command(4), ""),
            (&["credential", "allow", ""], Source::None, ""),
            (&["credential", "allow", "u", "A"], Source::Names, ""),
            (&["credential", "revoke", ""], Source::Units, ""),
            (&["machine", "remove", ""], Source::Machines, ""),
            (&["machine", "rename", ""], Source::Machines, ""),
            (&["machine", "rename", "a", ""], Source::None, ""),
            (&["machine", "keep", ""], Source::Machines, ""),
            (&["machine", "init", "--name", ""], Source::None, ""),
            (&["machine", "join", "--name", ""], Source::None, ""),
            (&["sync", "resolve", ""], Source::Names, ""),
            (&["sync", "resolve", "A", ""], Source::None, ""),
            (&["sync", "exclude", "A", ""], Source::Names, ""),
            (&["sync", "include", ""], Source::Names, ""),
            (&["sync", "keep-local", ""], Source::Names, ""),
            (&["sync", "share", ""], Source::Names, ""),
            (&["unlock", "--key-provider", ""], Source::None, ""),
            (&["lock", ""], Source::None, ""),
            (&[], Source::None, ""),
        ] {
            let next = after(line);
            assert_eq!((next.source, next.before.as_str()), (source, before), "{line:?}");
        }
        assert_eq!(words(&["completions", ""]), ["bash", "zsh", "fish"]);
        assert_eq!(
            words(&["token", "create", "--scope", "list,"]),
            ["list", "write", "reveal", "admin", "use", "items"]
        );
        assert_eq!(words(&["man", "compl"]), ["completions"]);
        assert_eq!(words(&["man", "key", "re"]), ["remove"]);
        assert_eq!(words(&["--color", "a"]), ["auto", "always"]);
        assert_eq!(words(&["--color=n"]), ["never"]);
    }

    #[test]
    fn the_line_says_where_the_daemon_is() {
        let globals = after(&["--socket", "/a/b", "list", "--token-file=/c", ""]).globals;
        assert_eq!(globals.socket.unwrap().to_str(), Some("/a/b"));
        assert_eq!(globals.token_file.unwrap().to_str(), Some("/c"));
    }
}
