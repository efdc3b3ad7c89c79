//! `preset`: stores a well-known provider's key under the name that its tools read.

use hyper::Method;
use secrets_proto::Provider;
use secrets_proto::secret::{CreateFromPreset, Secret};

use crate::call::Call;
use crate::cli::PresetArgs;
use crate::failure::Failure;
use crate::input;
use crate::output::{self, Output};
use crate::session::Session;

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &PresetArgs,
) -> Result<(), Failure> {
    input::refuse_arguments(&args.value)?;
    let provider = Provider::parse(&args.provider)?;
    let session = open()?;
    if input::asks(&args.value) {
        session.open_vault()?;
    }
    let body = CreateFromPreset { provider, value: input::value(&args.value)? };
    let answer = session.call(&Call::new(Method::POST, "/user/secrets/preset").json(&body)?)?;
    let secret: Secret = answer.parse()?;
    output::say(&format!("stored {}", secret.name));
    if output.json { output::answer_line(&answer.body) } else { Ok(()) }
}
