//! `import`: from a file into the vault. Everything is read and checked first; then one pass of writes; then every
//! value is read back; and only then, if told to, the file is deleted.

pub(crate) mod entries;
mod foreign;
mod format;
mod git;
mod instead;
mod plan;
mod settings;
mod source;
mod store;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;
use secrets_client::Call;
use secrets_proto::secret::{Secret, SecretList};
use secrets_proto::{Glob, SecretName};

use self::entries::{Fault, Found, Place, Reading};
use self::foreign::From;
use self::format::ImportFormat;
pub(crate) use self::plan::OnConflict;
use self::plan::{announce, describe, names, plan, summary};
use self::settings::leave_settings;
use self::source::Source;
use self::store::{read_back, store};
use crate::dotenv::Dialect;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::project::Project;
use crate::project::flags::NameArgs;
use crate::session::Session;

/// Import secrets from a file, and optionally delete it
#[derive(Debug, Args)]
#[command(after_help = "\
If a line cannot be imported unchanged, or a name exists, such lines are listed
(of names the first ten) and nothing is stored. All are stored at once, or none;
only more than 5,000, or a megabyte of them, go in parts. Each stored value is
read back and compared.
dotenv is read as dotenvy does, but without variables: a $ outside single quotes
is refused. So is what most readers take differently: a backslash or a quote
inside an unquoted value, and anything behind a closing quote. --dialect names
another reader; without it, a note names lines that a common reader changes.
json is one object of strings; nested takes paths for names. Files of other
programs are named by --format alone: their secrets get the names under which
secretctl's helpers look for them, and what to put in their place is printed.
--find lists such files on this machine, without values, and the next command.
Deleting the file does not remove it from disks, backups or git's history.

Example:
  secretctl import .env --dry-run
  secretctl import .env --delete-source
  secretctl import .env --prefix SHOP_ --except PORT,NODE_ENV
  secretctl import .env --skip-empty --only '*_KEY,*_TOKEN'
  secretctl import --find
  secretctl import ~/.aws/credentials --format aws
  sops -d secrets.yaml | secretctl import - --format nested")]
pub(crate) struct ImportArgs {
    /// The file; `-` is stdin
    #[arg(value_name = "FILE", required_unless_present = "find")]
    pub(crate) file: Option<PathBuf>,
    /// List files on this machine that hold secrets, without values, and what to do with each
    #[arg(long, conflicts_with_all = ["file", "format", "dialect", "only", "except", "prefix", "skip_empty", "dry_run", "on_conflict", "local", "delete_source"])]
    pub(crate) find: bool,
    /// The format [default: json if the name ends in json or the file begins with {, else dotenv]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<ImportFormat>,
    /// The reader whose values the dotenv file holds
    #[arg(long, value_name = "READER")]
    pub(crate) dialect: Option<Dialect>,
    /// Only the names that this glob matches; repeatable, or separated by commas
    #[arg(long, value_name = "GLOB", value_delimiter = ',', conflicts_with = "delete_source")]
    pub(crate) only: Vec<String>,
    /// All but the names that this glob matches; repeatable, or separated by commas
    #[arg(long, value_name = "GLOB", value_delimiter = ',', conflicts_with = "delete_source")]
    pub(crate) except: Vec<String>,
    /// Put this before each name, for the second project with the same names
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["project", "profile", "manifest"])]
    pub(crate) prefix: Option<String>,
    /// Leave out empty values and print their names, instead of refusing them
    #[arg(long)]
    pub(crate) skip_empty: bool,
    /// Print what would happen, store nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What to do with a name that exists
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    pub(crate) on_conflict: OnConflict,
    /// Keep them on this machine, where the vault is on several
    #[arg(long)]
    pub(crate) local: bool,
    /// Delete the file after every value was stored and read back
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) delete_source: bool,
    #[command(flatten)]
    pub(crate) project: NameArgs,
}

