//! `cargo-credential`: cargo's credential provider protocol, version 1 (The Cargo Book, "Credential Provider Protocol"):
//! a line of JSON that says the version, and then for each line that comes a line.

mod protocol;

use std::io::{self, BufRead, Read};

use clap::Args;
use secrets_client::{Call, Method};
use secrets_proto::reveal::Remark;
use secrets_proto::secret::{PatchSecret, SecretDetail, SecretList};
use secrets_proto::{SecretName, SecretValue};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::helper::{self, note, place::Place};
use crate::session::Session;
use crate::{environment, handover, prompt};

use protocol::{Answer, Cache, Hello, Problem, Reply, Request};

/// Cargo credential provider; cargo runs this
#[derive(Debug, Args)]
#[command(after_help = "\
Run under the name cargo-credential-secretctl, a link that make install places.
In ~/.cargo/config.toml:
  [registry]
  global-credential-providers = [\"cargo-credential-secretctl\"]
The token of the registry my-registry is the secret CARGO__MY_REGISTRY, whose note
says which index it is for: index=URL, as cargo login --registry my-registry
stores it. A token goes to that index alone, whatever a project's settings call
it. Inside proxy run the answer is the secret's placeholder.

Example:
  secretctl set CARGO__MY_REGISTRY --note index=sparse+https://cargo.example.com/index/")]
pub(crate) struct CargoCredentialArgs {
    /// What cargo says to every provider
    #[arg(long, required = true)]
    pub(crate) cargo_plugin: bool,
}

/// How the names of these secrets begin.
const PREFIX: &str = helper::CARGO;

pub(crate) fn run(
    open: impl Fn() -> Result<Session, Failure>,
    _: &CargoCredentialArgs,
) -> Result<(), Failure> {
    helper::refuse_terminal(
        "cargo runs this; put into ~/.cargo/config.toml: [registry] global-credential-providers = [\"cargo-credential-secretctl\"]",
    )?;
    helper::answer_json(&Hello { v: [1] }, 0)?;
    while let Some(line) = read_line()? {
        answer(&open, &line)?;
    }
    Ok(())
}

/// The next line, or nothing at the end.
fn read_line() -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    // Never grows, so that no copy is left behind.
    let mut line = Zeroizing::new(Vec::with_capacity(helper::OFFER + 1));
    let limit = u64::try_from(helper::OFFER + 1).unwrap_or(u64::MAX);
    io::stdin()
        .lock()
        .take(limit)
        .read_until(b'\n', &mut line)
        .map_err(|error| Failure::new(Exit::Other, format!("cannot read stdin: {error}")))?;
    if line.len() > helper::OFFER {
        reply(&Reply::Err(Problem::Other { message: "the request is too long", caused_by: [] }))?;
        return Ok(None);
    }
    Ok((!line.is_empty()).then_some(line))
}

fn reply(reply: &Reply<'_>) -> Result<(), Failure> {
    helper::answer_json(reply, 1)
}

/// Answers one request. What goes wrong is an answer as well.
fn answer(open: &impl Fn() -> Result<Session, Failure>, line: &[u8]) -> Result<(), Failure> {
    let failed = |failure: &Failure| {
        let problem = if failure.exit() == Exit::NotFound {
            Problem::NotFound
        } else {
            Problem::Other { message: failure.message(), caused_by: [] }
        };
        reply(&Reply::Err(problem))
    };
    // The cause is dropped: serde quotes what it stumbles over.
    let Ok(request) = serde_json::from_slice::<Request>(line) else {
        return failed(&Failure::new(Exit::Invalid, "this is no request of version 1"));
    };
    let done = match check(&request) {
        Err(failure) => Err(failure),
        Ok(()) => match request.kind.as_str() {
            "get" => get(open, &request),
            "login" => login(open, &request).and_then(|()| reply(&Reply::Ok(Answer::Login))),
            "logout" => logout(open, &request).and_then(|()| reply(&Reply::Ok(Answer::Logout))),
            _ => return reply(&Reply::Err(Problem::OperationNotSupported)),
        },
    };
    done.or_else(|failure| failed(&failure))
}

fn check(request: &Request) -> Result<(), Failure> {
    let wrong = |text: &str| Err(Failure::new(Exit::Invalid, text));
    if request.v != 1 {
        return wrong("only version 1 of the protocol is spoken here");
    }
    if !request.args.is_empty() {
        return wrong("cargo-credential-secretctl takes no arguments; remove them from cargo's settings");
    }
    let url = request.registry.index_url.as_str();
    if url.is_empty() || url.len() > 900 || url.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return wrong("the index has an address with blanks or control characters, or a very long one");
    }
    let address = url.strip_prefix("sparse+").unwrap_or(url);
    // A git index may lie anywhere; what it says about its API is checked by cargo.
    if address.starts_with("http://") || url.starts_with("sparse+") {
        Place::parse(address)?;
    }
    Ok(())
}

