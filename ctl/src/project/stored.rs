//! Which of a project's names the vault has.

use std::collections::HashSet;

use secrets_client::Call;
use secrets_project::names::BETWEEN;
use secrets_project::{Resolution, resolve};
use secrets_proto::secret::{Secret, SecretList};
use secrets_proto::{ErrorType, Selector};

use super::{Consent, Project};
use crate::failure::{Exit, Failure};
use crate::lookup::Wanted;
use crate::session::Session;

/// Names of secrets in the vault, as many as matter to a project.
pub(crate) type Stored = HashSet<String>;

impl Project {
    /// The names that the vault has of this project, and the shared ones.
    pub(crate) fn stored(&self, session: &Session) -> Result<Stored, Failure> {
        let shares = matches!(&self.consent, Consent::Given(shared) if !shared.is_empty());
        let call = Call::list();
        let own = format!("{}{BETWEEN}*", self.manifest.prefix());
        let call = if shares { call } else { call.query("name", &own) };
        let list: SecretList<Secret> = session.fetch(&call)?;
        Ok(list.secrets.into_iter().map(|secret| secret.name.as_str().to_owned()).collect())
    }

    /// The names as [`stored`](Self::stored) gives them; for a token that may reveal and not list they are found by asking
    /// for all that may be there, which tells what is not.
    pub(crate) fn stored_or_asked(
        &self,
        session: &Session,
        ask: &mut dyn FnMut(Vec<Selector>) -> Result<(), Failure>,
    ) -> Result<Stored, Failure> {
        let listed = self.stored(session);
        let Err(failure) = &listed else { return listed };
        if failure.kind() != Some(ErrorType::ForbiddenError) {
            return listed;
        }
        let profile = self.profile()?;
        let mut names: Vec<String> = Vec::new();
        for key in profile.secrets.iter().filter(|(_, secret)| secret.composed.is_none()).map(|(key, _)| key)
        {
            names.extend(self.names(key).candidates(self.may_share(key)).map(str::to_owned));
        }
        let mut stored = Stored::new();
        // Which of a request's names are missing is told at once.
        for some in names.chunks(secrets_proto::reveal::RevealRequest::MAX_SELECTORS) {
            let selectors = some.iter().map(|name| Selector::parse(name)).collect::<Result<Vec<_>, _>>()?;
            let missing = match ask(selectors) {
                Ok(()) => Vec::new(),
                Err(failure) if failure.exit() == Exit::NotFound => failure.positions(),
                Err(failure) => return Err(failure),
            };
            let there = some.iter().enumerate().filter(|(at, _)| !missing.contains(at));
            stored.extend(there.map(|(_, name)| name.clone()));
        }
        Ok(stored)
    }

    /// The name that a secret has in the vault.
    pub(crate) fn find(&self, stored: &Stored, key: &str) -> Option<String> {
        let names = self.names(key);
        names.candidates(self.may_share(key)).find(|name| stored.contains(*name)).map(str::to_owned)
    }

    /// The secret of the vault that one of the project is.
    pub(crate) fn found(&self, session: &Session, key: &str) -> Result<Wanted, Failure> {
        let own = self.own_name(key)?;
        let name = self.find(&self.stored(session)?, key);
        Ok(Wanted::parse(name.as_deref().unwrap_or(own.as_str()))?)
    }

    /// Which secrets are there.
    pub(crate) fn resolution(&self, stored: &Stored) -> Result<Resolution, Failure> {
        self.resolution_beside(&|_| false, stored)
    }

    /// Which secrets are there, where some have a value from elsewhere.
    pub(crate) fn resolution_beside(
        &self,
        is_given: &dyn Fn(&str) -> bool,
        stored: &Stored,
    ) -> Result<Resolution, Failure> {
        resolve(&self.manifest, &self.choice, is_given, &mut |key| self.find(stored, key))
            .map_err(|absent| Failure::new(Exit::NotFound, absent.to_string()))
    }
}
