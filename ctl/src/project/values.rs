//! From what the vault has to what a program gets: decoded, composed, as a variable or as a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use secrets_project::{Origin, Profile, Resolution, Status};
use secrets_proto::Selector;
use secrets_proto::reveal::{RevealReply, RevealRequest};
use zeroize::Zeroizing;

use super::stored::Stored;
use super::{Project, shown};
use crate::failure::{Exit, Failure};
use crate::handover;
use crate::session::Session;

/// A value on its way to a program.
pub(crate) struct Given {
    /// The variable.
    pub(crate) key: String,
    /// What it holds, or what the file holds whose path it has.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Whether the variable holds the path of a file.
    pub(crate) as_file: bool,
}

/// Values that are there, before any is composed.
#[derive(Default)]
pub(crate) struct Parts(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl Parts {
    /// Adds a value as a program gets it.
    pub(crate) fn add(&mut self, key: &str, bytes: Zeroizing<Vec<u8>>) {
        self.0.insert(key.to_owned(), bytes);
    }

    /// Whether this one is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }
}

impl Project {
    /// The failure that names all that is missing, if anything is.
    pub(crate) fn settle(&self, resolution: &Resolution) -> Result<(), Failure> {
        if resolution.is_complete() {
            return Ok(());
        }
        let mut parts: Vec<String> = Vec::new();
        let missing: Vec<&str> = resolution.missing().map(|entry| entry.key.as_str()).collect();
        if !missing.is_empty() {
            parts.push(format!("missing: {}", missing.join(", ")));
        }
        parts.extend(resolution.violations.iter().map(broken));
        // What is missing may be there, and only not be given to a project that is not allowed.
        let fill = || format!("fill in with: secretctl check --fill{}", self.flags());
        let cure = self.cure().map_or_else(fill, ToOwned::to_owned);
        Err(Failure::new(Exit::NotFound, format!("{}; {cure}", parts.join("; "))))
    }

    /// The flags by which a command means the same of the manifest.
    pub(crate) fn flags(&self) -> String {
        let profile = &self.choice.profile;
        let is_usual = profile == secrets_project::DEFAULT;
        if is_usual || !is_word(profile) { String::new() } else { format!(" --profile {profile}") }
    }

    /// Takes what is there out of the vault and the manifest, but for those `parts` that are there already; `reveal` asks
    /// for values.
    pub(crate) fn gather(
        &self,
        resolution: &Resolution,
        mut parts: Parts,
        reveal: &mut dyn FnMut(Vec<Selector>) -> Result<RevealReply, Failure>,
    ) -> Result<Parts, Failure> {
        let profile = self.profile()?;
        let mut wanted: Vec<(&str, &str)> = Vec::new();
        for entry in resolution.entries.iter().filter(|entry| !parts.has(&entry.key)) {
            if let Some(Origin::Vault(name)) = &entry.origin {
                wanted.push((&entry.key, name));
            }
        }
        for some in wanted.chunks(RevealRequest::MAX_SELECTORS) {
            let selectors =
                some.iter().map(|(_, name)| Selector::parse(name)).collect::<Result<Vec<_>, _>>()?;
            let reply = reveal(selectors)?;
            for (key, name) in some {
                let found = reply.secrets.iter().find(|secret| secret.name.as_str() == *name);
                let secret = found
                    .ok_or_else(|| Failure::new(Exit::DaemonFailed, "secretsd did not return all secrets"))?;
                parts.add(key, decoded(profile, key, name, secret.value.expose())?);
            }
        }
        for entry in &resolution.entries {
            let default = profile.secrets.get(&entry.key).and_then(|secret| secret.default.as_deref());
            if let Some(default) = default.filter(|_| entry.origin == Some(Origin::Default))
                && !parts.has(&entry.key)
            {
                parts.add(&entry.key, Zeroizing::new(default.as_bytes().to_vec()));
            }
        }
        Ok(parts)
    }

    /// What is wanted, for a text in which it is written: with nothing missing, and no files. `only` some of it, or all.
    pub(crate) fn for_text(
        &self,
        session: &Session,
        only: Option<&[&str]>,
        purpose: &str,
        reason: Option<&str>,
    ) -> Result<Vec<(String, Zeroizing<String>)>, Failure> {
        self.check_reason(reason)?;
        let mut ask = |selectors| handover::ask(session, &handover::request(selectors, purpose, reason)?);
        let mut stored = self.stored_or_asked(session, &mut |selectors| ask(selectors).map(drop))?;
        let mut resolution = self.narrowed(&stored, only)?;
        let files = resolution.shown().filter(|entry| entry.as_path).map(|entry| entry.key.as_str());
        let files: Vec<&str> = files.collect();
        if !files.is_empty() {
            let text = format!(
                "as_path: only `run` makes files, of {}; nothing was written; leave them out with --scope",
                files.join(", ")
            );
            return Err(Failure::new(Exit::Invalid, text));
        }
        if self.make_missing(session, &mut stored, &resolution)? {
            resolution = self.narrowed(&stored, only)?;
        }
        self.settle(&resolution)?;
        let parts = self.gather(&resolution, Parts::default(), &mut ask)?;
        let given = self.give(&resolution, parts, &|_| None)?.into_iter();
        let text = |given: Given| {
            let text = text_of(&given.key, &given.bytes)?.to_owned();
            Ok((given.key, Zeroizing::new(text)))
        };
        given.map(text).collect()
    }

    /// Which secrets are there of these alone and of what they are composed of. Each of them is wanted, so that what may be
    /// left out elsewhere must be there.
    fn narrowed(&self, stored: &Stored, only: Option<&[&str]>) -> Result<Resolution, Failure> {
        let mut resolution = self.resolution(stored)?;
        let Some(keys) = only else { return Ok(resolution) };
        let wanted = self.profile()?.with_parts(keys.iter().copied());
        resolution.violations.clear();
        resolution.entries.retain(|entry| wanted.contains(entry.key.as_str()));
        for entry in &mut resolution.entries {
            entry.is_part = !keys.contains(&entry.key.as_str());
            if entry.status == Status::MissingOptional {
                entry.status = Status::MissingRequired;
            }
        }
        Ok(resolution)
    }

    /// One value as a program gets it, or what its file would hold.
    pub(crate) fn value(
        &self,
        session: &Session,
        key: &str,
        reason: Option<&str>,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        self.check_reason(reason)?;
        self.own_name(key)?;
        let mut ask = |selectors| handover::ask(session, &handover::request(selectors, "get", reason)?);
        let stored = self.stored_or_asked(session, &mut |selectors| ask(selectors).map(drop))?;
        let mut resolution = self.resolution(&stored)?;
        let wanted = self.profile()?.with_parts([key]);
        resolution.entries.retain(|entry| wanted.contains(entry.key.as_str()));
        if resolution.entries.is_empty() {
            return Err(Failure::new(Exit::NotFound, format!("{} does not name {key}", shown(&self.file))));
        }
        let parts = self.gather(&resolution, Parts::default(), &mut ask)?;
        let mut given =
            self.give(&resolution, parts, &|_| None)?.into_iter().filter(|given| given.key == key);
        given.next().map(|given| given.bytes).ok_or_else(|| {
            let names = self.names(key);
            let looked_for: Vec<&str> = names.candidates(self.may_share(key)).collect();
            let text = format!(
                "it has no value, as {}; store one with: secretctl set {key} --project{}",
                looked_for.join(" or "),
                self.flags()
            );
            Failure::new(Exit::NotFound, text)
        })
    }

    /// What a program gets. `path` is where the file of a secret will be, if there can be files: what is composed of such
    /// a secret holds the path.
    pub(crate) fn give(
        &self,
        resolution: &Resolution,
        mut parts: Parts,
        path: &dyn Fn(&str) -> Option<PathBuf>,
    ) -> Result<Vec<Given>, Failure> {
        let profile = self.profile()?;
        let mut tried = BTreeSet::new();
        for entry in resolution.entries.iter().filter(|entry| entry.status == Status::Resolved) {
            compose(profile, &entry.key, &mut parts, &mut tried, path)?;
        }
        let mut given = Vec::new();
        for entry in resolution.shown().filter(|entry| entry.status == Status::Resolved) {
            let Some(bytes) = parts.0.get_mut(&entry.key).map(std::mem::take) else { continue };
            if !entry.as_path {
                check_text(&entry.key, &bytes)?;
            }
            given.push(Given { key: entry.key.clone(), bytes, as_file: entry.as_path });
        }
        Ok(given)
    }
}

/// A group of which too few or too many are there, in words.
pub(crate) fn broken(violation: &secrets_project::Violation) -> String {
    let (group, present) = (&violation.group, &violation.present);
    let members = group.members.join(", ");
    match (group.is_exact, present.as_slice()) {
        (false, _) => format!("none is there of {members}, of which one is needed"),
        (true, []) => format!("none is there of {members}, of which exactly one is needed"),
        (true, present) => {
            format!("of {members} exactly one is needed, and there are {}", present.join(", "))
        }
    }
}

fn decoded(profile: &Profile, key: &str, name: &str, value: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let Some(encoding) = profile.secrets.get(key).and_then(|secret| secret.encoding) else {
        return Ok(Zeroizing::new(value.as_bytes().to_vec()));
    };
    encoding.decode(value).ok_or_else(|| {
        let text = format!("{name} is not {}, as the manifest says of {key}; store it again with: secretctl set {key} --project", encoding.as_str());
        Failure::new(Exit::Invalid, text)
    })
}

/// Composes a secret of others, if that is what it is and they are there. The manifest has no circles.
fn compose(
    profile: &Profile,
    key: &str,
    parts: &mut Parts,
    tried: &mut BTreeSet<String>,
    path: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<(), Failure> {
    if !tried.insert(key.to_owned()) {
        return Ok(());
    }
    let template = profile.secrets.get(key).and_then(|secret| secret.composed.as_ref());
    let Some(template) = template.filter(|_| !parts.has(key)) else { return Ok(()) };
    let mut texts: BTreeMap<&str, Zeroizing<String>> = BTreeMap::new();
    for part in template.names() {
        compose(profile, part, parts, tried, path)?;
        let Some(bytes) = parts.0.get(part) else { return Ok(()) };
        let is_file = profile.secrets.get(part).is_some_and(|secret| secret.as_path);
        let text = if is_file {
            let path = path(part).and_then(|path| path.into_os_string().into_string().ok());
            path.ok_or_else(|| {
                let text = format!("{key} is composed of {part}, which is a file that only `run` can make; nothing was written");
                Failure::new(Exit::Invalid, text)
            })?
        } else {
            text_of(part, bytes)?.to_owned()
        };
        texts.insert(part, Zeroizing::new(text));
    }
    let rendered = template.render(|name| texts.get(name).map(|text| text.as_str()));
    let text = rendered
        .map_err(|error| Failure::new(Exit::Invalid, format!("{key} cannot be composed: {error}")))?;
    parts.add(key, Zeroizing::new(text.as_bytes().to_vec()));
    Ok(())
}

fn text_of<'b>(key: &str, bytes: &'b [u8]) -> Result<&'b str, Failure> {
    std::str::from_utf8(bytes).map_err(|_| {
        let text =
            format!("{key} is not text when it is decoded; say as_path = true, so that it becomes a file");
        Failure::new(Exit::Invalid, text)
    })
}

/// What a variable can hold: text without NUL.
fn check_text(key: &str, bytes: &[u8]) -> Result<(), Failure> {
    if text_of(key, bytes)?.contains('\0') {
        let text = format!(
            "{key} has a NUL, which no variable can hold; say as_path = true, so that it becomes a file"
        );
        return Err(Failure::new(Exit::Invalid, text));
    }
    Ok(())
}

/// Whether a shell takes it for one word as it is.
fn is_word(text: &str) -> bool {
    !text.starts_with('-') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
