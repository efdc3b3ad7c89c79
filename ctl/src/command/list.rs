//! `list`: names, providers and masks.

mod eyes;
mod of_project;

use std::borrow::Cow;

use clap::{Args, ValueEnum};
use secrets_client::Call;
use secrets_proto::secret::{Secret, SecretDetail, SecretList};
use secrets_proto::{Glob, Provider, SecretName, Timestamp};
use serde::{Deserialize, Serialize};

use super::audit::seconds;
use super::expiry;
use super::sync::kept;
use crate::clock::Clock;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::project::{Project, flags::NameArgs};
use crate::session::Session;
use crate::{conflict, near, pager, table};

/// List names, providers and masks, never values
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  secretctl list
  secretctl list 'AWS_*' --json
  secretctl list --project
  secretctl list --sort age --unused 90d")]
pub(crate) struct ListArgs {
    /// Only matching names, like 'AWS_*'
    #[arg(value_name = "GLOB")]
    pub(crate) glob: Option<String>,
    /// Only this provider's secrets
    #[arg(long, value_name = "PROVIDER")]
    pub(crate) provider: Option<String>,
    /// Print only names, one per line
    #[arg(long)]
    pub(crate) names: bool,
    /// The oldest value, the longest unused, or the first to expire comes first
    #[arg(long, value_name = "ORDER")]
    pub(crate) sort: Option<Order>,
    /// Only those not used for this long, like 90d
    #[arg(long, value_name = "DURATION")]
    pub(crate) unused: Option<String>,
    /// Only those that expire within this time, like 30d, or have expired
    #[arg(long, value_name = "DURATION")]
    pub(crate) expiring: Option<String>,
    #[command(flatten)]
    pub(crate) project: NameArgs,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    Name,
    Age,
    Used,
    Expiry,
}

/// A secret as `list --json` writes it: the API's six fields, and whether a person decides about it and whether it stays on this
/// machine; absent if not.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    secret: Secret,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    guarded: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    local: bool,
}

/// What is shown of a `SecretDetail`, as text in the answer: it is read in a third of the time.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    provider: Option<Text<'a>>,
    #[serde(borrow)]
    masked_value: Text<'a>,
    #[serde(borrow)]
    updated_at: Text<'a>,
    expires_at: Option<Timestamp>,
    #[serde(default)]
    conflict: bool,
    #[serde(default)]
    local: bool,
}

/// Text that is borrowed where JSON has it without escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

pub(crate) fn run(session: &Session, output: Output, args: &ListArgs) -> Result<(), Failure> {
    if let Some(project) = Project::named(&args.project)? {
        return of_project::run(session, output, args, &project);
    }
    let mut call = Call::list();
    if let Some(glob) = &args.glob {
        call = call.query("name", Glob::parse(glob)?.as_str());
    }
    if let Some(provider) = &args.provider {
        call = call.query("provider", Provider::parse(provider)?.as_str());
    }
    let now = Timestamp::now();
    let chosen = args.chosen(now)?;
    let for_eyes = output::stdout_is_terminal() && !output.json && !args.names;
    // Only the full view says what is guarded.
    if for_eyes || chosen.is_some() || output.json && !args.names {
        let SecretList { secrets, .. } =
            session.fetch::<SecretList<SecretDetail>>(&call.query("view", "full"))?;
        return show(session, chosen.unwrap_or_default().of(secrets), output, args, for_eyes, now);
    }
    let answer = session.call(&call.query("view", "full"))?;
    let SecretList { secrets, .. } = answer.parse::<SecretList<Row<'_>>>()?;
    if secrets.is_empty() {
        return none(session, args);
    }
    let text = if args.names {
        secrets.iter().flat_map(|row| [output::printable(&row.name.0), "\n".into()]).collect()
    } else {
        let times = secrets.iter().map(|row| (&*row.name.0, row.expires_at));
        if let Some(notice) = expiry::notice(times, Timestamp::now(), &Clock::of_stderr()) {
            output::say(&notice);
        }
        say_of_conflicts(secrets.iter().filter(|row| row.conflict).map(|row| &*row.name.0));
        let rows: Vec<[&str; 4]> = secrets.iter().map(Row::cells).collect();
        with_local(&rows, secrets.iter().map(|row| row.local), output)
    };
    output::answer(text.as_bytes())
}

/// The table, with a column behind the others that says what stays on this machine, if anything does.
fn with_local<T: AsRef<str>>(
    rows: &[[T; 4]],
    is_local: impl Iterator<Item = bool> + Clone,
    output: Output,
) -> String {
    let columns = ["NAME", "PROVIDER", "MASKED", "UPDATED"];
    if !is_local.clone().any(|is_local| is_local) {
        return table::render(columns, rows, output.colour);
    }
    let [name, provider, masked, updated] = columns;
    let cells = |([name, provider, masked, updated], is_local): (&'_ [T; 4], bool)| {
        let cell = |text: &T| text.as_ref().to_owned();
        let mark = if is_local { "local" } else { "" };
        [cell(name), cell(provider), cell(masked), cell(updated), mark.to_owned()]
    };
    let rows: Vec<[String; 5]> = rows.iter().zip(is_local).map(cells).collect();
    table::render([name, provider, masked, updated, "STAYS"], &rows, output.colour)
}

