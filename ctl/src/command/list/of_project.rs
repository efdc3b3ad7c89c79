//! `list --project`: what the vault has of a project, by the names that the project has for it.

use secrets_client::Call;
use secrets_project::names::{BETWEEN, short};
use secrets_proto::secret::{SecretDetail, SecretList};
use secrets_proto::{Glob, Provider, Timestamp};

use super::ListArgs;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::project::Project;
use crate::session::Session;
use crate::{age, mask, pager, table};

pub(super) fn run(
    session: &Session,
    output: Output,
    args: &ListArgs,
    project: &Project,
) -> Result<(), Failure> {
    let prefix = project.manifest.prefix();
    let call = Call::list().query("view", "full").query("name", &format!("{prefix}{BETWEEN}*"));
    let call = match &args.provider {
        Some(provider) => call.query("provider", Provider::parse(provider)?.as_str()),
        None => call,
    };
    let glob = args.glob.as_deref().map(Glob::parse).transpose()?;
    let now = Timestamp::now();
    let chosen = args.chosen(now)?.unwrap_or_default();
    let SecretList { secrets, .. } = session.fetch::<SecretList<SecretDetail>>(&call)?;
    let profiles: Vec<&str> = project.manifest.profiles().collect();
    let known = |detail: &SecretDetail| {
        let (profile, key) = short(&prefix, &profiles, detail.secret.name.as_str())?;
        Some((profile.map(str::to_owned), key.to_owned()))
    };
    let mut secrets = chosen.of(secrets);
    let wanted = args.project.profile.as_deref();
    secrets.retain(|detail| {
        let Some((profile, key)) = known(detail) else { return false };
        let is_meant =
            |glob: &Glob| secrets_proto::SecretName::parse(&key).is_ok_and(|name| glob.matches(&name));
        wanted.is_none_or(|wanted| profile.as_deref().is_none_or(|profile| profile == wanted))
            && glob.as_ref().is_none_or(is_meant)
    });
    if output.json && !args.names {
        return super::show(session, secrets, output, args, false, now);
    }
    if secrets.is_empty() {
        output::say("the vault has nothing of this project yet; see what it lacks with: secretctl check");
        return Ok(());
    }
    if args.names {
        let mut names: Vec<String> =
            secrets.iter().filter_map(known).map(|(_, key)| format!("{key}\n")).collect();
        names.dedup();
        return output::answer(names.concat().as_bytes());
    }
    let for_eyes = output::stdout_is_terminal();
    let row = |detail: &SecretDetail| {
        let (profile, key) = known(detail)?;
        let secret = &detail.secret;
        let provider = secret.provider.as_ref().map_or("-", Provider::as_str).to_owned();
        let (masked, time) = if for_eyes {
            let masked = mask::shown(&secret.masked_value, Some(detail.size_class)).into_owned();
            (masked, detail.value_changed_at.map_or_else(|| "-".to_owned(), |time| age::since(time, now)))
        } else {
            (secret.masked_value.clone(), secret.updated_at.to_string())
        };
        Some([key, profile.unwrap_or_else(|| "-".to_owned()), provider, masked, time])
    };
    let rows: Vec<[String; 5]> = secrets.iter().filter_map(row).collect();
    let last = if for_eyes { "AGE" } else { "UPDATED" };
    pager::answer_paged(&table::render(["NAME", "PROFILE", "PROVIDER", "MASKED", last], &rows, output.colour))
}
