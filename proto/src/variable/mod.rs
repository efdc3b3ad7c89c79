//! Names of variables that mean something to what reads them: shells evaluate some, refuse or replace others, and programs
//! let some say which program, library or file is next. Who may choose a secret's name, by a token with `write` and no
//! more, would choose that too; so all code that makes a variable of a secret asks here first. It knows names alone: values
//! have no part in it.

mod programs;
mod shells;

use serde::{Deserialize, Serialize};

/// What a variable's name means to what reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "WarningType"))]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A shell evaluates what is assigned as arithmetic, which may hold commands.
    Evaluated,
    /// A shell runs it, or what it leads to: prompts, commands, start files, search paths.
    Executed,
    /// A shell refuses it, keeps another value or ends.
    NotKept,
    /// A shell works differently from then on.
    Setting,
    /// Programs are steered by the variable: what they run, load, read, trust or connect to.
    Steering,
}

impl Reason {
    /// The reason in words, as they stand behind the name and a colon.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Evaluated => "a shell evaluates what is assigned to it",
            Self::Executed => "a shell runs it or what it leads to",
            Self::NotKept => "a shell does not keep what is assigned to it",
            Self::Setting => "it changes how a shell works",
            Self::Steering => "it steers what programs run, load or trust",
        }
    }
}

/// What a shell that reads `NAME=value` does with a variable of this name but keep it.
///
/// The names are those that bash, dash, zsh, fish, mksh, ksh93, yash or busybox's ash treats so, whichever of them comes to
/// read it.
pub fn in_shell(name: &str) -> Option<Reason> {
    shells::reason(name)
}

/// What programs do with a variable of this name in their environment but pass it on. Shells are programs, too.
pub fn in_environment(name: &str) -> Option<Reason> {
    // What a shell does not keep does nothing there either, and its settings are no matter of other programs.
    let of_shells =
        shells::reason(name).filter(|reason| matches!(reason, Reason::Evaluated | Reason::Executed));
    if programs::steers(name) { Some(Reason::Steering) } else { of_shells }
}

/// Each thing that makes a name a bad one for a secret.
pub fn reasons(name: &str) -> impl Iterator<Item = Reason> + use<> {
    let (shell, environment) = (in_shell(name), in_environment(name));
    shell.into_iter().chain(environment.filter(move |reason| Some(*reason) != shell))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretName;

    #[test]
    fn every_entry_can_be_a_secrets_name_and_stands_once() {
        let lists: [Vec<&str>; 4] = [
            shells::TABLE.iter().map(|(_, names)| *names).collect(),
            vec![shells::PREFIXES],
            programs::NAMES.to_vec(),
            vec![programs::PREFIXES],
        ];
        for names in lists {
            let words: Vec<&str> = names.iter().flat_map(|names| names.split_whitespace()).collect();
            for (index, word) in words.iter().enumerate() {
                assert_eq!(SecretName::parse(word).unwrap().as_str(), *word);
                assert!(!words.iter().take(index).any(|other| other == word), "{word} stands twice");
            }
        }
    }

    #[test]
    fn names_are_told_by_what_reads_them() {
        use Reason::{Evaluated, Executed, NotKept, Setting, Steering};
        for (name, shell, environment) in [
            ("OPTIND", Some(Evaluated), Some(Evaluated)),
            ("PS1", Some(Executed), Some(Executed)),
            ("BASHOPTS", Some(NotKept), Some(Steering)),
            ("USERNAME", Some(NotKept), None),
            ("LC_ALL", Some(Setting), None),
            ("BASH_SOMETHING_NEW", Some(Setting), None),
            ("fish_function_path", Some(Executed), Some(Executed)),
            ("LD_PRELOAD", None, Some(Steering)),
            ("PATH", Some(Executed), Some(Steering)),
            ("GIT_CONFIG_KEY_0", None, Some(Steering)),
            ("SECRETSD_TOKEN", None, Some(Steering)),
            ("CONFIG_SITE", None, Some(Steering)),
            ("DJANGO_SETTINGS_MODULE", None, Some(Steering)),
            ("OPENAI_BASE_URL", None, Some(Steering)),
            ("VAULT_ADDR", None, Some(Steering)),
        ] {
            assert_eq!((in_shell(name), in_environment(name)), (shell, environment), "{name}");
        }
    }

    #[test]
    fn names_that_secrets_have_are_left_alone() {
        for name in [
            "OPENAI_API_KEY",
            "DATABASE_URL",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_REGION",
            "GITHUB_TOKEN",
            "GIT_TOKEN",
            "GIT_PASSWORD",
            "NPM_TOKEN",
            "NODE_AUTH_TOKEN",
            "NODE_ENV",
            "CARGO_REGISTRY_TOKEN",
            "CARGO_REGISTRIES_WORK_TOKEN",
            "CARGO__WORK",
            "NPM_CONFIG__AUTHTOKEN",
            "UV_PUBLISH_PASSWORD",
            "DOCKER_PASSWORD",
            "PGPASSWORD",
            "TF_VAR_PASSWORD",
            "SSH_KEY",
            "JAVA_KEY",
            "PYTHON_API_KEY",
            "USER_NAME",
            "HOST",
            "HOSTNAME",
            "PORT",
            "MAIL_PASSWORD",
            "SECRET",
            "PASSWORD",
            "TOKEN",
            "PERL_KEY",
            "V1",
            "A",
            "HISTORY_API_KEY",
            "LC_API_KEY",
            "PROMPT_API_KEY",
            "RESTIC_PASSWORD",
            "VAULT_TOKEN",
            "TLS_KEY",
            "XDGTOKEN",
            "LDAP_PASSWORD",
        ] {
            assert_eq!(reasons(name).next(), None, "{name}");
        }
    }
}
