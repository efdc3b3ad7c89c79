//! The command line as types. What the arguments mean is checked by the commands, so that a malformed
//! name is invalid input and not a usage error.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::globals::Globals;

mod alone;
#[cfg(test)]
mod examples;
mod groups;
mod handing;
mod keeping;
mod shell;

pub(crate) use alone::alone;
pub(crate) use groups::command;
pub(crate) use handing::*;
pub(crate) use keeping::*;
pub(crate) use shell::*;

/// Queries secretsd, stores secrets, and hands values to programs when asked by name.
#[derive(Debug, Parser)]
#[command(name = "secretctl", version, max_term_width = 100, subcommand_required = true)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Exit status:
  0    done; also when whoever reads the output went away
  1    anything else
  2    the command line is wrong
  3    locked, and nobody to ask
  4    not found
  5    not allowed
  6    exists already, or conflict
  7    invalid input
  8    no daemon
  9    the daemon failed: storage, damage, rollback, time ran out
  125  run only: it failed itself; 126: the command cannot be executed, 127: it is not found

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

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the vault and print its recovery key, once
    #[command(after_help = "\
The passphrase is asked for twice, unless a file is named.

Example:
  secretctl init
  secretctl init --key-file ~/.config/secretsd/key")]
    Init(InitArgs),
    /// Show whether the vault is open, and what both programs know of each other
    #[command(after_help = "Example:\n  secretctl status --json")]
    Status,
    /// Open the vault
    #[command(
        after_help = "Example:\n  secretctl unlock\n  secretctl unlock --key-file ~/.config/secretsd/key"
    )]
    Unlock(UnlockArgs),
    /// Close the vault: keys and values leave the daemon's memory
    #[command(after_help = "Example:\n  secretctl lock")]
    Lock,
    /// List secrets: names, providers and masks, never values
    #[command(
        visible_alias = "ls",
        after_help = "\
Example:
  secretctl list
  secretctl list 'AWS_*' --json"
    )]
    List(ListArgs),
    /// Store a secret, whether it exists or not
    #[command(after_help = STORE_HELP)]
    Set(SetArgs),
    /// Store a new secret; fails if the name is taken
    #[command(after_help = STORE_HELP)]
    Add(SetArgs),
    /// Give an existing secret a new value; fails if there is none
    #[command(after_help = STORE_HELP)]
    Update(SetArgs),
    /// Store a well-known provider's key under the name that its tools read
    #[command(after_help = "\
The value is read from the terminal without echo, or from stdin, never from the command line.

Example:
  secretctl preset openai")]
    Preset(PresetArgs),
    /// List the well-known providers and which of them have a secret
    #[command(after_help = "Example:\n  secretctl presets")]
    Presets,
    /// Show what is known about a secret, without its value
    #[command(after_help = "Example:\n  secretctl show OPENAI_API_KEY")]
    Show(ShowArgs),
    /// Write a secret's value to stdout, byte for byte
    #[command(after_help = "\
To a terminal only with --show. Prefer `secretctl run`, which shows the value to one program only.

Example:
  secretctl get OPENAI_API_KEY | some-tool --key-from-stdin")]
    Get(GetArgs),
    /// Move secrets to the trash, where they stay 30 days
    #[command(after_help = "Example:\n  secretctl rm OLD_KEY\n  secretctl rm --purge OLD_KEY")]
    Rm(RmArgs),
    /// Run a command with secrets in its environment
    #[command(after_help = "\
The command replaces secretctl: same process, terminal, signals and exit status. With --file or --mask
secretctl stays, passes signals on and ends as the command does.

With --file the variable holds the path of a file, which only you can read and which is gone when the
command has ended.

With --mask values of 8 characters or more are shown as ••••: as they are, and in base64, hex, URL or
JSON encoding. That is a seat belt, not a wall. A program can show its environment in a way that is not
among these, like a dump in columns (xxd, od -c), or piecemeal: of a value that takes longer than 40 ms
to come, what came before is shown. If stdin or stdout is no terminal, what it writes to /dev/tty itself
is not masked either.

A variable that shells or programs obey (PATH, LD_PRELOAD, PS1) is set only if -s or --file names its secret
exactly and the name stays as it is, or if --allow-name allows it. Otherwise nothing starts, and the exit
status is 2.

Exit status: the command's own, 128 and the signal's number if a signal ended it; 125 if secretctl
failed, 126 if the command cannot be executed, 127 if it does not exist.

