//! `rollback`: an earlier value becomes the present one, without being shown to anybody.

use secrets_client::{Call, Method};
use secrets_proto::secret::RollbackRequest;

use crate::cli::RollbackArgs;
use crate::failure::{Exit, Failure};
use crate::lookup::Wanted;
use crate::output::{self, Output};
use crate::session::Session;

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &RollbackArgs,
) -> Result<(), Failure> {
    let wanted = Wanted::parse(&args.name)?;
    let version = args.version.parse().map_err(|_| {
        Failure::new(Exit::Invalid, "a version is a whole number; secretctl history lists them")
    })?;
    let session = open()?;
    let secret = wanted.get(&session)?.secret;
    let call = Call::new(Method::POST, &format!("/user/secrets/{}/rollback", secret.id));
    let answer = session.call(&call.json(&RollbackRequest { version })?).map_err(|failure| {
        if failure.exit() != Exit::NotFound {
            return failure;
        }
        let text = format!("no version {version} of {0} is kept; see: secretctl history {0}", secret.name);
        Failure::new(Exit::NotFound, text)
    })?;
    output::say(&format!("{} has the value of version {version} again", secret.name));
    if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) }
}
