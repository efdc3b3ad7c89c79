//! `proxy`: where values may be used without being seen. The rules of secrets, which of them a request falls under, and
//! running a command that uses them.
//!
//! # Layout
//!
//! - `run`: a command that has placeholders, and the broker beside it
//! - `start`, `named`, `attach`: sessions with names, which outlast us, and commands in them
//! - `variables`: the environment of that command

mod attach;
mod named;
mod run;
mod start;
mod unusable;
mod variables;

use std::fmt::Write;

use clap::{Args, Subcommand};
use secrets_client::{Call, Method as HttpMethod};
use secrets_proto::rule::decide::{Verdict, decide};
use secrets_proto::rule::{
    HostPattern, Method, PathPattern, Rule, RuleList, RuleSource, SetRules, Site, Target,
};
use secrets_proto::secret::SecretDetail;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::lookup::Wanted;
use crate::output::{self, Output};
use crate::session::Session;
use crate::table;

/// Let programs use values that they never see
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  secretctl proxy rule set OPENAI_API_KEY --host api.openai.com --except '/v1/organization/**'
  secretctl proxy check OPENAI_API_KEY GET https://api.openai.com/v1/models
  secretctl proxy run -s OPENAI_API_KEY -- python3 agent.py")]
pub(crate) struct ProxyArgs {
    #[command(subcommand)]
    command: ProxyCommand,
}

/// The commands on uses of values.
#[derive(Debug, Subcommand)]
pub(crate) enum ProxyCommand {
    /// Set, show and remove the rules of a secret
    #[command(after_help = "\
Example:
  secretctl proxy rule set OPENAI_API_KEY --host api.openai.com
  secretctl proxy rule show OPENAI_API_KEY")]
    Rule(RuleArgs),
    Run(run::RunArgs),
    /// Tell which rule a request falls under; ends with 5 if none allows it
    #[command(
        after_help = "Example:\n  secretctl proxy check OPENAI_API_KEY GET https://api.openai.com/v1/models"
    )]
    Check(CheckArgs),
    Start(start::StartArgs),
    /// List the sessions that were started, with those that have ended without cleaning up
    #[command(after_help = "Example:\n  secretctl proxy list")]
    List(named::ListArgs),
    /// End a session; what it may use ends at once
    #[command(after_help = "Example:\n  secretctl proxy stop build")]
    Stop(named::StopArgs),
    Attach(attach::AttachArgs),
    /// Print the variables of a session, for `eval` in a shell of this machine
    #[command(after_help = "\
The shell's programs then come by the session, as long as it lasts.

