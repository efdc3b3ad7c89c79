//! What `run` is told on the command line.

use std::ffi::OsString;

use clap::Args;

use crate::project::flags::ManifestArgs;

/// Run a command with secrets in its environment
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The command replaces secretctl: same process, terminal, signals and exit status.
With --file or --mask secretctl keeps running, passes signals on and exits as
the command does.

With --file the variable holds the path of a file that only you can read. It is
deleted when the command ends.

With --mask values of 8 characters or more are printed as ••••: plain, or in
base64, hex, URL or JSON encoding; also the strings of a value that is JSON, and
of one in several lines each line, or what it holds (name: value). Leave out
secrets whose values are common words with --no-mask-for. This protects against
accidents only. Not masked: other forms, like a dump in columns (xxd, od -c); a
value printed in pieces more than 40 ms apart; output to /dev/tty if stdin or
stdout is not a terminal. When the command ends, what it left
in the background loses its output, and on a terminal is hung up; start it with
nohup and its output redirected, or without --mask.

With --or-env a variable that the environment has, and that is not empty, stays
as it is, and only the others are taken from the vault; --file and --mask treat
both alike. If the environment has all of them, neither vault nor daemon is
needed. So one line works on every machine: a CI sets the variables itself.

Variables that control shells or programs (PATH, LD_PRELOAD, PS1) are set only
if -s or --file names the secret exactly and the name is not changed, or with
--allow-name. Otherwise nothing starts and the exit status is 2.

In a project with a secretspec.toml that `secretctl project allow` has allowed,
the command gets the secrets that it names, and those of -s as well. Without a
manifest and without -s you pick them from a list, on a terminal.

Exit status: the command's own, or 128 + the signal's number; 125 if secretctl
failed, 126 if the command cannot be executed, 127 if it does not exist.

Example:
  secretctl run -s OPENAI_API_KEY,'AWS_*' -- npm start
  secretctl run --file TLS_KEY -- sh -c 'curl --key \"$TLS_KEY\" https://a.example'
  secretctl run -s DATABASE_URL --mask -- bash
  secretctl run --or-env -s OPENAI_API_KEY -- npm test")]
pub(crate) struct RunArgs {
    /// Secrets by name, id or glob; repeatable, or separated by commas
    #[arg(short = 's', long = "secret", value_name = "SELECTOR", value_delimiter = ',')]
    pub(crate) selectors: Vec<String>,
    /// All secrets
    #[arg(long, conflicts_with = "selectors")]
    pub(crate) all: bool,
    /// Secrets to pass as files; the variables hold their paths
    #[arg(long = "file", value_name = "NAME", value_delimiter = ',')]
    pub(crate) files: Vec<String>,
    /// Keep variables that the environment has; ask the vault for the others
    #[arg(long)]
    pub(crate) or_env: bool,
    /// Remove this prefix from the variables' names
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix_strip: Option<String>,
    /// Allow this variable although it has a meaning for shells or programs; repeatable
    #[arg(long = "allow-name", value_name = "NAME")]
    pub(crate) allow_names: Vec<String>,
    /// Replace values by •••• in the command's output
    #[arg(long)]
    pub(crate) mask: bool,
    /// With --mask: show the values of these secrets, by name, id or glob; repeatable
    #[arg(long = "no-mask-for", value_name = "SELECTOR", value_delimiter = ',')]
    pub(crate) no_mask_for: Vec<String>,
    /// Pass only PATH, HOME, USER, LANG, TERM, TZ, SHELL and the secrets
    #[arg(long)]
    pub(crate) clean_env: bool,
    /// The reason, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// The command and its arguments, after `--`
    #[arg(value_name = "CMD", last = true, required = true)]
    pub(crate) command: Vec<OsString>,
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
}

impl RunArgs {
    /// Whether no secret is asked for.
    pub(super) fn selects_nothing(&self) -> bool {
        !self.all && self.selectors.is_empty() && self.files.is_empty()
    }

    /// The same with these secrets.
    pub(super) fn with(&self, selectors: Vec<String>) -> Self {
        Self { selectors, ..self.clone() }
    }
}