Example:
  secretctl run -s OPENAI_API_KEY,'AWS_*' -- npm start
  secretctl run --file TLS_KEY -- sh -c 'curl --key \"$TLS_KEY\" https://example.com'
  secretctl run -s DATABASE_URL --mask -- bash")]
    Run(RunArgs),
    /// Show who asked for what, and when
    #[command(
        after_help = "Example:\n  secretctl audit --since 2h\n  secretctl audit --name OPENAI_API_KEY --json\n  secretctl audit --verify"
    )]
    Audit(AuditArgs),
    #[command(flatten)]
    Handing(HandingCommand),
    #[command(flatten)]
    Keeping(KeepingCommand),
    #[command(flatten)]
    Shell(ShellCommand),
    /// Starts the daemon apart from this terminal; used by secretctl itself
    #[command(name = crate::spawn::NURSE, hide = true)]
    Nurse(NurseArgs),
    /// Runs a command on a terminal of its own; used by secretctl itself
    #[command(name = crate::command::run::ON_TERMINAL, hide = true)]
    OnTerminal(NurseArgs),
    /// Becomes a command once it has its terminal's foreground; used by secretctl itself
    #[command(name = crate::command::run::IN_FOREGROUND, hide = true)]
    InForeground(NurseArgs),
}

const STORE_HELP: &str = "\
The value is read from the terminal without echo (one line), else it is all of stdin, byte for byte.
It is never an argument: those show in the process list and stay in the shell's history.
A value is UTF-8 text without NUL, at most 64 KiB; encode other bytes first: base64 < FILE | secretctl set NAME

Example:
  secretctl set OPENAI_API_KEY
  secretctl set TLS_KEY --value-file key.pem
  printf %s \"$KEY\" | secretctl set OPENAI_API_KEY --provider openai";

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct InitArgs {
    /// Read the passphrase from this file, `-` is stdin; a newline at its end does not count
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Use this key file instead of a passphrase; made if it does not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct UnlockArgs {
    /// Read the passphrase from this file, `-` is stdin; a newline at its end does not count
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Unlock with this key file
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Read the recovery key from this file, `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) recovery_key_file: Option<PathBuf>,
    /// Unlock with the output of this key provider of the daemon's settings
    #[arg(long, value_name = "NAME")]
    pub(crate) key_provider: Option<String>,
    /// Unlock with the credential that systemd hands to the daemon
    #[arg(long)]
    pub(crate) credential: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only names that match, like 'AWS_*'
    #[arg(value_name = "GLOB")]
    pub(crate) glob: Option<String>,
    /// Only this provider's secrets
    #[arg(long, value_name = "PROVIDER")]
    pub(crate) provider: Option<String>,
    /// Only names, one a line
    #[arg(long)]
    pub(crate) names: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The secret's name, which is also its environment variable
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Who issued the secret; a well-known prefix of the value says it, too
    #[arg(long, value_name = "PROVIDER")]
    pub(crate) provider: Option<String>,
    /// A note, shown by `secretctl show`; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// When the secret stops working: a time, a date, a duration like 90d, or never
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PresetArgs {
    /// The provider; `secretctl presets` lists them
    #[arg(value_name = "PROVIDER")]
    pub(crate) provider: String,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
}

/// Where a value comes from. The hidden words are taken so that they can be refused with the reason.
#[derive(Debug, Args)]
pub(crate) struct ValueArgs {
    /// Read the value from this file, byte for byte; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) value_file: Option<PathBuf>,
    #[arg(hide = true)]
    pub(crate) refused: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Show the value although stdout is a terminal
    #[arg(long)]
    pub(crate) show: bool,
    /// Why; goes to the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Names or ids
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Destroy them with all their versions instead
    #[arg(long)]
    pub(crate) purge: bool,
    /// Do not ask before destroying
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Secrets by name, id or glob; repeated or separated by commas
    #[arg(short = 's', long = "secret", value_name = "SELECTOR", value_delimiter = ',')]
    #[arg(required_unless_present_any = ["all", "files"])]
    pub(crate) selectors: Vec<String>,
    /// All secrets
    #[arg(long, conflicts_with = "selectors")]
    pub(crate) all: bool,
    /// Secrets to hand over as files, whose paths the variables hold; selects them, too
    #[arg(long = "file", value_name = "NAME", value_delimiter = ',')]
    pub(crate) files: Vec<String>,
    /// Take this off the beginning of the variables' names
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix_strip: Option<String>,
    /// Set the variable of this name although shells or programs give it a meaning; may be repeated
    #[arg(long = "allow-name", value_name = "NAME")]
    pub(crate) allow_names: Vec<String>,
    /// Show •••• in place of values in what the command writes
    #[arg(long)]
    pub(crate) mask: bool,
    /// Pass only PATH, HOME, USER, LANG, TERM, TZ, SHELL and the secrets
    #[arg(long)]
    pub(crate) clean_env: bool,
    /// Why; goes to the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// The command and its arguments, after `--`
    #[arg(value_name = "CMD", last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Only what concerns this secret
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only from this time on: RFC 3339, or so long ago, like 45m, 2h, 7d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Have the daemon read all of it, and name the first entry that is not as it was written
    #[arg(long, conflicts_with_all = ["name", "since"])]
    pub(crate) verify: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NurseArgs {
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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
