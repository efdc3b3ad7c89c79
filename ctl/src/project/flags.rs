//! What command lines say of projects.

use std::path::PathBuf;

use clap::Args;

/// Which of a manifest's secrets a command takes, and where the manifest is.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Project options")]
pub(crate) struct ManifestArgs {
    /// This profile of secretspec.toml [variable: SECRETSPEC_PROFILE; default: default]
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// Only the secrets of this scope of secretspec.toml [variable: SECRETSPEC_SCOPE]
    #[arg(id = "manifest_scope", long = "scope", value_name = "SCOPE")]
    pub(crate) scope: Option<String>,
    /// This manifest [default: secretspec.toml here or above]
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// No manifest
    #[arg(long, conflicts_with_all = ["profile", "manifest_scope", "manifest"])]
    pub(crate) no_manifest: bool,
}

/// Whether a name is one of the project here.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Project options")]
pub(crate) struct NameArgs {
    /// The name is one of the project here, as its secretspec.toml has it
    #[arg(long)]
    pub(crate) project: bool,
    /// --project, and this profile of it [variable: SECRETSPEC_PROFILE; default: default]
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// --project, and its manifest [default: secretspec.toml here or above]
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
}

impl ManifestArgs {
    /// Whether the command line speaks of a manifest.
    pub(crate) fn is_given(&self) -> bool {
        self.profile.is_some() || self.scope.is_some() || self.manifest.is_some()
    }
}

impl NameArgs {
    /// The manifest that is meant, if one is.
    pub(crate) fn manifest(&self) -> Option<ManifestArgs> {
        let is_meant = self.project || self.profile.is_some() || self.manifest.is_some();
        is_meant.then(|| ManifestArgs {
            profile: self.profile.clone(),
            manifest: self.manifest.clone(),
            ..ManifestArgs::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use crate::cli::Cli;

    /// A heading goes on until the next one: what is declared behind these flags would stand below it, too.
    #[test]
    fn only_what_is_of_projects_stands_below_their_heading() {
        fn check(command: &Command) {
            let below =
                command.get_arguments().filter(|one| one.get_help_heading() == Some("Project options"));
            for argument in below {
                let known = ["project", "profile", "manifest_scope", "manifest", "no_manifest"];
                assert!(known.contains(&argument.get_id().as_str()), "{}: {argument}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
