//! One command described alone, for the parser: describing all forty takes longer than all the rest of a short command.
//! It serves only to accept. What is accepted here, the description of all commands accepts with the same meaning; what
//! is not, help and a slip alike, is left to that one. So nothing that is only shown is repeated here.

use std::ffi::OsString;

use clap::{Args, Command};

use crate::command;
use crate::globals::Globals;

/// The command line with the one command that these words seem to name. It need not be the right one: then the parser
/// stumbles over the words.
pub(crate) fn alone(words: &[OsString]) -> Option<Command> {
    let below = words.iter().skip(1).find_map(|word| command::Command::alone(word.to_str()?))?;
    let root = Command::new("secretctl").disable_help_subcommand(true).subcommand_required(true);
    Some(Globals::augment_args(root).subcommand(below))
}

#[cfg(test)]
mod tests {
    use clap::{ArgAction, CommandFactory, FromArgMatches};

    use super::*;
    use crate::cli::Cli;
    use crate::usage;

    /// The command as built, down to the commands below: what decides how words are read.
    fn described(command: &Command) -> String {
        let mut text = format!(
            "{} {:?} {}",
            command.get_name(),
            command.get_all_aliases().collect::<Vec<_>>(),
            command.is_subcommand_required_set()
        );
        let is_shown = |arg: &&clap::Arg| !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version);
        command.get_arguments().filter(is_shown).for_each(|arg| text += &format!("\n{arg:?}"));
        command.get_groups().for_each(|group| text += &format!("\n{group:?}"));
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        below.for_each(|below| text += &format!("\n{}", described(below)));
        text
    }

    #[test]
    fn every_command_is_here_as_it_is_among_all() {
        let mut all = Cli::command();
        all.build();
        let commands = all.get_subcommands().filter(|command| command.get_name() != "help");
        for command in commands {
            for name in std::iter::once(command.get_name()).chain(command.get_all_aliases()) {
                let mut root = alone(&["secretctl".into(), name.into()]).expect(name);
                root.build();
                let [below] = root.get_subcommands().collect::<Vec<_>>()[..] else { panic!("{name}") };
                assert_eq!(described(below), described(command));
            }
        }
    }

    fn words(line: &str) -> Vec<OsString> {
        std::iter::once("secretctl").chain(line.split(' ')).map(OsString::from).collect()
    }

    fn is_accepted(words: &[OsString]) -> bool {
        let read = |command: Command| Cli::from_arg_matches(&command.try_get_matches_from(words).ok()?).ok();
        alone(words).and_then(read).is_some()
    }

    /// What stands before, behind and between the words of a command.
    const GLOBALS: [&str; 10] = [
        "--json",
        "--no-spawn",
        "--socket /s",
        "--socket=list",
        "--socket list",
        "--token-file run",
        "--color never",
        "--color=always",
        "--json --json",
        "--socket a --socket b",
    ];

    const LINES: [&str; 64] = [
        "init --key-file K",
        "init --key-file K --passphrase-file P",
        "status",
        "unlock --credential",
        "unlock --recovery-key-file -",
        "lock",
        "list",
        "ls",
        "list A* --provider openai --names",
        "list --names A",
        "list list",
        "list --provider list",
        "list -- --names",
        "list a b",
        "set A --note -x",
        "set A --note=-x --value-file -",
        "set A refused --expires never",
        "add A -",
        "update -- -A",
        "preset openai",
        "presets",
        "show A",
        "show",
        "get A --show --reason R",
        "rm A B --purge --yes",
        "rm",
        "run -s A,B -sC --secret=D -- x --json -- -s",
        "run --all -- list",
        "run --file F --prefix-strip P_ --mask --no-mask-for F --clean-env --reason R -- x",
        "run -s list -- list",
        "run --all -s A -- x",
        "run -s A x",
        "audit --name A --since 2h",
        "audit --verify --name A",
        "export --all --format json",
        "export -s A --format xml",
        "inject -i a -o b",
        "import - --format json --dry-run --on-conflict skip",
        "git-credential --host a=b get",
        "aws-credentials --prefix P_",
        "docker-credential get",
        "cargo-credential --cargo-plugin",
        "keyring --mode=creds --output=json get S",
        "keyring get S U --mode creds",
        "kube-credential A",
        "vault-client --vault-id dev",
        "history A",
        "rollback A 2",
        "rename A B",
        "trash",
        "restore A",
        "key list",
        "key add --recovery",
        "key remove 1 --yes",
        "credential allow u A B",
        "token create --name n --scope list,write --secret A,B --no-expiry --rate 5",
        "passwd --id 1",
        "rotate --key-file K",
        "backup F --force",
        "restore-vault F --data-dir D --key-file K",
        "verify --accept-restore",
        "completions zsh",
        "man --dir D",
        "man key add",
    ];

    /// For help, or with a slip.
    const ODD: [&str; 22] = [
        "",
        "--help",
        "--version",
        "-V",
        "help",
        "help list",
        "list help",
        "help help",
        "key help",
        "key help add",
        "key",
        "lst",
        "lists",
        "LIST",
        "list --help",
        "list -h",
        "run -s A -h -- x",
        "set A --note -h",
        "-x list",
        "-- list",
        "--json=list list",
        "list status",
    ];

    #[test]
    fn every_line_is_read_as_by_the_description_of_all() {
        let mut accepted = 0;
        for (at, line) in LINES.iter().chain(&ODD).enumerate() {
            let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
            let global = GLOBALS[at % GLOBALS.len()];
            let mixed =
                [format!("{global} {line}"), format!("{line} {global}"), format!("{first} {global} {rest}")];
            let asked = [format!("{line} -h"), format!("{line} extra -x")];
            for line in std::iter::once((*line).to_owned()).chain(mixed).chain(asked) {
                let words = words(line.trim_end());
                let [read, by_all] = [usage::parse(&words), usage::parse_by_all(&words)];
                assert_eq!(format!("{read:?}"), format!("{by_all:?}"), "{line}");
                accepted += usize::from(is_accepted(&words));
            }
        }
        assert!(accepted > 2 * LINES.len(), "only {accepted} have shown something");
    }

    #[test]
    fn usual_command_lines_are_accepted() {
        for line in ["list", "ls --json", "--socket /s run -s A -- x", "key list", "__complete", "get A"] {
            assert!(is_accepted(&words(line)), "{line}");
        }
    }
}
