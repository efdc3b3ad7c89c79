//! Which secrets of a profile are there, and where each comes from. Nothing is made, asked or stored here.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::Manifest;
use crate::profile::{Group, Missing, Profile, Secret};
use crate::template::Template;

/// What is wanted of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The profile.
    pub profile: String,
    /// The scope, if not all of the profile is wanted.
    pub scope: Option<String>,
}

/// Whether a secret is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It has a value.
    Resolved,
    /// It has none, and must have one.
    MissingRequired,
    /// It has none, and need not have one.
    MissingOptional,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From the vault, where it has this name.
    Vault(String),
    /// From the manifest.
    Default,
    /// It will be made.
    Made,
    /// From other secrets.
    Composed,
    /// From somewhere else, as the caller says.
    Given,
}

/// A secret and whether it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The secret's name in the manifest.
    pub key: String,
    /// Whether it is there.
    pub status: Status,
    /// Whether it must be.
    pub required: bool,
    /// Where its value comes from.
    pub origin: Option<Origin>,
    /// Whether a program gets it as a file.
    pub as_path: bool,
    /// Whether it is only there for others to be composed of: no program gets it, and no report has it.
    pub is_part: bool,
}

/// A group of which not as many are there as must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The group, with those members that are in the scope.
    pub group: Group,
    /// Those that are there.
    pub present: Vec<String>,
}

/// What is there of what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// What was wanted.
    pub choice: Choice,
    /// The secrets, by name.
    pub entries: Vec<Entry>,
    /// The groups of which too few or too many are there.
    pub violations: Vec<Violation>,
    /// The manifest's other secrets, which the scope leaves out.
    pub excluded: Vec<String>,
}

/// That there is no such profile or scope, and which there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuch {
    /// No such profile.
    #[error("no such profile; there are: {}", .0.join(", "))]
    Profile(Vec<String>),
    /// No such scope.
    #[error("no such scope; there {}", scopes(.0))]
    Scope(Vec<String>),
}

fn scopes(names: &[String]) -> String {
    if names.is_empty() { "are none".to_owned() } else { format!("are: {}", names.join(", ")) }
}

impl Resolution {
    /// Whether all that must be there is.
    pub fn is_complete(&self) -> bool {
        self.violations.is_empty() && self.missing().next().is_none()
    }

    /// The secrets that must be there and are not.
    pub fn missing(&self) -> impl Iterator<Item = &Entry> {
        self.shown().filter(|entry| entry.status == Status::MissingRequired)
    }

    /// The secrets that a program gets and a report tells.
    pub fn shown(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_part)
    }

    /// The secrets that can be stored so that those which must be there are: in place of what is composed, that of which
    /// it is. With those that may be one of a group that lacks one.
    pub fn storable(&self, profile: &Profile) -> Vec<String> {
        let is_open =
            |key: &str| self.entries.iter().any(|entry| entry.key == key && entry.status != Status::Resolved);
        let in_groups = self.violations.iter().filter(|violation| violation.present.is_empty());
        let in_groups = in_groups.flat_map(|violation| violation.group.members.iter().map(String::as_str));
        let wanted = self.missing().map(|entry| entry.key.as_str()).chain(in_groups);
        let is_leaf = |key: &&str| profile.secrets.get(*key).is_some_and(|secret| secret.composed.is_none());
        let leaves = profile.with_parts(wanted).into_iter().filter(|key| is_open(key)).filter(is_leaf);
        leaves.map(str::to_owned).collect()
    }
}

