//! `rename`: another name for the same secret.

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::secret::PatchSecret;
use secrets_proto::{ErrorType, SecretName};

use crate::failure::{Exit, Failure};
use crate::lookup::Wanted;
use crate::output::{self, Output};
use crate::session::Session;
use crate::{providers, variables};

/// Rename a secret; value, history and details stay
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  secretctl rename OPENAI_KEY OPENAI_API_KEY")]
pub(crate) struct RenameArgs {
    /// The secret's name or id
    #[arg(value_name = "OLD")]
    pub(crate) old: String,
    /// Its new name
    #[arg(value_name = "NEW")]
    pub(crate) new: String,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &RenameArgs,
) -> Result<(), Failure> {
    let wanted = Wanted::parse(&args.old)?;
    if providers::looks_like_key(&args.new) {
        return Err(Failure::new(Exit::Usage, "the new name looks like a value; choose another"));
    }
    let name = SecretName::parse(&args.new)?;
    let patch = PatchSecret { name: Some(name.clone()), ..PatchSecret::default() };
    let session = open()?;
    let old = wanted.get(&session)?.secret;
    let call = Call::new(Method::PATCH, &format!("/user/secrets/{}", old.id)).json(&patch)?;
    let answer = session.call(&call).map_err(|failure| match failure.kind() {
        Some(ErrorType::AlreadyExistsError) => {
            let text = format!("{name} already exists, and nothing was renamed; choose another name");
            Failure::new(failure.exit(), text)
        }
        _ => failure,
    })?;
    let new: secrets_proto::secret::Secret = answer.parse()?;
    variables::warn([&new.name]);
    output::say(&format!("renamed {} to {}", old.name, new.name));
    if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) }
}
