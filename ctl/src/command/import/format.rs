//! What a file to import can be, by its name on the command line.

use clap::ValueEnum;

/// How the file to import is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFormat {
    /// NAME=VALUE lines
    Dotenv,
    /// One JSON object of strings
    Json,
    /// Nested JSON or YAML, such as `sops -d` prints; names are made of paths
    #[value(alias = "yaml", alias = "sops")]
    Nested,
    /// A directory of pass; asks pass show
    Pass,
    /// A directory of gopass; asks gopass show
    Gopass,
    /// A list of SERVICE USER lines; asks keyring get
    Keyring,
    /// 1Password's CSV, or export.data of a 1PUX file
    #[value(name = "1password")]
    OnePassword,
    /// Bitwarden's CSV or JSON, not encrypted
    Bitwarden,
    /// ~/.aws/credentials
    Aws,
    /// .npmrc
    Npm,
    /// ~/.docker/config.json, or podman's auth.json
    Docker,
    /// ~/.cargo/credentials.toml
    Cargo,
    /// ~/.netrc
    Netrc,
    /// ~/.pypirc
    Pypirc,
    /// ~/.git-credentials
    GitCredentials,
}

impl ImportFormat {
    /// The format's name, if a program of its own reads it.
    pub(super) fn foreign(self) -> Option<String> {
        let is_ours = matches!(self, Self::Dotenv | Self::Json);
        self.to_possible_value().filter(|_| !is_ours).map(|value| value.get_name().to_owned())
    }

    /// Whether helpers look for the names that its secrets get.
    pub(super) fn is_for_helpers(self) -> bool {
        matches!(self, Self::Docker | Self::Cargo | Self::Keyring | Self::Netrc | Self::Pypirc)
    }

    /// Whether it is a directory, whose own program gives the values.
    pub(super) fn is_store(self) -> bool {
        matches!(self, Self::Pass | Self::Gopass)
    }
}
