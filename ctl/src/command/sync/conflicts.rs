//! `sync conflicts` and `sync resolve`: secrets that were given several values at the same time, and which one counts.

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::fleet::{Conflict, ConflictList, ResolveConflict};
use secrets_proto::secret::SecretVersion;

use crate::clock::Clock;
use crate::command::rollback;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::project::{self, flags::NameArgs};
use crate::session::Session;
use crate::{mask, pager, table};

#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The version to use; `secretctl sync conflicts` lists them [default: the one in use]
    #[arg(value_name = "VERSION")]
    pub(crate) version: Option<String>,
    #[command(flatten)]
    pub(crate) project: NameArgs,
}

pub(super) fn list(session: &Session, output: Output) -> Result<(), Failure> {
    let answer = session.call(&Call::get("/fleet/conflicts"))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let ConflictList { conflicts } = answer.parse()?;
    if conflicts.is_empty() {
        output::say("no secret has values of several machines");
        return Ok(());
    }
    let clock = Clock::of_stdout();
    let rows: Vec<[String; 6]> = conflicts.iter().flat_map(|conflict| rows(conflict, &clock)).collect();
    let columns = ["NAME", "VERSION", "MASKED", "STORED", "FROM", ""];
    pager::answer_paged(&table::render(columns, &rows, output.colour))
}

fn rows<'a>(conflict: &'a Conflict, clock: &'a Clock) -> impl Iterator<Item = [String; 6]> + 'a {
    conflict.values.iter().map(|version| {
        [
            conflict.name.to_string(),
            version.version.to_string(),
            mask::shown(&version.masked_value, None).into_owned(),
            clock.shown(version.created_at),
            from(version),
            if version.current { "in use" } else { "" }.to_owned(),
        ]
    })
}

/// The machine that a value is from.
pub(crate) fn from(version: &SecretVersion) -> String {
    version.from.as_deref().map_or_else(|| "-".to_owned(), |name| output::in_one_line(name).into_owned())
}

pub(super) fn resolve(session: &Session, output: Output, args: &ResolveArgs) -> Result<(), Failure> {
    let version = args.version.as_deref().map(rollback::number).transpose()?;
    let secret = project::wanted(&args.name, &args.project)?.get(session)?;
    if !secret.conflict {
        let text = format!("{} has one value; see: secretctl sync conflicts", secret.secret.name);
        return Err(Failure::new(Exit::NotFound, text));
    }
    let secret = secret.secret;
    let call = Call::new(Method::POST, &format!("/fleet/conflicts/{}/resolve", secret.id));
    let answer = session.call(&call.json(&ResolveConflict { version })?).map_err(|failure| match version
        .filter(|_| failure.exit() == Exit::NotFound)
    {
        Some(version) => Failure::new(
            Exit::NotFound,
            format!("no version {version} of {0}; see: secretctl history {0}", secret.name),
        ),
        None => failure,
    })?;
    output::say(&match version {
        Some(version) => format!("all machines use the value of version {version} of {}", secret.name),
        None => format!("all machines use the value of {} that this one uses", secret.name),
    });
    if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) }
}
