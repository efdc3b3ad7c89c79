//! `presets`: the well-known providers and the variables that their tools read.

use clap::Args;
use secrets_client::Call;
use secrets_proto::secret::PresetList;

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::session::Session;
use crate::table;

/// List the well-known providers and their secrets
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  secretctl presets")]
pub(crate) struct PresetsArgs {}

pub(crate) fn run(session: &Session, output: Output) -> Result<(), Failure> {
    let answer = session.call(&Call::get("/user/secrets/presets"))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let list: PresetList = answer.parse()?;
    let rows: Vec<[String; 3]> = list
        .presets
        .iter()
        .map(|preset| {
            let configured = if preset.configured { "yes" } else { "-" };
            [preset.provider.to_string(), preset.env_var_name.to_string(), configured.to_owned()]
        })
        .collect();
    output::answer(table::render(["PROVIDER", "NAME", "STORED"], &rows, output.colour).as_bytes())
}
