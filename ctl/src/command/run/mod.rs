//! `run`: a command that gets secrets. Everything is settled before it starts: what is missing is named all at once.
//! Then `secretctl` becomes the command; or it stays beside it, because files are to be removed or output is to be
//! masked.
//!
//! # Layout
//!
//! - `args`: what the command line says
//! - `selection`: which secrets, under which names
//! - `project`: those of the project's manifest
//! - `content`: what a variable holds
//! - `streams`: where its output goes when it is masked
//! - `pty`: the terminal that we make, and the helpers on it
//! - `keyboard`: our terminal meanwhile, and the keys that are typed there
//! - `pump`: output on its way through the masker of `secrets-scrub`

mod args;
mod content;
mod keyboard;
mod project;
mod pty;
mod pump;
mod selection;
mod streams;

use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use run_files::RunFiles;
use rustix::fs::Mode;
use rustix::process::{Signal, kill_current_process_group};
use secrets_proto::SecretName;
use secrets_scrub::{Forms, is_masked};
use signal_hook::consts::SIGPIPE;

use crate::failure::{Exit, Failure};
use crate::project::Project;
use crate::session::{NO_VAULT, Session};
use crate::start::{become_it, remark};
use crate::supervise::{End, Place, Supervisor, Watched};
use crate::{ending, environment, output, screen, start};

use self::project::Wanted;
use selection::{Selection, Variable};
use streams::{Streams, take_over};

pub(crate) use args::RunArgs;
pub(crate) use pty::{IN_FOREGROUND, ON_TERMINAL, OWN_PROGRAM, on_terminal};
pub(crate) use selection::selects;

/// Ends as the command does. Whatever goes wrong before it starts must not look like the command's own status.
pub(crate) fn run(
    open: impl Fn() -> Result<Session, Failure>,
    args: &RunArgs,
    inherited_umask: Mode,
) -> Result<(), Failure> {
    let failure = match outcome(&open, args, inherited_umask) {
        Ok(end) => end.follow(),
        Err(failure) => with_the_other_source(failure, args),
    };
    // A command line that is none has the same code for every command.
    let own = !matches!(failure.exit(), Exit::NotExecutable | Exit::CommandNotFound | Exit::Usage);
    Err(if own { failure.with_exit(Exit::RunFailed) } else { failure })
}

/// Where there is no vault, as on a CI, but the environment has what is asked for: how to take it from there.
fn with_the_other_source(failure: Failure, args: &RunArgs) -> Failure {
    if args.or_env || failure.message() != NO_VAULT {
        return failure;
    }
    let named = args.selectors.iter().chain(&args.files).filter_map(|text| SecretName::parse(text).ok());
    let there = named.filter(|name| environment::inherited(name.as_str()).is_some());
    let names: Vec<String> = there.map(|name| name.to_string()).collect();
    let Some((what, cure)) = NO_VAULT.split_once("; ").filter(|_| !names.is_empty()) else {
        return failure;
    };
    let text =
        format!("{what}, but the environment has {}: add --or-env to take that; {cure}", names.join(", "));
    failure.with_message(text)
}

/// Gives how the command ended, if it did not take our place.
fn outcome(
    open: &dyn Fn() -> Result<Session, Failure>,
    args: &RunArgs,
    inherited_umask: Mode,
) -> Result<End, Failure> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::new(Exit::Usage, "no command; put it after --"));
    };
    let for_it = || Ok(open()?.for_command(program));
    let open: &dyn Fn() -> Result<Session, Failure> = &for_it;
    let project = project::of(args)?;
    if !args.selects_nothing() {
        let variables = variables(open, Some(Selection::parse(args)?), project, args, None)?;
        return with_secrets(open, variables, args, inherited_umask);
    }
    if project.is_some() {
        return with_secrets(open, variables(open, None, project, args, None)?, args, inherited_umask);
    }
    let (session, args) = picked(open, args, program, arguments)?;
    let variables = variables(open, Some(Selection::parse(&args)?), None, &args, Some(session))?;
    with_secrets(open, variables, &args, inherited_umask)
}

/// What a person picks, if there is one.
fn picked(
    open: &dyn Fn() -> Result<Session, Failure>,
    args: &RunArgs,
    program: &OsString,
    arguments: &[OsString],
) -> Result<(Session, RunArgs), Failure> {
    if !screen::may_pick() {
        return Err(Failure::new(
            Exit::Usage,
            "no secrets selected, add -s NAME or --all; see: secretctl run --help",
        ));
    }
    let session = open()?;
    let shown = program.to_string_lossy();
    let names = screen::pick(&session, &format!("Secrets for {shown}"))?;
    let more = if arguments.is_empty() { "" } else { " …" };
    output::say(&format!("next time: secretctl run -s {} -- {shown}{more}", names.join(",")));
    Ok((session, args.with(names)))
}

