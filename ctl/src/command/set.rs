//! `set`, `add` and `update`: store a value under a name. They differ in what they expect to be there.

use clap::Args;
use secrets_client::{Answer, Call, Method};
use secrets_proto::secret::{CreateSecret, PatchSecret, Secret, SecretDetail, UpdateSecret};
use secrets_proto::{ErrorType, Provider, SecretName, SecretValue, Uuid};

use super::edit;
use super::sync::kept;
use crate::failure::{Exit, Failure};
use crate::input::{self, ValueArgs};
use crate::lookup::Wanted;
use crate::output::{self, Output};
use crate::project::{self, Project, flags::NameArgs};
use crate::session::Session;
use crate::{mask, near, prompt, providers, variables};

const STORE_HELP: &str = "\
Reads the value from the terminal without echo (one line), or all of stdin. It
is never an argument: arguments show in the process list and in the shell's
history. A value is UTF-8 text without NUL, at most 64 KiB, and kept byte for
byte; only a pipe's one line loses the newline at its end, unless you say
--exact. Encode other data first:
base64 < FILE | secretctl set NAME

Example:
  secretctl set OPENAI_API_KEY
  secretctl set TLS_KEY --value-file key.pem
  printf %s \"$KEY\" | secretctl set OPENAI_API_KEY --provider openai
  secretctl set --local DATABASE_URL";

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
    /// Keep it on this machine, where the vault is on several
    #[arg(long)]
    pub(crate) local: bool,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
    #[command(flatten)]
    pub(crate) project: NameArgs,
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
    let project = Project::named(&args.project)?;
    let mut wanted = match &project {
        None => Target::parse(&args.name, mode)?,
        Some(project) => Target::of_project(&args.name, project, mode)?,
    };
    let encoding = project.as_ref().and_then(|project| project.encoding(&args.name));
    let provider = args.provider.as_deref().map(Provider::parse).transpose()?;
    let remarks = edit::remarks(args.note.as_deref(), args.expires.as_deref())?;
    let session = open()?;
    // A value that was typed should not be lost for a reason that was there before.
    if input::asks(&args.value) {
        session.open_vault()?;
        if mode == Mode::Either
            && let Target::Named(name) = &mut wanted
        {
            ask_if_meant(&session, name)?;
        }
    }
    let existing = expect_to_find(&session, &wanted, mode)?;
    if let Target::Named(name) = &wanted {
        variables::warn([name]);
    }
    let by_id = matches!(wanted, Target::Existing(_));
    let (name, what) = match (&wanted, &existing) {
        (Target::Existing(_), Some(secret)) => (Some(secret.name.as_str()), "new value"),
        (Target::Existing(_), None) => (None, "new value"),
        (Target::Named(name), _) => (Some(name.as_str()), "value"),
    };
    let value = match encoding {
        None => input::value(&args.value, name, what)?,
        Some(encoding) => {
            output::say(&format!("stored as {}, as the manifest says", encoding.as_str()));
            SecretValue::new(encoding.encode(&input::bytes(&args.value, name, what)?).to_string())?
        }
    };
    let Written { mut answer, before, settles } = match wanted {
        Target::Existing(wanted) => update(&session, &wanted, &value, provider, args.local)?,
        Target::Named(name) => store(&session, name, &value, provider, args.local, mode)?,
    };
    let secret: Secret = answer.parse()?;
    let name = &secret.name;
    if by_id {
        variables::warn([name]);
    }
    output::say(&told(&secret, before.as_ref(), &value));
    if before.is_some() && !args.local {
        kept::say_of_displaced(&session, Some(name));
    }
    if settles {
        output::say(&format!("the values that several machines had given {name} before stay in its history"));
    }
    if before.is_none() && mode == Mode::Either && !input::asks(&args.value) {
        note_if_meant(&session, name);
    }
    if remarks != PatchSecret::default() {
        answer = edit::patch(&session, secret.id, None, &remarks).map_err(|failure| {
            let text = format!("stored the value, but not its note and expiry: {failure}");
            Failure::new(failure.exit(), text)
        })?;
    }
    if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) }
}

/// What was written, by masks and roughly how long it is.
pub(super) fn told(secret: &Secret, before: Option<&Secret>, value: &SecretValue) -> String {
    let (name, now, length) = (&secret.name, mask::shown(&secret.masked_value, None), mask::length(value));
    match before {
        None => format!("stored {name} (new): {now}, {length}"),
        Some(before) => {
            format!("replaced {name}: {} → {now}, {length}", mask::shown(&before.masked_value, None))
        }
    }
}

/// Asks which name is meant if there is none of this one, and one that differs from it by a slip.
fn ask_if_meant(session: &Session, name: &mut SecretName) -> Result<(), Failure> {
    let listed = near::listed(session);
    let Some(near) = near::mistyped(name, &listed).filter(|_| !listed.contains(name)) else { return Ok(()) };
    let answer = prompt::line(&format!("no {name} yet; did you mean {near}? [Y/n/new] "))
        .map_err(|error| Failure::new(Exit::Other, error.told("nothing was stored", "")))?;
    match answer.to_ascii_lowercase().as_str() {
        "" | "y" | "yes" => name.clone_from(near),
        "new" => {}
        _ => return Err(Failure::new(Exit::Other, "nothing was stored")),
    }
    Ok(())
}

