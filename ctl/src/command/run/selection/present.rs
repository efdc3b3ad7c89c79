//! `--or-env`: variables that the environment has stay as they are, and the vault is asked for the others. So one line
//! works where there is a vault and where something else sets the variables, as a CI does.

use std::ffi::OsString;
use std::mem;

use secrets_client::Call;
use secrets_proto::reveal::{Remark, RevealedSecret};
use secrets_proto::secret::{Secret, SecretList};
use secrets_proto::{SecretName, SecretValue, Selector};
use uuid::Uuid;

use super::{Selection, Variable, selects};
use crate::environment;
use crate::failure::{Exit, Failure};
use crate::lookup;
use crate::session::{NO_VAULT, Session};

/// What is said of a variable that cannot be a secret.
const UNUSABLE: &str = "in the environment is not UTF-8 text, or longer than 64 KiB";

impl Selection {
    /// All that the environment has, and from the vault what it does not have; also the session, if one was needed.
    pub(in crate::command::run) fn values_or_present(
        mut self,
        open: impl FnOnce() -> Result<Session, Failure>,
        command: Option<Remark>,
        reason: Option<&str>,
    ) -> Result<(Vec<Variable>, Option<Session>), Failure> {
        let mut variables = self.take_named()?;
        if self.all.is_empty() {
            let names = mem::take(&mut self.present);
            let names: Vec<&SecretName> = names.iter().collect();
            let stripped = self.variables(&names);
            self.settle()?;
            self.refuse(&names, &stripped)?;
            // The files' directory is beside the socket.
            let session = if self.files.is_empty() { None } else { Some(open()?) };
            return Ok((variables, session));
        }
        let wanted = self.all.clone();
        let session = open().map_err(|failure| without_vault(&wanted, failure))?;
        variables.extend(self.take_meant(&session)?);
        if self.all.is_empty() {
            self.settle()?;
            return Ok((variables, Some(session)));
        }
        let wanted = self.all.clone();
        let revealed =
            self.reveal(&session, command, reason).map_err(|failure| without_vault(&wanted, failure))?;
        for mut variable in revealed {
            // Where the list may not be seen, a glob has brought this one along.
            if let Some(value) = environment::inherited(&variable.name) {
                variable.value = usable(&variable.name, value)?.into();
            }
            if !variables.iter().any(|earlier| earlier.name == variable.name) {
                variables.push(variable);
            }
        }
        Ok((variables, Some(session)))
    }

    /// Takes those that are named exactly and that the environment has.
    fn take_named(&mut self) -> Result<Vec<Variable>, Failure> {
        let mut taken = Vec::new();
        for selector in mem::take(&mut self.all) {
            match &selector {
                Selector::Name(name) if self.take(Uuid::nil(), name, &mut taken)? => {}
                Selector::Name(_) | Selector::Id(_) | Selector::Glob(_) => self.all.push(selector),
            }
        }
        Ok(taken)
    }

    /// Takes those that globs and ids mean and that the environment has; what is left of them is asked for by name, so
    /// that no value leaves the vault for nothing. Who may not see the list asks for all.
    fn take_meant(&mut self, session: &Session) -> Result<Vec<Variable>, Failure> {
        let mut taken = Vec::new();
        if self.all.iter().all(|selector| matches!(selector, Selector::Name(_))) {
            return Ok(taken);
        }
        let list: Result<SecretList<Secret>, Failure> = session.fetch(&Call::list());
        let list = match list {
            Ok(list) => list,
            Err(failure) if failure.exit() == Exit::NotAllowed => return Ok(taken),
            Err(failure) => return Err(without_vault(&self.all, failure)),
        };
        for selector in mem::take(&mut self.all) {
            let is_meant = |secret: &&Secret| selects(&selector, secret.id, &secret.name);
            let meant: Vec<&Secret> = list.secrets.iter().filter(is_meant).collect();
            let before = taken.len();
            let mut absent = Vec::new();
            for secret in meant {
                if !self.take(secret.id, &secret.name, &mut taken)? {
                    absent.push(Selector::Id(secret.id));
                }
            }
            if taken.len() == before {
                self.all.push(selector);
            } else {
                self.all.extend(absent);
            }
        }
        Ok(taken)
    }

    /// Takes a secret's variable from the environment; whether it is there.
    fn take(&mut self, id: Uuid, name: &SecretName, taken: &mut Vec<Variable>) -> Result<bool, Failure> {
        let variable = self.stripped(name).to_owned();
        let Some(value) = environment::inherited(&variable) else { return Ok(false) };
        let value = usable(&variable, value)?;
        let secret = RevealedSecret { id, name: name.clone(), value, expires_at: None, conflict: false };
        taken.push(self.hand_over(variable, secret));
        self.present.push(name.clone());
        Ok(true)
    }
}

pub(in crate::command::run) fn usable(variable: &str, value: OsString) -> Result<SecretValue, Failure> {
    let value = value.into_string().ok().and_then(|value| SecretValue::new(value).ok());
    value.ok_or_else(|| Failure::new(Exit::Invalid, format!("{variable} {UNUSABLE}")))
}

/// The failure that there is neither vault nor daemon to have these; any other one as it is.
fn without_vault(asked: &[Selector], failure: Failure) -> Failure {
    if lacks_vault(&failure) { neither(asked) } else { failure }
}

/// Whether it is because there is neither vault nor daemon.
pub(in crate::command::run) fn lacks_vault(failure: &Failure) -> bool {
    failure.exit() == Exit::NoDaemon || failure.message() == NO_VAULT
}

/// The failure that neither the environment nor a vault has these.
pub(super) fn neither(missing: &[Selector]) -> Failure {
    let (globs, named): (Vec<&Selector>, Vec<&Selector>) =
        missing.iter().partition(|selector| matches!(selector, Selector::Glob(_)));
    let listed =
        |some: &[&Selector]| some.iter().map(|one| lookup::shown(one)).collect::<Vec<_>>().join(", ");
    let mut parts = Vec::new();
    if !named.is_empty() {
        let verb = if named.len() == 1 { "is" } else { "are" };
        parts.push(format!("{} {verb} neither in the environment nor in a vault", listed(&named)));
    }
    if !globs.is_empty() {
        let what = "matches no secret of a vault; name variables of the environment exactly";
        parts.push(format!("{} {what}", listed(&globs)));
    }
    Failure::new(Exit::NotFound, parts.join("; "))
}
