//! One file, as it is written: nothing inherited, nothing merged. Every key is known or a fault.

use std::collections::BTreeMap;
use std::path::Path;

use crate::encoding::Encoding;
use crate::fault::Fault;
use crate::generate::{self, Recipe};
use crate::table::{Place, Table, Value, with_root};

/// Keys of a secret for stores other than this one.
const OTHER_STORES: [&str; 3] = ["ref", "refs", "extract"];

/// Options of `generate` for what is not made here.
const OTHER_OPTIONS: [&str; 6] = ["algorithm", "bits", "capabilities", "command", "comment", "user_id"];

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) name: String,
    /// Where the project's table is.
    pub(crate) place: Place,
    pub(crate) extends: Vec<String>,
    /// Where that stands, or the project's table if it does not.
    pub(crate) extends_at: Place,
    pub(crate) require_reason: Option<RequireReason>,
    pub(crate) profiles: BTreeMap<String, Written>,
    pub(crate) scopes: BTreeMap<String, Scope>,
    /// Where stores are named, which do not count here.
    pub(crate) stores: Vec<Place>,
}

/// Whose requests need a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequireReason {
    /// Nobody's.
    Never,
    /// Those of coding agents.
    Agents,
    /// Everybody's.
    Always,
}

/// A profile as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) place: Place,
    pub(crate) defaults: Defaults,
    pub(crate) secrets: BTreeMap<String, Fields>,
}

/// What counts for the secrets of a profile that do not say it themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    pub(crate) inherit: Option<bool>,
    pub(crate) required: Option<bool>,
    pub(crate) default: Option<String>,
}

/// Secrets that belong together.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) place: Place,
    pub(crate) secrets: Vec<String>,
}

/// Whether a secret must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Required {
    Alone(bool),
    /// As one of others, in groups with these names.
    Among {
        at_least_one: Vec<String>,
        exactly_one: Vec<String>,
    },
}

/// A secret as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    pub(crate) place: Place,
    pub(crate) description: Option<String>,
    pub(crate) required: Option<Required>,
    pub(crate) default: Option<String>,
    pub(crate) composed: Option<String>,
    pub(crate) as_path: Option<bool>,
    pub(crate) encoding: Option<Encoding>,
    pub(crate) kind: Option<Kind>,
    pub(crate) generate: Option<Generate>,
    pub(crate) prompt: Option<bool>,
    /// Whether it names stores, which do not count here.
    pub(crate) has_stores: bool,
}

/// What kind of value a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Password,
    Hex,
    Base64,
    Uuid,
}

/// Whether and how a value is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Generate {
    No,
    Yes { length: Option<usize>, bytes: Option<usize>, all_ascii: Option<bool> },
}

impl Kind {
    /// How a value of this kind is made; each by default as SecretSpec makes it.
    pub(crate) fn recipe(self, generate: &Generate) -> Option<Recipe> {
        let Generate::Yes { length, bytes, all_ascii } = generate else { return None };
        let bytes = bytes.unwrap_or(32);
        Some(match self {
            Self::Password => {
                Recipe::Password { length: length.unwrap_or(32), all_ascii: all_ascii.unwrap_or(false) }
            }
            Self::Hex => Recipe::Hex(bytes),
            Self::Base64 => Recipe::Base64(bytes),
            Self::Uuid => Recipe::Uuid,
        })
    }
}

