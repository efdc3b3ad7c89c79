//! The command itself: how it is started, what is told when it cannot be, and what of it may be shown.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::Mode;
use rustix::io::Errno;
use secrets_proto::reveal::Remark;

use crate::failure::{Exit, Failure};
use crate::{output, providers};

/// Becomes the command. Returns only if that fails.
pub(crate) fn become_it(mut command: Command, inherited_umask: Mode, path_is_secret: bool) -> Failure {
    rustix::process::umask(inherited_umask);
    // The standard library gives SIGPIPE its default back here; our descriptors close by themselves.
    let mut error = command.exec();
    if is_script(&error) {
        error = by_shell(&command).exec();
    }
    not_started(command.get_program(), &error, path_is_secret)
}

/// Whether a file could not be executed because it is neither a program nor says what is to read it.
pub(crate) fn is_script(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error())
}

/// The command for a file that `sh` is to read, as a shell and execvp(3) would run it. Its streams are to be set again.
pub(crate) fn by_shell(command: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// The program for the audit log, as far as it fits there.
pub(crate) fn remark(program: &OsStr) -> Option<Remark> {
    let text = shown(program)?;
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 1_000).last()?;
    Remark::parse(text.get(..end)?).ok()
}

/// The program as it may be shown: not if it is a key that slipped there.
fn shown(program: &OsStr) -> Option<String> {
    let text = program.to_string_lossy();
    if text.is_empty() || providers::looks_like_key(&text) {
        None
    } else {
        Some(output::printable(&text).into_owned())
    }
}

/// Why the command does not run.
pub(crate) fn not_started(program: &OsStr, error: &io::Error, path_is_secret: bool) -> Failure {
    let name = shown(program).unwrap_or_else(|| "the command".to_owned());
    let errno = error.raw_os_error();
    if error.kind() == io::ErrorKind::NotFound {
        let check = if path_is_secret {
            "PATH comes from the vault: do not select it, or rename it"
        } else {
            "check its name and PATH"
        };
        return Failure::new(Exit::CommandNotFound, format!("{name} not found; {check}"));
    }
    if errno == Some(Errno::TOOBIG.raw_os_error()) {
        return Failure::new(
            Exit::RunFailed,
            "environment and arguments are too large; select fewer secrets",
        );
    }
    Failure::new(Exit::NotExecutable, format!("{name} cannot be executed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_log_gets_the_program_alone_and_printable() {
        assert_eq!(remark(OsStr::new("npm")).unwrap().as_str(), "npm");
        assert_eq!(remark(OsStr::new("a\nb")).unwrap().as_str(), "a\u{fffd}b");
        assert_eq!(remark(OsStr::new(&"é".repeat(600))).unwrap().as_str().len(), 1_000);
        assert_eq!(remark(OsStr::new("")), None);
        assert_eq!(remark(OsStr::new("ghp_canarycanarycanary")), None);
    }

    #[test]
    fn each_reason_not_to_start_has_its_code() {
        let exit = |errno: Errno| not_started(OsStr::new("x"), &io::Error::from(errno), false).exit();
        assert_eq!(exit(Errno::NOENT), Exit::CommandNotFound);
        assert_eq!(exit(Errno::ACCESS), Exit::NotExecutable);
        assert_eq!(exit(Errno::TOOBIG), Exit::RunFailed);
    }
}
