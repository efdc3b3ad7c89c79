//! `token`: access tokens with less than all rights, for tools that should not have more. A fresh one goes to stdout,
//! alone and once.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use secrets_client::{Call, Method};
use secrets_proto::selector::parse_id;
use secrets_proto::token::{CreateToken, CreatedToken, Scope, TokenInfo, TokenList, TokenName};
use secrets_proto::{ErrorType, Glob, SensitiveString, Timestamp, Uuid};

use super::audit::seconds;
use crate::clock::Clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::new_file::{self, NewFile};
use crate::once::{self, Once};
use crate::output::{self, Output};
use crate::session::Session;
use crate::table::{self, Cut};

/// Create, list and revoke access tokens with limited rights
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  secretctl token create --name agent --scope list,reveal --secret 'OPENAI_*' --ttl 12h
  secretctl token list")]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

/// The commands on access tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and write it to stdout, once
    #[command(after_help = "\
Scopes: list (names and masks), write (store, change, delete), reveal (receive
values), admin (keys, tokens, backups and the audit log), use (have values used
without seeing them), items (have and change what programs store by the Secret
Service). With --secret the token sees only secrets with matching
names. Pass it to a program in a file with mode 0600 named by
SECRETSD_TOKEN_FILE, or in SECRETSD_TOKEN.

Example:
  secretctl token create --name backup --scope admin --ttl 12h
  secretctl token create --name agent --scope reveal --secret 'OPENAI_*' --output agent.token
  SECRETSD_TOKEN_FILE=agent.token secretctl run -s OPENAI_API_KEY -- agent")]
    Create(TokenCreateArgs),
    /// List the tokens, by name; never the tokens themselves
    #[command(after_help = "Example:\n  secretctl token list")]
    List,
    /// Revoke a token and the tokens created with it
    #[command(after_help = "Example:\n  secretctl token revoke agent")]
    Revoke(TokenRevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TokenCreateArgs {
    /// The token's name in the list and in the audit log
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// What it may do: list, write, reveal, admin, use, items; repeatable, or separated by commas
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', required = true)]
    pub(crate) scopes: Vec<String>,
    /// Only these secrets, by name or glob; repeatable, or separated by commas
    #[arg(long = "secret", value_name = "GLOB", value_delimiter = ',')]
    pub(crate) secrets: Vec<String>,
    /// How long it is valid, like 12h [default: 30d]
    #[arg(long, value_name = "DURATION", conflicts_with = "no_expiry")]
    pub(crate) ttl: Option<String>,
    /// Never expires
    #[arg(long)]
    pub(crate) no_expiry: bool,
    /// Maximum requests per minute
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<String>,
    /// Write the token to this new file with mode 0600, not to stdout
    #[arg(long, short, value_name = "FILE", conflicts_with = "json")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TokenRevokeArgs {
    /// The token's id or name; `secretctl token list` shows them
    #[arg(value_name = "ID")]
    pub(crate) token: String,
}

const ONCE: Once = Once {
    what: "the creation of the token",
    holds: "token",
    cure: "revoke it and create another: secretctl token list, token revoke",
};

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &TokenArgs,
) -> Result<(), Failure> {
    match &args.command {
        TokenCommand::Create(args) => {
            let request = request(args)?;
            let file = match &args.output {
                Some(path) => Some(TokenFile::new(path)?),
                None => {
                    once::check_stdout()?;
                    None
                }
            };
            create(&open()?, output, &request, file)
        }
        TokenCommand::List => list(&open()?, output),
        TokenCommand::Revoke(args) => revoke(&open()?, args),
    }
}

fn request(args: &TokenCreateArgs) -> Result<CreateToken, Failure> {
    let scopes = args.scopes.iter().map(|scope| Scope::parse(scope)).collect::<Result<_, _>>()?;
    let globs: Vec<Glob> = args.secrets.iter().map(|glob| Glob::parse(glob)).collect::<Result<_, _>>()?;
    let ttl = args.ttl.as_deref().map(duration).transpose()?;
    Ok(CreateToken {
        name: TokenName::parse(&args.name)?,
        scopes,
        secrets: (!globs.is_empty()).then_some(globs),
        ttl_seconds: if args.no_expiry { Some(None) } else { ttl.map(Some) },
        rate_per_minute: args.rate.as_deref().map(rate).transpose()?,
    })
}

