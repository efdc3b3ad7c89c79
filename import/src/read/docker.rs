//! `~/.docker/config.json` (docs.docker.com, "docker login") and podman's `auth.json`: user and password of each registry,
//! as the JSON object that docker's credential helpers answer with, under the names that ours looks for.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

use super::base64;
use crate::found::Found;
use crate::name;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    identity: String,
    #[serde(default, rename = "registrytoken")]
    registry: String,
}

/// What a helper answers with (docker-credential-helpers, `credentials.Credentials`), without the address.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    username: &'a str,
    secret: &'a str,
}

/// The user that stands for a token in place of a password.
const TOKEN: &str = "<token>";

/// User and password of each registry.
pub(crate) fn read(text: &str) -> Found {
    let config: Config = match serde_json::from_str(text) {
        Ok(config) => config,
        Err(error) if error.is_data() => {
            return Found::refused(
                format!("line {}", error.line().max(1)),
                "not of the form of docker's config.json",
            );
        }
        Err(error) => return Found::refused(format!("line {}", error.line().max(1)), "not valid JSON"),
    };
    let mut found = Found::default();
    for (address, auth) in &config.auths {
        let place = format!("auths, {}", shown(address));
        let named = name::of_address("DOCKER", address, known_as);
        let (user, secret) = match auth.credentials() {
            Ok(Some(credentials)) => credentials,
            // A helper has it.
            Ok(None) => {
                found.say(format!("{place} holds no password; a credential helper has it"));
                continue;
            }
            Err(reason) => {
                found.fault(place, named, reason);
                continue;
            }
        };
        match serde_json::to_string(&Answer { username: &user, secret: &secret }) {
            Ok(json) => found.add(place, named, Zeroizing::new(json)),
            Err(_) => found.fault(place, named, "cannot be written as JSON"),
        }
    }
    if !config.helpers.is_empty() || config.store.is_some() {
        found.say("credsStore or credHelpers is set: what docker logs in to is kept there, not in this file");
    }
    if !found.entries.is_empty() {
        found.put_instead("\"credsStore\": \"secretctl\" at the top, and no \"auth\" below \"auths\"; podman and skopeo want each registry instead: \"credHelpers\": {\"HOST\": \"secretctl\"}");
    }
    found
}

impl Auth {
    fn credentials(&self) -> Result<Option<(String, Zeroizing<String>)>, &'static str> {
        if !self.registry.is_empty() {
            return Err("a registry token, which a credential helper cannot give");
        }
        if !self.identity.is_empty() {
            return Ok(Some((TOKEN.to_owned(), Zeroizing::new(self.identity.clone()))));
        }
        if !self.auth.is_empty() {
            let both = base64::user_and_password(&self.auth);
            return both.map(Some).ok_or("auth is not user and password in base64");
        }
        let is_there = !self.password.is_empty();
        Ok(is_there.then(|| (self.username.clone(), Zeroizing::new(self.password.clone()))))
    }
}

/// The registry that an address means: docker's own is known by three hosts, and older clients know each at the versions of
/// its interface.
fn known_as(authority: String, path: &str) -> (String, String) {
    let is_hub = ["docker.io", "index.docker.io", "registry-1.docker.io"].contains(&authority.as_str());
    let version = ["v1", "v2"].iter().find_map(|version| {
        path.strip_prefix(version).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let path = version.map_or(path, |rest| rest.trim_start_matches('/'));
    (if is_hub { "docker.io".to_owned() } else { authority }, path.to_owned())
}

/// An address as it may be shown: without a user and password in it.
fn shown(address: &str) -> &str {
    if address.contains('@') || address.len() > 100 { "…" } else { address }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_user_and_secret() {
        let text = r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"bWU6YTpi"},
            "reg.example.com:5000":{"identitytoken":"t","auth":"bWU6"},
            "plain.example":{"username":"u","password":"p\"q"},
            "ghcr.io":{},
            "bad.example":{"auth":"canary!"},
            "r.example":{"registrytoken":"canary"}},"credsStore":"desktop","HttpHeaders":{}}"#;
        let found = read(text);
        let read: Vec<_> =
            found.entries.iter().map(|entry| (entry.name.as_str(), entry.value.as_str())).collect();
        assert_eq!(
            read,
            [
                ("DOCKER__DOCKER_IO", r#"{"Username":"me","Secret":"a:b"}"#),
                ("DOCKER__PLAIN_EXAMPLE", r#"{"Username":"u","Secret":"p\"q"}"#),
                ("DOCKER__REG_EXAMPLE_COM___5000", r#"{"Username":"<token>","Secret":"t"}"#),
            ]
        );
        assert_eq!((found.faults.len(), found.notes.len()), (2, 2));
        assert_eq!(
            super::read("{\"auths\":\"canary\"}").faults[0].reason,
            "not of the form of docker's config.json"
        );
        assert_eq!(super::read("{canary").faults[0].reason, "not valid JSON");
    }
}
