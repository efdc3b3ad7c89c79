//! `docker-credential`: the protocol of docker's credential helpers (docker-credential-helpers, `credentials`), which
//! podman, skopeo and oras speak too. An error is a line on stdout and an exit code; docker shows its user what stands on
//! stderr, podman what stands on stdout.

use std::collections::BTreeMap;

use clap::Args;
use secrets_client::Call;
use secrets_proto::secret::{SecretDetail, SecretList};
use secrets_proto::{SecretName, SecretValue, Selector, SensitiveString, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::helper::{self, login::Login, place::Place};
use crate::session::Session;
use crate::{handover, output};

/// Docker credential helper; docker and podman run this
#[derive(Debug, Args)]
#[command(after_help = "\
Run under the name docker-credential-secretctl, a link that make install places.
The login for registry.example.com is the secret DOCKER__REGISTRY_EXAMPLE_COM:
{\"Username\":\"me\",\"Secret\":\"…\"}, or the secret alone with --note user=me.
Of a host, . becomes _, - becomes __, and the : before a port ___. To have docker
use it, put \"credsStore\": \"secretctl\" into ~/.docker/config.json; podman reads
the same from \"credHelpers\". What is erased lies in the trash for 30 days.

Example:
  echo registry.example.com | secretctl docker-credential get | jq .Username
  secretctl edit DOCKER__REGISTRY_EXAMPLE_COM --expires 90d")]
pub(crate) struct DockerCredentialArgs {
    /// docker's operation: get, store, erase, list or version
    #[arg(value_name = "OPERATION")]
    pub(crate) operation: String,
}

/// How the names of these secrets begin.
const PREFIX: &str = helper::DOCKER;

/// The words by which clients know that there is no login (docker-credential-helpers, `credentials/error.go`).
const NOT_FOUND: &str = "credentials not found in native keychain";
const NO_SERVER: &str = "no credentials server URL";

/// Names of one registry: the second is what docker says (docker, `registry.IndexServer`), podman says the first.
const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// What is stored.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Offer {
    #[serde(rename = "ServerURL")]
    server_url: String,
    username: String,
    secret: SensitiveString,
}

/// What is answered.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials<'a> {
    #[serde(rename = "ServerURL")]
    server_url: &'a str,
    username: &'a str,
    secret: &'a SecretValue,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    args: &DockerCredentialArgs,
) -> Result<(), Failure> {
    let outcome = match args.operation.as_str() {
        "get" => get(open),
        "store" => store(open),
        "erase" => erase(open),
        "list" => list(open),
        "version" => {
            let text = concat!("docker-credential-secretctl (secretctl) ", env!("CARGO_PKG_VERSION"));
            return output::answer_line(text.as_bytes());
        }
        _ => Err(Failure::new(Exit::Usage, "the operation is get, store, erase, list or version")),
    };
    outcome.map_err(|failure| {
        // A person at a terminal has it on stderr already.
        if !failure.message().is_empty() && !output::stdout_is_terminal() {
            let _ = output::answer_line(failure.message().as_bytes());
        }
        // It is usual that there is none; everything else is told where docker's user sees it, too.
        if failure.message() == NOT_FOUND { Failure::new(Exit::Other, "") } else { failure }
    })
}

fn get(open: impl FnOnce() -> Result<Session, Failure>) -> Result<(), Failure> {
    helper::refuse_terminal(
        "docker runs this; put into ~/.docker/config.json: {\"credsStore\": \"secretctl\"}",
    )?;
    let (server, place) = server()?;
    let name = place.name(PREFIX)?;
    helper::refuse_session("docker-credential")?;
    let found = helper::find(&open()?, &name, "docker-credential", Some(&place.authority()))?;
    let found = found.ok_or_else(not_found)?;
    let login = Login::of(found.value, found.note.as_ref());
    let user = login.user.ok_or_else(|| {
        let text = format!("{name} has no user name; set it: secretctl edit {name} --note user=NAME");
        Failure::new(Exit::Invalid, text)
    })?;
    helper::answer_json(&Credentials { server_url: &server, username: &user, secret: &login.secret }, 1)
}

fn store(open: impl FnOnce() -> Result<Session, Failure>) -> Result<(), Failure> {
    let text = helper::read(helper::OFFER)?;
    // The cause is dropped: serde quotes what it stumbles over.
    let offer: Offer = serde_json::from_slice(&text)
        .map_err(|_| invalid("expected a JSON object with ServerURL, Username and Secret on stdin"))?;
    let name = place(&offer.server_url)?.name(PREFIX)?;
    let value = Login::value(&offer.username, &offer.secret)?;
    helper::refuse_session("docker-credential")?;
    let session = open()?;
    let before = helper::look_up(&session, &name)?;
    helper::store(&session, &name, value, before.as_ref())
}

