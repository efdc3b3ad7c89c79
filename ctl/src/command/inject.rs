//! `inject`: a template with values in it. What is missing or malformed is reported as a whole, and then nothing is
//! written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use secrets_client::Call;
use secrets_proto::reveal::RevealRequest;
use secrets_proto::secret::SecretList;
use secrets_proto::{SecretName, Selector};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::project::Project;
use crate::project::flags::ManifestArgs;
use crate::session::Session;
use crate::template::{self, Malformed, Placeholder};
use crate::variables::{self, Allowed};
use crate::{assignment, environment, handover, input, lookup, near, new_file, output, shell};

/// Fill in a template with secrets' values
#[derive(Debug, Args)]
#[command(after_help = "\
Replaces each {{ secret:NAME }} by that secret's value; everything else stays as
it is, byte for byte. Nothing is quoted or escaped: a shell that reads the
output may execute what is in a value. With --shell each value is quoted and
must be all that follows NAME= on its line, and names with a meaning for shells
(OPTIND, PS1, UID) are refused unless allowed. Missing secrets and malformed
placeholders are listed with their lines, and nothing is written. The output
file has mode 0600 and appears only when it is complete. Prints to a terminal
only with --show.

With --profile, --scope or --manifest a NAME that the allowed secretspec.toml
has is the project's secret, and any other one the vault's.

Example:
  secretctl inject -i config.toml.in -o config.toml
  secretctl inject --shell -i env.sh.in -o env.sh
  secretctl inject < nginx.conf.in | nginx-config-reader")]
pub(crate) struct InjectArgs {
    /// The template; `-` or none: stdin
    #[arg(short = 'i', long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// The output file; `-` or none: stdout
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write for a shell: quote each value, which must be all that follows NAME= on its line
    #[arg(long)]
    pub(crate) shell: bool,
    /// Allow this variable although it has a meaning for shells or programs; repeatable
    #[arg(long = "allow-name", value_name = "NAME", requires = "shell")]
    pub(crate) allow_names: Vec<String>,
    /// Print the values even to a terminal
    #[arg(long)]
    pub(crate) show: bool,
    /// The reason, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
}

/// The most bytes of a template.
const LIMIT: u64 = 64 << 20;

pub(crate) fn run(open: impl FnOnce() -> Result<Session, Failure>, args: &InjectArgs) -> Result<(), Failure> {
    let target = args.output.as_deref().filter(|path| *path != Path::new("-"));
    let template = read(args.input.as_deref().filter(|path| *path != Path::new("-")), target)?;
    let (places, mut malformed) = template::scan(&template);
    if args.shell {
        malformed.extend(check_for_shell(&template, &places, &args.allow_names)?);
    } else if target.is_some_and(is_for_shell) {
        output::say("a shell that reads this may execute a value; use --shell to quote values");
    }
    if places.is_empty() && malformed.is_empty() {
        warn_of_wide_text(&template);
        return write(target, &template);
    }
    if target.is_none() {
        handover::refuse_terminal(args.show)?;
    }
    let lines = lines_by_name(&places);
    if lines.len() > RevealRequest::MAX_SELECTORS {
        let text = format!("the template names more than {} secrets", RevealRequest::MAX_SELECTORS);
        return Err(Failure::new(Exit::Invalid, text));
    }
    if !malformed.is_empty() {
        // What is missing beside it should be known too; without the right to look, this much is.
        let missing =
            if lines.is_empty() { Vec::new() } else { missing(&open()?, &lines).unwrap_or_default() };
        return Err(report(&malformed, &missing, &lines, &[]));
    }
    let project = if args.manifest.is_given() {
        Project::here(&args.manifest)?.map(Project::allowed).transpose()?
    } else {
        None
    };
    let session = open()?;
    let values = values(&session, &lines, project.as_ref(), args.reason.as_deref())?;
    if !args.shell {
        warn_of_line_ends(&template, &places, &values);
    }
    write(target, &fill(&template, &places, &values, args.shell)?)
}

/// The values of placeholders.
type Values = HashMap<SecretName, Zeroizing<String>>;

