//! The tools: what an agent may ask, and what it is told. Every text that goes into a command is checked first, so that
//! a person can paste what is printed; nothing that an agent sent is repeated unless it passed that check.

use std::fmt::Write as _;

use schemars::JsonSchema;
use secrets_proto::SecretName;
use secrets_proto::approval::ApprovalState as State;
use secrets_proto::rule::decide::{Verdict, decide};
use secrets_proto::rule::{HostPattern, Method, PathPattern, Site, Target};
use serde::{Deserialize, Serialize};

use crate::asking::Standing;
use crate::daemon::Daemon;
use crate::explain;

/// Which secrets to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListSecrets {
    /// Only secrets whose name contains this, in any case of letters
    #[serde(default)]
    containing: Option<String>,
}

/// The secrets of the user.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Listed {
    /// The secrets, by name
    secrets: Vec<Secret>,
}

/// A secret. There is no value in it.
#[derive(Debug, Serialize, JsonSchema)]
struct Secret {
    /// The name, which is that of its environment variable
    name: String,
    /// Who issued it, if that is known
    provider: Option<String>,
    /// A few characters of the value, to tell keys apart
    masked_value: String,
}

/// Lists secrets.
pub(crate) async fn list(daemon: &Daemon, asked: ListSecrets) -> Result<Listed, String> {
    let wanted = asked.containing.map(|text| text.to_ascii_uppercase());
    let list = daemon.list().await?;
    let secrets = list.secrets.into_iter().filter(|secret| {
        wanted.as_ref().is_none_or(|text| secret.name.as_str().to_ascii_uppercase().contains(text.as_str()))
    });
    let shown = secrets.map(|secret| Secret {
        name: secret.name.to_string(),
        provider: secret.provider.map(|provider| provider.to_string()),
        masked_value: secret.masked_value,
    });
    Ok(Listed { secrets: shown.collect() })
}

/// A request that is to carry a value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckRule {
    /// The secret's name
    name: String,
    /// The request's method, such as GET
    method: String,
    /// The request's URL; it begins with https://
    url: String,
}

/// Whether a request may carry a value.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Checked {
    /// Whether a rule allows it
    allowed: bool,
    /// The rule, as NAME/NUMBER
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// Where the placeholder must stand: bearer, basic, header:NAME, query:NAME
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    /// Why it is refused, and which command of a person would allow it
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// Tells which rule decides about a request.
pub(crate) async fn check(daemon: &Daemon, asked: CheckRule) -> Result<Checked, String> {
    let method = Method::parse(&asked.method).map_err(|invalid| invalid.to_string())?;
    let target = Target::parse(&asked.url).map_err(|invalid| invalid.to_string())?;
    let name = SecretName::parse(&asked.name).map_err(|invalid| invalid.to_string())?;
    let secret = daemon.secret(&name).await?.ok_or_else(|| format!("there is no secret {name}"))?;
    let list = daemon.rules(secret.secret.id).await?;
    Ok(match decide(&list.rules, target.request(&method)) {
        Verdict::Allowed(number, rule) => Checked {
            allowed: true,
            rule: Some(format!("{name}/{number}")),
            site: Some(rule.site.to_string()),
            why: None,
        },
        Verdict::Refused(why) => {
            Checked { allowed: false, rule: None, site: None, why: Some(why.advice(&name)) }
        }
    })
}

/// A request that was answered with `x-secretsd-denied`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainDenial {
    /// The type of the first item of errors in the answer's JSON, such as rule_mismatch
    r#type: String,
}

/// What a denial means.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Explained {
    /// What it means
    meaning: String,
    /// What helps
    remedy: String,
}

/// Explains a denial.
pub(crate) fn explain(asked: &ExplainDenial) -> Result<Explained, String> {
    let reason = explain::find(&asked.r#type).ok_or(
        "this is no reason of secretsd; without the header x-secretsd-denied, the host itself answered",
    )?;
    Ok(Explained { meaning: reason.meaning.to_owned(), remedy: reason.remedy.to_owned() })
}

/// What an agent would like to be allowed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestAccess {
    /// The secret's name
    name: String,
    /// The host, such as api.example.com; may be left out for a guarded secret that has a rule
    #[serde(default)]
    host: Option<String>,
    /// Methods; empty is any
    #[serde(default)]
    methods: Vec<String>,
    /// Paths, such as /v1/**; empty is any
    #[serde(default)]
    paths: Vec<String>,
    /// Where the API expects its key: bearer (the default), basic, header:NAME or query:NAME
    #[serde(default)]
    site: Option<String>,
    /// How many seconds to wait for a person's answer, if the secret is guarded and somebody is there; 60 by default
    #[serde(default)]
    #[schemars(range(max = 120))]
    wait_seconds: Option<u64>,
}

