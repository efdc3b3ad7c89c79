//! The project that a command is run in: its manifest, whether the owner has allowed it, and what it gets of the vault.
//!
//! # Layout
//!
//! - `flags`: what command lines say of it
//! - `find`: the manifest's file, and how far it may reach
//! - `consent`: what the owner has allowed
//! - `stored`: which of its names the vault has
//! - `fill`: values that are made or asked for, and stored
//! - `values`: from what is stored to what a program gets

pub(crate) mod consent;
pub(crate) mod fill;
pub(crate) mod find;
pub(crate) mod flags;
pub(crate) mod stored;
pub(crate) mod values;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use secrets_project::names::{BETWEEN, Names};
use secrets_project::{Choice, DEFAULT, Encoding, Fault, Manifest, Profile, RequireReason};
use secrets_proto::SecretName;

use self::consent::{Book, Record};
use self::find::Located;
use self::flags::{ManifestArgs, NameArgs};
use crate::failure::{Exit, Failure};
use crate::lookup::Wanted;
use crate::{environment, output, providers};

/// A project, as its manifest is now.
#[derive(Debug)]
pub(crate) struct Project {
    /// What it wants.
    pub(crate) manifest: Manifest,
    /// The manifest's file.
    pub(crate) file: PathBuf,
    /// What of it is meant.
    pub(crate) choice: Choice,
    /// Whether the owner has allowed it.
    pub(crate) consent: Consent,
}

/// Whether the owner has allowed a manifest.
#[derive(Debug)]
pub(crate) enum Consent {
    /// As it is now, with these shared names.
    Given(BTreeSet<String>),
    /// As it was before it changed in this way.
    Before(String),
    /// In another place, from where it is gone.
    Elsewhere(PathBuf),
    /// Never.
    Never,
}

impl Project {
    /// The project here, allowed or not; none if there is no manifest.
    pub(crate) fn here(args: &ManifestArgs) -> Result<Option<Self>, Failure> {
        if args.no_manifest {
            return Ok(None);
        }
        let located = find::locate(args.manifest.as_deref())?;
        let Some(located) = located else {
            return if args.is_given() { Err(no_manifest()) } else { Ok(None) };
        };
        Self::read(&located, args).map(Some)
    }

    /// The project here, allowed or not, or the failure that there is none.
    pub(crate) fn needed(args: &ManifestArgs) -> Result<Self, Failure> {
        Self::here(args)?.ok_or_else(no_manifest)
    }

    /// The allowed project here, for a command that works without one, too: one that was never allowed is not even read,
    /// unless the command line speaks of a manifest.
    pub(crate) fn if_allowed(args: &ManifestArgs) -> Result<Option<Self>, Failure> {
        if args.no_manifest {
            return Ok(None);
        }
        if !args.is_given() {
            let Some(located) = find::locate(None)? else { return Ok(None) };
            let Ok(file) = located.file.canonicalize() else { return Ok(None) };
            if Book::read()?.of(&file).is_none() {
                return Ok(None);
            }
        }
        Self::here(args)?.map(Self::allowed).transpose()
    }

    /// The project that a command line means by `--project`, if it does; it must be allowed.
    pub(crate) fn named(args: &NameArgs) -> Result<Option<Self>, Failure> {
        args.manifest().map(|args| Self::needed(&args)?.allowed()).transpose()
    }

    fn read(located: &Located, args: &ManifestArgs) -> Result<Self, Failure> {
        let (file, manifest) = load(located)?;
        let choice = Choice {
            profile: args.profile.clone().or_else(environment::profile).unwrap_or_else(|| DEFAULT.to_owned()),
            scope: args.scope.clone().or_else(environment::scope),
        };
        check_state(located)?;
        let book = Book::read()?;
        let consent = match book.of(&file) {
            Some(record) if record.is_of(&manifest) => Consent::Given(record.shared.clone()),
            Some(record) => Consent::Before(record.difference(&manifest)),
            None => book
                .moved(&manifest)
                .map_or(Consent::Never, |record| Consent::Elsewhere(record.manifest.clone())),
        };
        Ok(Self { manifest, file, choice, consent })
    }

