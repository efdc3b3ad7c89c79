//! `scan`: the vault's values where they must not be. A program of its own looks for them: what walks through trees and
//! histories is larger than this client.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::{environment, spawn};

/// Look for the vault's values in files, in git's index and history, in a stream
#[derive(Debug, Args)]
#[command(after_help = "\
Prints file:line:column NAME form for each, never the value: in clear, base64, hex,
URL- or JSON-escaped, in UTF-16, broken over lines, and in names of files. Values of
fewer than 8 characters are not looked for. Without PATH it looks through the working
directory as git sees it; with PATH through all of it, ignored or not. Links are not
followed. Columns are counted in bytes; line 0 is a name.

Exits with 0 if nothing is found, 10 if something is, 1 if not everything could be
looked at or looked for. A guarded secret is asked for at a terminal; if nobody allows it,
the others are looked for, and it is named. The hook looks at what is staged before
each commit, and stops it also while the vault is locked; git commit --no-verify
goes on without it. The values leave the daemon once, with one entry in the audit
log.

Example:
  secretctl scan
  secretctl scan .env .git/config
  secretctl scan --history
  secretctl scan --install-hook")]
pub(crate) struct ScanArgs {
    /// Files and directories to look through, ignored by git or not
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// What is staged for the next commit
    #[arg(long)]
    pub(crate) staged: bool,
    /// All that git's history holds, also on no branch
    #[arg(long)]
    pub(crate) history: bool,
    /// What comes from standard input
    #[arg(long)]
    pub(crate) stdin: bool,
    /// Look through what is staged before each commit; a hook that is there stays
    #[arg(long, conflicts_with_all = ["paths", "staged", "history", "stdin"])]
    pub(crate) install_hook: bool,
    /// Remove that hook again
    #[arg(long, conflicts_with_all = ["paths", "staged", "history", "stdin", "install_hook"])]
    pub(crate) uninstall_hook: bool,
    /// git has started it, with an index of its own
    #[arg(long, hide = true)]
    pub(crate) hook: bool,
}

/// Becomes the program that looks. Returns only if it can't.
pub(crate) fn run(context: &Context, args: &ScanArgs) -> Failure {
    match command(context, args) {
        Ok(mut command) => {
            Failure::new(Exit::Other, format!("cannot start secretctl-scan: {}", command.exec()))
        }
        Err(failure) => failure,
    }
}

fn command(context: &Context, args: &ScanArgs) -> Result<Command, Failure> {
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent);
    let program = spawn::find("secretctl-scan", beside, &environment::program_dirs()).ok_or_else(|| {
        Failure::new(Exit::Other, "secretctl-scan is neither beside secretctl nor in PATH; install it")
    })?;
    let mut command = Command::new(program);
    if args.install_hook || args.uninstall_hook {
        command.arg(if args.install_hook { "install-hook" } else { "uninstall-hook" });
    } else {
        // A daemon is started if none runs, and the passphrase asked for if there is a terminal.
        context.session()?.open_vault()?;
        command.arg("scan");
    }
    // A hook calls it, and a scan where a person must allow something.
    if let Some(own) = &own {
        command.arg("--client").arg(own);
    }
    for (flag, path) in [("--socket", &context.globals.socket), ("--token-file", &context.globals.token_file)]
    {
        if let Some(path) = path {
            command.arg(flag).arg(environment::absolute(path)?);
        }
    }
    for (flag, is_set) in [
        ("--json", context.output.json),
        ("--staged", args.staged),
        ("--history", args.history),
        ("--stdin", args.stdin),
        ("--hook", args.hook),
    ] {
        command.args(is_set.then_some(flag));
    }
    if !args.paths.is_empty() {
        command.arg("--").args(&args.paths);
    }
    Ok(command)
}
