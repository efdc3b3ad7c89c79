//! `same`: the other names of a value.

use clap::Args;
use secrets_client::{Answer, Call, Method};
use secrets_proto::Uuid;
use secrets_proto::secret::SameList;

use crate::failure::Failure;
use crate::lookup::Wanted;
use crate::output::{self, Output};
use crate::session::Session;

/// Show which other secrets have the same value
#[derive(Debug, Args)]
#[command(after_help = "\
The daemon compares; no value leaves it. That two values are equal says something
about both, so it takes the right to reveal, and the audit log names them.

Example:
  secretctl same OPENAI_API_KEY")]
pub(crate) struct SameArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

pub(crate) fn run(session: &Session, output: Output, args: &SameArgs) -> Result<(), Failure> {
    let secret = Wanted::parse(&args.name)?.get(session)?.secret;
    let answer = ask(session, secret.id)?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let SameList { secrets, .. } = answer.parse()?;
    if secrets.is_empty() {
        output::say(&format!("no other secret has the value of {}", secret.name));
    }
    let names: String = secrets.iter().map(|secret| format!("{}\n", secret.name)).collect();
    output::answer(names.as_bytes())
}

/// Asks for the others that have the value of this one.
pub(super) fn ask(session: &Session, id: Uuid) -> Result<Answer, Failure> {
    session.call(&Call::new(Method::POST, &format!("/user/secrets/{id}/same")))
}
