//! `restore`: takes a secret out of the trash.

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::Selector;
use secrets_proto::secret::{TrashList, TrashedSecret};

use crate::clock::Clock;
use crate::failure::{Exit, Failure};
use crate::lookup::Wanted;
use crate::output::{self, Output};
use crate::session::Session;
use crate::variables;

/// Restore a secret from the trash
#[derive(Debug, Args)]
#[command(after_help = "\
Restores the newest of several deleted secrets with this name; give an id for
another.

Example:
  secretctl restore OLD_KEY")]
pub(crate) struct RestoreArgs {
    /// The deleted secret's name or id; `secretctl trash` lists them
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &RestoreArgs,
) -> Result<(), Failure> {
    let wanted = Wanted::parse(&args.name)?;
    let session = open()?;
    let TrashList { secrets, .. } = session.fetch(&Call::get("/user/secrets/trash"))?;
    let shown = wanted.to_string();
    let wanted = wanted.into_selector();
    let mut found = secrets.iter().filter(|trashed| is(&wanted, trashed));
    let Some(newest) = found.next() else {
        let text = format!("not in the trash: {shown}; see: secretctl trash");
        return Err(Failure::new(Exit::NotFound, text));
    };
    let call = Call::new(Method::POST, &format!("/user/secrets/{}/restore", newest.secret.id));
    let answer = session.call(&call)?;
    let older = match found.count() {
        0 => String::new(),
        count => format!("; {count} older with this name stay in the trash, restore them by id"),
    };
    variables::warn([&newest.secret.name]);
    let deleted = Clock::of_stderr().shown(newest.deleted_at);
    output::say(&format!("restored {}, deleted {deleted}{older}", newest.secret.name));
    if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) }
}

fn is(wanted: &Selector, trashed: &TrashedSecret) -> bool {
    match wanted {
        Selector::Name(name) => *name == trashed.secret.name,
        Selector::Id(id) => *id == trashed.secret.id,
        Selector::Glob(_) => false,
    }
}
