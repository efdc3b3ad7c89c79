//! `rm`: to the trash without a question, because there is a way back; destroying asks.

use hyper::Method;
use secrets_proto::secret::SecretDetail;

use crate::call::Call;
use crate::cli::RmArgs;
use crate::failure::{Exit, Failure};
use crate::lookup::{self, Wanted};
use crate::output;
use crate::prompt;
use crate::session::Session;

pub(crate) fn run(open: impl FnOnce() -> Result<Session, Failure>, args: &RmArgs) -> Result<(), Failure> {
    let wanted = args.names.iter().map(|name| Wanted::parse(name)).collect::<Result<Vec<Wanted>, _>>()?;
    let session = open()?;
    let found = find_all(&session, wanted)?;
    if args.purge && !args.yes && !confirmed(&found)? {
        return Err(Failure::new(Exit::Other, "nothing was destroyed"));
    }
    for detail in &found {
        let mut call = Call::new(Method::DELETE, &format!("/user/secrets/{}", detail.secret.id));
        if args.purge {
            call = call.query("purge", "true");
        }
        session.call(&call)?;
        let how = if args.purge { "destroyed" } else { "moved to the trash for 30 days:" };
        output::say(&format!("{how} {}", detail.secret.name));
    }
    Ok(())
}

/// All of them, each once, or none if one is missing.
fn find_all(session: &Session, wanted: Vec<Wanted>) -> Result<Vec<SecretDetail>, Failure> {
    let mut found: Vec<SecretDetail> = Vec::new();
    let mut missing = Vec::new();
    for one in wanted {
        match one.find(session)? {
            Some(detail) if found.iter().all(|other| other.secret.id != detail.secret.id) => {
                found.push(detail)
            }
            Some(_) => {}
            None => missing.push(one.into_selector()),
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(lookup::missing(&missing)) }
}

fn confirmed(found: &[SecretDetail]) -> Result<bool, Failure> {
    let names: Vec<&str> = found.iter().map(|detail| detail.secret.name.as_str()).collect();
    prompt::confirm(&format!("destroy {} with all versions?", names.join(", "))).map_err(|error| {
        if matches!(error, prompt::Error::NoTerminal) {
            return Failure::new(
                Exit::Usage,
                "--purge cannot be undone and there is no terminal to ask on; say --yes",
            );
        }
        Failure::new(Exit::Other, error.told("nothing was destroyed", ""))
    })
}
