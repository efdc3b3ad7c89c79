//! `set`, `add` and `update`: store a value under a name. They differ in what they expect to be there.

use clap::Args;
use secrets_client::{Answer, Call, Method};
use secrets_proto::reveal::Remark;
use secrets_proto::secret::{CreateSecret, PatchSecret, Secret, UpdateSecret};
use secrets_proto::{ErrorType, Provider, SecretName, SecretValue, Timestamp, Uuid};

use super::expiry;
use crate::failure::{Exit, Failure};
use crate::input::{self, ValueArgs};
use crate::lookup::Wanted;
use crate::output::{self, Output};
use crate::session::Session;
use crate::{providers, variables};

const STORE_HELP: &str = "\
Reads the value from the terminal without echo (one line), or all of stdin, byte
for byte. It is never an argument: arguments show in the process list and in the
shell's history. A value is UTF-8 text without NUL, at most 64 KiB. Encode other
data first:
base64 < FILE | secretctl set NAME

Example:
  secretctl set OPENAI_API_KEY
  secretctl set TLS_KEY --value-file key.pem
  printf %s \"$KEY\" | secretctl set OPENAI_API_KEY --provider openai";

#[derive(Debug, Args)]
#[command(after_help = STORE_HELP)]
pub(crate) struct SetArgs {
    /// The secret's name, also the name of its environment variable
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Who issued the secret [default: recognised from the value's prefix]
    #[arg(long, value_name = "PROVIDER")]
    pub(crate) provider: Option<String>,
    /// A note for `secretctl show`; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// When the secret expires: a time, a date, a duration like 90d, or never
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
}

/// What is expected to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Anything.
    Either,
    /// No secret of that name.
    New,
    /// A secret of that name.
    Existing,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &SetArgs,
    mode: Mode,
) -> Result<(), Failure> {
    input::refuse_arguments(&args.value)?;
    let wanted = Target::parse(&args.name, mode)?;
    let provider = args.provider.as_deref().map(Provider::parse).transpose()?;
    let remarks = remarks(args)?;
    let session = open()?;
    // A value that was typed should not be lost for a reason that was there before.
    if input::asks(&args.value) {
        session.open_vault()?;
    }
    expect_to_find(&session, &wanted, mode)?;
    if let Target::Named(name) = &wanted {
        variables::warn([name]);
    }
    let by_id = matches!(wanted, Target::Existing(_));
    let value = input::value(&args.value)?;
    let (mut answer, is_new) = match wanted {
        Target::Existing(wanted) => (update(&session, &wanted, &value, provider)?, false),
        Target::Named(name) => store(&session, name, &value, provider, mode)?,
    };
    let secret: Secret = answer.parse()?;
    let name = &secret.name;
    if by_id {
        variables::warn([name]);
    }
    output::say(&if is_new {
        format!("stored {name} (new)")
    } else {
        format!("replaced the value of {name}")
    });
    if remarks != PatchSecret::default() {
        answer = patch(&session, secret.id, &remarks).map_err(|failure| {
            let text = format!("stored the value, but not its note and expiry: {failure}");
            Failure::new(failure.exit(), text)
        })?;
    }
    if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) }
}

/// Whether what `add` and `update` expect is so.
fn expect_to_find(session: &Session, target: &Target, mode: Mode) -> Result<(), Failure> {
    match (mode, target) {
        (Mode::Existing, Target::Existing(wanted)) => wanted.get(session).map(drop),
        (Mode::New, Target::Named(name)) => match Wanted::parse(name.as_str())?.find(session) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(Failure::new(
                Exit::Conflict,
                format!("{name} already exists; replace its value with: secretctl set {name}"),
            )),
            // Who may store need not be allowed to look; the daemon tells when it comes to it.
            Err(failure) if failure.kind() == Some(ErrorType::ForbiddenError) => Ok(()),
            Err(failure) => Err(failure),
        },
        (Mode::Either | Mode::New | Mode::Existing, _) => Ok(()),
    }
}

/// What `--note` and `--expires` say.
fn remarks(args: &SetArgs) -> Result<PatchSecret, Failure> {
    let note = match args.note.as_deref() {
        Some(text) if text.split_whitespace().any(providers::looks_like_key) => {
            return Err(Failure::new(Exit::Usage, "the note holds what looks like a value; leave it out"));
        }
        Some("") => Some(None),
        Some(text) => Some(Some(Remark::parse(text)?)),
        None => None,
    };
    let expires_at = args.expires.as_deref().map(|text| expiry::parse(text, Timestamp::now())).transpose()?;
    Ok(PatchSecret { note, expires_at, ..PatchSecret::default() })
}

