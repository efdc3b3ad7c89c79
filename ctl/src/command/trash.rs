//! `trash`: what was deleted and can still come back.

use std::collections::HashSet;

use clap::Args;
use secrets_client::Call;
use secrets_proto::Provider;
use secrets_proto::secret::{TrashList, TrashedSecret};

use crate::clock::Clock;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::session::Session;
use crate::table::{self, Cut};

/// List deleted secrets and when they are destroyed
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  secretctl trash")]
pub(crate) struct TrashArgs {}

/// The columns, with how far each is cut in a narrow window.
const COLUMNS: [(&str, Cut); 6] = [
    ("NAME", Cut::End(8)),
    ("PROVIDER", Cut::End(6)),
    ("MASKED", Cut::End(6)),
    ("DELETED", Cut::Never),
    ("DESTROYED FROM", Cut::Never),
    ("ID", Cut::Never),
];

/// Columns that a window without room for all of them leaves out: the ids where names tell the secrets apart, and otherwise
/// what one can do without.
const WITHOUT_IDS: [usize; 5] = [0, 1, 2, 3, 4];
const WITH_IDS: [usize; 4] = [0, 2, 3, 5];

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
    let clock = Clock::of_stdout();
    let rows: Vec<Vec<String>> = secrets.iter().map(|trashed| row(trashed, &clock)).collect();
    let names: HashSet<&str> = secrets.iter().map(|trashed| trashed.secret.name.as_str()).collect();
    let fewer: &[usize] = if names.len() == secrets.len() { &WITHOUT_IDS } else { &WITH_IDS };
    let text = table::render_in_window(&COLUMNS, rows, fewer, output::columns(), output.colour);
    output::answer(text.as_bytes())
}

fn row(trashed: &TrashedSecret, clock: &Clock) -> Vec<String> {
    let secret = &trashed.secret;
    vec![
        secret.name.to_string(),
        secret.provider.as_ref().map_or("-", Provider::as_str).to_owned(),
        secret.masked_value.clone(),
        clock.shown(trashed.deleted_at),
        clock.shown(trashed.purged_at),
        secret.id.to_string(),
    ]
}
