//! `export`: secrets with their names on stdout, for programs and shells to read.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use secrets_proto::SecretName;
use secrets_proto::reveal::RevealedSecret;
use serde_json::Serializer;
use zeroize::Zeroizing;

use crate::dotenv::Dialect;
use crate::failure::{Exit, Failure};
use crate::project::Project;
use crate::project::flags::ManifestArgs;
use crate::session::Session;
use crate::variables::{self, Allowed};
use crate::{dotenv, environment, handover, input, new_file, output, shell};

/// How secrets are written with their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    #[default]
    Dotenv,
    Json,
    /// For sh, bash, zsh and dash
    Shell,
    /// For fish's `source`
    Fish,
    /// For `docker --env-file`, which takes everything behind the = as it is
    Docker,
}

/// Write names and values, for a shell or as a file
#[derive(Debug, Args)]
#[command(after_help = "\
dotenv is read back unchanged by dotenvy and by a shell's `.`; a note names
values that another common reader changes, and --for writes for that reader.
json is one object of strings. shell is for eval in sh, bash, zsh and dash, fish
for fish. docker is for `docker --env-file` and kubectl, which support neither
quotes nor values with several lines: such values are refused. With -o the file
has mode 0600 and is complete before it gets its name.

Names with a meaning for shells (OPTIND, PS1, UID) are refused unless allowed;
so are those that control programs (LD_PRELOAD, NODE_OPTIONS) unless -s names
them exactly. Then nothing is written. Prints to a terminal only with --show.
Prefer `secretctl run`, which writes nothing anywhere.

In a project with a secretspec.toml that `secretctl project allow` has allowed,
its secrets are written if neither -s nor --all says which; with --profile,
--scope or --manifest in addition to those.

Example:
  secretctl export -s DATABASE_URL,API_KEY -o .env
  secretctl export -s API_KEY --format fish | source
  eval \"$(secretctl export -s 'AWS_*' --format shell)\"")]
