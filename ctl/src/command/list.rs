//! `list`: names, providers and masks.

use std::borrow::Cow;

use clap::Args;
use secrets_client::Call;
use secrets_proto::secret::SecretList;
use secrets_proto::{Glob, Provider, Timestamp};
use serde::Deserialize;

use super::expiry;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::session::Session;
use crate::table;

/// List names, providers and masks, never values
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  secretctl list
  secretctl list 'AWS_*' --json")]
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
}

/// Text that is borrowed where JSON has it without escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

pub(crate) fn run(session: &Session, output: Output, args: &ListArgs) -> Result<(), Failure> {
    let mut call = Call::list();
    if let Some(glob) = &args.glob {
        call = call.query("name", Glob::parse(glob)?.as_str());
    }
    if let Some(provider) = &args.provider {
        call = call.query("provider", Provider::parse(provider)?.as_str());
    }
    if output.json && !args.names {
        return output::answer_json_line(session.call(&call)?.bytes());
    }
    let answer = session.call(&call.query("view", "full"))?;
    let SecretList { secrets, .. } = answer.parse::<SecretList<Row<'_>>>()?;
    if secrets.is_empty() {
        let filtered = args.glob.is_some() || args.provider.is_some();
        output::say(if filtered {
            "no secret matches"
        } else {
            "no secrets yet; store one with: secretctl set NAME"
        });
        return Ok(());
    }
    let text = if args.names {
        secrets.iter().flat_map(|row| [output::printable(&row.name.0), "\n".into()]).collect()
    } else {
        let times = secrets.iter().map(|row| (&*row.name.0, row.expires_at));
        if let Some(notice) = expiry::notice(times, Timestamp::now()) {
            output::say(&notice);
        }
        let rows: Vec<[&str; 4]> = secrets.iter().map(Row::cells).collect();
        table::render(["NAME", "PROVIDER", "MASKED", "UPDATED"], &rows, output.colour)
    };
    output::answer(text.as_bytes())
}

impl Row<'_> {
    fn cells(&self) -> [&str; 4] {
        let provider = self.provider.as_ref().map_or("-", |provider| &provider.0);
        [&self.name.0, provider, &self.masked_value.0, &self.updated_at.0]
    }
}
