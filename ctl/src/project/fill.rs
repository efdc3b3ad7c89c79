//! Values that a project lacks: made by its manifest's recipe, or asked of a person; and stored under the project's name
//! for them.

use secrets_client::{Call, Method};
use secrets_project::{Missing, Resolution, Secret, Violation};
use secrets_proto::secret::CreateSecret;
use secrets_proto::{ErrorType, Provider, SecretName, SecretValue};

use super::Project;
use super::stored::Stored;
use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{output, prompt, providers, random};

/// What to do where nobody can be asked.
const NOT_TYPED: &str = "store it with: secretctl set NAME --project < FILE";

impl Project {
    /// Makes the values that a manifest has recipes for and that are wanted and not there; says so, and adds their names.
    /// Gives whether there were any.
    pub(crate) fn make_missing(
        &self,
        session: &Session,
        stored: &mut Stored,
        resolution: &Resolution,
    ) -> Result<bool, Failure> {
        let profile = self.profile()?;
        let mut has_made = false;
        for entry in &resolution.entries {
            let Some(secret) = profile.secrets.get(&entry.key) else { continue };
            let Some(recipe) = secret.recipe.as_ref().filter(|_| secret.missing == Missing::Make) else {
                continue;
            };
            if self.find(stored, &entry.key).is_some() {
                continue;
            }
            let value = recipe.make(random::fill)?;
            let name = self.own_name(&entry.key)?;
            let is_new = self.store(session, &name, secret, value.as_bytes())?;
            output::say(&if is_new {
                format!("made {} ({}), and stored it as {name}", entry.key, recipe.what())
            } else {
                // Another command has made it in the same moment.
                format!("{name} is there meanwhile")
            });
            stored.insert(name.as_str().to_owned());
            has_made = true;
        }
        Ok(has_made)
    }

    /// Asks for what a manifest wants to be asked for and that is not there. Gives whether anything was.
    pub(crate) fn ask_prompted(
        &self,
        session: &Session,
        stored: &mut Stored,
        resolution: &Resolution,
    ) -> Result<bool, Failure> {
        let profile = self.profile()?;
        let is_asked =
            |key: &str| profile.secrets.get(key).is_some_and(|secret| secret.missing == Missing::Ask);
        let wanted = resolution.missing().filter(|entry| is_asked(&entry.key));
        let keys: Vec<&str> = wanted.map(|entry| entry.key.as_str()).collect();
        if keys.is_empty() || !prompt::can_ask() {
            return Ok(false);
        }
        let _turn = prompt::alone();
        for key in &keys {
            if !self.ask(session, stored, key, false)? {
                return Err(Failure::new(Exit::NotFound, format!("{key} has no value; nothing was started")));
            }
        }
        Ok(true)
    }

    /// Asks for all that is missing and can be stored, and stores each answer at once. Of a group one is enough; an empty
    /// line leaves one out.
    pub(crate) fn ask_missing(
        &self,
        session: &Session,
        stored: &mut Stored,
        resolution: &Resolution,
    ) -> Result<(), Failure> {
        let keys = resolution.storable(self.profile()?);
        if !keys.is_empty() && !prompt::can_ask() {
            return Err(Failure::new(Exit::Usage, format!("there is no terminal to ask on; {NOT_TYPED}")));
        }
        let _turn = prompt::alone();
        for key in keys {
            // What was stored meanwhile may be enough for its group.
            let now = self.resolution(stored)?;
            if !now.storable(self.profile()?).contains(&key) {
                continue;
            }
            let may_skip = now.missing().all(|entry| entry.key != key) && is_in_group(&now.violations, &key);
            self.ask(session, stored, &key, may_skip)?;
        }
        Ok(())
    }

    /// Asks for one, and stores what is typed; whether something was.
    fn ask(
        &self,
        session: &Session,
        stored: &mut Stored,
        key: &str,
        is_one_of: bool,
    ) -> Result<bool, Failure> {
        let profile = self.profile()?;
        let Some(secret) = profile.secrets.get(key) else { return Ok(false) };
        let name = self.own_name(key)?;
        output::say(&format!("{key}: {}", secret.description));
        let hint = if is_one_of { " (Enter for none of it)" } else { "" };
        let typed = prompt::hidden(&format!("value{hint}: ")).map_err(|error| {
            Failure::new(Exit::Other, error.told("what was stored before it stays", NOT_TYPED))
        })?;
        if typed.expose().is_empty() {
            output::say(&format!("{key} was left out"));
            return Ok(false);
        }
        let is_new = self.store(session, &name, secret, typed.expose().as_bytes())?;
        if !is_new {
            let text = format!("{name} was stored by somebody else meanwhile; what you typed was not");
            return Err(Failure::new(Exit::Conflict, text));
        }
        output::say(&format!("stored {name}"));
        stored.insert(name.as_str().to_owned());
        Ok(true)
    }

    /// Stores a new secret, as its manifest wants it written; whether there was none of this name.
    fn store(
        &self,
        session: &Session,
        name: &SecretName,
        secret: &Secret,
        value: &[u8],
    ) -> Result<bool, Failure> {
        let value = match secret.encoding {
            Some(encoding) => SecretValue::new(encoding.encode(value).to_string())?,
            None => SecretValue::from_bytes(value.to_vec())?,
        };
        let known = providers::recognise(value.expose()).map(|(_, known)| known);
        let provider = known.map(Provider::parse).transpose()?;
        let body = CreateSecret { name: name.clone(), value, provider, local: false };
        match session.call(&Call::new(Method::POST, "/user/secrets").json(&body)?) {
            Ok(_) => Ok(true),
            Err(failure) if failure.kind() == Some(ErrorType::AlreadyExistsError) => Ok(false),
            Err(failure) => {
                let text = format!("{name} cannot be stored: {failure}");
                Err(Failure::new(failure.exit(), text))
            }
        }
    }
}

fn is_in_group(violations: &[Violation], key: &str) -> bool {
    violations.iter().any(|violation| violation.group.members.iter().any(|member| member == key))
}