fn duration(text: &str) -> Result<u64, Failure> {
    let seconds = seconds(text).and_then(|seconds| u64::try_from(seconds).ok());
    seconds.filter(|seconds| (1..=CreateToken::MAX_TTL).contains(seconds)).ok_or_else(|| {
        Failure::new(Exit::Invalid, "--ttl must be a duration like 45m, 12h or 90d, at most ten years")
    })
}

fn rate(text: &str) -> Result<u64, Failure> {
    text.parse().ok().filter(|rate| (1..=CreateToken::MAX_RATE).contains(rate)).ok_or_else(|| {
        Failure::new(Exit::Invalid, "--rate must be a number of requests per minute, from 1 to 60000")
    })
}

/// A new file for a token, made before there is one.
struct TokenFile {
    path: PathBuf,
    file: NewFile,
}

impl TokenFile {
    fn new(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let text = format!("cannot create {} (--output): {error}; no token was created", named(path));
            Failure::new(Exit::Other, text)
        };
        if path.symlink_metadata().is_ok() {
            let text = format!("{} exists already; name a new file with --output", named(path));
            return Err(Failure::new(Exit::Conflict, text));
        }
        let file = NewFile::beside(path, new_file::PRIVATE).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn hold(mut self, token: &SensitiveString) -> Result<(), Failure> {
        let mut write = || {
            self.file.file().write_all(token.expose().as_bytes())?;
            self.file.file().write_all(b"\n")
        };
        write().and_then(|()| self.file.publish(false)).map_err(|error| {
            let text = format!(
                "the token is created, but it could not be written to {}: {error}; {}",
                named(&self.path),
                ONCE.cure
            );
            Failure::new(Exit::Other, text)
        })
    }
}

fn named(path: &Path) -> String {
    input::shown(path).unwrap_or_else(|| "the file".to_owned())
}

fn create(
    session: &Session,
    output: Output,
    request: &CreateToken,
    file: Option<TokenFile>,
) -> Result<(), Failure> {
    // Asked for the passphrase before, so that a signal ends us there.
    session.open_vault()?;
    let call = Call::new(Method::POST, "/tokens").json(request)?;
    let answer = ONCE.ask(|| session.call(&call)).map_err(|failure| match failure.kind() {
        Some(ErrorType::AlreadyExistsError) => {
            let name = &request.name;
            let text = format!(
                "a token {name} already exists; choose another name, or revoke it with: secretctl token revoke {name}"
            );
            Failure::new(failure.exit(), text)
        }
        _ => failure,
    })?;
    let CreatedToken { info, token } = answer.parse()?;
    let where_it_is = match &file {
        Some(file) => format!("it is in {} alone", named(&file.path)),
        None => "it is shown only once".to_owned(),
    };
    output::say(&format!(
        "created token {}: {}, {}, {}; {where_it_is}, its id is {}",
        info.name,
        scopes(&info),
        secrets(&info),
        match info.expires_at {
            Some(time) => format!("until {}", Clock::of_stderr().shown(time)),
            None => "without expiry".to_owned(),
        },
        info.id
    ));
    match file {
        Some(file) => file.hold(&token),
        None => {
            ONCE.show(output, &answer, &token)?;
            if output::stdout_is_terminal() {
                output::say(
                    "the token stays on this screen and in what it scrolled past: clear both; --output FILE writes it to a private file instead",
                );
            } else if once::others_can_read_stdout() {
                output::say(
                    "others could read the file that the token went to, so secretctl will refuse it; chmod 600 it, or use --output FILE",
                );
            }
            Ok(())
        }
    }
}

