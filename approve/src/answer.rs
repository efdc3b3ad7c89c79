//! One answer with the passphrase: a window, and what comes of what is typed there.

use std::path::PathBuf;

use secrets_proto::ErrorType;
use secrets_proto::approval::Approval;

use crate::daemon::Daemon;
use crate::notice;
use crate::pinentry::{self, Question};

/// How often a person may mistype.
const TRIES: usize = 3;

/// Asks for the passphrase, and allows the ask with it. Gives what to write into the log; none of it names a secret.
pub(crate) async fn answer(daemon: Daemon, programs: Vec<PathBuf>, ask: Approval) -> String {
    let id = notice::short(&ask);
    let description = notice::description(&ask);
    let mut error = None;
    for _ in 0..TRIES {
        let question = Question { description: &description, yes: notice::yes(&ask), error };
        let passphrase = match pinentry::ask(&programs, &question).await {
            Ok(Some(passphrase)) => passphrase,
            Ok(None) => return format!("{id}: nobody has typed the passphrase; nothing was decided"),
            Err(error) => return format!("{id}: nothing was decided: {error}"),
        };
        match daemon.allow(&ask, notice::scope(&ask), passphrase).await {
            Ok(()) => return format!("{id}: allowed"),
            Err(refused) if refused.kind() == Some(ErrorType::WrongKeyError) => {
                error = Some("That is not the passphrase.");
            }
            Err(refused) => return format!("{id}: nothing was allowed: {refused}"),
        }
    }
    format!("{id}: three wrong passphrases; nothing was allowed")
}
