//! What a profile has in the end: its own secrets and those of `default`, field by field, and what is to be done where one
//! is missing.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::{Fields, Generate, Kind, Required, Written};
use crate::encoding::Encoding;
use crate::fault::Fault;
use crate::generate::Recipe;
use crate::table::Place;
use crate::template::Template;

/// The most steps in which a secret is composed of others.
const DEEPEST: usize = 32;

/// Why secrets are not composed step by step.
enum Steps<'s> {
    /// One is composed of itself, by way of these.
    Circle(Vec<&'s str>),
    /// In too many.
    Many,
}

/// A profile with all that it inherits.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its secrets by their names, which are those of variables.
    pub secrets: BTreeMap<String, Secret>,
    /// Which of them must be there among others: first those of which one or more must be, then those of which exactly
    /// one must be, each sort by name.
    pub groups: Vec<Group>,
}

/// Secrets of which some must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Whether no more than one may be there.
    pub is_exact: bool,
    /// Those that belong to it, by name.
    pub members: Vec<String>,
}

/// What happens where a secret has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing can be done without it.
    Error,
    /// It is left out.
    Omit,
    /// It has the manifest's value.
    Default,
    /// A value is made and stored.
    Make,
    /// A person is asked, if there is one, and the answer stored.
    Ask,
}

/// A secret of a profile.
#[derive(Debug, Clone)]
pub struct Secret {
    /// What it is for.
    pub description: String,
    /// Whether it must be there.
    pub required: bool,
    /// What happens where it is not.
    pub missing: Missing,
    /// The value that the manifest has for it.
    pub default: Option<String>,
    /// How it is put together from others.
    pub composed: Option<Template>,
    /// Whether a program gets the path of a file with the value.
    pub as_path: bool,
    /// How the stored value is written.
    pub encoding: Option<Encoding>,
    /// How a value is made.
    pub recipe: Option<Recipe>,
    /// What of it counts, as text: all but the description.
    pub(crate) meaning: String,
}

impl Profile {
    /// A profile with what it inherits from `base`.
    pub(crate) fn of(name: &str, written: &Written, base: Option<&Written>) -> Result<Self, Fault> {
        if written.secrets.is_empty() && base.is_none() {
            return Err(written.place.fault("it must have a secret"));
        }
        let names: BTreeSet<&String> =
            written.secrets.keys().chain(base.into_iter().flat_map(|base| base.secrets.keys())).collect();
        let (mut secrets, mut members) = (BTreeMap::new(), Members::default());
        for key in names {
            let sources = [written.secrets.get(key), base.and_then(|base| base.secrets.get(key))];
            let sources: Vec<&Fields> = sources.into_iter().flatten().collect();
            let Some(first) = sources.first() else { continue };
            let merged = Merged::of(&sources, written);
            merged.check(&first.place)?;
            if let Some(Required::Among { at_least_one, exactly_one }) = &merged.required {
                at_least_one.iter().for_each(|group| members.add(false, group, key, &first.place));
                exactly_one.iter().for_each(|group| members.add(true, group, key, &first.place));
            }
            secrets.insert(key.clone(), merged.settle(&first.place)?);
        }
        let profile = Self { groups: members.settle()?, secrets };
        profile.check_references(written, base)?;
        profile.check_circles(name, written)?;
        Ok(profile)
    }

    fn check_references(&self, written: &Written, base: Option<&Written>) -> Result<(), Fault> {
        for (key, secret) in &self.secrets {
            let names = secret.composed.iter().flat_map(Template::names);
            if let Some(name) = names.into_iter().find(|name| !self.secrets.contains_key(*name)) {
                let fields = written.secrets.get(key).or_else(|| base.and_then(|base| base.secrets.get(key)));
                let place = fields.map_or(&written.place, |fields| &fields.place);
                return Err(
                    place.fault(format!("composed refers to {name}, and the profile has no such secret"))
                );
            }
        }
        Ok(())
    }

    fn check_circles(&self, name: &str, written: &Written) -> Result<(), Fault> {
        let mut known = BTreeMap::new();
        for key in self.secrets.keys() {
            let what = match self.steps(key, &mut Vec::new(), &mut known) {
                Ok(_) => continue,
                Err(Steps::Circle(circle)) => {
                    format!("in {name} secrets are composed of each other: {}", circle.join(" → "))
                }
                Err(Steps::Many) => format!("in {name} secrets are composed in more than {DEEPEST} steps"),
            };
            return Err(written.place.fault(what));
        }
        Ok(())
    }

    /// In how many steps a secret is composed of others.
    fn steps<'s>(
        &'s self,
        key: &'s str,
        above: &mut Vec<&'s str>,
        known: &mut BTreeMap<&'s str, usize>,
    ) -> Result<usize, Steps<'s>> {
        if let Some(at) = above.iter().position(|other| *other == key) {
            return Err(Steps::Circle(above.iter().skip(at).copied().chain([key]).collect()));
        }
        // All that walks along such steps calls itself for each.
        if above.len() > DEEPEST {
            return Err(Steps::Many);
        }
        if let Some(steps) = known.get(key) {
            return Ok(*steps);
        }
        above.push(key);
        let composed = self.secrets.get(key).and_then(|secret| secret.composed.as_ref());
        let mut most = 0;
        for name in composed.map(Template::names).unwrap_or_default() {
            most = most.max(1 + self.steps(name, above, known)?);
        }
        above.pop();
        known.insert(key, most);
        if most > DEEPEST { Err(Steps::Many) } else { Ok(most) }
    }

    /// What of each secret counts.
    pub(crate) fn asks(&self) -> BTreeMap<&str, &str> {
        self.secrets.iter().map(|(key, secret)| (key.as_str(), secret.meaning.as_str())).collect()
    }

    /// These secrets and all that they are composed of.
    pub fn with_parts<'s>(&'s self, keys: impl IntoIterator<Item = &'s str>) -> BTreeSet<&'s str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = keys.into_iter().collect();
        while let Some(key) = open.pop() {
            if found.insert(key) {
                let composed = self.secrets.get(key).and_then(|secret| secret.composed.as_ref());
                open.extend(composed.into_iter().flat_map(Template::names).map(String::as_str));
            }
        }
        found
    }
}

