//! `replace`: the rotation of a key as one walk. The new value takes the old one's place under every name that has it, and
//! what still runs with the old one is named.

use std::io::{self, IsTerminal};

use clap::Args;
use secrets_client::Call;
use secrets_proto::secret::{SameList, Secret, SecretDetail, VersionList};
use secrets_proto::{ErrorType, Provider};

use super::{history, kept, same, set, r#where};
use crate::failure::{Exit, Failure};
use crate::input::{self, ValueArgs};
use crate::lookup::Wanted;
use crate::output::{self, Output};
use crate::session::Session;
use crate::{age, prompt};

/// Where a provider's keys are made, as its own documentation says.
const PAGES: [(&str, &str); 9] = [
    ("anthropic", "https://console.anthropic.com/settings/keys"),
    ("github", "https://github.com/settings/tokens"),
    ("gitlab", "https://gitlab.com/-/user_settings/personal_access_tokens"),
    ("groq", "https://console.groq.com/keys"),
    ("huggingface", "https://huggingface.co/settings/tokens"),
    ("mistral", "https://console.mistral.ai/api-keys"),
    ("openai", "https://platform.openai.com/api-keys"),
    ("openrouter", "https://openrouter.ai/settings/keys"),
    ("stripe", "https://dashboard.stripe.com/apikeys"),
];

/// Replace a value under every name that has it
#[derive(Debug, Args)]
#[command(after_help = "\
Names the provider's page if it is known, asks for the new value, and stores it
under this name and under every other name with the same value. Then it names the
programs of `run` that still have the old value. Finally it asks whether to
destroy the old value in the history, too.

Example:
  secretctl replace OPENAI_API_KEY")]
pub(crate) struct ReplaceArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &ReplaceArgs,
) -> Result<(), Failure> {
    input::refuse_arguments(&args.value)?;
    let wanted = Wanted::parse(&args.name)?;
    let session = open()?;
    let SecretDetail { secret, version, .. } = wanted.get(&session)?;
    let mut all = vec![(secret.clone(), version)];
    all.extend(others(&session, &secret)?);
    let others: Vec<Secret> = all.iter().skip(1).map(|(other, _)| other.clone()).collect();
    let provider = secret.provider.as_ref().map(Provider::as_str);
    if let Some((_, page)) = PAGES.iter().find(|(issuer, _)| Some(*issuer) == provider) {
        output::say(&format!("create the new key at {page}"));
    }
    if !others.is_empty() {
        output::say(&format!("the same value is replaced under: {}", names(&others)));
    }
    let value = input::value(&args.value, Some(secret.name.as_str()), "new value")?;
    let (mut answer, mut replaced, mut changed) = (None, Vec::new(), Vec::new());
    for (done, (one, version)) in all.iter().enumerate() {
        let old = present_version(&session, one)?;
        let written = match set::put_at(&session, one.id, &value, Some(*version)) {
            Err(failure) if failure.kind() == Some(ErrorType::ConflictError) => {
                changed.push(one.clone());
                continue;
            }
            outcome => outcome.map_err(|failure| {
                let left: Vec<Secret> = all.iter().skip(done).map(|(secret, _)| secret.clone()).collect();
                Failure::new(failure.exit(), format!("{failure}; still with the old value: {}", names(&left)))
            })?,
        };
        output::say(&set::told(&written.parse()?, Some(one), &value));
        replaced.push((one, old));
        answer.get_or_insert(written);
    }
    let written: Vec<&Secret> = replaced.iter().map(|(one, _)| *one).collect();
    say_who_has_the_old_value(&session, &written);
    if !changed.is_empty() {
        return Err(Failure::new(
            Exit::Conflict,
            format!(
                "left as it is, because somebody else has changed it meanwhile: {}; look at it, then give it the new value with: secretctl set NAME",
                names(&changed)
            ),
        ));
    }
    drop_old(&session, &replaced)?;
    match answer {
        Some(answer) if output.json => output::answer_json_line(answer.bytes()),
        Some(_) => Ok(()),
        None => Err(Failure::new(Exit::Other, "nothing was replaced")),
    }
}

/// The number of the version that is the present one.
fn present_version(session: &Session, secret: &Secret) -> Result<u64, Failure> {
    let call = Call::get(&format!("/user/secrets/{}/versions", secret.id));
    let VersionList { versions } = session.fetch(&call)?;
    let present = versions.iter().find(|version| version.current).map(|version| version.version);
    present.ok_or_else(|| Failure::new(Exit::DaemonFailed, "secretsd names no present version"))
}

/// Asks whether the old value stays in the history, and destroys it if it does not. Where nobody can be asked, it stays.
fn drop_old(session: &Session, replaced: &[(&Secret, u64)]) -> Result<(), Failure> {
    let in_history = |secret: &Secret| format!("the history has it too: secretctl history {}", secret.name);
    const REVOKE: &str = "now revoke the old key at its provider";
    if !io::stdin().is_terminal() || !prompt::can_ask() {
        let first = replaced.first().map(|(secret, _)| in_history(secret)).unwrap_or_default();
        output::say(&format!("{REVOKE}; {first}"));
        return Ok(());
    }
    output::say(REVOKE);
    if !prompt::confirm("destroy the old value in the history, too?").unwrap_or(false) {
        replaced.iter().for_each(|(secret, _)| output::say(&in_history(secret)));
        return Ok(());
    }
    for (secret, version) in replaced {
        history::drop_version(session, secret.id, *version)?;
        output::say(&format!("dropped version {version} of {}", secret.name));
    }
    kept::remind("the old value may still be in");
    Ok(())
}

/// The others that have the value of this one, each with the version in which it has it.
fn others(session: &Session, secret: &Secret) -> Result<Vec<(Secret, u64)>, Failure> {
    let ask = || -> Result<Vec<Secret>, Failure> {
        let SameList { secrets, .. } = same::ask(session, secret.id)?.parse()?;
        Ok(secrets)
    };
    let mut others = Vec::new();
    for other in ask()? {
        let detail: SecretDetail =
            session.fetch(&Call::get(&format!("/user/secrets/{}", other.id)).query("view", "full"))?;
        others.push((other, detail.version));
    }
    if !others.is_empty() {
        // A version that was read after a change has another value.
        let still = ask()?;
        others.retain(|(other, _)| still.iter().any(|one| one.id == other.id));
    }
    Ok(others)
}

/// Names the programs that got the value before it was replaced, and still run. Who may not read the log is not told.
fn say_who_has_the_old_value(session: &Session, replaced: &[&Secret]) {
    let now = secrets_proto::Timestamp::now();
    for secret in replaced {
        let places = r#where::places(session, &secret.name, Some(now)).unwrap_or_default();
        for place in places {
            for one in &place.running {
                let place_of = place.directory.as_ref().map(|path| format!(" in {path}")).unwrap_or_default();
                output::say(&format!(
                    "still running with the old value of {}: {}[{}]{place_of}, for {}",
                    secret.name,
                    place.program,
                    one.pid,
                    age::since(one.since, now)
                ));
            }
        }
    }
}

fn names(secrets: &[Secret]) -> String {
    secrets.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>().join(", ")
}
