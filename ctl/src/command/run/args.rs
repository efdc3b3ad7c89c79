//! What `run` is told on the command line.

use std::ffi::OsString;

use clap::Args;

/// Run a command with secrets in its environment
#[derive(Debug, Args)]
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