fn patch(session: &Session, id: Uuid, patch: &PatchSecret) -> Result<Answer, Failure> {
    session.call(&Call::new(Method::PATCH, &format!("/user/secrets/{id}")).json(patch)?)
}

enum Target {
    Named(SecretName),
    Existing(Wanted),
}

impl Target {
    fn parse(text: &str, mode: Mode) -> Result<Self, Failure> {
        if text.contains('=') {
            return Err(Failure::new(Exit::Usage, input::NO_VALUES));
        }
        if providers::looks_like_key(text) {
            return Err(Failure::new(
                Exit::Usage,
                "this name looks like a value; if it is one, replace it at its provider",
            ));
        }
        // `update` takes an id as well; a new secret needs a name.
        match (mode, secrets_proto::selector::parse_id(text)) {
            (Mode::Existing, _) | (Mode::Either, Some(_)) => Ok(Self::Existing(Wanted::parse(text)?)),
            (Mode::Either | Mode::New, _) => Ok(Self::Named(SecretName::parse(text)?)),
        }
    }
}

fn store(
    session: &Session,
    name: SecretName,
    value: &SecretValue,
    provider: Option<Provider>,
    mode: Mode,
) -> Result<(Answer, bool), Failure> {
    let created = create(session, &name, value, provider.clone()).map(|answer| (answer, true));
    if mode == Mode::New {
        return created;
    }
    let Err(failure) = created else { return created };
    if failure.kind() != Some(ErrorType::AlreadyExistsError) {
        return Err(failure);
    }
    let wanted = Wanted::parse(name.as_str())?;
    match update(session, &wanted, value, provider.clone()) {
        // Deleted between the two answers; then it can be created after all. Not tried a third time.
        Err(failure) if failure.exit() == Exit::NotFound => {
            create(session, &name, value, provider).map(|answer| (answer, true))
        }
        outcome => outcome.map(|answer| (answer, false)),
    }
}

fn create(
    session: &Session,
    name: &SecretName,
    value: &SecretValue,
    provider: Option<Provider>,
) -> Result<Answer, Failure> {
    let (provider, recognised) = match provider {
        Some(provider) => (Some(provider), None),
        None => match providers::recognise(value.expose()) {
            Some((prefix, known)) => (Some(Provider::parse(known)?), Some(prefix)),
            None => (None, None),
        },
    };
    let said = recognised.zip(provider.clone());
    let body = CreateSecret { name: name.clone(), value: value.clone(), provider };
    let answer = session.call(&Call::new(Method::POST, "/user/secrets").json(&body)?)?;
    if let Some((prefix, provider)) = said {
        output::say(&format!(
            "recognised provider {provider} from the prefix {prefix}; change it with --provider"
        ));
    }
    Ok(answer)
}

fn update(
    session: &Session,
    wanted: &Wanted,
    value: &SecretValue,
    provider: Option<Provider>,
) -> Result<Answer, Failure> {
    let present = wanted.get(session)?.secret;
    let route = format!("/user/secrets/{}", present.id);
    let body = UpdateSecret { value: value.clone() };
    let answer = session.call(&Call::new(Method::PUT, &route).json(&body)?)?;
    if provider.is_none() || provider == present.provider {
        return Ok(answer);
    }
    patch(session, present.id, &PatchSecret { provider: Some(provider), ..PatchSecret::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_the_names_place_is_refused_and_not_shown() {
        for line in ["A=sk-canary-canary-canary", "ghp_canarycanarycanary"] {
            let failure = Target::parse(line, Mode::Either).err().unwrap();
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(!failure.message().contains("canary"));
        }
        let failure = Target::parse("sk-canary", Mode::New).err().unwrap();
        assert_eq!(failure.exit(), Exit::Invalid);
        assert!(!failure.message().contains("canary"));
    }

    #[test]
    fn an_id_means_a_secret_that_exists() {
        let id = "2489e9ad-2ee2-4e00-8ec9-32d5f69181c0";
        assert!(matches!(Target::parse(id, Mode::Either), Ok(Target::Existing(_))));
        assert!(Target::parse(id, Mode::New).is_err());
        assert!(matches!(Target::parse("a", Mode::Existing), Ok(Target::Existing(_))));
        assert!(matches!(Target::parse("a", Mode::Either), Ok(Target::Named(_))));
    }
}