/// A secret's fields, each from the profile, or else from `default`, or else from the profile's defaults.
struct Merged {
    description: Option<String>,
    required: Option<Required>,
    default: Option<String>,
    composed: Option<String>,
    as_path: bool,
    encoding: Option<Encoding>,
    kind: Option<Kind>,
    generate: Generate,
    prompt: bool,
    has_stores: bool,
}

impl Merged {
    fn of(sources: &[&Fields], written: &Written) -> Self {
        fn first<T>(sources: &[&Fields], field: impl Fn(&Fields) -> Option<T>) -> Option<T> {
            sources.iter().find_map(|fields| field(fields))
        }
        let defaults = &written.defaults;
        let composed = first(sources, |fields| fields.composed.clone());
        // What is composed is stored nowhere, so that nothing stands in for it.
        let stands_in = defaults.default.clone().filter(|_| composed.is_none());
        Self {
            description: first(sources, |fields| fields.description.clone()),
            required: first(sources, |fields| fields.required.clone())
                .or_else(|| defaults.required.map(Required::Alone)),
            default: first(sources, |fields| fields.default.clone()).or(stands_in),
            composed,
            as_path: first(sources, |fields| fields.as_path).unwrap_or(false),
            encoding: first(sources, |fields| fields.encoding),
            kind: first(sources, |fields| fields.kind),
            generate: first(sources, |fields| fields.generate.clone()).unwrap_or(Generate::No),
            prompt: first(sources, |fields| fields.prompt).unwrap_or(false),
            has_stores: sources.iter().any(|fields| fields.has_stores),
        }
    }

    fn check(&self, place: &Place) -> Result<(), Fault> {
        let makes = self.generate != Generate::No;
        let is_grouped = matches!(self.required, Some(Required::Among { .. }));
        let wrong = match &self.description {
            None => Some("it must have a description"),
            Some(text) if text.is_empty() => Some("its description must not be empty"),
            Some(_) if self.composed.is_some() && self.is_stored(makes) => Some(
                "what is composed is stored nowhere: leave out default, encoding, type, generate, prompt and providers",
            ),
            Some(_) if self.prompt && (is_grouped || self.required == Some(Required::Alone(false))) => {
                Some("what is asked for with prompt must be required, and in no group")
            }
            Some(_) if self.prompt && (self.default.is_some() || makes) => {
                Some("prompt excludes default and generate")
            }
            Some(_) if makes && self.kind.is_none() => Some("generate needs a type"),
            Some(_) if makes && self.default.is_some() => Some("generate excludes default"),
            Some(_) => None,
        };
        wrong.map_or(Ok(()), |what| Err(place.fault(what)))
    }

    fn is_stored(&self, makes: bool) -> bool {
        self.default.is_some()
            || self.encoding.is_some()
            || self.kind.is_some()
            || self.has_stores
            || makes
            || self.prompt
    }

    fn settle(self, place: &Place) -> Result<Secret, Fault> {
        let template = self.composed.as_deref().map(Template::parse).transpose();
        let composed = template.map_err(|what| place.below("composed").fault(what))?;
        let required = match &self.required {
            Some(Required::Alone(required)) => *required,
            Some(Required::Among { .. }) => false,
            None => self.default.is_none(),
        };
        let recipe = self.kind.and_then(|kind| kind.recipe(&self.generate));
        let missing = if self.prompt {
            Missing::Ask
        } else if recipe.is_some() {
            Missing::Make
        } else if self.default.is_some() {
            Missing::Default
        } else if required {
            Missing::Error
        } else {
            Missing::Omit
        };
        let encoding = self.encoding.map(Encoding::as_str);
        let parts = (&self.required, &self.default, &self.composed, self.as_path, encoding, &recipe, missing);
        let meaning = format!("{parts:?}");
        Ok(Secret {
            description: self.description.unwrap_or_default(),
            required,
            missing,
            default: self.default,
            composed,
            as_path: self.as_path,
            encoding: self.encoding,
            recipe,
            meaning,
        })
    }
}

/// The members of groups, while they are found.
#[derive(Default)]
struct Members(BTreeMap<(bool, String), (Vec<String>, Option<Place>)>);

impl Members {
    fn add(&mut self, is_exact: bool, group: &str, key: &str, place: &Place) {
        let (members, at) = self.0.entry((is_exact, group.to_owned())).or_default();
        members.push(key.to_owned());
        at.get_or_insert_with(|| place.clone());
    }

    fn settle(self) -> Result<Vec<Group>, Fault> {
        let mixed =
            self.0.keys().find(|(is_exact, name)| *is_exact && self.0.contains_key(&(false, name.clone())));
        let alone = self.0.iter().find(|(_, (members, _))| members.len() < 2).map(|(key, _)| key);
        let fault = mixed
            .map(|key| (key, "its group is one for at_least_one and for exactly_one"))
            .or_else(|| alone.map(|key| (key, "its group has no other member in this profile")));
        if let Some((key, what)) = fault
            && let Some((_, Some(place))) = self.0.get(key)
        {
            return Err(place.fault(what));
        }
        let groups =
            self.0.into_iter().map(|((is_exact, name), (members, _))| Group { name, is_exact, members });
        Ok(groups.collect())
    }
}
