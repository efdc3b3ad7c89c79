//! `rm`: to the trash without a question, because there is a way back; destroying asks.

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::secret::{Secret, TrashList};

use super::kept;
use crate::failure::{Exit, Failure};
use crate::lookup::{self, Wanted};
use crate::output;
use crate::project::{self, Project, flags::NameArgs};
use crate::prompt;
use crate::session::Session;

/// Move secrets to the trash for 30 days
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  secretctl rm OLD_KEY\n  secretctl rm --purge OLD_KEY")]
pub(crate) struct RmArgs {
    /// Names or ids
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Destroy them with all versions instead
    #[arg(long)]
    pub(crate) purge: bool,
    /// Do not ask before destroying
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) project: NameArgs,
}

pub(crate) fn run(open: impl FnOnce() -> Result<Session, Failure>, args: &RmArgs) -> Result<(), Failure> {
    let project = Project::named(&args.project)?;
    let wanted = args.names.iter().map(|name| project::wanted_of(name, project.as_ref()));
    let wanted = wanted.collect::<Result<Vec<Wanted>, _>>()?;
    let session = open()?;
    let found = find_all(&session, wanted, args.purge)?;
    if args.purge && !args.yes && !confirmed(&found)? {
        return Err(Failure::new(Exit::Other, "nothing was destroyed"));
    }
    for secret in &found {
        let mut call = Call::new(Method::DELETE, &format!("/user/secrets/{}", secret.id));
        if args.purge {
            call = call.query("purge", "true");
        }
        session.call(&call)?;
        let name = &secret.name;
        output::say(&if args.purge {
            format!("destroyed {name}")
        } else {
            format!("moved {name} to the trash for 30 days; undo with: secretctl restore {name}")
        });
    }
    if args.purge {
        kept::remind("the destroyed secrets may still be in");
    }
    Ok(())
}

/// All of them, each once, or none if one is missing. Destroying reaches what is in the trash, too: all of a
/// name that no secret outside has.
fn find_all(session: &Session, wanted: Vec<Wanted>, purge: bool) -> Result<Vec<Secret>, Failure> {
    let mut found: Vec<Secret> = Vec::new();
    let mut missing = Vec::new();
    for one in wanted {
        let mut secrets: Vec<Secret> = one.find(session)?.map(|detail| detail.secret).into_iter().collect();
        if secrets.is_empty() && purge {
            let trash: TrashList = session.fetch(&Call::get("/user/secrets/trash"))?;
            secrets = trash.secrets.into_iter().map(|trashed| trashed.secret).collect();
            secrets.retain(|secret| one.is(secret));
        }
        if secrets.is_empty() {
            missing.push(one.into_selector());
            continue;
        }
        secrets.retain(|secret| found.iter().all(|other| other.id != secret.id));
        found.append(&mut secrets);
    }
    if missing.is_empty() { Ok(found) } else { Err(lookup::absent(session, &missing)) }
}

fn confirmed(found: &[Secret]) -> Result<bool, Failure> {
    let names: Vec<&str> = found.iter().map(|secret| secret.name.as_str()).collect();
    prompt::confirm(&format!("destroy {} with all versions?", names.join(", "))).map_err(|error| {
        if matches!(error, prompt::Error::NoTerminal) {
            return Failure::new(
                Exit::Usage,
                "--purge cannot be undone and there is no terminal to ask on; use --yes",
            );
        }
        Failure::new(Exit::Other, error.told("nothing was destroyed", ""))
    })
}