/// All that the command gets, before it is known where files will be.
struct Secrets {
    selected: Vec<Variable>,
    of_project: Option<Wanted>,
    session: Option<Session>,
}

/// Has everything handed over.
fn variables(
    open: &dyn Fn() -> Result<Session, Failure>,
    selection: Option<Selection>,
    project: Option<Project>,
    args: &RunArgs,
    session: Option<Session>,
) -> Result<Secrets, Failure> {
    let command = args.command.first().and_then(|program| remark(program));
    let reason = args.reason.as_deref();
    let (selected, mut session) = match selection {
        None => (Vec::new(), session),
        Some(selection) if args.or_env => selection.values_or_present(open, command.clone(), reason)?,
        Some(selection) => {
            let session = session.map_or_else(open, Ok)?;
            (selection.reveal(&session, command.clone(), reason)?, Some(session))
        }
    };
    let gather = |project| Wanted::gather(project, &mut session, open, args, command);
    let of_project = project.map(gather).transpose()?;
    Ok(Secrets { selected, of_project, session })
}

/// Runs the command with what was selected and what the project has.
fn with_secrets(
    open: &dyn Fn() -> Result<Session, Failure>,
    secrets: Secrets,
    args: &RunArgs,
    inherited_umask: Mode,
) -> Result<End, Failure> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::new(Exit::Usage, "no command; put it after --"));
    };
    let Secrets { selected, of_project, session } = secrets;
    let has_files = selected.iter().any(|variable| variable.as_file)
        || of_project.as_ref().is_some_and(Wanted::has_files);
    // From here on a signal is for the command: what would end us could leave a file behind.
    let supervisor = if has_files || args.mask {
        ending::leave_signals();
        Some(Supervisor::new().map_err(|error| not_run(&error))?)
    } else {
        None
    };
    // The files' directory is beside the socket, whether anything was asked of the daemon or not.
    let session = if has_files && session.is_none() { Some(open()?) } else { session };
    let runtime = session.as_ref().and_then(Session::runtime_dir);
    let files = if has_files { Some(files(runtime)?) } else { None };
    if let (Some(_), Some(session)) = (&supervisor, session) {
        session.close();
    }
    let excluded = of_project.as_ref().map(Wanted::excluded).unwrap_or_default();
    let path = |key: &str| files.as_ref().map(|files| files.path().join(key));
    let of_project = of_project.map(|wanted| wanted.variables(&path)).transpose()?.unwrap_or_default();
    let variables = project::together(selected, of_project)?;
    let path_is_secret = variables.iter().any(|variable| variable.name == "PATH");
    let hidden = variables.iter().filter(|variable| variable.is_masked);
    let forms = args.mask.then(|| Forms::new(hidden.filter_map(|variable| variable.value.text())));
    if args.mask {
        tell_what_is_not_masked(&variables);
    }
    let mut command =
        if args.mask && take_over() { pty::on_its_terminal(program) } else { Command::new(program) };
    command.args(arguments);
    let inherited = environment::without(environment::for_child(args.clean_env), &excluded);
    command.env_clear().envs(inherited);
    hand_over(&mut command, variables, files.as_ref())?;
    let Some(supervisor) = supervisor else {
        return Err(become_it(command, inherited_umask, path_is_secret));
    };
    rustix::process::umask(inherited_umask);
    let outcome = match forms {
        Some(forms) => masked(&supervisor, command, forms),
        None => beside(&supervisor, command),
    };
    // Said after the files are gone.
    drop(files);
    outcome.map_err(|error| match error {
        Error::Start(program, error) => start::not_started(&program, &error, path_is_secret),
        Error::System(error) => not_run(&error),
    })
}

fn not_run(error: &io::Error) -> Failure {
    Failure::new(Exit::RunFailed, format!("cannot run a command: {error}"))
}

/// Becomes the command when the terminal's foreground is ours. Returns only if that fails.
pub(crate) fn in_foreground(command: &[OsString], inherited_umask: Mode) -> Failure {
    let Some((program, arguments)) = command.split_first() else {
        return Failure::new(Exit::Usage, "no program given");
    };
    if let Err(failure) = pty::wait_for_foreground() {
        return failure;
    }
    let mut command = Command::new(program);
    command.args(arguments);
    become_it(command, inherited_umask, false)
}

