//! `get`: one value to stdout, byte for byte.

use clap::Args;
use secrets_client::Call;
use secrets_proto::reveal::{Purpose, Remark, RevealReply, RevealRequest};

use crate::conflict;
use crate::failure::{Exit, Failure};
use crate::lookup::{self, Wanted};
use crate::output;
use crate::project::{Project, flags::NameArgs};
use crate::session::Session;

/// Write a secret's value to stdout, byte for byte
#[derive(Debug, Args)]
#[command(after_help = "\
Prints to a terminal only with --show. Prefer `secretctl run`, which passes the
value to one program only.

Example:
  secretctl get OPENAI_API_KEY | some-tool --key-from-stdin")]
pub(crate) struct GetArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Print the value even to a terminal
    #[arg(long)]
    pub(crate) show: bool,
    /// The reason, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) project: NameArgs,
}

pub(crate) fn run(open: impl FnOnce() -> Result<Session, Failure>, args: &GetArgs) -> Result<(), Failure> {
    if output::stdout_is_terminal() && !args.show {
        return Err(Failure::new(Exit::Usage, "not printing a value to a terminal; pipe it, or use --show"));
    }
    output::check_stdout()?;
    if let Some(project) = Project::named(&args.project)? {
        let value = project.value(&open()?, &args.name, args.reason.as_deref())?;
        output::answer(&value)?;
        return if args.show { output::answer(b"\n") } else { Ok(()) };
    }
    let request = RevealRequest {
        secrets: vec![Wanted::parse(&args.name)?.into_selector()],
        purpose: Purpose::parse("get")?,
        command: None,
        reason: args.reason.as_deref().map(Remark::parse).transpose()?,
        directory: None,
    };
    let session = open()?;
    let reply: RevealReply = session
        .fetch(&Call::reveal(&request)?)
        .map_err(|failure| lookup::name_the_absent(&session, failure, &request.secrets))?;
    let [secret] = reply.secrets.as_slice() else {
        return Err(Failure::new(Exit::DaemonFailed, "secretsd did not return exactly one secret"));
    };
    if let Some(notice) = conflict::notice(secret.conflict.then_some(secret.name.as_str())) {
        output::say(&notice);
    }
    output::answer(secret.value.expose().as_bytes())?;
    if args.show { output::answer(b"\n") } else { Ok(()) }
}
