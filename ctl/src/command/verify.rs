//! `verify`: has the daemon read everything, and says whether it is authentic and as new as it was.

use clap::Args;
use secrets_client::{Answer, Call, Method};
use secrets_proto::vault::{VerifyReply, VerifyRequest};

use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::session::{LONG, Session};

/// Read and check the whole vault
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status 9 if the vault is damaged or older than it was. Use --accept-restore
if you put back a backup by hand.

Example:
  secretctl verify")]
pub(crate) struct VerifyArgs {
    /// Accept the vault although it is older than it was
    #[arg(long)]
    pub(crate) accept_restore: bool,
}

/// What to do about a vault that is older than it was.
pub(super) const ROLLED_BACK: &str = "the vault is older than it was, so it is read-only; put the newer vault back, or keep this one with: secretctl verify --accept-restore";

/// Said to a person who waits.
pub(super) const NOTE: &str = "reading the whole vault…";

pub(crate) fn run(session: &Session, output: Output, args: &VerifyArgs) -> Result<(), Failure> {
    let call = Call::new(Method::POST, "/vault/verify")
        .within(LONG)
        .json(&VerifyRequest { accept_restore: args.accept_restore })?;
    let answer = session.call_noted(&call, NOTE)?;
    if session.status()?.rolled_back {
        return Err(Failure::new(Exit::DaemonFailed, ROLLED_BACK));
    }
    output::say("verified: all data is authentic");
    show(output, &answer)
}

/// Writes what was read.
pub(super) fn show(output: Output, answer: &Answer) -> Result<(), Failure> {
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let counts: VerifyReply = answer.parse()?;
    let items = (counts.items > 0).then_some(("items", counts.items));
    let lines = [
        ("secrets", counts.secrets),
        ("in the trash", counts.trashed),
        ("values", counts.values),
        ("tokens", counts.tokens),
        ("credentials", counts.credentials),
        ("audit entries", counts.audit_entries),
    ];
    let text: String = lines
        .iter()
        .chain(&items)
        .map(|(title, count)| output::titled(title, 13, &count.to_string()))
        .collect();
    output::answer(text.as_bytes())
}
