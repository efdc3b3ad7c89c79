//! `aws-credentials`: what AWS's tools run as `credential_process` (docs.aws.amazon.com, SDKs and tools reference,
//! "Process credential provider"). They wait for it in scripts too: nobody is asked, and a failure is quick.

use clap::Args;
use secrets_client::Call;
use secrets_proto::secret::{SecretDetail, SecretList};
use secrets_proto::{Glob, SecretName, Selector, Timestamp};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::helper::{self, note};
use crate::session::Session;
use crate::{environment, handover, lookup};

/// AWS credential_process; AWS tools run this
#[derive(Debug, Args)]
#[command(after_help = "\
Answers with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if they exist,
AWS_SESSION_TOKEN and AWS_ACCOUNT_ID, or account=NUMBER in the note of the key id.
If one of the first three has --expires, the tools are told; once it has expired,
there is no answer. In ~/.aws/config:
  [profile production]
  credential_process = secretctl aws-credentials --prefix PROD_
Inside proxy run the answer is the placeholders of these secrets.

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
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    args: &AwsCredentialsArgs,
) -> Result<(), Failure> {
    helper::refuse_terminal(
        "AWS tools run this; put into ~/.aws/config: credential_process = secretctl aws-credentials",
    )?;
    let named = |suffix: &str| SecretName::parse(&format!("{}AWS_{suffix}", args.prefix));
    let (id, key, token) = (named("ACCESS_KEY_ID")?, named("SECRET_ACCESS_KEY")?, named("SESSION_TOKEN")?);
    let account = named("ACCOUNT_ID")?;
    if environment::in_session() {
        return write_placeholders(&id, &key, &token);
    }
    let session = open()?;
    let glob = Glob::parse(&format!("{}AWS_*", args.prefix))?;
    let call = Call::list().query("name", glob.as_str()).query("view", "full");
    let list: SecretList<SecretDetail> = session.call_as_is(&call).map_err(helper::plain)?.parse()?;
    let known = |name: &SecretName| list.secrets.iter().find(|detail| detail.secret.name == *name);
    let soonest = soonest(&list.secrets, &[&token, &id, &key]);
    if let Some((name, time)) = soonest {
        helper::check_current(name, Some(time))?;
    }
    let mut selectors = vec![Selector::Name(id.clone()), Selector::Name(key.clone())];
    selectors.extend(
        [&token, &account]
            .into_iter()
            .filter_map(known)
            .map(|detail| Selector::Name(detail.secret.name.clone())),
    );
    let request = handover::request(selectors, "aws-credentials", None)?;
    let reply = handover::ask_as_is(&session, &request)
        .map_err(|failure| helper::plain(lookup::name_the_missing(failure, &request.secrets)))?;
    let value = |name: &SecretName| {
        let secret = reply.secrets.iter().find(|secret| secret.name == *name);
        secret.map(|secret| handover::in_one_line(name, &secret.value)).transpose()
    };
    let noted = known(&id).and_then(|detail| note::field(detail.note.as_ref(), "account"));
    let account_id = value(&account)?.or(noted);
    if account_id.is_some_and(|text| text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_digit())) {
        let text = format!("the account in {account}, or in the note of {id}, is not a number of 12 digits");
        return Err(Failure::new(Exit::Invalid, text));
    }
    let incomplete = || Failure::new(Exit::DaemonFailed, "secretsd did not return all secrets");
    let credentials = Credentials {
        version: 1,
        access_key_id: value(&id)?.ok_or_else(incomplete)?,
        secret_access_key: value(&key)?.ok_or_else(incomplete)?,
        session_token: value(&token)?,
        expiration: soonest.map(|(_, time)| time),
        account_id,
    };
    helper::answer_json(&credentials, 3)
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
    let credentials = Credentials {
        version: 1,
        access_key_id: handover::in_one_line(id, &id_value)?,
        secret_access_key: handover::in_one_line(key, &key_value)?,
        session_token: token_value.as_ref().map(|value| handover::in_one_line(token, value)).transpose()?,
        expiration: None,
        account_id: None,
    };
    helper::answer_json(&credentials, 3)
}

/// Which of these ends first, and when: credentials work together or not at all.
fn soonest<'a>(secrets: &[SecretDetail], names: &[&'a SecretName]) -> Option<(&'a SecretName, Timestamp)> {
    let end = |name: &'a SecretName| {
        let detail = secrets.iter().find(|detail| detail.secret.name == *name)?;
        detail.expires_at.map(|time| (name, time))
    };
    names.iter().filter_map(|name| end(name)).min_by_key(|(_, time)| *time)
}