impl Document {
    /// Reads a file's text.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, Fault> {
        with_root(file, text, |root| Self::read(file, &root))
    }

    fn read(file: &Path, root: &Table<'_, '_>) -> Result<Self, Fault> {
        root.only(&["project", "profiles", "providers", "defaults", "scopes"])?;
        let missing = |table| Fault::of_file(file, format!("there is no [{table}]"));
        let project = root.get("project").ok_or_else(|| missing("project"))?;
        let profiles = root.get("profiles").ok_or_else(|| missing("profiles.default"))?.table()?;
        let mut stores: Vec<Place> =
            root.get("providers").map(|value| value.place().clone()).into_iter().collect();
        if let Some(defaults) = root.get("defaults") {
            defaults.table()?.only(&["providers"])?;
            stores.push(defaults.place().clone());
        }
        let mut document = Self::of_project(&project, stores)?;
        for (name, value) in profiles.all() {
            let written = Written::read(&value, &mut document.stores)?;
            document.profiles.insert(name.to_owned(), written);
        }
        for (name, value) in
            root.get("scopes").map(|value| value.table()).transpose()?.iter().flat_map(Table::all)
        {
            document.scopes.insert(name.to_owned(), Scope::read(&value)?);
        }
        Ok(document)
    }

    fn of_project(value: &Value<'_, '_>, stores: Vec<Place>) -> Result<Self, Fault> {
        let table = value.table()?;
        table.only(&["name", "revision", "extends", "require_reason"])?;
        let needed = |key: &str| {
            table.get(key).ok_or_else(|| value.place().fault(format!("it must have the key {key}")))
        };
        let (name, revision) = (needed("name")?, needed("revision")?);
        if name.text()?.is_empty() || name.text()?.contains(|c: char| c.is_control()) {
            return Err(name.place().fault("must not be empty, and have no control characters"));
        }
        if revision.text()? != "1.0" {
            return Err(revision.place().fault("must be \"1.0\", the only revision that is known here"));
        }
        let extends = table.get("extends");
        Ok(Self {
            name: name.text()?,
            place: value.place().clone(),
            extends_at: extends.as_ref().map_or(value.place(), Value::place).clone(),
            extends: extends.map(|list| list.texts()).transpose()?.unwrap_or_default(),
            require_reason: table
                .get("require_reason")
                .map(|value| RequireReason::read(&value))
                .transpose()?,
            profiles: BTreeMap::new(),
            scopes: BTreeMap::new(),
            stores,
        })
    }
}

impl RequireReason {
    fn read(value: &Value<'_, '_>) -> Result<Self, Fault> {
        match (value.as_truth(), value.as_text()) {
            (Some(true), _) => Ok(Self::Always),
            (Some(false), _) => Ok(Self::Never),
            (None, Some("agents")) => Ok(Self::Agents),
            (None, _) => Err(value.place().fault("must be true, false or \"agents\"")),
        }
    }
}

impl Written {
    fn read(value: &Value<'_, '_>, stores: &mut Vec<Place>) -> Result<Self, Fault> {
        let table = value.table()?;
        let mut written =
            Self { place: value.place().clone(), defaults: Defaults::default(), secrets: BTreeMap::new() };
        for (name, value) in table.all() {
            if name == "defaults" {
                written.defaults = Defaults::read(&value, stores)?;
            } else {
                written.secrets.insert(name.to_owned(), Fields::read(&value, stores)?);
            }
        }
        Ok(written)
    }
}

impl Defaults {
    fn read(value: &Value<'_, '_>, stores: &mut Vec<Place>) -> Result<Self, Fault> {
        let table = value.table()?;
        table.only(&["inherit", "required", "default", "providers"])?;
        stores.extend(table.get("providers").map(|value| value.place().clone()));
        Ok(Self {
            inherit: table.get("inherit").map(|value| value.truth()).transpose()?,
            required: table.get("required").map(|value| value.truth()).transpose()?,
            default: table.get("default").map(|value| value.text()).transpose()?,
        })
    }
}

impl Scope {
    fn read(value: &Value<'_, '_>) -> Result<Self, Fault> {
        let table = value.table()?;
        table.only(&["secrets"])?;
        let secrets =
            table.get("secrets").ok_or_else(|| value.place().fault("it must have the key secrets"))?;
        Ok(Self { place: value.place().clone(), secrets: secrets.texts()? })
    }
}

impl Fields {
    const KNOWN: [&str; 10] = [
        "description",
        "required",
        "default",
        "composed",
        "as_path",
        "encoding",
        "type",
        "generate",
        "prompt",
        "providers",
    ];

    fn read(value: &Value<'_, '_>, stores: &mut Vec<Place>) -> Result<Self, Fault> {
        let table = value.table()?;
        if let Some(other) = OTHER_STORES.iter().find_map(|key| table.get(key)) {
            return Err(other
                .place()
                .fault("it names a place in another store, and the vault is the only one here"));
        }
        table.only(&Self::KNOWN)?;
        let providers = table.get("providers").map(|value| value.place().clone());
        let has_stores = providers.is_some();
        stores.extend(providers);
        let text = |key: &str| table.get(key).map(|value| value.text()).transpose();
        let truth = |key: &str| table.get(key).map(|value| value.truth()).transpose();
        Ok(Self {
            place: value.place().clone(),
            description: text("description")?,
            required: table.get("required").map(|value| Required::read(&value)).transpose()?,
            default: text("default")?,
            composed: text("composed")?,
            as_path: truth("as_path")?,
            encoding: table.get("encoding").map(|value| encoding(&value)).transpose()?,
            kind: table.get("type").map(|value| Kind::read(&value)).transpose()?,
            generate: table.get("generate").map(|value| Generate::read(&value)).transpose()?,
            prompt: truth("prompt")?,
            has_stores,
        })
    }
}

