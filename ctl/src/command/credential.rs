//! `credential`: which systemd units may load which secrets, by `LoadCredential=` from the daemon's socket.

use clap::{Args, Subcommand};
use secrets_client::{Call, Method};
use secrets_proto::credential::{AllowCredentials, CredentialGrant, CredentialList};
use secrets_proto::{SecretName, Selector, UnitName};

use crate::clock::Clock;
use crate::failure::{Exit, Failure};
use crate::lookup;
use crate::output::{self, Output};
use crate::session::Session;
use crate::table;

/// Allow systemd units to load secrets
#[derive(Debug, Args)]
#[command(after_help = "\
The unit needs a line like this; %t is the user's runtime directory:
  [Service]
  LoadCredential=OPENAI_API_KEY:%t/secretsd/credentials.sock

Example:
  secretctl credential allow web.service OPENAI_API_KEY
  secretctl credential list")]
pub(crate) struct CredentialArgs {
    #[command(subcommand)]
    command: CredentialCommand,
}

/// The commands on what units may load.
#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Allow a unit to load secrets, beside those it may load already
    #[command(after_help = "\
A template like worker@.service covers all its instances. The secrets must
exist.

Example:
  secretctl credential allow web.service OPENAI_API_KEY GITHUB_TOKEN
  secretctl credential allow worker@.service OPENAI_API_KEY")]
    Allow(CredentialAllowArgs),
    /// List the units that may load secrets
    #[command(after_help = "Example:\n  secretctl credential list")]
    List,
    /// Take secrets from what a unit may load, or all of them
    #[command(after_help = "\
A running unit keeps what it has loaded until it stops.

Example:
  secretctl credential revoke web.service GITHUB_TOKEN
  secretctl credential revoke web.service")]
    Revoke(CredentialRevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CredentialAllowArgs {
    /// The unit, or a template for all its instances
    #[arg(value_name = "UNIT")]
    pub(crate) unit: String,
    /// The secrets' names
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CredentialRevokeArgs {
    /// The unit, or a template for all its instances
    #[arg(value_name = "UNIT")]
    pub(crate) unit: String,
    /// The secrets' names; none: all secrets of the unit
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &CredentialArgs,
) -> Result<(), Failure> {
    match &args.command {
        CredentialCommand::Allow(args) => allow(open, output, args),
        CredentialCommand::List => list(&open()?, output),
        CredentialCommand::Revoke(args) => revoke(open, args),
    }
}

fn allow(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &CredentialAllowArgs,
) -> Result<(), Failure> {
    let unit = UnitName::parse(&args.unit)?;
    let secrets = names(&args.names)?;
    let selectors: Vec<Selector> = secrets.iter().cloned().map(Selector::Name).collect();
    let session = open()?;
    let make = |proof| {
        let request = AllowCredentials { unit: unit.clone(), secrets: secrets.clone(), proof };
        Ok(Call::new(Method::POST, "/credentials").json(&request)?)
    };
    let answer = session
        .call_proven(&make)
        .map_err(|failure| lookup::name_the_absent(&session, failure, &selectors))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let grant: CredentialGrant = answer.parse()?;
    output::say(&format!("{} may load {}", grant.unit, joined(&grant.secrets)));
    Ok(())
}

fn list(session: &Session, output: Output) -> Result<(), Failure> {
    let answer = session.call(&Call::get("/credentials"))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let CredentialList { credentials, .. } = answer.parse()?;
    if credentials.is_empty() {
        output::say("no unit may load secrets; see: secretctl credential allow --help");
        return Ok(());
    }
    let row = |grant: &CredentialGrant| {
        [grant.unit.to_string(), Clock::of_stdout().shown(grant.updated_at), joined(&grant.secrets)]
    };
    let rows: Vec<[String; 3]> = credentials.iter().map(row).collect();
    output::answer(table::render(["UNIT", "UPDATED", "SECRETS"], &rows, output.colour).as_bytes())
}

fn revoke(
    open: impl FnOnce() -> Result<Session, Failure>,
    args: &CredentialRevokeArgs,
) -> Result<(), Failure> {
    let unit = UnitName::parse(&args.unit)?;
    let names = names(&args.names)?;
    let session = open()?;
    let call = || Call::new(Method::DELETE, "/credentials").query("unit", unit.as_str());
    if names.is_empty() {
        session.call(&call()).map_err(|failure| nothing(failure, &unit))?;
        output::say(&format!("{unit} may no longer load any secret"));
        return Ok(());
    }
    // Report everything that is wrong before changing anything.
    let CredentialList { credentials, .. } = session.fetch(&Call::get("/credentials"))?;
    let granted = credentials.into_iter().find(|grant| grant.unit == unit).map(|grant| grant.secrets);
    let granted = granted.unwrap_or_default();
    let absent: Vec<Selector> =
        names.iter().filter(|name| !granted.contains(name)).cloned().map(Selector::Name).collect();
    if !absent.is_empty() {
        return Err(lookup::not_granted(&unit, &absent));
    }
    for name in &names {
        session.call(&call().query("name", name.as_str())).map_err(|failure| nothing(failure, &unit))?;
    }
    output::say(&format!("{unit} may no longer load {}", joined(&names)));
    Ok(())
}

fn names(texts: &[String]) -> Result<Vec<SecretName>, Failure> {
    let mut names = Vec::with_capacity(texts.len());
    for text in texts {
        let name = SecretName::parse(text)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn nothing(failure: Failure, unit: &UnitName) -> Failure {
    if failure.exit() != Exit::NotFound {
        return failure;
    }
    Failure::new(Exit::NotFound, format!("{unit} may not load any secret; see: secretctl credential list"))
}

fn joined(names: &[SecretName]) -> String {
    let names: Vec<&str> = names.iter().map(SecretName::as_str).collect();
    names.join(",")
}