/// Why a command is not watched over.
enum Error {
    /// The command could not be started.
    Start(OsString, io::Error),
    /// The system refused something else.
    System(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

fn tell_what_is_not_masked(variables: &[Variable]) {
    let short: Vec<&str> = variables
        .iter()
        .filter(|variable| variable.is_masked && !variable.value.text().is_some_and(is_masked))
        .map(|variable| variable.name.as_str())
        .collect();
    if !short.is_empty() {
        output::say(&format!("not masked, shorter than 8 characters: {}", short.join(", ")));
    }
}

fn files(runtime: Option<&Path>) -> Result<RunFiles, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::RunFailed, error.to_string());
    let runtime = runtime.ok_or_else(|| failed(&"the socket's path has no directory"))?;
    // With --or-env no daemon need have been here before.
    let made = DirBuilder::new().mode(0o700).create(runtime);
    made.or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
        .map_err(|error| failed(&format!("{}: {error}", runtime.display())))?;
    let files = RunFiles::create(runtime).map_err(|error| failed(&error))?;
    if !files.is_in_memory() {
        output::say("the runtime directory is on a disk; the values are stored there until the command ends");
    }
    Ok(files)
}

/// Puts the secrets into the command's environment, those that go as files as their paths.
fn hand_over(
    command: &mut Command,
    variables: Vec<Variable>,
    files: Option<&RunFiles>,
) -> Result<(), Failure> {
    for variable in variables {
        let value = variable.value.bytes();
        let Some(files) = files.filter(|_| variable.as_file) else {
            command.env(variable.name, OsStr::from_bytes(value));
            continue;
        };
        let path = files
            .put(&variable.name, value)
            .map_err(|error| Failure::new(Exit::RunFailed, error.to_string()))?;
        command.env(variable.name, path);
    }
    Ok(())
}

/// Runs a command beside us, which signals were left to, and gives how it ended.
pub(crate) fn beside_us(command: Command, inherited_umask: Mode) -> Result<End, Failure> {
    let supervisor = Supervisor::new().map_err(|error| not_run(&error))?;
    rustix::process::umask(inherited_umask);
    beside(&supervisor, command).map_err(|error| match error {
        Error::Start(program, error) => start::not_started(&program, &error, false),
        Error::System(error) => not_run(&error),
    })
}

/// Runs the command beside us, with our terminal and our streams.
fn beside(supervisor: &Supervisor, mut command: Command) -> Result<End, Error> {
    let watched = start(supervisor, &mut command, Place::Beside, &|_| Ok(()))?;
    drop(command);
    Ok(supervisor.wait(&watched, &mut (), 0, || {}))
}

/// Starts the command with the streams that `connect` gives it.
fn start(
    supervisor: &Supervisor,
    command: &mut Command,
    place: Place,
    connect: &dyn Fn(&mut Command) -> io::Result<()>,
) -> Result<Watched, Error> {
    connect(command)?;
    let mut outcome = supervisor.start(command, place);
    if outcome.as_ref().is_err_and(start::is_script) {
        let mut shell = start::by_shell(command);
        connect(&mut shell)?;
        outcome = supervisor.start(&mut shell, place);
    }
    outcome.map_err(|error| Error::Start(command.get_program().to_owned(), error))
}

/// Runs the command with its output through the masker.
fn masked(supervisor: &Supervisor, mut command: Command, forms: Forms) -> Result<End, Error> {
    let (mut streams, ends) = Streams::connect()?;
    let mut terminal = streams.terminal()?;
    let failure = Arc::clone(&streams.failure);
    let (count, end) = streams.flow(forms, &supervisor.reporter())?;
    let place = if take_over() { Place::Elsewhere } else { Place::Beside };
    let watched = start(supervisor, &mut command, place, &|command| ends.give(command))?;
    // Our copies of the command's ends.
    drop((command, ends));
    terminal.take();
    let mut end = Some(end);
    let end = supervisor.wait(&watched, terminal.as_mut(), count, || drop(end.take()));
    drop(terminal);
    if place == Place::Elsewhere
        && let End::Signal(number) = end
        && let Some(key @ (Signal::INT | Signal::QUIT)) = Signal::from_named_raw(number)
    {
        // A script around us, and the rest of our pipeline: our terminal would have told them, too.
        let _ = kill_current_process_group(key);
    }
    Ok(failure.get().map_or(end, |error| with_output_lost(end, error)))
}

/// How we end if the command's output could not be written: never well, and as it would have ended itself where its
/// reader has gone.
fn with_output_lost(end: End, error: &io::Error) -> End {
    let is_reader_gone = error.kind() == io::ErrorKind::BrokenPipe;
    if !is_reader_gone {
        output::say(&format!("cannot write the command's output: {error}"));
    }
    match end {
        End::Exit(0) if is_reader_gone => End::Signal(SIGPIPE),
        End::Exit(0) => End::Exit(Exit::RunFailed as u8),
        End::Exit(_) | End::Signal(_) => end,
    }
}