fn say_of_conflicts<'a>(names: impl Iterator<Item = &'a str>) {
    if let Some(notice) = conflict::notice(names) {
        output::say(&notice);
    }
}

fn none(session: &Session, args: &ListArgs) -> Result<(), Failure> {
    let filters = [&args.glob, &args.provider, &args.unused, &args.expiring];
    if !filters.into_iter().any(Option::is_some) {
        output::say("no secrets yet; store one with: secretctl set NAME");
        return Ok(());
    }
    match args.glob.as_deref().and_then(|text| part_of_names(session, text)) {
        Some(part) => {
            output::say(&format!("no secret has this name; for a part of one: secretctl list '*{part}*'"));
        }
        None => output::say("no secret matches"),
    }
    Ok(())
}

/// What stands for a name, if names that are there have it in them.
fn part_of_names(session: &Session, text: &str) -> Option<SecretName> {
    let part = SecretName::parse(text).ok()?;
    near::listed(session).iter().any(|name| name.as_str().contains(part.as_str())).then_some(part)
}

/// Shows secrets of which more is known than their mask.
fn show(
    session: &Session,
    secrets: Vec<SecretDetail>,
    output: Output,
    args: &ListArgs,
    for_eyes: bool,
    now: Timestamp,
) -> Result<(), Failure> {
    if output.json && !args.names {
        let listed = |detail: SecretDetail| Listed {
            secret: detail.secret,
            guarded: detail.guarded,
            local: detail.local,
        };
        let secrets: Vec<Listed> = secrets.into_iter().map(listed).collect();
        let text = serde_json::to_vec(&SecretList { total: secrets.len(), secrets })
            .map_err(|_| Failure::new(Exit::Other, "the list cannot be written as JSON"))?;
        return output::answer_json_line(&text);
    }
    if secrets.is_empty() {
        return none(session, args);
    }
    if args.names {
        let names: String = secrets.iter().map(|detail| format!("{}\n", detail.secret.name)).collect();
        return output::answer(names.as_bytes());
    }
    let times = secrets.iter().map(|detail| (detail.secret.name.as_str(), detail.expires_at));
    if let Some(notice) = expiry::notice(times, now, &Clock::of_stderr()) {
        output::say(&notice);
    }
    let with = secrets.iter().filter(|detail| detail.conflict);
    say_of_conflicts(with.map(|detail| detail.secret.name.as_str()));
    let text = if for_eyes {
        // A request more, which no script waits for.
        kept::say_of_displaced(session, None);
        let is_by_name = matches!(args.sort, None | Some(Order::Name));
        eyes::render(&secrets, is_by_name, output, (output::rows(), output::columns()), now)
    } else {
        let rows = secrets.iter().map(|SecretDetail { secret, .. }| {
            let provider = secret.provider.as_ref().map_or("-", Provider::as_str).to_owned();
            [secret.name.to_string(), provider, secret.masked_value.clone(), secret.updated_at.to_string()]
        });
        with_local(&rows.collect::<Vec<_>>(), secrets.iter().map(|detail| detail.local), output)
    };
    pager::answer_paged(&text)
}

/// Which secrets, by their times, and in which order.
#[derive(Debug, Default)]
struct Chosen {
    sort: Option<Order>,
    unused_since: Option<Timestamp>,
    expires_by: Option<Timestamp>,
}

impl ListArgs {
    /// What is chosen by times, if anything is.
    fn chosen(&self, now: Timestamp) -> Result<Option<Chosen>, Failure> {
        let span = |text: &Option<String>, flag: &str| {
            let span = text.as_deref().map(|text| {
                seconds(text).ok_or_else(|| {
                    Failure::new(Exit::Invalid, format!("{flag} must be a duration like 12h, 90d or 8w"))
                })
            });
            span.transpose()
        };
        let unused_since = span(&self.unused, "--unused")?.map(|span| now.saturating_add_seconds(-span));
        let expires_by = span(&self.expiring, "--expiring")?.map(|span| now.saturating_add_seconds(span));
        let chosen = Chosen { sort: self.sort, unused_since, expires_by };
        let is_any = self.sort.is_some() || self.unused.is_some() || self.expiring.is_some();
        Ok(is_any.then_some(chosen))
    }
}

impl Chosen {
    /// Those of the secrets, which come by name. One that was never used counts from the day that it was stored.
    fn of(&self, mut secrets: Vec<SecretDetail>) -> Vec<SecretDetail> {
        secrets.retain(|detail| {
            let used = detail.last_used_at.unwrap_or(detail.secret.created_at);
            self.unused_since.is_none_or(|since| used <= since)
                && self.expires_by.is_none_or(|by| detail.expires_at.is_some_and(|expires| expires <= by))
        });
        match self.sort {
            None | Some(Order::Name) => {}
            Some(Order::Age) => secrets.sort_by_key(|detail| detail.value_changed_at),
            Some(Order::Used) => secrets.sort_by_key(|detail| detail.last_used_at),
            Some(Order::Expiry) => {
                secrets.sort_by_key(|detail| (detail.expires_at.is_none(), detail.expires_at));
            }
        }
        secrets
    }
}

impl Row<'_> {
    fn cells(&self) -> [&str; 4] {
        let provider = self.provider.as_ref().map_or("-", |provider| &provider.0);
        [&self.name.0, provider, &self.masked_value.0, &self.updated_at.0]
    }
}
