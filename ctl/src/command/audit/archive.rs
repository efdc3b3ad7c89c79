//! `audit archive`: the audit log's entries into a file, and then out of the vault.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::audit::{ArchiveAudit, AuditArchived, AuditEntry, AuditList, AuditVerified};

use crate::failure::{Exit, Failure};
use crate::new_file::{self, NewFile};
use crate::session::Session;
use crate::{environment, output};

/// The file to make.
#[derive(Debug, Args)]
pub(crate) struct ArchiveArgs {
    /// The new file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// The most entries that the daemon lists at once.
const PAGE: u64 = 1_000;

pub(super) fn run(session: &Session, args: &ArchiveArgs) -> Result<(), Failure> {
    let path = environment::absolute(&args.file)?;
    let mut draft = NewFile::beside(&path, new_file::PRIVATE).map_err(failed)?;
    let AuditVerified { entries, first } = session.fetch(&Call::get("/audit/verify"))?;
    let (mut next, through) = (first, first + entries - 1);
    while next <= through {
        let page = page(session, next, through)?;
        // The numbers have no gaps, whatever is written meanwhile.
        if page.is_empty() || !page.iter().map(|entry| entry.sequence).eq(next..next + page.len() as u64) {
            return Err(Failure::new(
                Exit::Conflict,
                "the audit log was changed meanwhile; nothing was archived, try again",
            ));
        }
        draft.file().write_all(&super::lines(&page)?).map_err(failed)?;
        next += page.len() as u64;
    }
    draft.file().sync_all().map_err(failed)?;
    draft.publish(false).map_err(failed)?;
    // The file is on the disk: only now may the vault lose them.
    let call = Call::new(Method::POST, "/audit/archive").json(&ArchiveAudit { through })?;
    let AuditArchived { removed } = session.fetch(&call).map_err(|failure: Failure| {
        let kept = "the file is complete, keep it: entries may have left the vault already; archive the rest to another file";
        Failure::new(failure.exit(), format!("{}; {kept}", failure.message()))
    })?;
    output::say(&format!(
        "{removed} entries are in the file and have left the vault; number {} is its first now",
        through + 1
    ));
    Ok(())
}

/// The entries from `next` on: a page, or fewer if they are large.
fn page(session: &Session, next: u64, through: u64) -> Result<Vec<AuditEntry>, Failure> {
    let mut last = through.min(next + PAGE - 1);
    loop {
        let call = Call::get("/audit")
            .query("before", &(last + 1).to_string())
            .query("limit", &(last + 1 - next).to_string());
        let AuditList { mut entries, .. } = session.fetch(&call)?;
        // Nothing is written after the last entry: then `before` names none, and the newest are listed.
        entries.retain(|entry| entry.sequence <= last);
        match entries.first() {
            Some(entry) if entry.sequence > next => last = entry.sequence - 1,
            _ => return Ok(entries),
        }
    }
}

fn failed(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return Failure::new(Exit::Conflict, "the file exists already; choose another name");
    }
    Failure::new(Exit::Other, format!("cannot write the archive: {error}"))
}