fn get(open: &impl Fn() -> Result<Session, Failure>, request: &Request) -> Result<(), Failure> {
    let send = |name: &SecretName, value: &SecretValue, cache| {
        let token = handover::in_one_line(name, value)?;
        reply(&Reply::Ok(Answer::Get { token, cache, operation_independent: true }))
    };
    if environment::in_session() {
        let name = named(request)?.ok_or_else(none)?;
        let placeholder = environment::placeholder(&name).ok_or_else(none)?;
        return send(&name, &placeholder, Cache::Session);
    }
    let session = open()?;
    let detail = stored(&session, request)?.ok_or_else(none)?;
    let name = &detail.secret.name;
    check_bound(&detail, request)?;
    helper::check_current(name, detail.expires_at)?;
    let host = Place::parse(request.registry.index_url.trim_start_matches("sparse+")).ok();
    let host = host.map(|place| place.authority());
    let found =
        helper::reveal(&session, name, "cargo-credential", host.as_deref(), None)?.ok_or_else(none)?;
    let cache =
        found.expires_at.map_or(Cache::Session, |time| Cache::Expires { expiration: time.as_second() });
    send(name, &found.value, cache)
}

fn login(open: &impl Fn() -> Result<Session, Failure>, request: &Request) -> Result<(), Failure> {
    helper::refuse_session("cargo login")?;
    let url = &request.registry.index_url;
    if url.contains('@') {
        let text = "the address of the index holds a user or password, which a note is no place for";
        return Err(Failure::new(Exit::Invalid, text));
    }
    let Some(name) = named(request)? else {
        let text =
            "the registry has no name; give it one in cargo's settings, and use cargo login --registry NAME";
        return Err(Failure::new(Exit::Invalid, text));
    };
    let session = open()?;
    let before = helper::look_up(&session, &name)?;
    if let Some(before) = &before {
        check_bound(before, request)?;
    }
    let value = token(request, &name)?;
    helper::store(&session, &name, value, before.as_ref())?;
    if before.is_some() {
        return Ok(());
    }
    // Without it the token is not answered to anybody.
    let made = helper::look_up(&session, &name)?.ok_or_else(none)?;
    let note = Some(Some(Remark::parse(&format!("index={url}"))?));
    let patch = PatchSecret { note, ..PatchSecret::default() };
    let call = Call::new(Method::PATCH, &format!("/user/secrets/{}", made.secret.id)).json(&patch)?;
    session.call_as_is(&call).map(drop).map_err(helper::plain)
}

fn logout(open: &impl Fn() -> Result<Session, Failure>, request: &Request) -> Result<(), Failure> {
    helper::refuse_session("cargo logout")?;
    let session = open()?;
    let found = stored(&session, request)?.ok_or_else(none)?;
    check_bound(&found, request)?;
    helper::remove(&session, &found)
}

fn none() -> Failure {
    Failure::new(Exit::NotFound, "there is no token for this registry")
}

/// The secret of a registry's name: as cargo's own variables are named (The Cargo Book, "Environment Variables",
/// `CARGO_REGISTRIES_<name>_TOKEN`).
fn named(request: &Request) -> Result<Option<SecretName>, Failure> {
    let Some(name) = &request.registry.name else { return Ok(None) };
    Ok(Some(SecretName::parse(&format!("{PREFIX}{}", name.replace('-', "_")))?))
}

/// The secret of the registry's name; or else the one for its index, whatever its name.
fn stored(session: &Session, request: &Request) -> Result<Option<SecretDetail>, Failure> {
    let by_name = match named(request)? {
        Some(name) => helper::look_up(session, &name)?,
        None => None,
    };
    if by_name.as_ref().is_some_and(|detail| is_bound(detail, request)) {
        return Ok(by_name);
    }
    let call = Call::list().query("name", "CARGO__*").query("view", "full");
    let list: SecretList<SecretDetail> = session.call_as_is(&call).map_err(helper::plain)?.parse()?;
    let mut bound = list.secrets.into_iter().filter(|detail| is_bound(detail, request));
    match (bound.next(), bound.next()) {
        (Some(only), None) => Ok(Some(only)),
        _ => Ok(by_name),
    }
}

/// Whether a token is for the index that is asked for. Cargo takes names of registries from the settings of whatever
/// project it works on, so that a name alone would send a token where that project says.
fn is_bound(detail: &SecretDetail, request: &Request) -> bool {
    note::field(detail.note.as_ref(), "index") == Some(request.registry.index_url.as_str())
}

fn check_bound(detail: &SecretDetail, request: &Request) -> Result<(), Failure> {
    if is_bound(detail, request) {
        return Ok(());
    }
    let name = &detail.secret.name;
    let text = match note::field(detail.note.as_ref(), "index") {
        Some(_) => {
            format!("{name} is for another index than the one that is asked for; see: secretctl show {name}")
        }
        None => {
            format!("{name} does not say for which index it is; run: secretctl edit {name} --note index=URL")
        }
    };
    Err(Failure::new(Exit::NotAllowed, text))
}

/// The token that cargo was given; typed, if it was given none: its stdin is not ours.
fn token(request: &Request, name: &SecretName) -> Result<SecretValue, Failure> {
    let token = match &request.token {
        Some(token) => token.clone(),
        None => {
            let instead = "store it with: secretctl set NAME --note index=URL";
            prompt::hidden("token: ")
                .map_err(|error| Failure::new(Exit::Other, error.told("nothing was stored", instead)))?
        }
    };
    let value = SecretValue::new(token.expose().to_owned())?;
    let line = handover::in_one_line(name, &value)?;
    Ok(SecretValue::new(line.to_owned())?)
}
