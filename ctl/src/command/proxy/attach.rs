//! `proxy attach`: a command in a session that is there already. On its own machine it becomes the command, as `proxy run`
//! does. From a socket alone, in a container or on another machine, nothing of that machine can be seen: what the command
//! reads is put into files here, and `secretctl` stays beside it to remove them, and to carry its connections where the
//! broker cannot listen.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use run_files::RunFiles;
use rustix::fs::Mode;
use secrets_local::files::private_dir;
use secrets_local::sessions::Place;
use secrets_proto::broker::SessionName;

use super::variables::merged;
use crate::command::run::beside_us;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::start::become_it;
use crate::supervise::End;
use crate::{ending, environment, lasting, output, relay};

/// Run a command in a session that was started before
#[derive(Debug, Args)]
#[command(after_help = "\
By its name, a session of this machine: the command replaces secretctl, as with proxy run.

By its socket, a path with a slash: in a container, into which the session's directory is
mounted, or on another machine, to which the socket is forwarded by ssh. Nothing else of
secretsd is needed there. secretctl stays beside the command, passes signals on and exits as
it does.

For a container: docker run --network none -v \"$XDG_RUNTIME_DIR/secretsd/proxy/build:/s\" …

For another machine: ssh -R /tmp/s.sock:\"$XDG_RUNTIME_DIR/secretsd/proxy/build/control.sock\" HOST

Exit status: the command's own, or 128 + the signal's number; 125 if secretctl failed, 126 if
the command cannot be executed, 127 if it does not exist.

Example:
  secretctl proxy attach build -- npm ci
  secretctl proxy attach /s/control.sock -- npm ci
  secretctl proxy attach /tmp/s.sock -- sh")]
pub(crate) struct AttachArgs {
    /// The session's name, or its control socket
    #[arg(value_name = "SESSION")]
    session: PathBuf,
    /// The command and its arguments, after `--`
    #[arg(value_name = "CMD", last = true, required = true)]
    command: Vec<OsString>,
}

/// Becomes the command, or ends as it does. Returns only if that fails.
pub(super) fn run(context: &Context, args: &AttachArgs) -> Result<(), Failure> {
    let failure = match outcome(context, args) {
        Ok(end) => end.follow(),
        Err(failure) => failure,
    };
    // A command line that is none has the same code for every command.
    let own = !matches!(failure.exit(), Exit::NotExecutable | Exit::CommandNotFound | Exit::Usage);
    Err(if own { failure.with_exit(Exit::RunFailed) } else { failure })
}

fn outcome(context: &Context, args: &AttachArgs) -> Result<End, Failure> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::new(Exit::Usage, "no command; put it after --"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    if args.session.as_os_str().as_encoded_bytes().contains(&b'/') {
        return from_socket(&environment::absolute(&args.session)?, command, context.inherited_umask);
    }
    let name = SessionName::parse(&args.session.to_string_lossy())?;
    let paths = environment::paths(&context.globals)?;
    let runtime = paths.socket.parent().unwrap_or(Path::new("/"));
    let place = Place::new(runtime, &name);
    let attached = lasting::attach(&place.control, &listener()?, None)?;
    if !attached.listens {
        return Err(Failure::new(Exit::RunFailed, "the session did not accept the connection"));
    }
    output::say("the command gets placeholders, no values; it is not fenced in, so it could ask secretsd");
    command.envs(merged(environment::for_child(false), attached.variables));
    Err(become_it(command, context.inherited_umask, false))
}

fn listener() -> Result<TcpListener, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| {
        let fix = "the interface lo must be up: ip link set lo up";
        Failure::new(Exit::RunFailed, format!("no port of 127.0.0.1: {error}; {fix}"))
    })
}

fn from_socket(control: &Path, mut command: Command, inherited_umask: Mode) -> Result<End, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::RunFailed, error.to_string());
    let listener = listener()?;
    // From here on a signal is for the command: what would end us would leave files behind.
    ending::leave_signals();
    let files = place_for_files()?;
    let attached = lasting::attach(control, &listener, Some(files.path().to_owned()))?;
    for (name, text) in &attached.files {
        if name.is_empty() || name.starts_with('.') || name.contains('/') {
            return Err(failed(&"a name of the session's files cannot be used"));
        }
        files.put(name, text.as_bytes()).map_err(|error| failed(&error))?;
    }
    if attached.listens {
        drop(listener);
    } else {
        relay::serve(listener, control.to_owned()).map_err(|error| failed(&error))?;
    }
    output::say("the command gets placeholders, no values");
    command.envs(merged(environment::for_child(false), attached.variables));
    let outcome = beside_us(command, inherited_umask);
    drop(files);
    outcome
}

/// A private directory for what the command reads: certificates, and no key. In memory if it can be.
fn place_for_files() -> Result<RunFiles, Failure> {
    let own = format!("secretsd-{}", rustix::process::geteuid().as_raw());
    let mut why = String::new();
    for base in environment::temporary_dirs() {
        let made = private_dir(&base.join(&own)).map_err(|error| error.to_string());
        match made.and_then(|dir| RunFiles::create(&dir).map_err(|error| error.to_string())) {
            Ok(files) => return Ok(files),
            Err(error) => why = error,
        }
    }
    let what = "there is no directory for its certificates; set TMPDIR to one that is yours";
    Err(Failure::new(Exit::RunFailed, format!("{what}: {why}")))
}
