//! What an import would do with each item, and how that is told.

use std::collections::HashSet;

use clap::ValueEnum;
use secrets_proto::{Provider, SecretName, Selector};

use super::entries::{Fault, Item};
use crate::output::{self, Output};
use crate::{lookup, providers, table, variables};

/// What to do with a name that exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnConflict {
    /// Store nothing
    #[default]
    Fail,
    /// Keep what is there
    Skip,
    /// Replace the value; the present one goes to the history
    Replace,
}

/// What is to be done with one item.
pub(super) struct Planned {
    pub(super) item: Item,
    pub(super) action: Action,
    /// The provider that the value's prefix names, for what is new.
    pub(super) provider: Option<(&'static str, Provider)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Replace,
    Skip,
}

impl Action {
    const fn word(self) -> &'static str {
        match self {
            Self::Create => "new",
            Self::Replace => "replace",
            Self::Skip => "skip",
        }
    }
}

/// What to do with each, and the names that are taken and must not be.
pub(super) fn plan(
    items: Vec<Item>,
    present: &HashSet<SecretName>,
    on_conflict: OnConflict,
) -> (Vec<Planned>, Vec<Fault>) {
    let mut planned = Vec::with_capacity(items.len());
    let mut conflicts = Vec::new();
    for item in items {
        let action = match (present.contains(&item.name), on_conflict) {
            (false, _) => Action::Create,
            (true, OnConflict::Replace) => Action::Replace,
            (true, OnConflict::Skip) => Action::Skip,
            (true, OnConflict::Fail) => {
                let reason = format!("{} already exists; see: --on-conflict", shown(&item.name));
                conflicts.push(Fault { place: item.place, reason });
                continue;
            }
        };
        let recognised =
            (action == Action::Create).then(|| providers::recognise(item.value.expose())).flatten();
        let said = item.provider.as_deref().filter(|_| action == Action::Create).map(|name| ("", name));
        let provider =
            recognised.or(said).and_then(|(prefix, name)| Some((prefix, Provider::parse(name).ok()?)));
        planned.push(Planned { item, action, provider });
    }
    (planned, conflicts)
}

/// What is not as it is written in the file, or could surprise.
pub(super) fn announce(items: &[Planned]) {
    let of = |wanted: fn(&Planned) -> bool| -> Vec<&SecretName> {
        items.iter().filter(|planned| wanted(planned)).map(|planned| &planned.item.name).collect()
    };
    let renamed = of(|planned| planned.item.renamed);
    if !renamed.is_empty() {
        output::say(&format!("names are converted to upper case: {}", names(&renamed)));
    }
    // What cargo's helper looks for is never a variable, but begins like cargo's own.
    let is_variable = |name: &&SecretName| !name.as_str().starts_with("CARGO__");
    variables::warn(items.iter().map(|planned| &planned.item.name).filter(is_variable));
    let told = items.iter().filter_map(|planned| {
        let (prefix, provider) = planned.provider.as_ref().filter(|(prefix, _)| !prefix.is_empty())?;
        Some(format!("{} {provider} ({prefix})", shown(&planned.item.name)))
    });
    let told: Vec<String> = told.collect();
    if !told.is_empty() {
        output::say(&format!("recognised providers from the values' prefixes: {}", told.join(", ")));
    }
}

pub(super) fn describe(items: &[Planned], output: Output) -> String {
    let row = |planned: &Planned| {
        let provider = planned.provider.as_ref().map_or("-", |(_, provider)| provider.as_str());
        [
            shown(&planned.item.name),
            planned.action.word().to_owned(),
            provider.to_owned(),
            planned.item.place.to_string(),
        ]
    };
    let rows: Vec<[String; 4]> = items.iter().map(row).collect();
    table::render(["NAME", "WOULD BE", "PROVIDER", "FROM"], &rows, output.colour)
}

pub(super) fn summary(items: &[Planned]) -> String {
    let count = |wanted: fn(Action) -> bool| items.iter().filter(|planned| wanted(planned.action)).count();
    let new = count(|action| action == Action::Create);
    let replaced = count(|action| action == Action::Replace);
    let skipped = count(|action| action == Action::Skip);
    let secrets = |count| if count == 1 { "secret" } else { "secrets" };
    let mut parts = Vec::new();
    if new > 0 || replaced == 0 {
        parts.push(format!("imported {new} new {}", secrets(new)));
    }
    if replaced > 0 {
        parts.push(format!("replaced {replaced} {}", secrets(replaced)));
    }
    let mut text = parts.join(" and ");
    if skipped > 0 {
        text.push_str(&format!(", left {skipped} as it was in the vault"));
    }
    format!("{text}; each value was read back and checked")
}

pub(super) fn names(names: &[&SecretName]) -> String {
    names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ")
}

/// A name as it may be shown: a key in its place is not.
fn shown(name: &SecretName) -> String {
    lookup::shown(&Selector::Name(name.clone()))
}
