//! `proxy run`: a command that has placeholders in its environment, and comes by a broker that puts the values into its
//! requests.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use rustix::fs::Mode;
use secrets_client::{Call, Method};
use secrets_proto::broker::Variables;
use secrets_proto::reveal::Purpose;
use secrets_proto::secret::{Secret, SecretList};
use secrets_proto::session::{BeginSession, Session as Begun};
use secrets_proto::{SecretName, Selector};

use super::unusable;
use super::variables::merged;
use crate::command::audit::seconds;
use crate::command::run::selects;
use crate::failure::{Exit, Failure};
use crate::fence::Fence;
use crate::session::Session;
use crate::start::{become_it, remark};
use crate::supervise::End;
use crate::{broker, environment, handover, output};

/// Run a command that uses secrets and never sees them
#[derive(Debug, Args)]
#[command(after_help = "\
The command gets a placeholder in place of each value. Its requests go through a proxy of
their own, which puts the value in where a rule of the secret allows it: to that host, by
that method, for that path. See: secretctl proxy rule show NAME

The command replaces secretctl: same process, terminal, signals and exit status. It runs as
you do, and could ask secretsd itself: this keeps values out of what it writes; it does not stop a
program that sets out to get them.

With --fence it cannot: bubblewrap gives it a network with nothing in it but its proxy, and
a file system that it writes to in the working directory alone, and in those of --write.
Git's settings and hooks there stay as they are. Signals, terminal and exit status are the
same; secretctl stays beside it.

Hosts without a rule are refused, unless --allow names them. With --learn they are reached, without
values, and what the command asks for is noted; when it has ended, the smallest rules and --allow
that cover it are printed to stderr, as commands. Rules apply as usual, and none is changed.

Exit status: the command's own, or 128 + the signal's number; 125 if secretctl failed, 126 if
the command cannot be executed, 127 if it does not exist.

Example:
  secretctl proxy run -s OPENAI_API_KEY -- python3 agent.py
  secretctl proxy run --fence -s OPENAI_API_KEY --allow registry.npmjs.org -- codex
  secretctl proxy run -s GITHUB_TOKEN --learn -- npm run release")]
pub(crate) struct RunArgs {
    /// Secrets by name, id or glob; repeatable, or separated by commas
    #[arg(short = 's', long = "secret", value_name = "SELECTOR", value_delimiter = ',', required = true)]
    selectors: Vec<String>,
    /// Let requests to this host pass without values; repeatable
    #[arg(long, value_name = "HOST")]
    allow: Vec<String>,
    /// Reach hosts without a rule, without values; print the rules that cover what was asked for
    #[arg(long)]
    learn: bool,
    /// Fence the command in, so that it reaches these hosts and the working directory alone
    #[arg(long)]
    fence: bool,
    /// A directory beside the working directory that a fenced command may write to; repeatable
    #[arg(long, value_name = "DIR", requires = "fence")]
    write: Vec<PathBuf>,
    /// How long the command may use them, like 30m, 12h or 7d [default: 12h]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// The command and its arguments, after `--`
    #[arg(value_name = "CMD", last = true, required = true)]
    command: Vec<OsString>,
}

/// Becomes the command, or ends as it does in its fence. Returns only if that fails.
pub(super) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    args: &RunArgs,
    inherited_umask: Mode,
) -> Result<(), Failure> {
    let failure = match outcome(open, args, inherited_umask) {
        Ok(end) => end.follow(),
        Err(failure) => failure,
    };
    // A command line that is none has the same code for every command.
    let own = !matches!(failure.exit(), Exit::NotExecutable | Exit::CommandNotFound | Exit::Usage);
    Err(if own { failure.with_exit(Exit::RunFailed) } else { failure })
}