fn list(session: &Session, output: Output) -> Result<(), Failure> {
    let answer = session.call(&Call::get("/tokens"))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let TokenList { tokens } = answer.parse()?;
    if tokens.is_empty() {
        output::say("no tokens; create one with: secretctl token create --name NAME --scope list");
        return Ok(());
    }
    let (now, clock) = (Timestamp::now(), Clock::of_stdout());
    let rows: Vec<Vec<String>> = tokens.iter().map(|token| row(token, now, &clock)).collect();
    // A name is as good as an id for revoking, and no two tokens share one.
    let is_limited = tokens.iter().any(|token| token.rate_per_minute.is_some());
    let fewer: &[usize] = if is_limited { &[0, 1, 2, 3, 4, 5] } else { &[0, 1, 2, 3, 4] };
    let text = table::render_in_window(&COLUMNS, rows, fewer, output::columns(), output.colour);
    output::answer(text.as_bytes())
}

/// The columns, with how far each is cut in a narrow window.
const COLUMNS: [(&str, Cut); 7] = [
    ("NAME", Cut::End(8)),
    ("SCOPES", Cut::End(6)),
    ("SECRETS", Cut::End(7)),
    ("EXPIRES", Cut::Never),
    ("LAST USED", Cut::Never),
    ("PER MINUTE", Cut::Never),
    ("ID", Cut::Never),
];

fn row(token: &TokenInfo, now: Timestamp, clock: &Clock) -> Vec<String> {
    let expires = match token.expires_at {
        Some(time) if time <= now => format!("{}, expired", clock.shown(time)),
        Some(time) => clock.shown(time),
        None => "never".to_owned(),
    };
    let or = |text: Option<String>, none: &str| text.unwrap_or_else(|| none.to_owned());
    vec![
        token.name.to_string(),
        scopes(token),
        secrets(token),
        expires,
        or(token.last_used_at.map(|time| clock.shown(time)), "-"),
        or(token.rate_per_minute.map(|rate| rate.to_string()), "-"),
        token.id.to_string(),
    ]
}

/// What a token may do, as it is shown.
pub(super) fn scopes(token: &TokenInfo) -> String {
    token.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",")
}

fn secrets(token: &TokenInfo) -> String {
    let globs = token.secrets.as_ref();
    globs.map_or_else(
        || "all names".to_owned(),
        |globs| globs.iter().map(Glob::as_str).collect::<Vec<_>>().join(","),
    )
}

fn revoke(session: &Session, args: &TokenRevokeArgs) -> Result<(), Failure> {
    let (id, name) = find(session, &args.token)?;
    session.call(&Call::new(Method::DELETE, &format!("/tokens/{id}")))?;
    let name = output::in_one_line(name.as_str());
    output::say(&format!("revoked token {name} and the tokens created with it"));
    Ok(())
}

/// The token that is meant. What was typed is not shown: it may be the token itself.
fn find(session: &Session, text: &str) -> Result<(Uuid, TokenName), Failure> {
    let TokenList { tokens } = session.fetch(&Call::get("/tokens"))?;
    let id = parse_id(text);
    let is_meant = |token: &TokenInfo| id == Some(token.id) || token.name.is_same(text);
    let found = tokens.into_iter().find(is_meant).map(|token| (token.id, token.name));
    found.ok_or_else(|| {
        Failure::new(Exit::NotFound, "no token with this id or name; see: secretctl token list")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_durations_and_rates_within_bounds() {
        assert_eq!((duration("12h").unwrap(), duration("1s").unwrap()), (43_200, 1));
        for bad in ["", "12", "0s", "-1h", "3651d", "soon"] {
            assert_eq!(duration(bad).unwrap_err().exit(), Exit::Invalid, "{bad}");
        }
        assert_eq!((rate("1").unwrap(), rate("60000").unwrap()), (1, 60_000));
        for bad in ["", "0", "60001", "-1", "many"] {
            assert_eq!(rate(bad).unwrap_err().exit(), Exit::Invalid, "{bad}");
        }
    }
}