impl ImportArgs {
    /// This file as it is, all of it.
    pub(crate) fn of(file: PathBuf) -> Self {
        Self {
            file: Some(file),
            find: false,
            format: None,
            dialect: None,
            only: Vec::new(),
            except: Vec::new(),
            prefix: None,
            project: NameArgs::default(),
            skip_empty: false,
            dry_run: false,
            on_conflict: OnConflict::Fail,
            local: false,
            delete_source: false,
        }
    }
}

/// The most faults that are told one by one: a file that has more is none of this format.
const SHOWN: usize = 20;

/// The most names that exist and are told one by one.
const LISTED: usize = 10;

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &ImportArgs,
) -> Result<(), Failure> {
    store_file(open, output, args).map(drop)
}

/// Imports, and gives the names of what is stored now.
pub(super) fn store_file(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &ImportArgs,
) -> Result<Vec<SecretName>, Failure> {
    if args.find {
        return Err(foreign::find(output.json));
    }
    let project = Project::named(&args.project)?;
    let file = args.file.as_deref().unwrap_or(Path::new("-"));
    let by_name = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let format = args.format.or(by_name.then_some(ImportFormat::Json));
    let is_store = format.is_some_and(ImportFormat::is_store);
    let source = if is_store {
        Source::elsewhere(args.delete_source)
    } else {
        Source::read(file, args.delete_source)
    }?;
    store::tell_of_interruption();
    let globs = |texts: &[String]| texts.iter().map(|text| Glob::parse(text)).collect::<Result<Vec<_>, _>>();
    let prefix = match &project {
        Some(project) => Some(project.own_prefix()?),
        None => args.prefix.as_deref().map(SecretName::parse).transpose()?,
    };
    let (only, except, skip_empty) = (globs(&args.only)?, globs(&args.except)?, args.skip_empty);
    let reading = Reading { format, dialect: args.dialect, only, except, prefix, skip_empty };
    let foreign = format.and_then(ImportFormat::foreign);
    let found = match &foreign {
        Some(name) if is_store => foreign::read(name, &From::Store(&source::directory(file)?), &reading)?,
        Some(name) => foreign::read(name, &From::Bytes(source.bytes()), &reading)?,
        None => reading.read(source.bytes()),
    };
    let Found { mut items, mut faults, differing, empty, notes, instead, holds_more } = found;
    notes.iter().for_each(|note| output::say(note));
    source.warnings().iter().for_each(|warning| output::say(warning));
    // The only copy of what the file's own reader takes would be deleted; what is left out matters less.
    let is_stored = |place: Place| items.iter().any(|item| item.place == place);
    let (lost, told): (Vec<_>, Vec<_>) =
        differing.into_iter().partition(|(place, _)| args.delete_source && is_stored(*place));
    for (place, readers) in lost {
        let readers = readers.join(", ");
        let reason =
            format!("another value for {readers}; to delete the file, say whose it is with --dialect");
        faults.push(Fault { place, reason });
    }
    for (place, readers) in told {
        let readers = readers.join(", ");
        output::say(&format!(
            "{place}: another value for {readers}; if that is the file's reader, say --dialect"
        ));
    }
    if !empty.is_empty() {
        output::say(&format!(
            "left out, because they are empty: {}",
            names(&empty.iter().collect::<Vec<_>>())
        ));
    }
    if items.is_empty() && faults.is_empty() {
        return Err(Failure::new(
            Exit::Invalid,
            if args.only.is_empty() { "nothing to import" } else { "nothing to import that --only selects" },
        ));
    }
    if args.delete_source && holds_more && faults.is_empty() {
        return Err(instead::not_deletable(&source, &instead));
    }
    let mut left = Vec::new();
    if foreign.is_none() && faults.is_empty() && source.shown().is_some() {
        left = leave_settings(&mut items, reading.prefix.as_ref(), source.shown().unwrap_or("the file"))?;
    }
    let session = open()?;
    let (items, conflicts) = match present(&session) {
        Ok(present) => plan(items, &present, args.on_conflict),
        // The daemon is not needed to say what is wrong with the file.
        Err(_) if !faults.is_empty() => (Vec::new(), Vec::new()),
        Err(failure) => return Err(failure),
    };
    let exit = if faults.is_empty() { Exit::Conflict } else { Exit::Invalid };
    let unlisted = conflicts.len().saturating_sub(LISTED);
    faults.extend(conflicts.into_iter().take(LISTED));
    if !faults.is_empty() {
        let failure = report(faults, unlisted, exit);
        let hint =
            if args.format.is_none() && exit == Exit::Invalid { foreign::hint(source.bytes()) } else { None };
        hint.iter().for_each(|hint| output::say(hint));
        if exit == Exit::Conflict && reading.prefix.is_none() {
            let prefix = source.prefix();
            output::say(&format!(
                "two projects? add --prefix {prefix}, and run with --prefix-strip {prefix}"
            ));
        }
        return Err(failure);
    }
    announce(&items);
    let named: Vec<SecretName> = items.iter().map(|planned| planned.item.name.clone()).collect();
    let for_helpers = format.is_some_and(ImportFormat::is_for_helpers);
    if for_helpers && reading.prefix.is_some() {
        output::say("secretctl's helpers look for these names without a prefix, and will not find them");
    }
    if args.dry_run {
        output::answer(describe(&items, output).as_bytes())?;
        return Ok(named);
    }
    store(&session, &items, args.local)?;
    let differing = read_back(&session, &items, args.delete_source)?;
    output::say(&summary(&items));
    if !args.delete_source {
        if !instead.is_empty() {
            instead::say(&source, &instead);
        } else if is_store {
            output::say(
                "the store still holds the values; remove them there when nothing reads them any more",
            );
        } else if let Some(file) = source.shown() {
            output::say(&format!("{file} still holds the values; delete it when nothing reads it any more"));
        }
        return Ok(named);
    }
    if !differing.is_empty() {
        let text =
            format!("the vault has a different value for {}; the file is not deleted", names(&differing));
        return Err(Failure::new(Exit::Conflict, text));
    }
    let lines: Vec<usize> = left.iter().filter_map(|item| item.place.line()).collect();
    if lines.is_empty() {
        source.delete()?;
    } else {
        source.keep(&lines)?;
    }
    output::say(&deleted(&source, lines.len()));
    Ok(named)
}