pub(crate) struct ExportArgs {
    /// Secrets by name, id or glob; repeatable, or separated by commas
    #[arg(short = 's', long = "secret", value_name = "SELECTOR", value_delimiter = ',')]
    pub(crate) selectors: Vec<String>,
    /// All secrets
    #[arg(long, conflicts_with = "selectors")]
    pub(crate) all: bool,
    /// The output format
    #[arg(long, value_name = "FORMAT", default_value = "dotenv")]
    pub(crate) format: ExportFormat,
    /// The reader of the dotenv file: values are written as it reads them, or refused
    #[arg(long = "for", value_name = "READER")]
    pub(crate) reader: Option<Dialect>,
    /// Where to write; without it, or as `-`, stdout
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Allow this variable although it has a meaning for shells or programs; repeatable
    #[arg(long = "allow-name", value_name = "NAME")]
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

/// The most bytes that one byte of a value becomes: JSON's escape of a control character. Quotes in quotes are five.
const GROWTH: usize = 6;

/// Room for what stands around name and value.
const AROUND: usize = 24;

pub(crate) fn run(open: impl FnOnce() -> Result<Session, Failure>, args: &ExportArgs) -> Result<(), Failure> {
    if args.reader.is_some() && args.format != ExportFormat::Dotenv {
        return Err(Failure::new(Exit::Usage, "--for names a reader of dotenv files; leave out --format"));
    }
    let target = args.output.as_deref().filter(|path| *path != Path::new("-"));
    if target.is_none() {
        handover::refuse_terminal(args.show)?;
    }
    let selectors = handover::selectors(&args.selectors, args.all)?;
    let selects_nothing = selectors.is_empty();
    let project = if selects_nothing || args.manifest.is_given() {
        Project::here(&args.manifest)?.map(Project::allowed).transpose()?
    } else {
        None
    };
    if selects_nothing && project.is_none() {
        let text = "no secrets selected, add -s NAME or --all; see: secretctl export --help";
        return Err(Failure::new(Exit::Usage, text));
    }
    let allowed = Allowed::parse(&selectors, &args.allow_names)?;
    let session = open()?;
    let mut secrets = Vec::new();
    if !selects_nothing {
        let request = handover::request(selectors, "export", args.reason.as_deref())?;
        secrets = handover::reveal(&session, &request)?.secrets;
        refuse(&secrets, args.format, &allowed)?;
    }
    let mut written_out: Vec<Pair> = secrets.iter().map(Pair::of).collect();
    if let Some(project) = &project {
        let of_project = project.for_text(&session, None, "export", args.reason.as_deref())?;
        refuse_given(&of_project, args)?;
        add(&mut written_out, of_project)?;
    }
    let text = written(&written_out, args)?;
    if args.format == ExportFormat::Dotenv && args.reader.is_none() {
        tell_of_readers(&written_out, &text);
    }
    match target {
        Some(path) => write(path, text.as_bytes()),
        None if args.format == ExportFormat::Json => output::answer_json(text.as_bytes()),
        None => output::answer(text.as_bytes()),
    }
}

/// A variable that is written.
struct Pair {
    name: String,
    value: Zeroizing<String>,
}

impl Pair {
    fn of(secret: &RevealedSecret) -> Self {
        Self { name: secret.name.to_string(), value: Zeroizing::new(secret.value.expose().to_owned()) }
    }
}

/// Adds what the project has; the same name twice is none, unless it is the same value.
fn add(pairs: &mut Vec<Pair>, of_project: Vec<(String, Zeroizing<String>)>) -> Result<(), Failure> {
    for (name, value) in of_project {
        match pairs.iter().find(|pair| pair.name == name) {
            None => pairs.push(Pair { name, value }),
            Some(pair) if pair.value == value => {}
            Some(_) => {
                let text = format!(
                    "{name} would be written twice, as you select it and as the project has it; nothing was written; leave it out"
                );
                return Err(Failure::new(Exit::Invalid, text));
            }
        }
    }
    Ok(())
}

/// Refuses names of a manifest that must not be set, before anything is written.
fn refuse_given(given: &[(String, Zeroizing<String>)], args: &ExportArgs) -> Result<(), Failure> {
    let allowed = Allowed::parse(&[], &args.allow_names)?;
    let mut refused = Vec::new();
    for (name, _) in given {
        let in_shell = if args.format == ExportFormat::Json { None } else { allowed.in_shell(name) };
        let reason = in_shell.or_else(|| allowed.in_environment(&SecretName::parse(name).ok()?, name));
        refused.extend(reason.map(|reason| (name.clone(), reason)));
    }
    variables::settle(&refused, "nothing was written; leave them out, or allow each with --allow-name NAME")
}

/// All secrets in the format that is asked for, or the failure that names those that it cannot hold.
fn written(secrets: &[Pair], args: &ExportArgs) -> Result<Zeroizing<String>, Failure> {
    let mut lines: Vec<Zeroizing<String>> = Vec::with_capacity(secrets.len());
    let mut unfit = Vec::new();
    for (index, secret) in secrets.iter().enumerate() {
        let (name, value) = (secret.name.as_str(), secret.value.as_str());
        // Large enough never to grow, so that no copy is left behind.
        let room = name.len() + value.len() * GROWTH + AROUND;
        let mut text = Zeroizing::new(String::with_capacity(room));
        match args.format {
            ExportFormat::Dotenv => match args.reader {
                None => dotenv::write(name, value, &mut text),
                Some(reader) if dotenv::write_for(reader, name, value, &mut text) => {}
                Some(_) => unfit.push(name),
            },
            ExportFormat::Docker if is_for_docker(name, value) => {
                [name, "=", value, "\n"].iter().for_each(|piece| text.push_str(piece));
            }
            ExportFormat::Docker => unfit.push(name),
            ExportFormat::Shell => {
                ["export ", name, "="].iter().for_each(|piece| text.push_str(piece));
                shell::quote(value, |piece| text.push_str(piece));
                text.push('\n');
            }
            ExportFormat::Fish => {
                ["set -gx ", name, " "].iter().for_each(|piece| text.push_str(piece));
                shell::quote(value, |piece| text.push_str(piece));
                text.push('\n');
            }
            ExportFormat::Json => {
                let begin = if index == 0 { "{\n  \"" } else { ",\n  \"" };
                [begin, name, "\": ", &json(secret, room)?].iter().for_each(|piece| text.push_str(piece));
            }
        }
        lines.push(Zeroizing::new(text.as_str().to_owned()));
    }
    if !unfit.is_empty() {
        let what = "cannot be written so that this reader gets the same value; nothing was written; leave it out, or \
                    use: secretctl run";
        return Err(Failure::new(Exit::Invalid, format!("{}: {what}", unfit.join(", "))));
    }
    if args.format == ExportFormat::Json {
        lines.push(Zeroizing::new("\n}\n".to_owned()));
    }
    let mut text = Zeroizing::new(String::with_capacity(lines.iter().map(|line| line.len()).sum()));
    lines.iter().for_each(|line| text.push_str(line));
    Ok(text)
}

/// Whether a line of an env file holds it: docker/cli, `opts/file.go`, reads lines of less than 64 KiB with Go's scanner,
/// which takes carriage returns off their ends.
fn is_for_docker(name: &str, value: &str) -> bool {
    !value.contains(['\n', '\r']) && name.len() + value.len() + 2 < 64 << 10
}

/// Says which values a common reader of dotenv files would take for something else, or not read at all.
fn tell_of_readers(secrets: &[Pair], text: &str) {
    let (entries, _) = dotenv::read(text, None);
    let others = dotenv::Others::read(text);
    for (secret, entry) in secrets.iter().zip(&entries) {
        let readers = others.without_the_value_of(entry);
        if !readers.is_empty() {
            let (name, readers) = (&secret.name, readers.join(", "));
            output::say(&format!("{name}: not the same value for {readers}; for one of these say --for"));
        }
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let path = environment::absolute(path)?;
    let name = input::shown(&path).unwrap_or_else(|| "the file that -o names".to_owned());
    new_file::write(&path, content).map_err(|error| {
        Failure::new(Exit::Other, format!("cannot write {name}: {error}; nothing was written"))
    })
}

/// Refuses names that must not be set, before anything is written.
fn refuse(secrets: &[RevealedSecret], format: ExportFormat, allowed: &Allowed) -> Result<(), Failure> {
    let reason = |secret: &RevealedSecret| {
        let name = secret.name.as_str();
        let in_shell = if format == ExportFormat::Json { None } else { allowed.in_shell(name) };
        Some((name.to_owned(), in_shell.or_else(|| allowed.in_environment(&secret.name, name))?))
    };
    let refused: Vec<_> = secrets.iter().filter_map(reason).collect();
    variables::settle(&refused, "nothing was written; leave them out, or allow each with --allow-name NAME")
}

fn json(secret: &Pair, room: usize) -> Result<Zeroizing<String>, Failure> {
    let wrong = || Failure::new(Exit::Other, "a value cannot be written as JSON");
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    serde::Serialize::serialize(secret.value.as_str(), &mut Serializer::new(&mut *text))
        .map_err(|_| wrong())?;
    String::from_utf8(std::mem::take(&mut *text)).map(Zeroizing::new).map_err(|_| wrong())
}
