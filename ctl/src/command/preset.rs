//! `preset`: stores a well-known provider's key under the name that its tools read.

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::Provider;
use secrets_proto::secret::{CreateFromPreset, Preset, PresetList, Secret};

use super::set;
use crate::failure::{Exit, Failure};
use crate::input::{self, ValueArgs};
use crate::output::{self, Output};
use crate::session::Session;
use crate::variables;

/// Store a well-known provider's key under its usual name
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the value from the terminal without echo, or from stdin; it is never an
argument.

Example:
  secretctl preset openai")]
pub(crate) struct PresetArgs {
    /// The provider; `secretctl presets` lists them
    #[arg(value_name = "PROVIDER")]
    pub(crate) provider: String,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &PresetArgs,
) -> Result<(), Failure> {
    input::refuse_arguments(&args.value)?;
    let provider = Provider::parse(&args.provider)?;
    let session = open()?;
    // Before a value is asked for: this also opens the vault.
    let list: PresetList = session.fetch(&Call::get("/user/secrets/presets"))?;
    let preset = check(list.presets.iter().find(|preset| preset.provider == provider))?;
    let value = input::value(&args.value, Some(preset.env_var_name.as_str()), "value")?;
    let body = CreateFromPreset { provider, value: value.clone() };
    let answer = session.call(&Call::new(Method::POST, "/user/secrets/preset").json(&body)?)?;
    let secret: Secret = answer.parse()?;
    variables::warn([&secret.name]);
    output::say(&set::told(&secret, None, &value));
    if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) }
}

fn check(preset: Option<&Preset>) -> Result<&Preset, Failure> {
    let Some(preset) = preset else {
        return Err(Failure::new(Exit::Invalid, "no such provider; see: secretctl presets"));
    };
    if preset.configured {
        let name = &preset.env_var_name;
        return Err(Failure::new(
            Exit::Conflict,
            format!("{name} already exists; replace its value with: secretctl set {name}"),
        ));
    }
    Ok(preset)
}