/// How a person can allow it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Requested {
    /// Whether a person has allowed the use of a guarded secret; a tool never allows anything itself
    granted: bool,
    /// What a person who agrees runs
    command: String,
    /// What to tell the person
    message: String,
    /// Of a guarded secret: what came of asking a person
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Asked>,
}

/// What came of asking a person.
#[derive(Debug, Serialize, JsonSchema)]
struct Asked {
    /// The ask's id
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// pending, allowed, denied or expired
    state: ApprovalState,
}

/// What is told of rules.
const RULE: &str = "Show the command to the person at this machine and say what it is for. A running session keeps its rules: \
                    after the change the program is started again.";

/// Says how a person can allow a use, and asks that person if the secret is guarded. Nothing is changed.
pub(crate) async fn request(daemon: &Daemon, asked: RequestAccess) -> Result<Requested, String> {
    let name = SecretName::parse(&asked.name).map_err(|invalid| invalid.to_string())?;
    let rule = asked.host.as_deref().map(|host| rule_command(&name, host, &asked)).transpose()?;
    let is_guarded = match daemon.secret(&name).await {
        Ok(secret) => secret.is_some_and(|secret| secret.guarded),
        // The command is right whatever the daemon says now.
        Err(_) if rule.is_some() => false,
        Err(reason) => return Err(reason),
    };
    if !is_guarded {
        let command = rule.ok_or("say for which host, such as api.example.com")?;
        return Ok(Requested { granted: false, command, message: RULE.to_owned(), approval: None });
    }
    let standing = daemon.ask(&name, asked.wait_seconds.unwrap_or(WAIT)).await?;
    let (state, id) = match &standing {
        Standing::Allowed => (State::Allowed, None),
        Standing::Denied => (State::Denied, None),
        Standing::Asked(approval) => (approval.state, Some(approval.id.to_string())),
    };
    let answer = match &id {
        Some(id) => format!("secretctl approve {}", id.get(..8).unwrap_or(id)),
        None => "secretctl approve".to_owned(),
    };
    let (message, command) = match state {
        State::Allowed => (
            "A person has allowed it. Start the program with: secretctl proxy run -s NAME -- CMD. An answer for one \
             request is used up; then the person is asked once more.",
            rule,
        ),
        State::Denied => ("It was denied. Do not ask again; tell the person what it was for.", rule),
        State::Pending | State::Expired => (
            "The secret is guarded, and nobody has answered. Tell the person what it is for; they answer in a terminal \
             with the command, which takes their passphrase, and choose for how long. Then ask again.",
            Some(answer),
        ),
    };
    let approval = Some(Asked { id, state: state.into() });
    let command = command.unwrap_or_default();
    Ok(Requested { granted: state == State::Allowed, command, message: message.to_owned(), approval })
}

/// How long a person's answer is waited for.
const WAIT: u64 = 60;

/// How an ask stands.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ApprovalState {
    Pending,
    Allowed,
    Denied,
    Expired,
}

impl From<State> for ApprovalState {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Allowed => Self::Allowed,
            State::Denied => Self::Denied,
            State::Expired => Self::Expired,
        }
    }
}

/// The command that sets a rule.
fn rule_command(name: &SecretName, host: &str, asked: &RequestAccess) -> Result<String, String> {
    let words = |invalid: secrets_proto::Invalid| invalid.to_string();
    let host = HostPattern::parse(host).map_err(words)?;
    let site = Site::parse(asked.site.as_deref().unwrap_or("bearer")).map_err(words)?;
    let mut command = format!("secretctl proxy rule set {name} --host '{host}'");
    for method in &asked.methods {
        let _ = write!(command, " --method {}", Method::parse(method).map_err(words)?);
    }
    for path in &asked.paths {
        let path = PathPattern::parse(path).map_err(words)?.to_string();
        if path.contains(|character: char| character == '\'' || character.is_control()) {
            return Err("a path for a command has no quotes".to_owned());
        }
        let _ = write!(command, " --path '{path}'");
    }
    let _ = write!(command, " --site {site}");
    Ok(command)
}