fn erase(open: impl FnOnce() -> Result<Session, Failure>) -> Result<(), Failure> {
    let (_, place) = server()?;
    let name = place.name(PREFIX)?;
    helper::refuse_session("docker-credential")?;
    let session = open()?;
    let found = helper::look_up(&session, &name)?.ok_or_else(not_found)?;
    helper::remove(&session, &found)
}

/// All servers and their users, but for guarded logins. A user lies beside its secret, so that all of them are asked for.
fn list(open: impl FnOnce() -> Result<Session, Failure>) -> Result<(), Failure> {
    helper::refuse_terminal("docker runs this; see: secretctl list 'DOCKER__*'")?;
    helper::refuse_session("docker-credential")?;
    let session = open()?;
    let call = Call::list().query("name", "DOCKER__*").query("view", "full");
    let known: SecretList<SecretDetail> = session.call_as_is(&call).map_err(helper::plain)?.parse()?;
    let now = Timestamp::now();
    // For a list nobody is asked: what is guarded is left out, and is asked for by itself when docker wants it.
    let current = |detail: &&SecretDetail| !detail.guarded && detail.expires_at.is_none_or(|time| time > now);
    let current: Vec<&SecretDetail> = known.secrets.iter().filter(current).collect();
    let mut users = BTreeMap::new();
    for some in current.chunks(secrets_proto::reveal::RevealRequest::MAX_SELECTORS) {
        let names = some.iter().map(|detail| Selector::Name(detail.secret.name.clone())).collect();
        let request = handover::request(names, "docker-credential", None)?;
        let reply = handover::ask_as_is(&session, &request).map_err(helper::plain)?;
        for revealed in reply.secrets {
            let note = some.iter().find(|detail| detail.secret.name == revealed.name);
            let login = Login::of(revealed.value, note.and_then(|detail| detail.note.as_ref()));
            // docker asks for each that is listed, and gives up where one is not answered.
            if let Some((server, user)) = server_of(&revealed.name).zip(login.user) {
                users.insert(server, user);
            }
        }
    }
    helper::answer_json(&users, 0)
}

fn not_found() -> Failure {
    Failure::new(Exit::NotFound, NOT_FOUND)
}

fn invalid(text: &str) -> Failure {
    Failure::new(Exit::Invalid, text)
}

/// The server that is asked for, as it was said and as the place that it is.
fn server() -> Result<(Zeroizing<String>, Place), Failure> {
    let text = helper::read(helper::QUESTION)?;
    let text = std::str::from_utf8(&text).map_err(|_| invalid("the server on stdin is not UTF-8 text"))?;
    let text = text.trim_matches(['\r', '\n', ' ']);
    Ok((Zeroizing::new(text.to_owned()), place(text)?))
}

/// The registry that a client means, whichever of its addresses it says.
fn place(server: &str) -> Result<Place, Failure> {
    if server.is_empty() {
        return Err(invalid(NO_SERVER));
    }
    let mut place = Place::parse(server)?;
    if HUB.contains(&place.host.as_str()) && place.port.is_none() {
        place.host = HUB[0].to_owned();
    }
    // The versions of the registry's interface, at which older clients know it.
    let path = ["v1", "v2"].iter().find_map(|version| {
        place.path.strip_prefix(version).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    if let Some(path) = path {
        place.path = path.trim_start_matches('/').to_owned();
    }
    Ok(place)
}

/// How clients name the server that a secret is for.
fn server_of(name: &SecretName) -> Option<String> {
    let place = Place::of_name(name, PREFIX)?;
    if place.host == HUB[0] && place.port.is_none() {
        return Some(format!("https://{}/v1/{}", HUB[1], place.path));
    }
    let slash = if place.path.is_empty() { "" } else { "/" };
    Some(format!("{}{slash}{}", place.authority(), place.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_one_name_however_it_is_said() {
        let name = |server: &str| place(server).and_then(|place| place.name(PREFIX)).unwrap().to_string();
        for hub in
            ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "https://registry-1.docker.io/v2"]
        {
            assert_eq!(name(hub), "DOCKER__DOCKER_IO", "{hub}");
        }
        for same in ["reg.example:5000", "https://reg.example:5000/v2/", "REG.example:5000/"] {
            assert_eq!(name(same), "DOCKER__REG_EXAMPLE___5000", "{same}");
        }
        assert_eq!(name("https://index.docker.io/v1/access-token"), "DOCKER__DOCKER_IO_______ACCESS__TOKEN");
        assert_eq!(name("reg.example/v1x"), "DOCKER__REG_EXAMPLE_______V1X");
        assert_eq!(place("").unwrap_err().message(), NO_SERVER);
    }

    #[test]
    fn a_server_is_listed_as_clients_say_it() {
        for server in
            ["https://index.docker.io/v1/", "https://index.docker.io/v1/access-token", "reg.example:5000"]
        {
            let name = place(server).unwrap().name(PREFIX).unwrap();
            assert_eq!(server_of(&name).as_deref(), Some(server));
        }
    }
}