    /// The project, if it is allowed.
    pub(crate) fn allowed(self) -> Result<Self, Failure> {
        match self.refusal() {
            None => Ok(self),
            Some(text) => Err(Failure::new(Exit::NotAllowed, text)),
        }
    }

    /// Why it gets nothing, if it is not allowed.
    pub(crate) fn refusal(&self) -> Option<String> {
        let (reason, cure) = (self.not_allowed()?, self.cure()?);
        Some(format!("{reason}; {cure}"))
    }

    /// In what way the project is not allowed, if it is not.
    pub(crate) fn not_allowed(&self) -> Option<String> {
        let file = shown(&self.file);
        match &self.consent {
            Consent::Given(_) => None,
            Consent::Before(difference) => {
                Some(format!("{file} has changed since it was allowed ({difference})"))
            }
            Consent::Elsewhere(before) => {
                Some(format!("{file} is not allowed here, only where it was before, in {}", shown(before)))
            }
            Consent::Never => Some(format!("{file} is not allowed to get secrets")),
        }
    }

    /// How a project is allowed that is not.
    pub(crate) fn cure(&self) -> Option<&'static str> {
        match &self.consent {
            Consent::Given(_) => None,
            Consent::Before(_) => Some("look at it, then allow it again with: secretctl project allow"),
            Consent::Elsewhere(_) | Consent::Never => Some("allow it with: secretctl project allow"),
        }
    }

    /// The profile that is meant.
    pub(crate) fn profile(&self) -> Result<&Profile, Failure> {
        let names: Vec<&str> = self.manifest.profiles().collect();
        self.manifest.profile(&self.choice.profile).ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("no such profile; there are: {}", names.join(", ")))
        })
    }

    /// The names under which a secret of the profile may be in the vault.
    pub(crate) fn names(&self, key: &str) -> Names {
        Names::of(&self.manifest.prefix(), &self.choice.profile, key)
    }

    /// The name that a new value of this secret is stored under.
    pub(crate) fn own_name(&self, key: &str) -> Result<SecretName, Failure> {
        self.profile()?;
        // What is no name alone is none with a prefix.
        SecretName::parse(key)?;
        Ok(SecretName::parse(self.names(key).own())?)
    }

    /// The secrets of the profile that are in the scope.
    pub(crate) fn visible(&self) -> Result<Vec<&str>, Failure> {
        let resolution = self.resolution(&HashSet::new())?;
        let is_shown = |key: &&str| resolution.shown().any(|entry| entry.key == *key);
        Ok(self.profile()?.secrets.keys().map(String::as_str).filter(is_shown).collect())
    }

    /// How a secret of the profile is written when it is stored, if it is not stored as it is.
    pub(crate) fn encoding(&self, key: &str) -> Option<Encoding> {
        self.profile().ok()?.secrets.get(key)?.encoding
    }

    /// What stands before the names of this profile's secrets in the vault.
    pub(crate) fn own_prefix(&self) -> Result<SecretName, Failure> {
        self.profile()?;
        let prefix = self.manifest.prefix();
        let part = secrets_project::names::profile(&self.choice.profile);
        let parts: Vec<&str> =
            [Some(prefix.as_str()), part.as_deref(), Some("")].into_iter().flatten().collect();
        Ok(SecretName::parse(&parts.join(BETWEEN))?)
    }

    /// Whether a secret may be had under its name without the project's prefix.
    pub(crate) fn may_share(&self, key: &str) -> bool {
        match &self.consent {
            Consent::Given(shared) => shared.iter().any(|name| name.eq_ignore_ascii_case(key)),
            Consent::Before(_) | Consent::Elsewhere(_) | Consent::Never => false,
        }
    }

    /// Refuses to hand out values without a reason, if the manifest wants one.
    pub(crate) fn check_reason(&self, reason: Option<&str>) -> Result<(), Failure> {
        let is_wanted = match self.manifest.require_reason() {
            Some(RequireReason::Always) => true,
            Some(RequireReason::Agents) => environment::is_agents(),
            Some(RequireReason::Never) | None => false,
        };
        if is_wanted && reason.is_none_or(|reason| reason.trim().is_empty()) {
            let text = format!("{} wants a reason for the audit log; add --reason TEXT", shown(&self.file));
            return Err(Failure::new(Exit::Usage, text));
        }
        Ok(())
    }
}

