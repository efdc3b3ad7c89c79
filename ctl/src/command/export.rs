//! `export`: secrets with their names on stdout, for programs and shells to read.

use clap::{Args, ValueEnum};
use secrets_proto::reveal::RevealedSecret;
use serde_json::Serializer;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::variables::{self, Allowed};
use crate::{dotenv, handover, output, shell};

/// How secrets are written with their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    #[default]
    Dotenv,
    Json,
    Shell,
}

/// Write names and values, for a shell or as a file
#[derive(Debug, Args)]
#[command(after_help = "\
dotenv output is read correctly by dotenvy and by a shell's `.`; `docker
--env-file` supports neither quotes nor values with several lines. json is one
object of strings. shell is for eval in sh, bash, zsh and dash.

Names with a meaning for shells (OPTIND, PS1, UID) are refused unless allowed;
so are those that control programs (LD_PRELOAD, NODE_OPTIONS) unless -s names
them exactly. Then nothing is written. Prints to a terminal only with --show.
Prefer `secretctl run`, which writes nothing anywhere.

Example:
  secretctl export -s DATABASE_URL,API_KEY > .env
  eval \"$(secretctl export -s 'AWS_*' --format shell)\"")]
pub(crate) struct ExportArgs {
    /// Secrets by name, id or glob; repeatable, or separated by commas
    #[arg(short = 's', long = "secret", value_name = "SELECTOR", value_delimiter = ',')]
    #[arg(required_unless_present = "all")]
    pub(crate) selectors: Vec<String>,
    /// All secrets
    #[arg(long, conflicts_with = "selectors")]
    pub(crate) all: bool,
    /// The output format
    #[arg(long, value_name = "FORMAT", default_value = "dotenv")]
    pub(crate) format: ExportFormat,
    /// Allow this variable although it has a meaning for shells or programs; repeatable
    #[arg(long = "allow-name", value_name = "NAME")]
    pub(crate) allow_names: Vec<String>,
    /// Print the values even to a terminal
    #[arg(long)]
    pub(crate) show: bool,
    /// The reason, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// The most bytes that one byte of a value becomes: JSON's escape of a control character. Quotes in quotes are five.
const GROWTH: usize = 6;

/// Room for what stands around name and value.
const AROUND: usize = 24;

pub(crate) fn run(open: impl FnOnce() -> Result<Session, Failure>, args: &ExportArgs) -> Result<(), Failure> {
    handover::refuse_terminal(args.show)?;
    let selectors = handover::selectors(&args.selectors, args.all)?;
    let allowed = Allowed::parse(&selectors, &args.allow_names)?;
    let request = handover::request(selectors, "export", args.reason.as_deref())?;
    let reply = handover::reveal(&open()?, &request)?;
    refuse(&reply.secrets, args.format, &allowed)?;
    if args.format == ExportFormat::Json {
        output::answer(b"{")?;
    }
    for (index, secret) in reply.secrets.iter().enumerate() {
        // Large enough never to grow, so that no copy is left behind.
        let room = secret.name.as_str().len() + secret.value.expose().len() * GROWTH + AROUND;
        let mut text = Zeroizing::new(String::with_capacity(room));
        match args.format {
            ExportFormat::Dotenv => dotenv::write(secret.name.as_str(), secret.value.expose(), &mut text),
            ExportFormat::Shell => write_shell(secret, &mut text),
            ExportFormat::Json => {
                text.push_str(if index == 0 { "\n  \"" } else { ",\n  \"" });
                text.push_str(secret.name.as_str());
                text.push_str("\": ");
                output::answer(text.as_bytes())?;
                output::answer_json(&json(secret, room)?)?;
                continue;
            }
        }
        output::answer(text.as_bytes())?;
    }
    if args.format == ExportFormat::Json { output::answer(b"\n}\n") } else { Ok(()) }
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

fn write_shell(secret: &RevealedSecret, into: &mut String) {
    into.push_str("export ");
    into.push_str(secret.name.as_str());
    into.push('=');
    shell::quote(secret.value.expose(), |piece| into.push_str(piece));
    into.push('\n');
}

fn json(secret: &RevealedSecret, room: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    serde::Serialize::serialize(&secret.value, &mut Serializer::new(&mut *text))
        .map_err(|_| Failure::new(Exit::Other, "a value cannot be written as JSON"))?;
    Ok(text)
}