fn present(session: &Session) -> Result<HashSet<SecretName>, Failure> {
    let list: SecretList<Secret> = session.fetch(&Call::list())?;
    Ok(list.secrets.into_iter().map(|secret| secret.name).collect())
}

/// Says each problem in a line of its own, how many more names exist, and gives the failure that sums them up.
fn report(mut faults: Vec<Fault>, unlisted: usize, exit: Exit) -> Failure {
    faults.sort_by_key(|fault| fault.place);
    for fault in faults.iter().take(SHOWN) {
        output::say(&format!("{}: {}", fault.place, fault.reason));
    }
    let count = faults.len() + unlisted;
    if let more @ 1.. = count - faults.len().min(SHOWN) {
        output::say(&format!("and {more} more"));
    }
    let noun = if count == 1 { "problem" } else { "problems" };
    Failure::new(exit, format!("{count} {noun}; nothing was stored"))
}

fn deleted(source: &Source, kept: usize) -> String {
    let file = source.shown().unwrap_or("the file");
    let what = match kept {
        0 => format!("deleted {file}"),
        1 => format!("removed all but 1 line from {file}"),
        _ => format!("removed all but {kept} lines from {file}"),
    };
    let others = match source.other_names() {
        0 => String::new(),
        count => format!(" it still exists under {count} other names (hard links);"),
    };
    format!(
        "{what};{others} disks, backups and git's history may still hold it; to be safe, get new values from the providers"
    )
}