impl Required {
    fn read(value: &Value<'_, '_>) -> Result<Self, Fault> {
        if let Some(alone) = value.as_truth() {
            return Ok(Self::Alone(alone));
        }
        let table = value.as_table().ok_or_else(|| {
            value.place().fault("must be true, false, or a table with at_least_one or exactly_one")
        })?;
        table.only(&["at_least_one", "exactly_one"])?;
        let groups = |key: &str| table.get(key).map(|value| groups(&value)).transpose();
        let (at_least_one, exactly_one) = (groups("at_least_one")?, groups("exactly_one")?);
        if at_least_one.is_none() && exactly_one.is_none() {
            return Err(value.place().fault("must name a group, with at_least_one or exactly_one"));
        }
        let (at_least_one, exactly_one) = (at_least_one.unwrap_or_default(), exactly_one.unwrap_or_default());
        Ok(Self::Among { at_least_one, exactly_one })
    }
}

/// The names of groups: one, or a list of them.
fn groups(value: &Value<'_, '_>) -> Result<Vec<String>, Fault> {
    let names = match value.as_text() {
        Some(name) => vec![name.to_owned()],
        None => value.texts()?,
    };
    let is_repeated = |(at, name): (usize, &String)| names.iter().take(at).any(|other| other == name);
    if names.is_empty() || names.iter().any(|name| name.trim().is_empty()) {
        return Err(value.place().fault("must name a group, and no group has an empty name"));
    }
    if names.iter().enumerate().any(is_repeated) {
        return Err(value.place().fault("names a group twice"));
    }
    Ok(names)
}

fn encoding(value: &Value<'_, '_>) -> Result<Encoding, Fault> {
    let text = value.text()?;
    let known = Encoding::ALL.into_iter().find(|encoding| encoding.as_str() == text);
    known.ok_or_else(|| value.place().fault("must be base64, base64url or hex"))
}

impl Kind {
    fn read(value: &Value<'_, '_>) -> Result<Self, Fault> {
        match value.text()?.as_str() {
            "password" => Ok(Self::Password),
            "hex" => Ok(Self::Hex),
            "base64" => Ok(Self::Base64),
            "uuid" => Ok(Self::Uuid),
            "command" => Err(value
                .place()
                .fault("a command of a repository is not run here; store the value yourself")),
            "rsa_private_key" | "openpgp_private_key" | "ssh_private_key" => Err(value
                .place()
                .fault("keys of this kind are not made here; leave type and generate out, and store one")),
            _ => Err(value.place().fault("must be password, hex, base64 or uuid")),
        }
    }
}

impl Generate {
    fn read(value: &Value<'_, '_>) -> Result<Self, Fault> {
        if let Some(wanted) = value.as_truth() {
            let yes = Self::Yes { length: None, bytes: None, all_ascii: None };
            return Ok(if wanted { yes } else { Self::No });
        }
        let table = value.as_table().ok_or_else(|| value.place().fault("must be true, false or a table"))?;
        if let Some(other) = OTHER_OPTIONS.iter().find_map(|key| table.get(key)) {
            return Err(other.place().fault("it is for a type that is not made here"));
        }
        table.only(&["length", "bytes", "charset"])?;
        let count = |key: &str| table.get(key).map(|value| value.count(generate::MOST)).transpose();
        let all_ascii = table.get("charset").map(|value| match value.as_text() {
            Some("alphanumeric") => Ok(false),
            Some("ascii") => Ok(true),
            Some(_) | None => Err(value.place().fault("must be alphanumeric or ascii")),
        });
        Ok(Self::Yes { length: count("length")?, bytes: count("bytes")?, all_ascii: all_ascii.transpose()? })
    }
}