/// The value of each name: the project's if the project has such a secret, otherwise the vault's.
fn values(
    session: &Session,
    lines: &Lines<'_>,
    project: Option<&Project>,
    reason: Option<&str>,
) -> Result<Values, Failure> {
    let mut values = Values::new();
    if let Some(project) = project {
        let keys = project.visible()?;
        let is_meant = |key: &&str| lines.keys().any(|name| name.as_str().eq_ignore_ascii_case(key));
        let keys: Vec<&str> = keys.into_iter().filter(is_meant).collect();
        for (key, value) in project.for_text(session, Some(&keys), "inject", reason)? {
            values.insert(SecretName::parse(&key)?, value);
        }
    }
    let others: Vec<&SecretName> = lines.keys().copied().filter(|name| !values.contains_key(*name)).collect();
    if others.is_empty() {
        return Ok(values);
    }
    let lines: Lines<'_> = others.iter().filter_map(|name| Some((*name, lines.get(name)?.clone()))).collect();
    let selectors: Vec<Selector> = lines.keys().map(|name| Selector::Name((*name).clone())).collect();
    let request = handover::request(selectors, "inject", reason)?;
    let reply = match handover::ask(session, &request) {
        Ok(reply) => reply,
        Err(failure) if failure.exit() == Exit::NotFound => {
            return Err(not_found(failure, &lines, &near::listed(session)));
        }
        Err(failure) => return Err(failure),
    };
    for secret in reply.secrets {
        values.insert(secret.name, Zeroizing::new(secret.value.expose().to_owned()));
    }
    Ok(values)
}

/// Says which values bring a line end into a line that goes on: a header would end there.
fn warn_of_line_ends(template: &[u8], places: &[Placeholder], values: &Values) {
    let is_alone = |place: &Placeholder| {
        let before = template.get(..place.range.start).unwrap_or_default();
        let after = template.get(place.range.end..).unwrap_or_default();
        matches!(before.last(), None | Some(b'\n')) && matches!(after.first(), None | Some(b'\r' | b'\n'))
    };
    let ends = |name: &SecretName| values.get(name).is_some_and(|value| value.ends_with('\n'));
    for place in places.iter().filter(|place| ends(&place.name) && !is_alone(place)) {
        let (line, name) = (place.line, &place.name);
        output::say(&format!("line {line}: {name} ends with a line break, which breaks this line too"));
    }
}

/// Whether a file is one that shells read, by its name.
fn is_for_shell(path: &Path) -> bool {
    const ENDINGS: [&str; 8] = [".sh", ".bash", ".zsh", ".ksh", ".envrc", "shrc", "profile", "zshenv"];
    let name = path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
    ENDINGS.iter().any(|ending| name.ends_with(ending.as_bytes()))
}

/// What is wrong with a template for a shell. Names that a shell gives a meaning are refused.
fn check_for_shell(
    template: &[u8],
    places: &[Placeholder],
    allowed: &[String],
) -> Result<Vec<Malformed>, Failure> {
    let allowed = Allowed::parse(&[], allowed)?;
    let names = match assignment::variables(template, places) {
        Ok(names) => names,
        Err(malformed) => return Ok(malformed),
    };
    let refused = names.iter().filter_map(|name| Some(((*name).to_owned(), allowed.in_shell(name)?)));
    let refused: Vec<_> = refused.collect();
    variables::settle(
        &refused,
        "nothing was written; use another name, or allow each with --allow-name NAME",
    )?;
    Ok(Vec::new())
}

/// Which names stand on which lines.
type Lines<'a> = BTreeMap<&'a SecretName, Vec<usize>>;

fn lines_by_name(places: &[Placeholder]) -> Lines<'_> {
    let mut lines = Lines::new();
    for place in places {
        let of_name = lines.entry(&place.name).or_default();
        if of_name.last() != Some(&place.line) {
            of_name.push(place.line);
        }
    }
    lines
}

