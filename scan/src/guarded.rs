//! Guarded secrets: a person is asked, or the values are left out and the names said.

use std::fs::File;
use std::process::{Command, Stdio};

use secrets_client::{Call, Client, Error, Paths};
use secrets_proto::approval::{Approval, ApprovalState};
use secrets_proto::{ErrorType, Loc};

use crate::arguments::Arguments;
use crate::failure::Failure;

/// How long somebody who waits to answer asks is waited for, and how long one request takes.
const PATIENCE: u64 = 60;
const STEP: u64 = 5;

/// So many names are said.
const NAMED: usize = 20;

/// Why the values of guarded secrets cannot be had.
#[derive(Debug)]
pub(crate) enum Why {
    /// Nobody has answered this ask.
    Asked(Box<Approval>),
    /// A person or a rule has said no.
    Denied,
    /// As many asks wait already as may.
    Full,
}

impl Why {
    /// What a refusal says of it; the refusal itself if it is about something else.
    pub(crate) async fn of(error: Error, client: &Client) -> Result<Self, Failure> {
        let Error::Refused(body) = &error else { return Err(error.into()) };
        match (body.kind, body.errors.first()) {
            (ErrorType::ApprovalDeniedError, _) => Ok(Self::Denied),
            (ErrorType::ApprovalRequiredError, Some(ask)) => {
                Ok(Self::Asked(Box::new(approval(client, &ask.msg, 0).await?)))
            }
            (ErrorType::RateLimitError, Some(limit)) if limit.loc == [Loc::field("approval")] => {
                Ok(Self::Full)
            }
            _ => Err(error.into()),
        }
    }

    /// The secrets that were asked for, as far as that is known.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Asked(ask) => ask.secrets.iter().map(ToString::to_string).collect(),
            Self::Denied | Self::Full => vec!["one of the secrets".to_owned()],
        }
    }

    /// What is said of these secrets, and what can be done.
    pub(crate) fn told(&self, names: &[String]) -> (String, String) {
        let mut shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if names.len() > NAMED {
            shown.push_str(&format!(" and {} more", names.len() - NAMED));
        }
        let is = if names.len() == 1 { "is" } else { "are" };
        match self {
            Self::Asked(ask) => (
                format!("{shown} {is} guarded, and nobody has allowed this"),
                format!("secretctl approve {}", short(ask)),
            ),
            Self::Denied => (
                format!(
                    "{shown} {is} guarded, and a person or a rule has denied this; a person's no ends after a minute, a rule is removed with secretctl rules rm RULE"
                ),
                "secretctl rules".to_owned(),
            ),
            Self::Full => (
                format!(
                    "{shown} {is} guarded, and too many asks wait for a person already; each ends when it is answered or after 5 minutes"
                ),
                "secretctl approve, then repeat".to_owned(),
            ),
        }
    }

    /// The failure where nothing can be looked for.
    pub(crate) fn failure(&self, names: &[String], is_hook: bool) -> Failure {
        let (what, fix) = self.told(names);
        // The hook takes the code of a guarded secret for a locked vault.
        let code = match self {
            _ if is_hook => 1,
            Self::Asked(_) | Self::Full => 3,
            Self::Denied => 5,
        };
        Failure { code, message: format!("{what}; nothing was looked for"), fix: Some(fix) }
    }
}

/// Has a person answer an ask: on the terminal by `secretctl approve`, or elsewhere by who waits to answer asks. Returns
/// whether there is an answer.
pub(crate) async fn is_settled(
    ask: &Approval,
    client: &Client,
    paths: &Paths,
    arguments: &Arguments,
) -> Result<bool, Failure> {
    let id = ask.id.to_string();
    let has_terminal = File::options().read(true).write(true).open("/dev/tty").is_ok();
    // Who holds an access token answers nothing that it has asked.
    if let Some(program) =
        arguments.client.as_ref().filter(|_| has_terminal && !paths.token.is_access_token())
    {
        let mut command = Command::new(program);
        for (flag, path) in [("--socket", &arguments.socket), ("--token-file", &arguments.token_file)] {
            if let Some(path) = path {
                command.arg(flag).arg(path);
            }
        }
        // It asks on the terminal, not here.
        let _ = command.args(["approve", &id]).stdin(Stdio::null()).stdout(Stdio::null()).status();
        return Ok(approval(client, &id, 0).await?.state != ApprovalState::Pending);
    }
    let mut now = approval(client, &id, 0).await?;
    for _ in 0..PATIENCE / STEP {
        if now.state != ApprovalState::Pending || now.approvers == 0 {
            break;
        }
        now = approval(client, &id, STEP).await?;
    }
    Ok(now.state != ApprovalState::Pending)
}

async fn approval(client: &Client, id: &str, wait: u64) -> Result<Approval, Failure> {
    let call = Call::get(&format!("/approvals/{id}")).query("wait", &wait.to_string());
    Ok(client.send(&call).await?.parse()?)
}

fn short(ask: &Approval) -> String {
    ask.id.to_string().chars().take(8).collect()
}