/// Looks which secrets are there: those that `is_given` says have a value from elsewhere, and those of which `find` gives
/// the name that they have in the vault.
///
/// # Errors
///
/// There is no such profile or scope.
pub fn resolve(
    manifest: &Manifest,
    choice: &Choice,
    is_given: &dyn Fn(&str) -> bool,
    find: &mut dyn FnMut(&str) -> Option<String>,
) -> Result<Resolution, NoSuch> {
    let names = |names: &mut dyn Iterator<Item = &str>| names.map(str::to_owned).collect::<Vec<_>>();
    let profile =
        manifest.profile(&choice.profile).ok_or_else(|| NoSuch::Profile(names(&mut manifest.profiles())))?;
    let scope = choice
        .scope
        .as_deref()
        .map(|scope| manifest.scope(scope).ok_or_else(|| NoSuch::Scope(names(&mut manifest.scopes()))));
    let scope: Option<BTreeSet<&str>> =
        scope.transpose()?.map(|names| names.iter().map(String::as_str).collect());
    let is_in_scope = |key: &str| scope.as_ref().is_none_or(|scope| scope.contains(key));
    let visible = profile.secrets.keys().map(String::as_str).filter(|key| is_in_scope(key));
    let reached = profile.with_parts(visible);
    let given = reached.iter().filter(|key| is_given(key));
    let mut known: Known<'_> = given.map(|key| (*key, (Status::Resolved, Some(Origin::Given)))).collect();
    for key in &reached {
        status(profile, key, find, &mut known);
    }
    let entries = reached.iter().filter_map(|key| {
        let (status, origin) = known.remove(*key)?;
        let secret = profile.secrets.get(*key)?;
        let (required, as_path) = (secret.required, secret.as_path);
        Some(Entry { key: (*key).to_owned(), status, required, origin, as_path, is_part: !is_in_scope(key) })
    });
    let entries: Vec<Entry> = entries.collect();
    let violations = violations(profile, &entries, &is_in_scope);
    let excluded = manifest.keys().into_iter().filter(|key| !is_in_scope(key)).map(str::to_owned).collect();
    Ok(Resolution { choice: choice.clone(), entries, violations, excluded })
}

type Known<'s> = BTreeMap<&'s str, (Status, Option<Origin>)>;

/// Finds out about a secret, after those that it is composed of. The manifest has no circles.
fn status<'s>(
    profile: &'s Profile,
    key: &'s str,
    find: &mut dyn FnMut(&str) -> Option<String>,
    known: &mut Known<'s>,
) -> Status {
    if let Some((status, _)) = known.get(key) {
        return *status;
    }
    let Some(secret) = profile.secrets.get(key) else { return Status::MissingOptional };
    let (status, origin) = match &secret.composed {
        Some(template) => {
            let mut is_there = true;
            for part in Template::names(template) {
                is_there &= status(profile, part, find, known) == Status::Resolved;
            }
            if is_there { (Status::Resolved, Some(Origin::Composed)) } else { (absent(secret), None) }
        }
        None => match find(key) {
            Some(name) => (Status::Resolved, Some(Origin::Vault(name))),
            None => without_value(secret),
        },
    };
    known.insert(key, (status, origin));
    status
}

fn without_value(secret: &Secret) -> (Status, Option<Origin>) {
    match secret.missing {
        Missing::Default => (Status::Resolved, Some(Origin::Default)),
        // The vault keeps what is made; until it is made, it is not there.
        Missing::Make if !secret.required => (Status::Resolved, Some(Origin::Made)),
        Missing::Make | Missing::Error | Missing::Omit | Missing::Ask => (absent(secret), None),
    }
}

fn absent(secret: &Secret) -> Status {
    if secret.required { Status::MissingRequired } else { Status::MissingOptional }
}

fn violations(profile: &Profile, entries: &[Entry], is_in_scope: &dyn Fn(&str) -> bool) -> Vec<Violation> {
    let there = entries.iter().filter(|entry| entry.status == Status::Resolved);
    let there: BTreeSet<&String> = there.map(|entry| &entry.key).collect();
    let is_there = |key: &String| there.contains(key);
    let mut violations = Vec::new();
    for group in &profile.groups {
        let members: Vec<String> = group.members.iter().filter(|key| is_in_scope(key)).cloned().collect();
        let present: Vec<String> = members.iter().filter(|key| is_there(key)).cloned().collect();
        let is_kept = if group.is_exact { present.len() == 1 } else { !present.is_empty() };
        if !members.is_empty() && !is_kept {
            violations.push(Violation { group: Group { members, ..group.clone() }, present });
        }
    }
    violations
}
