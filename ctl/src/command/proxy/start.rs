//! `proxy start`: a session with a name, which outlasts the shell that it is started from.

use clap::Args;
use secrets_client::{Call, Method};
use secrets_local::sessions::Place;
use secrets_proto::Timestamp;
use secrets_proto::broker::{Named, Note, SessionName};
use secrets_proto::reveal::{Purpose, Remark};
use secrets_proto::session::{BeginSession, Session as Begun};
use serde::Serialize;

use super::run::{names, ttl};
use super::unusable;
use crate::clock::Clock;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::session::Session;
use crate::shell::quoted;
use crate::{handover, lasting};

/// Start a session that programs use secrets in, now and later
#[derive(Debug, Args)]
#[command(after_help = "\
The session lasts until its time is over or it is stopped. Closing the shell does not end it, nor
does locking the vault: as long as it is locked, requests are refused. Logging out ends it, as
everything else that you run, unless lingering is on: loginctl enable-linger

Programs come into it with: secretctl proxy attach NAME -- CMD

A shell gets its variables with: eval \"$(secretctl proxy env NAME)\"

Its control socket is the only thing that a container or another machine needs; it gives no
value and no token to anybody. See: secretctl proxy attach --help

Example:
  secretctl proxy start build -s NPM_TOKEN --allow registry.npmjs.org --ttl 8h
  secretctl proxy start agent -s OPENAI_API_KEY,GITHUB_TOKEN")]
pub(crate) struct StartArgs {
    /// What to call it: 1 to 32 letters, digits, _ and -
    #[arg(value_name = "SESSION")]
    name: String,
    /// Secrets by name, id or glob; repeatable, or separated by commas
    #[arg(short = 's', long = "secret", value_name = "SELECTOR", value_delimiter = ',', required = true)]
    selectors: Vec<String>,
    /// Let requests to this host pass without values; repeatable
    #[arg(long, value_name = "HOST")]
    allow: Vec<String>,
    /// How long it lasts, like 30m, 12h or 7d [default: 12h]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
}

/// What `start --json` writes.
#[derive(Serialize)]
struct Started<'a> {
    #[serde(flatten)]
    note: &'a Note,
    control: &'a std::path::Path,
}

pub(super) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &StartArgs,
) -> Result<(), Failure> {
    let name = SessionName::parse(&args.name)?;
    let selectors = handover::selectors(&args.selectors, false)?;
    let ttl_seconds = args.ttl.as_deref().map(ttl).transpose()?;
    let session = open()?;
    let runtime = session.runtime_dir();
    let runtime = runtime.ok_or_else(|| Failure::new(Exit::Other, "the socket's path has no directory"))?;
    let place = Place::new(runtime, &name);
    if place.control.as_os_str().len() > secrets_local::places::LONGEST_SOCKET {
        return Err(Failure::new(Exit::Invalid, "the path of its socket is too long; choose a shorter name"));
    }
    let is_free = || {
        if !lasting::runs(&place.control) {
            return Ok(());
        }
        let message = format!(
            "the session {name} is there already; choose another name, or end it: secretctl proxy stop {name}"
        );
        Err(Failure::new(Exit::Conflict, message))
    };
    is_free()?;
    // Opens the vault and has a person asked, if need be, before others have to wait for us.
    let secrets = names(&session, &selectors)?;
    let request = BeginSession {
        secrets: secrets.clone(),
        ttl_seconds,
        purpose: Purpose::parse("proxy-start")?,
        command: Remark::parse(name.as_str()).ok(),
        learn: false,
    };
    let begun: Begun = session
        .fetch(&Call::new(Method::POST, "/use/sessions").json(&request)?)
        .map_err(|failure: Failure| unusable::named(&session, failure, &secrets))?;
    let id = begun.id;
    // Nobody has its token any more.
    let ended = |failure: Failure| {
        let _ = session.call_as_is(&Call::new(Method::DELETE, &format!("/use/sessions/{id}")));
        failure
    };
    let turn = lasting::turn(runtime).map_err(ended)?;
    is_free().map_err(ended)?;
    let named = Named { name: name.clone(), started_at: Timestamp::now() };
    let note = lasting::start(begun, session.paths(), args.allow.clone(), named)
        .map_err(|failure| ended(failure).with_exit(Exit::Other))?;
    drop(turn);
    let end = Clock::of_stderr().shown(note.expires_at);
    output::say(&format!(
        "session {name} started, until {end}; run a program in it: secretctl proxy attach {name} -- CMD"
    ));
    output::say(&format!("its socket, for a container: {}", quoted(&place.control)));
    if output.json {
        let text = serde_json::to_vec(&Started { note: &note, control: &place.control });
        let text = text.map_err(|_| Failure::new(Exit::Other, "the session cannot be written as JSON"))?;
        output::answer_json_line(&text)?;
    }
    Ok(())
}