Example:
  eval \"$(secretctl proxy env build)\"
  secretctl proxy env build --format fish | source")]
    Env(named::EnvArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RuleArgs {
    #[command(subcommand)]
    command: RuleCommand,
}

/// The commands on rules.
#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// Add a rule, in place of one for the same host and site
    #[command(after_help = "\
Hosts: api.example.com; *.example.com, one label more; **.example.com, one or more; with a port behind
it unless that is 443.

In paths, * stands for any characters of one segment and ** for any at all.

Sites: bearer, basic, header:NAME, query:NAME, body:NAME (a field of a form or a JSON object, in a
body of up to 1 MiB), aws-sigv4:ID[,TOKEN] (the secrets with the key's id and with the session token).

The first rule that matches a request decides.

Example:
  secretctl proxy rule set OPENAI_API_KEY --host api.openai.com --except '/v1/organization/**'
  secretctl proxy rule set CI_KEY --host '*.example.com' --method GET --path '/v1/**' --site header:x-api-key")]
    Set(RuleSetArgs),
    /// Show the rules of a secret, and those of its provider
    #[command(after_help = "Example:\n  secretctl proxy rule show OPENAI_API_KEY")]
    Show(RuleShowArgs),
    /// Remove one rule by its number, or all; without any, those of the secret's provider hold
    #[command(after_help = "\
Example:
  secretctl proxy rule rm OPENAI_API_KEY 2
  secretctl proxy rule rm OPENAI_API_KEY")]
    Rm(RuleRmArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RuleSetArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The host that requests may carry the value to
    #[arg(long, value_name = "HOST")]
    pub(crate) host: String,
    /// Only requests with this method; repeated or separated by commas
    #[arg(long = "method", value_name = "METHOD", value_delimiter = ',')]
    pub(crate) methods: Vec<String>,
    /// Only requests for this path; may be repeated
    #[arg(long = "path", value_name = "PATTERN")]
    pub(crate) paths: Vec<String>,
    /// Never for this path, even if --path matches it; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) except: Vec<String>,
    /// Where in the request the value stands
    #[arg(long, value_name = "SITE", default_value = "bearer")]
    pub(crate) site: String,
    /// Allow addresses of the host that are not public
    #[arg(long)]
    pub(crate) private: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RuleShowArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct RuleRmArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The rule's number; `secretctl proxy rule show` shows them
    #[arg(value_name = "N")]
    pub(crate) number: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The request's method
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,
    /// The request's URL
    #[arg(value_name = "URL")]
    pub(crate) url: String,
}

/// What `check --json` writes of a request that is allowed.
#[derive(Serialize)]
struct Allowed<'a> {
    number: usize,
    #[serde(flatten)]
    rule: &'a Rule,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    context: &Context,
    args: &ProxyArgs,
) -> Result<(), Failure> {
    let output = context.output;
    match &args.command {
        ProxyCommand::Run(args) => run::run(open, args, context.inherited_umask),
        ProxyCommand::Rule(RuleArgs { command: RuleCommand::Set(args) }) => set(open, output, args),
        ProxyCommand::Rule(RuleArgs { command: RuleCommand::Show(args) }) => show(open, output, args),
        ProxyCommand::Rule(RuleArgs { command: RuleCommand::Rm(args) }) => remove(open, output, args),
        ProxyCommand::Check(args) => check(open, output, args),
        ProxyCommand::Start(args) => start::run(open, output, args),
        ProxyCommand::List(_) => named::list(context),
        ProxyCommand::Stop(args) => named::stop(context, args),
        ProxyCommand::Attach(args) => attach::run(context, args),
        ProxyCommand::Env(args) => named::env(context, args),
    }
}

fn set(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &RuleSetArgs,
) -> Result<(), Failure> {
    let wanted = Wanted::parse(&args.name)?;
    let patterns =
        |texts: &[String]| texts.iter().map(|text| PathPattern::parse(text)).collect::<Result<_, _>>();
    let rule = Rule {
        methods: args.methods.iter().map(|method| Method::parse(method)).collect::<Result<_, _>>()?,
        paths: patterns(&args.paths)?,
        except: patterns(&args.except)?,
        private: args.private,
        ..Rule::new(HostPattern::parse(&args.host)?, Site::parse(&args.site)?)
    };
    let session = open()?;
    let (secret, list) = rules(&session, &wanted)?;
    let mut rules = own(&list);
    match rules.iter_mut().find(|known| known.host == rule.host && known.site == rule.site) {
        Some(known) => *known = rule,
        None => rules.push(rule),
    }
    put(&session, output, &secret, rules)?;
    if list.source == RuleSource::Preset {
        output::say(&format!(
            "the rules of its provider no longer apply; see: secretctl proxy rule show {}",
            secret.secret.name
        ));
    }
    Ok(())
}

fn remove(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &RuleRmArgs,
) -> Result<(), Failure> {
    let wanted = Wanted::parse(&args.name)?;
    let number = args.number.as_deref().map(number).transpose()?;
    let session = open()?;
    let (secret, list) = rules(&session, &wanted)?;
    let mut rules = own(&list);
    match number {
        None => rules.clear(),
        Some(number) if number <= rules.len() => drop(rules.remove(number - 1)),
        Some(_) => {
            let message = format!(
                "no rule of its own has this number; see: secretctl proxy rule show {}",
                secret.secret.name
            );
            return Err(Failure::new(Exit::NotFound, message));
        }
    }
    put(&session, output, &secret, rules)
}

fn number(text: &str) -> Result<usize, Failure> {
    let number = text.parse().ok().filter(|number| (1..=Rule::MAX).contains(number));
    number.ok_or_else(|| Failure::new(Exit::Invalid, "a rule has a number from 1 to 16"))
}

/// The secret, and its rules.
fn rules(session: &Session, wanted: &Wanted) -> Result<(SecretDetail, RuleList), Failure> {
    let detail = wanted.get(session)?;
    let list = session.fetch(&Call::get(&route(&detail)))?;
    Ok((detail, list))
}

fn route(detail: &SecretDetail) -> String {
    format!("/user/secrets/{}/rules", detail.secret.id)
}

fn own(list: &RuleList) -> Vec<Rule> {
    if list.source == RuleSource::Own { list.rules.clone() } else { Vec::new() }
}

/// Sets the rules, unless the secret has changed meanwhile.
fn put(session: &Session, output: Output, detail: &SecretDetail, rules: Vec<Rule>) -> Result<(), Failure> {
    let call = Call::new(HttpMethod::PUT, &route(detail)).if_version(detail.version);
    let answer = session.call(&call.json(&SetRules { rules })?)?;
    let list: RuleList = answer.parse()?;
    let count = list.rules.len();
    output::say(&match list.source {
        RuleSource::Own => format!("{} has {count} {}", list.name, if count == 1 { "rule" } else { "rules" }),
        RuleSource::Preset => format!("{} has no rule of its own; those of its provider hold", list.name),
        RuleSource::None => format!("{} has no rule left; its value cannot be used", list.name),
    });
    if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) }
}