/// Says of a new name that it may be a slip, where nobody could be asked.
fn note_if_meant(session: &Session, name: &SecretName) {
    if let Some(near) = near::mistyped(name, &near::listed(session)) {
        output::say(&format!("did you mean {near}? then undo this with: secretctl rm {name}"));
    }
}

/// Whether what `add` and `update` expect is so; the secret that `update` is to find.
fn expect_to_find(session: &Session, target: &Target, mode: Mode) -> Result<Option<Secret>, Failure> {
    match (mode, target) {
        (Mode::Existing, Target::Existing(wanted)) => wanted.get(session).map(|detail| Some(detail.secret)),
        (Mode::New, Target::Named(name)) => match Wanted::parse(name.as_str())?.find(session) {
            Ok(None) => Ok(None),
            Ok(Some(_)) => Err(Failure::new(
                Exit::Conflict,
                format!("{name} already exists; replace its value with: secretctl set {name}"),
            )),
            // Who may store need not be allowed to look; the daemon tells when it comes to it.
            Err(failure) if failure.kind() == Some(ErrorType::ForbiddenError) => Ok(None),
            Err(failure) => Err(failure),
        },
        (Mode::Either | Mode::New | Mode::Existing, _) => Ok(None),
    }
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

impl Target {
    /// A secret as the project here calls it. One that its manifest does not name may be stored all the same.
    fn of_project(key: &str, project: &Project, mode: Mode) -> Result<Self, Failure> {
        // What is no name, or is a value, is refused as ever.
        Self::parse(key, Mode::New)?;
        if !project.profile()?.secrets.contains_key(key) {
            output::say(&format!(
                "{} does not name {key}; it will be stored, but the project's programs do not get it",
                project::shown(&project.file)
            ));
        }
        Self::parse(project.own_name(key)?.as_str(), mode)
    }
}

/// What the daemon answered to a write, and what was there before.
struct Written {
    answer: Answer,
    before: Option<Secret>,
    /// Whether it takes the place of values of several machines.
    settles: bool,
}

fn store(
    session: &Session,
    name: SecretName,
    value: &SecretValue,
    provider: Option<Provider>,
    local: bool,
    mode: Mode,
) -> Result<Written, Failure> {
    let created = create(session, &name, value, provider.clone(), local);
    if mode == Mode::New {
        return created;
    }
    let Err(failure) = created else { return created };
    if failure.kind() != Some(ErrorType::AlreadyExistsError) {
        return Err(failure);
    }
    let wanted = Wanted::parse(name.as_str())?;
    match update(session, &wanted, value, provider.clone(), local) {
        // Deleted between the two answers; then it can be created after all. Not tried a third time.
        Err(failure) if failure.exit() == Exit::NotFound => create(session, &name, value, provider, local),
        outcome => outcome,
    }
}

fn create(
    session: &Session,
    name: &SecretName,
    value: &SecretValue,
    provider: Option<Provider>,
    local: bool,
) -> Result<Written, Failure> {
    let (provider, recognised) = match provider {
        Some(provider) => (Some(provider), None),
        None => match providers::recognise(value.expose()) {
            Some((prefix, known)) => (Some(Provider::parse(known)?), Some(prefix)),
            None => (None, None),
        },
    };
    let said = recognised.zip(provider.clone());
    let body = CreateSecret { name: name.clone(), value: value.clone(), provider, local };
    let answer = session
        .call(&Call::new(Method::POST, "/user/secrets").json(&body)?)
        .map_err(|failure| failure.taken(name.as_str()))?;
    if let Some((prefix, provider)) = said {
        output::say(&format!(
            "recognised provider {provider} from the prefix {prefix}; change it with --provider"
        ));
    }
    Ok(Written { answer, before: None, settles: false })
}

fn update(
    session: &Session,
    wanted: &Wanted,
    value: &SecretValue,
    provider: Option<Provider>,
    local: bool,
) -> Result<Written, Failure> {
    let SecretDetail { secret: present, conflict, local: is_local, .. } = wanted.get(session)?;
    // Before it has the value that is not to leave.
    if local && !is_local {
        output::say(&kept::told(&kept::keep(session, present.id)?));
    }
    let mut answer = put(session, present.id, value)?;
    if provider.is_some() && provider != present.provider {
        let patch = PatchSecret { provider: Some(provider), ..PatchSecret::default() };
        answer = edit::patch(session, present.id, None, &patch)?;
    }
    Ok(Written { answer, before: Some(present), settles: conflict })
}

/// Gives the secret with this id a new value.
fn put(session: &Session, id: Uuid, value: &SecretValue) -> Result<Answer, Failure> {
    put_at(session, id, value, None)
}

/// Gives the secret with this id a new value, if it is still at this version.
pub(super) fn put_at(
    session: &Session,
    id: Uuid,
    value: &SecretValue,
    version: Option<u64>,
) -> Result<Answer, Failure> {
    let body = UpdateSecret { value: value.clone() };
    let call = Call::new(Method::PUT, &format!("/user/secrets/{id}")).json(&body)?;
    session.call(&match version {
        Some(version) => call.if_version(version),
        None => call,
    })
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