/// Refuses a state directory in the work tree, where the repository would say itself what it is allowed; not where the
/// user's home is the work tree.
fn check_state(located: &Located) -> Result<(), Failure> {
    let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
    let is_home = environment::home().is_some_and(|home| real(home) == located.root);
    let is_inside = environment::state_dir().is_some_and(|dir| real(dir).starts_with(&located.root));
    if is_inside && !is_home {
        let text = "the state directory lies in the project, which would say itself what it is allowed; unset XDG_STATE_HOME and SECRETSD_STATE_DIR, or name another place";
        return Err(Failure::new(Exit::NotAllowed, text));
    }
    Ok(())
}

/// The manifest of a file that was found, and the file that it is in the end.
pub(crate) fn load(located: &Located) -> Result<(PathBuf, Manifest), Failure> {
    let root = &located.root;
    let first = find::read(&located.file, root).map_err(|what| {
        Failure::new(Exit::NotAllowed, format!("{}: {what}; nothing was done", shown(&located.file)))
    })?;
    let file = first.file.clone();
    if file.to_str().is_none() {
        return Err(Failure::new(Exit::Invalid, "the manifest's path is not UTF-8 text; move the project"));
    }
    let manifest = Manifest::load(first, &mut |path| find::read(path, root)).map_err(told)?;
    Ok((file, manifest))
}

/// The secret that a command changes: by its own name or id, or as the project here calls it.
pub(crate) fn wanted(name: &str, args: &NameArgs) -> Result<Wanted, Failure> {
    wanted_of(name, Project::named(args)?.as_ref())
}

/// The secret that a command changes: by its own name or id, or as this project calls it.
pub(crate) fn wanted_of(name: &str, project: Option<&Project>) -> Result<Wanted, Failure> {
    match project {
        None => Ok(Wanted::parse(name)?),
        Some(project) => Ok(Wanted::parse(project.own_name(name)?.as_str())?),
    }
}

/// A fault of a manifest, with its file as the user knows it. A value in a key's place is not shown.
fn told(fault: Fault) -> Failure {
    let is_value = |key: &String| key.split('.').any(providers::looks_like_key);
    let fault = if fault.key.as_ref().is_some_and(is_value) { fault.without_key() } else { fault };
    let file = PathBuf::from(shown(&fault.file));
    Failure::new(Exit::Invalid, Fault { file, ..fault }.to_string())
}

/// A file as the user knows it: from here, if it is below.
pub(crate) fn shown(file: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| file.strip_prefix(here).ok().map(Path::to_owned));
    let path = below.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| file.to_owned());
    output::printable(&path.to_string_lossy()).into_owned()
}

fn no_manifest() -> Failure {
    let has_dotenv = Path::new(".env").is_file();
    let cure = if has_dotenv {
        "write: secretctl project init --from .env"
    } else {
        "see: secretctl project init --help"
    };
    Failure::new(Exit::Usage, format!("there is no secretspec.toml here; {cure}"))
}

/// What was allowed, for who tells of a secret where it is used: nothing if that cannot be read.
pub(crate) fn known() -> Vec<Record> {
    Book::read().map(|book| book.records().to_vec()).unwrap_or_default()
}
