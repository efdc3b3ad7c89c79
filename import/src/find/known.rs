//! Where programs keep their credentials, with the variables that move these files.

use std::env;
use std::path::PathBuf;

use super::{Kind, Place};
use crate::format::Format;

/// The files of programs, whether they exist or not; each once.
pub(crate) fn places() -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let mut add = |format: Format, path: Option<PathBuf>| {
        let Some(path) = path else { return };
        if !places.iter().any(|known| known.path == path) {
            places.push(Place { path, kind: Kind::Of(format) });
        }
    };
    // SDKs and tools reference, "Location of the shared config and credentials files"
    add(Format::Aws, moved("AWS_SHARED_CREDENTIALS_FILE").or_else(|| home(".aws/credentials")));
    add(Format::Aws, moved("AWS_CONFIG_FILE").or_else(|| home(".aws/config")));
    // docker(1); containers-auth.json(5)
    add(
        Format::Docker,
        moved("DOCKER_CONFIG").map(|dir| dir.join("config.json")).or_else(|| home(".docker/config.json")),
    );
    add(Format::Docker, moved("REGISTRY_AUTH_FILE"));
    add(Format::Docker, moved("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")));
    add(Format::Docker, config("containers/auth.json"));
    // npm-config(7): names of variables in any case; both spellings are in use
    let npm = moved("NPM_CONFIG_USERCONFIG").or_else(|| moved("npm_config_userconfig"));
    add(Format::Npm, npm.or_else(|| home(".npmrc")));
    // The Cargo Book, "Environment variables", "Configuration"
    let cargo = moved("CARGO_HOME").or_else(|| home(".cargo"));
    add(Format::Cargo, cargo.as_ref().map(|dir| dir.join("credentials.toml")));
    add(Format::Cargo, cargo.map(|dir| dir.join("credentials")));
    // curl(1), requests: NETRC
    add(Format::Netrc, moved("NETRC").or_else(|| home(".netrc")));
    add(Format::Pypirc, home(".pypirc"));
    // git-credential-store(1)
    add(Format::GitCredentials, home(".git-credentials"));
    add(Format::GitCredentials, config("git/credentials"));
    // pass(1); gopass, "Configuration"
    add(Format::Pass, moved("PASSWORD_STORE_DIR").or_else(|| home(".password-store")));
    let data = moved("XDG_DATA_HOME").or_else(|| home(".local/share"));
    add(Format::Gopass, data.map(|dir| dir.join("gopass/stores/root")));
    places
}

/// The path in a variable; a relative or an empty one is none.
fn moved(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

pub(crate) fn home(below: &str) -> Option<PathBuf> {
    moved("HOME").map(|home| home.join(below))
}

fn config(below: &str) -> Option<PathBuf> {
    moved("XDG_CONFIG_HOME").or_else(|| home(".config")).map(|dir| dir.join(below))
}
