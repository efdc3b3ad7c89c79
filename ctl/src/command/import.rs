//! `import`: from a file into the vault. Everything is read and checked first; then one pass of writes; then every
//! value is read back; and only then, if told to, the file is deleted.

pub(crate) mod entries;
mod git;
mod source;

use std::collections::HashMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use secrets_client::{Call, Method};
use secrets_proto::secret::{CreateSecret, Secret, SecretList, UpdateSecret};
use secrets_proto::{Glob, Provider, SecretName, Selector, Uuid};

use self::entries::{Fault, Found, ImportFormat, Item, Reading};
use self::source::Source;
use crate::dotenv::Dialect;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output, Waiting};
use crate::session::Session;
use crate::{handover, lookup, providers, table, variables};

/// What to do with a name that exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnConflict {
    /// Store nothing
    #[default]
    Fail,
    /// Keep what is there
    Skip,
    /// Replace the value; the present one goes to the history
    Replace,
}

/// Import secrets from a file, and optionally delete it
#[derive(Debug, Args)]
#[command(after_help = "\
If a line cannot be imported unchanged, or a name exists, all such lines are
listed and nothing is stored. Each stored value is read back and compared.
dotenv is read as dotenvy does, but without variables: a $ outside single quotes
is refused. So is what most readers take differently: a backslash or a quote
inside an unquoted value, and anything behind a closing quote. --dialect names
another reader; without it, a note names lines that a common reader changes.
json is one object of strings. Deleting the file does not remove it from disks,
backups or git's history.

Example:
  secretctl import .env --dry-run
  secretctl import .env --delete-source
  secretctl import .env --skip-empty --only '*_KEY,*_TOKEN'
  vault-export | secretctl import - --format json")]
pub(crate) struct ImportArgs {
    /// The file; `-` is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The format [default: json if the name ends in json or the file begins with {, else dotenv]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<ImportFormat>,
    /// The reader whose values the dotenv file holds
    #[arg(long, value_name = "READER")]
    pub(crate) dialect: Option<Dialect>,
    /// Only the names that this glob matches; repeatable, or separated by commas
    #[arg(long, value_name = "GLOB", value_delimiter = ',', conflicts_with = "delete_source")]
    pub(crate) only: Vec<String>,
    /// Leave out empty values and print their names, instead of refusing them
    #[arg(long)]
    pub(crate) skip_empty: bool,
    /// Print what would happen, store nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What to do with a name that exists
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    pub(crate) on_conflict: OnConflict,
    /// Delete the file after every value was stored and read back
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) delete_source: bool,
}