fn show(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &RuleShowArgs,
) -> Result<(), Failure> {
    let wanted = Wanted::parse(&args.name)?;
    let session = open()?;
    let detail = wanted.get(&session)?;
    let answer = session.call(&Call::get(&route(&detail)))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let list: RuleList = answer.parse()?;
    if list.source == RuleSource::None {
        let name = &detail.secret.name;
        output::say(&format!(
            "it has no rule, so its value cannot be used; allow a host with: secretctl proxy rule set {name} --host HOST"
        ));
        return Ok(());
    }
    let holds = if list.source == RuleSource::Own { "own" } else { "preset" };
    let mut rows: Vec<[String; 7]> =
        (1..).zip(&list.rules).map(|(number, rule)| row(number.to_string(), holds, rule)).collect();
    rows.extend(list.preset.iter().map(|rule| row("-".to_owned(), "preset, replaced", rule)));
    let header = ["N", "RULE", "HOST", "SITE", "METHODS", "PATHS", "EXCEPT"];
    output::answer(table::render(header, &rows, output.colour).as_bytes())
}

fn row(number: String, source: &str, rule: &Rule) -> [String; 7] {
    let private = if rule.private { " (private)" } else { "" };
    [
        number,
        source.to_owned(),
        format!("{}{private}", rule.host),
        rule.site.to_string(),
        joined(&rule.methods, "any"),
        joined(&rule.paths, "any"),
        joined(&rule.except, "-"),
    ]
}

fn joined(parts: &[impl ToString], none: &str) -> String {
    if parts.is_empty() {
        return none.to_owned();
    }
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn check(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &CheckArgs,
) -> Result<(), Failure> {
    let wanted = Wanted::parse(&args.name)?;
    let method = Method::parse(&args.method)?;
    let target = Target::parse(&args.url)?;
    let (detail, list) = rules(&open()?, &wanted)?;
    let name = &detail.secret.name;
    match decide(&list.rules, target.request(&method)) {
        Verdict::Allowed(number, rule) if output.json => {
            let text = serde_json::to_vec(&Allowed { number, rule })
                .map_err(|_| Failure::new(Exit::Other, "the rule cannot be written as JSON"))?;
            output::answer_json_line(&text)
        }
        Verdict::Allowed(number, rule) => {
            let mut text = format!("{name}/{number}: {} {}", rule.host, rule.site);
            // Writing to a string cannot fail.
            let _ = write!(text, " ({})", list.source.as_str());
            output::answer_line(text.as_bytes())
        }
        Verdict::Refused(why) => Err(Failure::new(Exit::NotAllowed, why.advice(name))),
    }
}
