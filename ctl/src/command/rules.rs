//! `rules`: who may have or change guarded secrets without asking, and who may not.

use clap::{Args, Subcommand};
use secrets_client::{Call, Method};
use secrets_proto::SecretName;
use secrets_proto::approval::{
    ApprovalRule, ApprovalRuleList, ClientPattern, Effect, GuardedRight, ItemApprovalRule, NewApprovalRule,
    NewItemApprovalRule, Proof,
};
use secrets_proto::token::ITEMS_NAME;

use super::items;
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
  secretctl rules allow DEPLOY_KEY --command /usr/bin/curl --directory ~/src/shop
  secretctl rules allow --item 3f2a91c0 --program /usr/bin/gh")]
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
    #[arg(value_name = "NAME", required_unless_present = "item", conflicts_with = "item")]
    pub(crate) name: Option<String>,
    /// An item instead: its id or its first digits, as `secretctl items list` shows them
    #[arg(long, value_name = "ITEM")]
    pub(crate) item: Option<String>,
    /// This access token; unless given the owner's, or for an item that of programs on the session bus
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
        return Err(Failure::new(Exit::Invalid, "expected a rule's id or its first digits, at least 4"));
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
    let rights = args.rights.iter().map(|right| GuardedRight::parse(right)).collect::<Result<Vec<_>, _>>()?;
    let client = |token: &str| ClientPattern {
        token: args.token.clone().unwrap_or_else(|| token.to_owned()),
        unit: args.unit.clone(),
        program: args.program.clone(),
        script: None,
        directory: args.directory.clone(),
        command: args.command.clone(),
    };
    let effect = Effect::Allow;
    let call: Box<dyn Fn(Proof) -> Result<Call, Failure>> = match (&args.item, &args.name) {
        (Some(item), _) => {
            let route = format!("/items/{}/rules", items::find(session, item)?.id);
            let client = client(ITEMS_NAME);
            Box::new(move |proof| {
                let (rights, client) = (rights.clone(), client.clone());
                let new = NewItemApprovalRule { effect, rights, client, proof: Some(proof) };
                Ok(Call::new(Method::POST, &route).json(&new)?)
            })
        }
        (None, name) => {
            let secret = SecretName::parse(name.as_deref().unwrap_or_default())?;
            let client = client("owner");
            Box::new(move |proof| {
                let (secret, rights, client) = (secret.clone(), rights.clone(), client.clone());
                let new = NewApprovalRule { effect, secret, rights, client, proof: Some(proof) };
                Ok(Call::new(Method::POST, "/approvals/rules").json(&new)?)
            })
        }
    };
    let Some(answer) = approval::proven(&|proof| session.call(&call(proof)?), &|| false)? else {
        return Ok(());
    };
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let (id, about, client) = if args.item.is_some() {
        let rule: ItemApprovalRule = answer.parse()?;
        (rule.id, on_item(&rule), rule.client)
    } else {
        let rule: ApprovalRule = answer.parse()?;
        (rule.id, rule.secret.to_string(), rule.client)
    };
    output::say(&format!("rule {}: {about} may be had by {}", short(id), told(&client)));
    Ok(())
}