/// How many values are read back at once.
const AT_ONCE: usize = 100;

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &ImportArgs,
) -> Result<(), Failure> {
    let source = Source::read(&args.file, args.delete_source)?;
    let by_name = args.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let format = args.format.or(by_name.then_some(ImportFormat::Json));
    let only = args.only.iter().map(|text| Glob::parse(text)).collect::<Result<Vec<Glob>, _>>()?;
    let reading = Reading { format, dialect: args.dialect, only, skip_empty: args.skip_empty };
    let Found { items, mut faults, differing, empty } = reading.read(source.bytes());
    source.warnings().iter().for_each(|warning| output::say(warning));
    for (place, readers) in differing {
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
    let session = open()?;
    let (items, conflicts) = match present(&session) {
        Ok(present) => plan(items, &present, args.on_conflict),
        // The daemon is not needed to say what is wrong with the file.
        Err(_) if !faults.is_empty() => (Vec::new(), Vec::new()),
        Err(failure) => return Err(failure),
    };
    let exit = if faults.is_empty() { Exit::Conflict } else { Exit::Invalid };
    faults.extend(conflicts);
    if !faults.is_empty() {
        return Err(report(faults, exit));
    }
    announce(&items);
    if args.dry_run {
        return output::answer(describe(&items, output).as_bytes());
    }
    store(&session, &items)?;
    let differing = read_back(&session, &items, args.delete_source)?;
    output::say(&summary(&items));
    if !args.delete_source {
        if let Some(file) = source.shown() {
            output::say(&format!("{file} still holds the values; delete it when nothing reads it any more"));
        }
        return Ok(());
    }
    if !differing.is_empty() {
        let text =
            format!("the vault has a different value for {}; the file is not deleted", names(&differing));
        return Err(Failure::new(Exit::Conflict, text));
    }
    source.delete()?;
    output::say(&deleted(&source));
    Ok(())
}

/// What is to be done with one item.
struct Planned {
    item: Item,
    action: Action,
    /// The provider that the value's prefix names, for what is new.
    provider: Option<(&'static str, Provider)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Create,
    Replace(Uuid),
    Skip,
}

impl Action {
    const fn word(self) -> &'static str {
        match self {
            Self::Create => "new",
            Self::Replace(_) => "replace",
            Self::Skip => "skip",
        }
    }
}

fn present(session: &Session) -> Result<HashMap<SecretName, Uuid>, Failure> {
    let list: SecretList<Secret> = session.fetch(&Call::list())?;
    Ok(list.secrets.into_iter().map(|secret| (secret.name, secret.id)).collect())
}

/// What to do with each, and the names that are taken and must not be.
fn plan(
    items: Vec<Item>,
    present: &HashMap<SecretName, Uuid>,
    on_conflict: OnConflict,
) -> (Vec<Planned>, Vec<Fault>) {
    let mut planned = Vec::with_capacity(items.len());
    let mut conflicts = Vec::new();
    for item in items {
        let action = match (present.get(&item.name), on_conflict) {
            (None, _) => Action::Create,
            (Some(id), OnConflict::Replace) => Action::Replace(*id),
            (Some(_), OnConflict::Skip) => Action::Skip,
            (Some(_), OnConflict::Fail) => {
                let reason = format!("{} already exists; see: --on-conflict", shown(&item.name));
                conflicts.push(Fault { place: item.place, reason });
                continue;
            }
        };
        let recognised =
            (action == Action::Create).then(|| providers::recognise(item.value.expose())).flatten();
        let provider = recognised.and_then(|(prefix, name)| Some((prefix, Provider::parse(name).ok()?)));
        planned.push(Planned { item, action, provider });
    }
    (planned, conflicts)
}

/// Says each problem in a line of its own, and gives the failure that sums them up.
fn report(mut faults: Vec<Fault>, exit: Exit) -> Failure {
    faults.sort_by_key(|fault| fault.place);
    for fault in &faults {
        output::say(&format!("{}: {}", fault.place, fault.reason));
    }
    let count = faults.len();
    let noun = if count == 1 { "problem" } else { "problems" };
    Failure::new(exit, format!("{count} {noun}; nothing was stored"))
}

/// What is not as it is written in the file, or could surprise.
fn announce(items: &[Planned]) {
    let of = |wanted: fn(&Planned) -> bool| -> Vec<&SecretName> {
        items.iter().filter(|planned| wanted(planned)).map(|planned| &planned.item.name).collect()
    };
    let renamed = of(|planned| planned.item.renamed);
    if !renamed.is_empty() {
        output::say(&format!("names are converted to upper case: {}", names(&renamed)));
    }
    variables::warn(items.iter().map(|planned| &planned.item.name));
    let told = items.iter().filter_map(|planned| {
        let (prefix, provider) = planned.provider.as_ref()?;
        Some(format!("{} {provider} ({prefix})", shown(&planned.item.name)))
    });
    let told: Vec<String> = told.collect();
    if !told.is_empty() {
        output::say(&format!("recognised providers from the values' prefixes: {}", told.join(", ")));
    }
}

fn describe(items: &[Planned], output: Output) -> String {
    let row = |planned: &Planned| {
        let provider = planned.provider.as_ref().map_or("-", |(_, provider)| provider.as_str());
        [
            shown(&planned.item.name),
            planned.action.word().to_owned(),
            provider.to_owned(),
            planned.item.place.to_string(),
        ]
    };
    let rows: Vec<[String; 4]> = items.iter().map(row).collect();
    table::render(["NAME", "WOULD BE", "PROVIDER", "FROM"], &rows, output.colour)
}

/// Stores one after the other. If that ends before all are stored, it prints which are.
fn store(session: &Session, items: &[Planned]) -> Result<(), Failure> {
    let todo: Vec<&Planned> = items.iter().filter(|planned| planned.action != Action::Skip).collect();
    let _waiting = Waiting::start("storing secrets…");
    for (index, planned) in todo.iter().enumerate() {
        let Err(failure) = store_one(session, planned) else { continue };
        let (stored, rest) = todo.split_at(index);
        let names_of = |planned: &[&Planned]| {
            names(&planned.iter().map(|planned| &planned.item.name).collect::<Vec<_>>())
        };
        if !stored.is_empty() {
            output::say(&format!("stored: {}", names_of(stored)));
        }
        let rest = if failure.is_refusal() {
            rest
        } else {
            output::say(&format!("perhaps stored, check with secretctl list: {}", shown(&planned.item.name)));
            rest.get(1..).unwrap_or_default()
        };
        if !rest.is_empty() {
            output::say(&format!("not stored: {}", names_of(rest)));
        }
        let text = format!("{} failed: {failure}; the file is unchanged", planned.item.place);
        return Err(Failure::new(failure.exit(), text));
    }
    Ok(())
}

fn store_one(session: &Session, planned: &Planned) -> Result<(), Failure> {
    let value = planned.item.value.clone();
    let call = match planned.action {
        Action::Skip => return Ok(()),
        Action::Replace(id) => {
            Call::new(Method::PUT, &format!("/user/secrets/{id}")).json(&UpdateSecret { value })?
        }
        Action::Create => {
            let provider = planned.provider.as_ref().map(|(_, provider)| provider.clone());
            let body = CreateSecret { name: planned.item.name.clone(), value, provider };
            Call::new(Method::POST, "/user/secrets").json(&body)?
        }
    };
    session.call(&call).map(drop)
}

/// Compares what the vault has with what was read. Fails if it has something else of what was stored; gives the names
/// of which it has something else because they were skipped.
fn read_back<'a>(
    session: &Session,
    items: &'a [Planned],
    with_skipped: bool,
) -> Result<Vec<&'a SecretName>, Failure> {
    let wanted: Vec<&Planned> =
        items.iter().filter(|planned| with_skipped || planned.action != Action::Skip).collect();
    let mut differing: Vec<&Planned> = Vec::new();
    for some in wanted.chunks(AT_ONCE) {
        let selectors = some.iter().map(|planned| Selector::Name(planned.item.name.clone())).collect();
        let request = handover::request(selectors, "import", None)?;
        let reply = handover::reveal(session, &request).map_err(|failure| {
            let text = format!("stored, but cannot be read back: {failure}; the file is unchanged");
            Failure::new(failure.exit(), text)
        })?;
        let values: HashMap<_, _> =
            reply.secrets.iter().map(|secret| (&secret.name, &secret.value)).collect();
        let differs = |planned: &&&Planned| values.get(&planned.item.name) != Some(&&planned.item.value);
        differing.extend(some.iter().filter(differs));
    }
    let (skipped, wrong): (Vec<&Planned>, Vec<&Planned>) =
        differing.into_iter().partition(|planned| planned.action == Action::Skip);
    if wrong.is_empty() {
        return Ok(skipped.iter().map(|planned| &planned.item.name).collect());
    }
    let wrong: Vec<&SecretName> = wrong.iter().map(|planned| &planned.item.name).collect();
    let text = format!("read back differently than stored: {}; the file is unchanged", names(&wrong));
    Err(Failure::new(Exit::DaemonFailed, text))
}

fn summary(items: &[Planned]) -> String {
    let count = |wanted: fn(Action) -> bool| items.iter().filter(|planned| wanted(planned.action)).count();
    let new = count(|action| action == Action::Create);
    let replaced = count(|action| matches!(action, Action::Replace(_)));
    let skipped = count(|action| action == Action::Skip);
    let mut parts = vec![format!("{new} new")];
    if replaced > 0 {
        parts.push(format!("{replaced} replaced"));
    }
    if skipped > 0 {
        parts.push(format!("{skipped} skipped"));
    }
    format!("imported {}; each value was read back and checked", parts.join(", "))
}

fn deleted(source: &Source) -> String {
    let file = source.shown().unwrap_or("the file");
    let others = match source.other_names() {
        0 => String::new(),
        count => format!(" it still exists under {count} other names (hard links);"),
    };
    format!(
        "deleted {file};{others} disks, backups and git's history may still hold it; to be safe, get new values from the providers"
    )
}

fn names(names: &[&SecretName]) -> String {
    names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ")
}

/// A name as it may be shown: a key in its place is not.
fn shown(name: &SecretName) -> String {
    lookup::shown(&Selector::Name(name.clone()))
}
