//! `aws-credentials`: what AWS's tools run as `credential_process` (docs.aws.amazon.com, SDKs and tools reference,
//! "Process credential provider"). They wait for it in scripts too: nobody is asked, and a failure is quick.

use clap::Args;
use secrets_client::Call;
use secrets_proto::secret::{SecretDetail, SecretList};
use secrets_proto::{ErrorType, Glob, SecretName, SecretValue, Selector, Timestamp};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{environment, handover, lookup, output};

/// AWS credential_process; AWS tools run this
#[derive(Debug, Args)]
#[command(after_help = "\
Answers with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if it exists,
AWS_SESSION_TOKEN with its --expires. In ~/.aws/config:
  [profile production]
  credential_process = secretctl aws-credentials --prefix PROD_
Inside of proxy run the answer is the placeholders of these secrets.

Example:
  secretctl aws-credentials --prefix PROD_ | jq .AccessKeyId")]
pub(crate) struct AwsCredentialsArgs {
    /// The prefix before AWS_ in the secrets' names
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
}

/// The form that the tools expect, in its version 1.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials<'a> {
    version: u8,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<Timestamp>,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    args: &AwsCredentialsArgs,
) -> Result<(), Failure> {
    if output::stdout_is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "AWS tools run this; put into ~/.aws/config: credential_process = secretctl aws-credentials",
        ));
    }
    let named = |suffix: &str| SecretName::parse(&format!("{}AWS_{suffix}", args.prefix));
    let (id, key, token) = (named("ACCESS_KEY_ID")?, named("SECRET_ACCESS_KEY")?, named("SESSION_TOKEN")?);
    if environment::in_session() {
        return write_placeholders(&id, &key, &token);
    }
    let session = open()?;
    let glob = Glob::parse(&format!("{}AWS_*", args.prefix))?;
    let call = Call::list().query("name", glob.as_str()).query("view", "full");
    let list: SecretList<SecretDetail> = session.call_as_is(&call).map_err(plain)?.parse()?;
    // Without it the keys are long-term ones.
    let temporary = list.secrets.iter().find(|detail| detail.secret.name == token);
    let soonest = temporary.and_then(|_| soonest(&list.secrets, &[&token, &id, &key]));
    if let Some((name, time)) = soonest.filter(|(_, time)| *time <= Timestamp::now()) {
        // Some of the tools would use it all the same, others go on to another identity.
        let text = format!("{name} expired at {time}; put in a new one: secretctl set {name} --expires TIME");
        return Err(Failure::new(Exit::Other, text));
    }
    let mut selectors = vec![Selector::Name(id.clone()), Selector::Name(key.clone())];
    selectors.extend(temporary.map(|_| Selector::Name(token.clone())));
    let request = handover::request(selectors, "aws-credentials", None)?;
    let reply = handover::ask_as_is(&session, &request)
        .map_err(|failure| plain(lookup::name_the_missing(failure, &request.secrets)))?;
    let value = |name: &SecretName| {
        let secret = reply.secrets.iter().find(|secret| secret.name == *name);
        secret.map(|secret| handover::in_one_line(name, &secret.value)).transpose()
    };
    let incomplete = || Failure::new(Exit::DaemonFailed, "secretsd did not return all secrets");
    let credentials = Credentials {
        version: 1,
        access_key_id: value(&id)?.ok_or_else(incomplete)?,
        secret_access_key: value(&key)?.ok_or_else(incomplete)?,
        session_token: value(&token)?,
        expiration: soonest.map(|(_, time)| time),
    };
    write(&credentials)
}

/// Answers with what the session of `proxy run` has, which stays the same until its end.
fn write_placeholders(id: &SecretName, key: &SecretName, token: &SecretName) -> Result<(), Failure> {
    let needed = |name: &SecretName| {
        environment::placeholder(name).ok_or_else(|| {
            let text = format!("this session has no {name}; start it with: secretctl proxy run -s {name}");
            Failure::new(Exit::NotFound, text)
        })
    };
    let (id_value, key_value, token_value) = (needed(id)?, needed(key)?, environment::placeholder(token));
    write(&Credentials {
        version: 1,
        access_key_id: handover::in_one_line(id, &id_value)?,
        secret_access_key: handover::in_one_line(key, &key_value)?,
        session_token: token_value.as_ref().map(|value| handover::in_one_line(token, value)).transpose()?,
        expiration: None,
    })
}

/// Which of these ends first, and when: temporary credentials work together or not at all.
fn soonest<'a>(secrets: &[SecretDetail], names: &[&'a SecretName]) -> Option<(&'a SecretName, Timestamp)> {
    let end = |name: &'a SecretName| {
        let detail = secrets.iter().find(|detail| detail.secret.name == *name)?;
        detail.expires_at.map(|time| (name, time))
    };
    names.iter().filter_map(|name| end(name)).min_by_key(|(_, time)| *time)
}

fn write(credentials: &Credentials<'_>) -> Result<(), Failure> {
    // Never grows, so that no copy is left behind: three values, of which each byte may become six.
    let mut text = Zeroizing::new(Vec::with_capacity(3 * SecretValue::MAX * 6 + 256));
    serde_json::to_writer(&mut *text, credentials)
        .map_err(|_| Failure::new(Exit::Other, "the credentials cannot be written as JSON"))?;
    output::answer_json_line(&text)
}

/// What the tools show: they run us where no terminal is ours.
fn plain(failure: Failure) -> Failure {
    if failure.exit() == Exit::Locked && failure.kind() != Some(ErrorType::ApprovalRequiredError) {
        return Failure::new(Exit::Locked, "the vault is locked; run: secretctl unlock");
    }
    failure
}