fn read(from: Option<&Path>, target: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let name = from.and_then(input::shown).unwrap_or_else(|| "what was named".to_owned());
    let mut template = Vec::new();
    let read = match from {
        None => {
            if io::stdin().is_terminal() {
                output::say("reading the template from the terminal; Ctrl-D ends it");
            }
            io::stdin().lock().take(LIMIT + 1).read_to_end(&mut template)
        }
        Some(path) => input::open(path, &name).and_then(|file| {
            let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
            if let Some(there) = target.and_then(|target| fs::metadata(target).ok())
                && same(&there, &file.metadata()?)
            {
                return Err(io::Error::other(
                    "the output would replace the template; name another file with -o",
                ));
            }
            file.take(LIMIT + 1).read_to_end(&mut template)
        }),
    };
    read.map_err(|error| Failure::new(Exit::Other, format!("cannot read the template, {name}: {error}")))?;
    if template.len() as u64 > LIMIT {
        return Err(Failure::new(Exit::Invalid, format!("the template has more than {LIMIT} bytes")));
    }
    Ok(template)
}

fn warn_of_wide_text(template: &[u8]) {
    if template.starts_with(b"\xff\xfe") || template.starts_with(b"\xfe\xff") {
        output::say("the template is UTF-16; convert it to UTF-8");
    }
}

/// The names in a template that the list of secrets lacks.
fn missing<'a>(session: &Session, lines: &Lines<'a>) -> Result<Vec<&'a SecretName>, Failure> {
    let list: SecretList = session.fetch(&Call::list())?;
    let there: HashSet<&SecretName> = list.secrets.iter().map(|secret| &secret.name).collect();
    Ok(lines.keys().filter(|name| !there.contains(*name)).copied().collect())
}

/// Names what the daemon found missing, with its lines.
fn not_found(failure: Failure, lines: &Lines<'_>, listed: &[SecretName]) -> Failure {
    let names: Vec<&SecretName> = lines.keys().copied().collect();
    let missing: Vec<&SecretName> =
        failure.positions().into_iter().filter_map(|index| names.get(index).copied()).collect();
    if missing.is_empty() { failure } else { report(&[], &missing, lines, listed) }
}

/// Says each problem in a line of its own, in the template's order, and gives the failure that sums them up.
fn report(
    malformed: &[Malformed],
    missing: &[&SecretName],
    lines: &Lines<'_>,
    listed: &[SecretName],
) -> Failure {
    let mut problems: Vec<(usize, String)> =
        malformed.iter().map(|fault| (fault.line, fault.reason.to_owned())).collect();
    for name in missing {
        let selector = Selector::Name((*name).clone());
        let meant = lookup::meant(&selector, listed).map(|meant| format!("; did you mean {meant}?"));
        let text = format!("no such secret: {}{}", lookup::shown(&selector), meant.unwrap_or_default());
        problems.extend(lines.get(name).into_iter().flatten().map(|line| (*line, text.clone())));
    }
    problems.sort();
    for (line, text) in &problems {
        output::say(&format!("line {line}: {text}"));
    }
    let exit = if malformed.is_empty() { Exit::NotFound } else { Exit::Invalid };
    let count = problems.len();
    let noun = if count == 1 { "problem" } else { "problems" };
    Failure::new(exit, format!("{count} {noun} in the template; nothing was written"))
}

fn fill(
    template: &[u8],
    places: &[Placeholder],
    values: &Values,
    quoted: bool,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let incomplete = || Failure::new(Exit::DaemonFailed, "secretsd did not return all secrets");
    let mut pieces: Vec<&[u8]> = Vec::new();
    let mut at = 0;
    for place in places {
        let value: &str = values.get(&place.name).ok_or_else(incomplete)?;
        pieces.push(template.get(at..place.range.start).unwrap_or_default());
        if quoted {
            shell::quote(value, |piece| pieces.push(piece.as_bytes()));
        } else {
            pieces.push(value.as_bytes());
        }
        at = place.range.end;
    }
    pieces.push(template.get(at..).unwrap_or_default());
    // Never grows, so that no copy is left behind.
    let mut filled = Zeroizing::new(Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum()));
    pieces.iter().for_each(|piece| filled.extend_from_slice(piece));
    Ok(filled)
}

fn write(target: Option<&Path>, content: &[u8]) -> Result<(), Failure> {
    let Some(path) = target else { return output::answer(content) };
    let path = environment::absolute(path)?;
    let name = input::shown(&path).unwrap_or_else(|| "the file that -o names".to_owned());
    new_file::write(&path, content).map_err(|error| {
        Failure::new(Exit::Other, format!("cannot write {name}: {error}; nothing was written"))
    })
}
