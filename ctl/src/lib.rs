//! `secretctl`, the client of secretsd: asks it, stores secrets, and hands values to a program when it is
//! told to by name.
//!
//! # Layout
//!
//! A command line becomes a command, which sends calls through a session and writes an answer; each of these imports
//! only what stands to its right, and the leaves:
//!
//! ```text
//! usage → cli → command → session → secrets-client → secrets-proto
//! ```
//!
//! - `called`: the links under which other programs run us
//! - `usage` and `cli`: the command line as a whole, what is wrong with it, and what is shown where there is none
//! - `command`: the table of commands, and one file a command; `context`: what each is given
//! - `screen`: picking names and browsing, by a program of its own
//! - `session`: calls through `secrets-client`, starting the daemon (`spawn`), asking for the passphrase (`prompt`,
//!   `terminal`, and `turn`: one question at a time)
//! - `approval`: asking a person whether something guarded is allowed, or waiting for another's answer
//! - `start`: becoming a command, and why it cannot be started; `supervise`: staying beside one: signals, stops, its end
//! - `broker`: starting a broker, and what a command needs to come by it
//! - `lasting`: sessions that outlast us, and their brokers; `relay`: connections to one that cannot listen where we are
//! - `fence`: namespaces around a command, so that it reaches its broker and little else
//! - `handover`, `lookup`, `doctor`: what commands share that asks the daemon
//! - `project`: the project that a command is run in, by its manifest (`secrets-project`), and what it gets
//! - `helper`: what the commands share that git, docker, cargo and others run for a credential
//! - `input`, `variables`, `providers`, `table`, `vault_file`, `new_file`, `obstacle`: what they share that does not
//! - `environment`: the only reader of environment variables and directories; `globals`: the flags of every command
//! - `ending`: what is put in order before a signal ends us
//! - `dotenv`, `shell`, `template`, `assignment`: the formats that values come in and go out by
//! - `holder`: which daemon has the vault
//! - `completion`: what may come next on a command line
//! - `mover`: the program that moves what several machines say to each other
//! - `passphrase`: passphrases that are made of words
//! - `key_file`: key files on their way to the daemon
//! - `once`: answers that are shown once
//! - `output`: the only writer to stdout and stderr; `pager`: long answers, a screen at a time; `closed`: whether there is a
//!   stdout
//! - `failure`: exit codes

mod activation;
mod age;
mod approval;
mod assignment;
mod beside;
mod broker;
mod called;
mod cli;
mod clock;
mod closed;
mod command;
mod completion;
mod conflict;
mod context;
mod doctor;
mod dotenv;
mod ending;
mod environment;
mod failure;
mod fence;
#[cfg(fuzzing)]
pub mod fuzzing;
mod globals;
mod handover;
mod helper;
mod holder;
mod input;
mod job;
mod key_file;
mod lasting;
mod leap;
mod lookup;
mod mask;
mod mover;
mod near;
mod new_file;
mod obstacle;
mod once;
mod output;
mod pager;
mod passphrase;
mod project;
mod prompt;
mod providers;
mod random;
mod relay;
mod screen;
mod session;
mod shell;
mod spawn;
mod start;
mod supervise;
mod table;
mod template;
mod terminal;
mod throw_away;
mod turn;
mod unconfirmed;
mod usage;
mod variables;
mod vault_file;

use std::process::ExitCode;

use rustix::fs::Mode;
use secrets_local::hardening;

use cli::Cli;
use context::Context;
use failure::{Exit, Failure};
use globals::Colour;
use output::Output;
use usage::Stop;

/// Runs the client.
pub fn main() -> ExitCode {
    // What the command of `run` inherits is given back to it. Core limits could not be, and are left alone.
    let inherited = hardening::make_files_private();
    hardening::quiet_panics("secretctl");
    // Fails only where the kernel does not know the call; then there is nothing to be done.
    let _ = hardening::make_unreadable();
    let words = called::expand(std::env::args_os().collect());
    let exit = match usage::parse(&words) {
        Ok(cli) => {
            let colour = cli.globals.color;
            ended(run(cli, inherited), colour)
        }
        Err(Stop::Answer(text)) => ended(pager::answer_help(&text), Colour::Auto),
        Err(Stop::Help(text)) => {
            // For eyes what to do now. A script that has lost its command fails at a terminal, too.
            let is_seen = words.len() == 1 && output::stdout_is_terminal();
            output::show_help(&if is_seen { cli::start_page::text() } else { text });
            Exit::Usage
        }
        Err(Stop::Wrong(message)) => ended(Err(Failure::new(Exit::Usage, message)), Colour::Auto),
    };
    ExitCode::from(exit as u8)
}

fn ended(outcome: Result<(), Failure>, colour: Colour) -> Exit {
    let exit = match outcome {
        Ok(()) => Exit::Done,
        Err(failure) => {
            if !failure.message().is_empty() {
                output::fail(failure.message(), colour);
            }
            failure.exit()
        }
    };
    key_file::forget();
    // All is said: a signal that had to wait for it does what it means.
    ending::release();
    exit
}

fn run(cli: Cli, inherited_umask: Mode) -> Result<(), Failure> {
    let output = Output::new(&cli.globals);
    let context = Context { globals: cli.globals, output, inherited_umask, describe: cli::described };
    cli.command.run(&context)
}
