//! `secretctl`, the client of secretsd: asks it, stores secrets, and hands values to a program when it is
//! told to by name.
//!
//! # Layout
//!
//! A command line becomes a command, which sends calls through a session and writes an answer:
//!
//! - `usage` and `cli`: the command line, and what is wrong with it
//! - `environment`: the only reader of environment variables and directories
//! - `command`: one file a command
//! - `session`: calls through `secrets-client`, starting the daemon (`spawn`), asking for the passphrase (`prompt`,
//!   `terminal`)
//! - `ending`: what is put in order before a signal ends us
//! - `input`, `lookup`, `handover`, `variables`, `providers`, `table`, `vault_file`, `new_file`: what commands share
//! - `dotenv`, `shell`, `template`, `assignment`: the formats that values come in and go out by
//! - `completion`: what may come next on a command line; `doctor`: what is wrong with a setup
//! - `output`: the only writer to stdout and stderr; `closed`: whether there is a stdout
//! - `failure`: exit codes

mod assignment;
mod cli;
mod closed;
mod command;
mod completion;
mod doctor;
mod dotenv;
mod ending;
mod environment;
mod failure;
#[cfg(fuzzing)]
pub mod fuzzing;
mod globals;
mod handover;
mod input;
mod job;
mod lookup;
mod new_file;
mod output;
mod prompt;
mod providers;
mod session;
mod shell;
mod spawn;
mod table;
mod template;
mod terminal;
mod usage;
mod variables;
mod vault_file;

use std::ffi::OsString;
use std::process::ExitCode;

use secrets_local::hardening;

use cli::{Cli, Command, HandingCommand, KeepingCommand, ShellCommand};
use failure::{Exit, Failure};
use globals::Globals;
use output::Output;
use session::Session;
use usage::Stop;

/// Runs the client.
pub fn main() -> ExitCode {
    // What the command of `run` inherits is given back to it. Core limits could not be, and are left alone.
    let inherited = hardening::make_files_private();
    // Fails only where the kernel does not know the call; then there is nothing to be done.
    let _ = hardening::make_unreadable();
    let words: Vec<OsString> = std::env::args_os().collect();
    let exit = match usage::parse(&words) {
        Ok(cli) => ended(dispatch(cli, inherited)),
        Err(Stop::Answer(text)) => ended(output::answer(text.as_bytes())),
        Err(Stop::Help(text)) => {
            output::show_help(&text);
            Exit::Usage
        }
        Err(Stop::Wrong(message)) => ended(Err(Failure::new(Exit::Usage, message))),
    };
    ExitCode::from(exit as u8)
}

fn ended(outcome: Result<(), Failure>) -> Exit {
    let Err(failure) = outcome else { return Exit::Done };
    if !failure.message().is_empty() {
        output::say(failure.message());
    }
    failure.exit()
}

fn dispatch(cli: Cli, inherited_umask: rustix::fs::Mode) -> Result<(), Failure> {
    let Cli { globals, command } = cli;
    let output = Output::new(&globals);
    let open = || Session::new(environment::paths(&globals)?, !globals.no_spawn);
    match command {
        Command::Init(args) => command::init::run(&open()?, output, &args),
        Command::Status => command::status::run(&open()?, output),
        Command::Unlock(args) => command::unlock::run(&open()?, &args),
        Command::Lock => command::lock::run(&open()?),
        Command::List(args) => command::list::run(&open()?, output, &args),
        Command::Set(args) => command::set::run(open, output, &args, command::set::Mode::Either),
        Command::Add(args) => command::set::run(open, output, &args, command::set::Mode::New),
        Command::Update(args) => command::set::run(open, output, &args, command::set::Mode::Existing),
        Command::Preset(args) => command::preset::run(open, output, &args),
        Command::Presets => command::presets::run(&open()?, output),
        Command::Show(args) => command::show::run(&open()?, output, &args),
        Command::Get(args) => command::get::run(open, &args),
        Command::Rm(args) => command::rm::run(open, &args),
        Command::Run(args) => {
            // Whatever goes wrong before the command starts must not look like the command's own status.
            let failure = match command::run::run(open, &args, inherited_umask) {
                Ok(status) => std::process::exit(status.into()),
                Err(failure) => failure,
            };
            // A command line that is none has the same code for every command.
            let own = !matches!(failure.exit(), Exit::NotExecutable | Exit::CommandNotFound | Exit::Usage);
            Err(if own { failure.with_exit(Exit::RunFailed) } else { failure })
        }
        Command::Audit(args) => command::audit::run(&open()?, output, &args),
        Command::Handing(command) => hand_over(&globals, output, &command),
        Command::Keeping(command) => keep(open, output, &command),
        Command::Shell(command) => at_home(&globals, output, &command),
        Command::Nurse(args) => Err(spawn::nurse(&args.command)),
        Command::OnTerminal(args) => {
            let status = command::run::on_terminal(&args.command, inherited_umask)?;
            std::process::exit(status.into())
        }
        Command::InForeground(args) => Err(command::run::in_foreground(&args.command, inherited_umask)),
    }
}

fn hand_over(globals: &Globals, output: Output, command: &HandingCommand) -> Result<(), Failure> {
    let open = || Session::new(environment::paths(globals)?, !globals.no_spawn);
    let open_quietly = || Session::quick(environment::paths(globals)?);
    match command {
        HandingCommand::Export(args) => command::export::run(open, args),
        HandingCommand::Inject(args) => command::inject::run(open, args),
        HandingCommand::Import(args) => command::import::run(open, output, args),
        HandingCommand::GitCredential(args) => command::git_credential::run(open_quietly, args),
        HandingCommand::AwsCredentials(args) => command::aws_credentials::run(open_quietly, args),
    }
}

fn at_home(globals: &Globals, output: Output, command: &ShellCommand) -> Result<(), Failure> {
    match command {
        ShellCommand::Doctor => command::doctor::run(globals, output),
        ShellCommand::Completions(args) => output::answer(completion::script(args.shell).as_bytes()),
        ShellCommand::Man(args) => command::man::run(args),
        ShellCommand::Complete => {
            command::complete::run();
            Ok(())
        }
    }
}

fn keep(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    command: &KeepingCommand,
) -> Result<(), Failure> {
    match command {
        KeepingCommand::History(args) => command::history::run(&open()?, output, args),
        KeepingCommand::Rollback(args) => command::rollback::run(open, output, args),
        KeepingCommand::Rename(args) => command::rename::run(open, output, args),
        KeepingCommand::Trash => command::trash::run(&open()?, output),
        KeepingCommand::Restore(args) => command::restore::run(open, output, args),
        KeepingCommand::Key(command) => command::key::run(open, output, command),
        KeepingCommand::Credential(command) => command::credential::run(open, output, command),
        KeepingCommand::Token(command) => command::token::run(open, output, command),
        KeepingCommand::Passwd(args) => command::passwd::run(open, args),
        KeepingCommand::Rotate(args) => command::rotate::run(&open()?, output, args),
        KeepingCommand::Backup(args) => command::backup::run(open, args),
        KeepingCommand::RestoreVault(args) => command::restore_vault::run(open, output, args),
        KeepingCommand::Verify(args) => command::verify::run(&open()?, output, args),
    }
}
