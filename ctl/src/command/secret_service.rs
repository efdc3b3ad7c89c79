//! `secret-service`: turns on and off what serves `org.freedesktop.secrets` on the session bus. It writes one file, from
//! which the bus starts that program, and has systemd's user manager start the unit. What asks the bus is `secretsd-bus`
//! itself: the bus's library is larger than this client.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Said, Stdio};

use crate::activation::{self, NAME, PROGRAM};
use crate::failure::{Exit, Failure};
use crate::{environment, lasting, output, spawn};
use clap::{Args, Subcommand};

/// The unit.
const UNIT: &str = "secretsd-bus.service";

/// Serve the Secret Service on the session bus from the vault
#[derive(Debug, Args)]
#[command(after_help = "\
gh, docker, git, Chromium, VS Code, keyring and secret-tool then keep their passwords
as items of the vault. It is off unless you enable it. A program that has the name
already keeps it: enable says which, and changes nothing.

Example:
  secretctl secret-service enable
  secretctl secret-service status
  secretctl items list")]
pub(crate) struct SecretServiceArgs {
    #[command(subcommand)]
    command: SecretServiceCommand,
}

/// What can be done with it.
#[derive(Debug, Subcommand)]
enum SecretServiceCommand {
    /// Turn it on, now and at each login
    #[command(after_help = "Example:\n  secretctl secret-service enable")]
    Enable,
    /// Turn it off; the items stay in the vault
    #[command(after_help = "Example:\n  secretctl secret-service disable")]
    Disable,
    /// Show whether it is on, and who has the name
    #[command(after_help = "Example:\n  secretctl secret-service status")]
    Status,
}

pub(crate) fn run(args: &SecretServiceArgs) -> Result<(), Failure> {
    match args.command {
        SecretServiceCommand::Enable => enable(),
        SecretServiceCommand::Disable => disable(),
        SecretServiceCommand::Status => status(),
    }
}

fn enable() -> Result<(), Failure> {
    let program = program()?;
    if let Some(holder) = holder(&program)?
        && !is_ours(&holder)
    {
        let text = format!(
            "{holder} has {NAME}; end it, keep it from being started, then: secretctl secret-service enable"
        );
        return Err(Failure::new(Exit::Conflict, text));
    }
    let file = file()?;
    if activation::starts_ours(&file) == Some(false) {
        let shown = file.display();
        let text = format!("{shown} starts another program; run: mv {shown} {shown}.old");
        return Err(Failure::new(Exit::Conflict, text));
    }
    let mut text = format!("[D-BUS Service]\nName={NAME}\nExec={}\n", program.display());
    let has_unit = has_unit();
    if has_unit {
        text.push_str(&format!("SystemdService={UNIT}\n"));
    }
    let failed = |error| Failure::new(Exit::Other, format!("cannot write {}: {error}", file.display()));
    fs::create_dir_all(file.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
    let new = file.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, &file)).map_err(failed)?;
    ask(&program, &["--reload"])?;
    if has_unit {
        let done =
            lasting::manage(&["daemon-reload"]).and_then(|()| lasting::manage(&["enable", "--now", UNIT]));
        done.map_err(|said| {
            Failure::new(Exit::Other, format!("{said}; run: systemctl --user status {UNIT}"))
        })?;
    }
    // What the bus starts is what programs get, whatever was written.
    if let Some(holder) = named(&ask(&program, &["--start"])?).filter(|holder| !is_ours(holder)) {
        let text = format!(
            "the bus started {holder}, as it does not read {}; nothing is served from the vault; run: secretctl secret-service disable",
            file.display()
        );
        return Err(Failure::new(Exit::Conflict, text));
    }
    output::say("the Secret Service is on: programs keep their passwords in the vault");
    Ok(())
}

fn disable() -> Result<(), Failure> {
    let program = program()?;
    let file = file()?;
    if activation::starts_ours(&file) == Some(true) {
        let failed = |error| Failure::new(Exit::Other, format!("cannot remove {}: {error}", file.display()));
        fs::remove_file(&file).map_err(failed)?;
        // Without a bus nothing is started by it either.
        let _ = ask(&program, &["--reload"]);
    }
    if has_unit() {
        lasting::manage(&["disable", "--now", UNIT]).map_err(|said| Failure::new(Exit::Other, said))?;
    }
    if let Some(holder) = holder(&program).ok().flatten().filter(|holder| is_ours(holder)) {
        output::say(&format!("{holder} serves until it is ended"));
    }
    output::say("the Secret Service is off; the items stay in the vault");
    Ok(())
}

fn status() -> Result<(), Failure> {
    let holder = holder(&program()?)?;
    let state = if activation::is_on() { "on" } else { "off" };
    let holder = holder.unwrap_or_else(|| "nobody".to_owned());
    output::answer(
        format!("{:width$}  {state}\n{NAME}  {holder}\n", "secret service", width = NAME.len()).as_bytes(),
    )
}

/// The program that serves.
fn program() -> Result<PathBuf, Failure> {
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent);
    spawn::find(PROGRAM, beside, &environment::program_dirs()).ok_or_else(|| {
        let text = format!("{PROGRAM} is neither beside secretctl nor in PATH; install it");
        Failure::new(Exit::Other, text)
    })
}

fn file() -> Result<PathBuf, Failure> {
    activation::file().ok_or_else(|| Failure::new(Exit::Other, "neither XDG_DATA_HOME nor HOME is set"))
}

fn has_unit() -> bool {
    environment::systemd_user_dirs().iter().any(|dir| dir.join(UNIT).exists())
}

/// Who has the name, as `secretsd-bus` says it.
fn holder(program: &Path) -> Result<Option<String>, Failure> {
    Ok(named(&ask(program, &["--holder"])?))
}

fn named(said: &Said) -> Option<String> {
    let text = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

fn is_ours(holder: &str) -> bool {
    let program = holder.split(" (pid ").next().unwrap_or_default();
    program.rsplit('/').next().is_some_and(|name| name == PROGRAM)
}

fn ask(program: &Path, arguments: &[&str]) -> Result<Said, Failure> {
    let said = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let said = said.map_err(|error| Failure::new(Exit::Other, format!("cannot start {PROGRAM}: {error}")))?;
    if said.status.success() {
        return Ok(said);
    }
    let text = String::from_utf8_lossy(&said.stderr);
    let line = text.lines().next().unwrap_or_default();
    Err(Failure::new(Exit::Other, line.strip_prefix("secretsd-bus: ").unwrap_or(line).to_owned()))
}
