//! `trash`: what was deleted and can still come back.

use clap::Args;
use secrets_client::Call;
use secrets_proto::Provider;
use secrets_proto::secret::{TrashList, TrashedSecret};

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::session::Session;
use crate::table;

/// List deleted secrets and when they are destroyed
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  secretctl trash")]
pub(crate) struct TrashArgs {}

pub(crate) fn run(session: &Session, output: Output) -> Result<(), Failure> {
    let answer = session.call(&Call::get("/user/secrets/trash"))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let TrashList { secrets, .. } = answer.parse()?;
    if secrets.is_empty() {
        output::say("the trash is empty");
        return Ok(());
    }
    let rows: Vec<[String; 6]> = secrets.iter().map(row).collect();
    let header = ["NAME", "PROVIDER", "MASKED", "DELETED", "DESTROYED FROM", "ID"];
    output::answer(table::render(header, &rows, output.colour).as_bytes())
}

fn row(trashed: &TrashedSecret) -> [String; 6] {
    let secret = &trashed.secret;
    [
        secret.name.to_string(),
        secret.provider.as_ref().map_or("-", Provider::as_str).to_owned(),
        secret.masked_value.clone(),
        trashed.deleted_at.to_string(),
        trashed.purged_at.to_string(),
        secret.id.to_string(),
    ]
}
