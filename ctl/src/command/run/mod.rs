//! `run`: becomes a command that has secrets in its environment. Everything is settled before: what is
//! missing is named all at once, and then nothing is started.

mod mask;

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use hyper::Method;
use rustix::fs::Mode;
use rustix::io::Errno;
use secrets_proto::Selector;
use secrets_proto::reveal::{Purpose, Remark, RevealReply, RevealRequest};

use crate::call::Call;
use crate::cli::RunArgs;
use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{environment, hardening, lookup, output, providers};

/// Returns only if the command could not be started.
pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    args: &RunArgs,
    inherited_umask: Mode,
) -> Failure {
    match prepare_and_become(open, args, inherited_umask) {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

fn prepare_and_become(
    open: impl FnOnce() -> Result<Session, Failure>,
    args: &RunArgs,
    inherited_umask: Mode,
) -> Result<Infallible, Failure> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::new(Exit::Usage, "which command? it stands after --"));
    };
    let selectors = selectors(args)?;
    let reply = reveal(&open()?, selectors, program, args)?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment::for_child(args.clean_env));
    let path_is_secret = reply.secrets.iter().any(|secret| secret.name.as_str() == "PATH");
    for secret in &reply.secrets {
        command.env(secret.name.as_str(), secret.value.expose());
    }
    drop(reply);
    hardening::relax(inherited_umask);
    // The standard library gives SIGPIPE its default back here; our descriptors close by themselves.
    Err(not_started(program, &command.exec(), path_is_secret))
}

/// What to select, or every selector that is none.
fn selectors(args: &RunArgs) -> Result<Vec<Selector>, Failure> {
    if args.all {
        return Ok(vec![Selector::parse("*")?]);
    }
    let mut selectors = Vec::new();
    let mut problems = Vec::new();
    if args.selectors.iter().any(String::is_empty) {
        return Err(Failure::new(Exit::Usage, "an empty selector; say -s NAME"));
    }
    for (index, text) in args.selectors.iter().enumerate() {
        match Selector::parse(text) {
            Ok(selector) => selectors.push(selector),
            Err(invalid) => problems.push(format!("selector {}: {invalid}", index + 1)),
        }
    }
    if problems.is_empty() { Ok(selectors) } else { Err(Failure::new(Exit::Invalid, problems.join("; "))) }
}

fn reveal(
    session: &Session,
    secrets: Vec<Selector>,
    program: &OsStr,
    args: &RunArgs,
) -> Result<RevealReply, Failure> {
    let request = RevealRequest {
        secrets,
        purpose: Purpose::parse("run")?,
        command: remark(program),
        reason: args.reason.as_deref().map(Remark::parse).transpose()?,
    };
    session
        .fetch(&Call::new(Method::POST, "/user/secrets/reveal").json(&request)?)
        .map_err(|failure| lookup::name_the_missing(failure, &request.secrets))
}

/// The program for the audit log, as far as it fits there.
fn remark(program: &OsStr) -> Option<Remark> {
    let text = shown(program)?;
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 1_000).last()?;
    Remark::parse(text.get(..end)?).ok()
}

/// The program as it may be shown: not if it is a key that slipped there.
fn shown(program: &OsStr) -> Option<String> {
    let text = program.to_string_lossy();
    if providers::looks_like_key(&text) { None } else { Some(output::printable(&text)) }
}

fn not_started(program: &OsString, error: &io::Error, path_is_secret: bool) -> Failure {
    let name = shown(program).unwrap_or_else(|| "the command".to_owned());
    let errno = error.raw_os_error();
    if error.kind() == io::ErrorKind::NotFound {
        let check = if path_is_secret {
            "the PATH that was searched came from the vault: select the secrets without it, or rename it"
        } else {
            "check its name and PATH"
        };
        return Failure::new(Exit::CommandNotFound, format!("{name} is not found; {check}"));
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

    fn args(selectors: &[&str]) -> RunArgs {
        RunArgs {
            selectors: selectors.iter().map(|text| (*text).to_owned()).collect(),
            all: false,
            clean_env: false,
            reason: None,
            command: vec!["true".into()],
        }
    }

    #[test]
    fn every_selector_that_is_none_is_named_by_position() {
        let failure = selectors(&args(&["A", "sk-canary", "B*", "A=b", "["])).unwrap_err();
        let message = failure.message();
        for part in ["selector 2: ", "selector 4: ", "selector 5: "] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains("canary"));
        assert_eq!(selectors(&args(&["A", ""])).unwrap_err().exit(), Exit::Usage);
        assert_eq!(selectors(&args(&["a", "B*"])).unwrap().len(), 2);
    }

    #[test]
    fn all_is_a_glob() {
        let all = RunArgs { all: true, ..args(&["A"]) };
        assert_eq!(selectors(&all).unwrap(), [Selector::parse("*").unwrap()]);
    }

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
        let exit = |errno: Errno| not_started(&"x".into(), &io::Error::from(errno), false).exit();
        assert_eq!(exit(Errno::NOENT), Exit::CommandNotFound);
        assert_eq!(exit(Errno::ACCESS), Exit::NotExecutable);
        assert_eq!(exit(Errno::TOOBIG), Exit::RunFailed);
    }
}
