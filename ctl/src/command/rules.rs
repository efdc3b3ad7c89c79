//! `rules`: who may have or change guarded secrets without asking, and who may not.

use clap::{Args, Subcommand};
use secrets_client::{Call, Method};
use secrets_proto::SecretName;
use secrets_proto::approval::{
    ApprovalRule, ApprovalRuleList, ClientPattern, Effect, GuardedRight, ItemApprovalRule, NewApprovalRule,
};

use crate::approval::{self, short};
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::session::Session;
use crate::table;

/// List, remove and make rules on who may have guarded secrets
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Example:
  secretctl rules
  secretctl rules rm 3f2a
  secretctl rules allow DEPLOY_KEY --token ci"
)]
pub(crate) struct RulesArgs {
    #[command(subcommand)]
    command: Option<RulesCommand>,
    /// Only this secret's
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// The commands on approval rules.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Remove a rule: the next time you are asked again
    #[command(after_help = "Example:\n  secretctl rules rm 3f2a")]
    Rm(RulesRmArgs),
    /// Allow a program, unit or token beforehand; asks for the passphrase
    #[command(after_help = "\
Example:
  secretctl rules allow DEPLOY_KEY --token ci
  secretctl rules allow DEPLOY_KEY --command /usr/bin/curl --directory ~/src/shop")]
    Allow(RulesAllowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RulesRmArgs {
    /// The rule's id, or its first digits
    #[arg(value_name = "RULE")]
    pub(crate) rule: String,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group(
    clap::ArgGroup::new("client").args(["token", "unit", "program", "command"]).required(true).multiple(true)
))]
pub(crate) struct RulesAllowArgs {
    /// The secret's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// This access token; the owner's unless given
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// This systemd unit
    #[arg(long, value_name = "UNIT")]
    pub(crate) unit: Option<String>,
    /// This program, by its path
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Option<String>,
    /// This command of `run`, by its path
    #[arg(long, value_name = "PATH")]
    pub(crate) command: Option<String>,
    /// Only in this directory and below
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<String>,
    /// What is allowed: reveal, use or write; repeatable
    #[arg(long = "right", value_name = "RIGHT", default_value = "reveal", value_delimiter = ',')]
    pub(crate) rights: Vec<String>,
}

pub(crate) fn run(session: &Session, output: Output, args: &RulesArgs) -> Result<(), Failure> {
    match &args.command {
        None => list(session, output, args.name.as_deref()),
        Some(RulesCommand::Rm(args)) => remove(session, args),
        Some(RulesCommand::Allow(args)) => allow(session, output, args),
    }
}

fn list(session: &Session, output: Output, name: Option<&str>) -> Result<(), Failure> {
    let name = name.map(SecretName::parse).transpose()?;
    let ApprovalRuleList { mut rules, mut items, .. } = session.fetch(&Call::get("/approvals/rules"))?;
    rules.retain(|rule| name.as_ref().is_none_or(|name| *name == rule.secret));
    items.retain(|_| name.is_none());
    if output.json {
        let list = ApprovalRuleList { total: rules.len(), rules, items };
        let text = serde_json::to_vec(&list)
            .map_err(|_| Failure::new(Exit::Other, "the rules cannot be written as JSON"))?;
        return output::answer_json_line(&text);
    }
    if rules.is_empty() && items.is_empty() {
        output::say("no rules; an answer `always` or `never` makes one: secretctl approve");
        return Ok(());
    }
    let rows: Vec<[String; 5]> = rules.iter().map(row).chain(items.iter().map(item_row)).collect();
    let header = ["RULE", "EFFECT", "SECRET", "RIGHTS", "CLIENT"];
    output::answer(table::render(header, &rows, output.colour).as_bytes())
}

fn row(rule: &ApprovalRule) -> [String; 5] {
    let rights: Vec<&str> = rule.rights.iter().map(|right| right.as_str()).collect();
    [
        short(rule.id),
        rule.effect.as_str().to_owned(),
        rule.secret.to_string(),
        rights.join(","),
        told(&rule.client),
    ]
}

fn item_row(rule: &ItemApprovalRule) -> [String; 5] {
    let rights: Vec<&str> = rule.rights.iter().map(|right| right.as_str()).collect();
    [short(rule.id), rule.effect.as_str().to_owned(), on_item(rule), rights.join(","), told(&rule.client)]
}

fn on_item(rule: &ItemApprovalRule) -> String {
    format!("item \"{}\"", output::in_one_line(&rule.item.label))
}

fn told(client: &ClientPattern) -> String {
    let ClientPattern { token, unit, program, script, directory, command } = client;
    let facts = [
        ("unit", unit),
        ("program", program),
        ("script", script),
        ("command", command),
        ("directory", directory),
    ];
    let facts = facts.into_iter().filter_map(|(name, fact)| Some(format!("{name} {}", fact.as_deref()?)));
    std::iter::once(format!("token {token}")).chain(facts).collect::<Vec<_>>().join(", ")
}

fn remove(session: &Session, args: &RulesRmArgs) -> Result<(), Failure> {
    let id = args.rule.to_ascii_lowercase();
    if id.len() < 4 {
        return Err(Failure::new(Exit::Invalid, "a rule's id has at least its first 4 digits"));
    }
    let ApprovalRuleList { rules, items, .. } = session.fetch(&Call::get("/approvals/rules"))?;
    let of_secrets = rules.iter().map(|rule| (rule.id, rule.secret.to_string()));
    let all = of_secrets.chain(items.iter().map(|rule| (rule.id, on_item(rule))));
    let mut found = all.filter(|(rule, _)| rule.to_string().starts_with(&id));
    let (rule, on) = match (found.next(), found.next()) {
        (Some(rule), None) => rule,
        (Some(_), Some(_)) => {
            return Err(Failure::new(Exit::Invalid, "several ids begin so; give more digits"));
        }
        (None, _) => return Err(Failure::new(Exit::NotFound, "no such rule; see: secretctl rules")),
    };
    session.call(&Call::new(Method::DELETE, &format!("/approvals/rules/{rule}")))?;
    output::say(&format!("removed the rule on {on}; who wants it asks again"));
    Ok(())
}

fn allow(session: &Session, output: Output, args: &RulesAllowArgs) -> Result<(), Failure> {
    let secret = SecretName::parse(&args.name)?;
    let rights = args.rights.iter().map(|right| GuardedRight::parse(right)).collect::<Result<Vec<_>, _>>()?;
    let client = ClientPattern {
        token: args.token.clone().unwrap_or_else(|| "owner".to_owned()),
        unit: args.unit.clone(),
        program: args.program.clone(),
        script: None,
        directory: args.directory.clone(),
        command: args.command.clone(),
    };
    let made = approval::proven(
        &|proof| {
            let new = NewApprovalRule {
                effect: Effect::Allow,
                secret: secret.clone(),
                rights: rights.clone(),
                client: client.clone(),
                proof: Some(proof),
            };
            session.call(&Call::new(Method::POST, "/approvals/rules").json(&new)?)
        },
        &|| false,
    )?;
    let Some(answer) = made else { return Ok(()) };
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let rule: ApprovalRule = answer.parse()?;
    output::say(&format!("rule {}: {} may be had by {}", short(rule.id), rule.secret, told(&rule.client)));
    Ok(())
}