fn outcome(
    open: impl FnOnce() -> Result<Session, Failure>,
    args: &RunArgs,
    inherited_umask: Mode,
) -> Result<End, Failure> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::new(Exit::Usage, "no command; put it after --"));
    };
    let selectors = handover::selectors(&args.selectors, false)?;
    let ttl_seconds = args.ttl.as_deref().map(ttl).transpose()?;
    let session = open()?.for_command(program);
    let fence = args.fence.then(|| Fence::plan(&args.write, session.paths())).transpose()?;
    let secrets = names(&session, &selectors)?;
    let request = BeginSession {
        secrets: secrets.clone(),
        ttl_seconds,
        purpose: Purpose::parse("proxy-run")?,
        command: remark(program),
        learn: args.learn,
    };
    // It gets ready while the daemon begins the session.
    let starting = broker::start()?;
    let begun: Begun = session
        .fetch(&Call::new(Method::POST, "/use/sessions").json(&request)?)
        .map_err(|failure: Failure| unusable::named(&session, failure, &secrets))?;
    let end = Call::new(Method::DELETE, &format!("/use/sessions/{}", begun.id));
    // What did not start leaves no session. The broker may have ended it already.
    let ended = |failure: Failure| {
        let _ = session.call_as_is(&end);
        failure
    };
    if let Some(fence) = fence {
        return fenced(fence, starting, begun, &session, args, inherited_umask).map_err(ended);
    }
    let variables = broker::own_listener()
        .and_then(|listener| {
            broker::serve(starting, begun, session.paths(), args.allow.clone(), args.learn, &listener)
        })
        .map_err(ended)?;
    output::say("the command gets placeholders, no values; it is not fenced in, so it could ask secretsd");
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(merged(environment::for_child(false), variables));
    Err(become_it(command, inherited_umask, false))
}

/// Runs the command in its fence, which makes the listener.
fn fenced(
    fence: Fence,
    starting: broker::Starting,
    begun: Begun,
    session: &Session,
    args: &RunArgs,
    inherited_umask: Mode,
) -> Result<End, Failure> {
    let mut started = fence.start(inherited_umask)?;
    let listener = started.listener()?;
    let variables =
        broker::serve(starting, begun, session.paths(), args.allow.clone(), args.learn, &listener)?;
    let files = files_of(&variables);
    started.run(&args.command, merged(environment::for_child(false), variables), &files)
}

/// The files that a broker has made for its command: all in the directory of those that its variables name.
fn files_of(variables: &Variables) -> Vec<PathBuf> {
    let dir = variables.set.iter().find(|(name, _)| name == "SSL_CERT_FILE");
    let dir = dir.and_then(|(_, path)| Path::new(path).parent());
    let entries = dir.and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

pub(super) fn ttl(text: &str) -> Result<u64, Failure> {
    let seconds = seconds(text).and_then(|seconds| u64::try_from(seconds).ok());
    seconds.filter(|seconds| (1..=BeginSession::MAX_TTL).contains(seconds)).ok_or_else(|| {
        Failure::new(Exit::Invalid, "--ttl must be a duration like 30m, 12h or 7d, at most seven days")
    })
}

/// The names of what is selected. What is named exactly is not looked up: who may use a secret need not see the list.
pub(super) fn names(session: &Session, selectors: &[Selector]) -> Result<Vec<SecretName>, Failure> {
    let exact: Option<Vec<SecretName>> = selectors
        .iter()
        .map(|selector| match selector {
            Selector::Name(name) => Some(name.clone()),
            Selector::Id(_) | Selector::Glob(_) => None,
        })
        .collect();
    if let Some(exact) = exact {
        return Ok(exact);
    }
    let list: SecretList<Secret> = session.fetch(&Call::list())?;
    let is_wanted =
        |secret: &&Secret| selectors.iter().any(|selector| selects(selector, secret.id, &secret.name));
    let mut names: Vec<SecretName> =
        list.secrets.iter().filter(is_wanted).map(|secret| secret.name.clone()).collect();
    // Those that are named and not there are for the daemon to refuse.
    for selector in selectors {
        if let Selector::Name(name) = selector
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    if names.is_empty() { Err(Failure::new(Exit::NotFound, "no secret is selected")) } else { Ok(names) }
}
