//! Which secrets a run gets, and under which names: settled before anything starts, and all that is wrong with it is
//! said at once. It knows no process.

use secrets_client::Call;
use secrets_proto::reveal::{Remark, RevealReply, RevealRequest, RevealedSecret};
use secrets_proto::secret::{Secret, SecretList};
use secrets_proto::{SecretName, Selector, Timestamp};
use uuid::Uuid;

use super::args::RunArgs;
use super::content::Content;
use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::variables::{self, Allowed};
use crate::{handover, lookup, near, output, providers};

mod present;

pub(super) use present::{lacks_vault, usable};

/// A secret on its way to a program.
pub(super) struct Variable {
    /// The variable's name.
    pub(super) name: String,
    /// The secret's value.
    pub(super) value: Content,
    /// Whether the variable holds the path of a file with the value.
    pub(super) as_file: bool,
    /// Whether its value is taken out of masked output.
    pub(super) is_masked: bool,
}

/// What to select, or every selector that is none.
#[derive(Debug)]
pub(super) struct Selection {
    all: Vec<Selector>,
    files: Vec<Selector>,
    unmasked: Vec<Selector>,
    prefix: Option<SecretName>,
    allowed: Allowed,
    problems: Vec<String>,
    /// Whether the environment's variables stand for secrets.
    or_env: bool,
    /// The selected secrets whose variables the environment has.
    present: Vec<SecretName>,
}

impl Selection {
    /// Reads the selection from the command line. What is wrong with it is kept, to be told with what else is.
    pub(super) fn parse(args: &RunArgs) -> Result<Self, Failure> {
        handover::refuse_empty(args.selectors.iter().chain(&args.files).chain(&args.no_mask_for))?;
        if !args.mask && !args.no_mask_for.is_empty() {
            return Err(Failure::new(Exit::Usage, "--no-mask-for is for --mask; add that"));
        }
        let mut problems = Vec::new();
        let mut all = if args.all {
            vec![Selector::parse("*")?]
        } else {
            handover::parse(&args.selectors, "selector", &mut problems)
        };
        let files = handover::parse(&args.files, "file", &mut problems);
        let unmasked = handover::parse(&args.no_mask_for, "--no-mask-for", &mut problems);
        all.extend(files.iter().cloned());
        let prefix =
            args.prefix_strip.as_deref().map(SecretName::parse).transpose().unwrap_or_else(|invalid| {
                problems.push(format!("prefix: {invalid}"));
                None
            });
        let allowed = Allowed::parse(&all, &args.allow_names)?;
        Ok(Self { all, files, unmasked, prefix, allowed, problems, or_env: args.or_env, present: Vec::new() })
    }

    /// Has the values handed over.
    pub(super) fn reveal(
        mut self,
        session: &Session,
        command: Option<Remark>,
        reason: Option<&str>,
    ) -> Result<Vec<Variable>, Failure> {
        // Names that change can clash; that is to be known before a value leaves the daemon.
        if self.prefix.is_some() || !self.problems.is_empty() {
            self.look_ahead(session)?;
        }
        let wanted = self.all.clone();
        let reply = ask(session, wanted.clone(), command, reason);
        let reply = reply.map_err(|failure| {
            let missing = lookup::those_missing(&failure, &wanted);
            if missing.is_empty() { failure } else { self.missing(&missing, &near::listed(session)) }
        })?;
        let names: Vec<&SecretName> = reply.secrets.iter().map(|secret| &secret.name).collect();
        let variables = self.variables(&names);
        self.settle()?;
        self.refuse(&names, &variables)?;
        tell_of_expired(&reply.secrets);
        let is = |selector: &Selector| {
            reply.secrets.iter().any(|secret| selects(selector, secret.id, &secret.name))
        };
        for selector in self.unmasked.iter().filter(|selector| !is(selector)) {
            output::say(&format!("--no-mask-for {}: no selected secret", lookup::shown(selector)));
        }
        Ok(variables
            .into_iter()
            .zip(reply.secrets)
            .map(|(name, secret)| self.hand_over(name, secret))
            .collect())
    }

    fn hand_over(&self, name: String, secret: RevealedSecret) -> Variable {
        let is_in =
            |list: &[Selector]| list.iter().any(|selector| selects(selector, secret.id, &secret.name));
        let (as_file, is_masked) = (is_in(&self.files), !is_in(&self.unmasked));
        Variable { name, value: secret.value.into(), as_file, is_masked }
    }

    /// Finds all that is wrong by the list of names. Who may not see that is told what is known without it.
    fn look_ahead(&mut self, session: &Session) -> Result<(), Failure> {
        let list: Result<SecretList<Secret>, Failure> = session.fetch(&Call::list());
        let Ok(list) = list else { return self.settle() };
        let is = |selector: &Selector, secret: &Secret| selects(selector, secret.id, &secret.name);
        let missing: Vec<Selector> = self
            .all
            .iter()
            .filter(|selector| !list.secrets.iter().any(|secret| is(selector, secret)))
            .cloned()
            .collect();
        let selected =
            list.secrets.iter().filter(|secret| self.all.iter().any(|selector| is(selector, secret)));
        let names: Vec<&SecretName> = selected.map(|secret| &secret.name).collect();
        let variables = self.variables(&names);
        if self.problems.is_empty() && !missing.is_empty() {
            let names: Vec<SecretName> = list.secrets.into_iter().map(|secret| secret.name).collect();
            return Err(self.missing(&missing, &names));
        }
        if !missing.is_empty() {
            let text = if self.or_env {
                present::neither(&missing).to_string()
            } else {
                format!("no such secret: {}", lookup::listed(&missing))
            };
            self.problems.push(text);
        }
        self.settle()?;
        self.refuse(&names, &variables)
    }

    /// Refuses the variables that a glob, an id or a prefix must not lead to.
    fn refuse(&self, names: &[&SecretName], variables: &[String]) -> Result<(), Failure> {
        let refused = names.iter().zip(variables).filter_map(|(secret, name)| {
            let reason = self.allowed.in_environment(secret, name)?;
            let renamed = secret.as_str() != name;
            Some((if renamed { format!("{name} (of {secret})") } else { name.clone() }, reason))
        });
        let refused: Vec<_> = refused.collect();
        let what_to_do = "nothing was started; name such a secret exactly with -s or --file and keep its name, leave it out, or use --allow-name NAME";
        variables::settle(&refused, what_to_do)
    }

    /// The failure that there are no such secrets.
    fn missing(&self, selectors: &[Selector], listed: &[SecretName]) -> Failure {
        if self.or_env { present::neither(selectors) } else { lookup::missing_among(selectors, listed) }
    }

    fn settle(&self) -> Result<(), Failure> {
        handover::settle(&self.problems)
    }

    /// The name of a secret's variable.
    fn stripped<'a>(&self, name: &'a SecretName) -> &'a str {
        let stripped = self.prefix.as_ref().and_then(|prefix| name.as_str().strip_prefix(prefix.as_str()));
        stripped.unwrap_or(name.as_str())
    }

    /// The variables' names, in order; what is wrong with them is added to the problems.
    fn variables(&mut self, names: &[&SecretName]) -> Vec<String> {
        let Some(prefix) = &self.prefix else {
            return names.iter().map(|name| name.as_str().to_owned()).collect();
        };
        let variables: Vec<String> = names.iter().map(|name| self.stripped(name).to_owned()).collect();
        let mut problems = Vec::new();
        let mut every = names.iter().copied().chain(&self.present);
        if !names.is_empty() && !every.any(|name| name.as_str().starts_with(prefix.as_str())) {
            problems.push("no selected secret has the prefix to strip".to_owned());
        }
        for (index, (name, variable)) in names.iter().zip(&variables).enumerate() {
            if SecretName::parse(variable).is_err() {
                problems.push(format!("{name} without the prefix is not a variable name"));
            }
            let earlier = variables.iter().zip(names).take(index);
            for (_, other) in earlier.filter(|(earlier, _)| *earlier == variable) {
                problems.push(format!("{other} and {name} would both become {variable}"));
            }
        }
        self.problems.extend(problems);
        variables
    }
}

/// Asks for values for a command, which the audit log tells with the directory.
pub(super) fn ask(
    session: &Session,
    selectors: Vec<Selector>,
    command: Option<Remark>,
    reason: Option<&str>,
) -> Result<RevealReply, Failure> {
    let request = handover::request(selectors, "run", reason)?;
    let request = RevealRequest { command, directory: directory(), ..request };
    match handover::ask(session, &request) {
        // A daemon that runs since before an update may not know of directories.
        Err(failure) if failure.exit() == Exit::Invalid && request.directory.is_some() => {
            handover::ask(session, &RevealRequest { directory: None, ..request })
        }
        reply => reply,
    }
}

/// The directory in which the command starts, for the audit log, as far as it fits there.
fn directory() -> Option<Remark> {
    let path = std::env::current_dir().ok()?;
    let is_key = path.iter().any(|part| providers::looks_like_key(&part.to_string_lossy()));
    Remark::parse(&output::printable(path.to_str()?)).ok().filter(|_| !is_key)
}

/// The command gets them all the same: the owner's note may be wrong, and the command will say what does not work.
pub(super) fn tell_of_expired(secrets: &[RevealedSecret]) {
    let now = Timestamp::now();
    let expired: Vec<String> = secrets
        .iter()
        .filter(|secret| secret.expires_at.is_some_and(|time| time <= now))
        .map(|secret| secret.name.to_string())
        .collect();
    if let Some(first) = expired.first() {
        output::say(&format!(
            "expired: {}; replace with: secretctl set {first} --expires 90d",
            expired.join(", ")
        ));
    }
}

/// Whether a selector means this secret, by the daemon's own rule.
pub(crate) fn selects(selector: &Selector, id: Uuid, name: &SecretName) -> bool {
    match selector {
        Selector::Id(wanted) => *wanted == id,
        Selector::Name(wanted) => wanted == name,
        Selector::Glob(glob) => glob.matches(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;
    use crate::project::flags::ManifestArgs;

    fn args(selectors: &[&str]) -> RunArgs {
        RunArgs {
            selectors: selectors.iter().map(|text| (*text).to_owned()).collect(),
            all: false,
            files: Vec::new(),
            or_env: false,
            prefix_strip: None,
            allow_names: Vec::new(),
            mask: false,
            no_mask_for: Vec::new(),
            clean_env: false,
            reason: None,
            manifest: ManifestArgs::default(),
            command: vec!["true".into()],
        }
    }

    #[test]
    fn every_selector_that_is_none_is_named_by_position() {
        let files = vec!["K".to_owned(), "k-y".to_owned()];
        let selection =
            Selection::parse(&RunArgs { files, ..args(&["A", "sk-canary", "B*", "A=b", "["]) }).unwrap();
        let failure = selection.settle().unwrap_err();
        let message = failure.message();
        for part in ["selector 2: ", "selector 4: ", "selector 5: ", "file 2: "] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains("canary"));
        assert_eq!(Selection::parse(&args(&["A", ""])).unwrap_err().exit(), Exit::Usage);
        assert_eq!(Selection::parse(&args(&["a", "B*"])).unwrap().all.len(), 2);
    }

    #[test]
    fn all_is_a_glob() {
        let all = RunArgs { all: true, ..args(&["A"]) };
        assert_eq!(Selection::parse(&all).unwrap().all, [Selector::parse("*").unwrap()]);
    }

    #[test]
    fn names_lose_their_prefix_and_every_fault_is_named() {
        let variables = |prefix: &str, names: &[&str]| {
            let prefix_strip = Some(prefix.to_owned());
            let mut selection = Selection::parse(&RunArgs { prefix_strip, ..args(&["*"]) }).unwrap();
            let names: Vec<SecretName> = names.iter().map(|name| SecretName::parse(name).unwrap()).collect();
            let variables = selection.variables(&names.iter().collect::<Vec<_>>());
            selection.settle().map(|()| variables).map_err(|failure| failure.message().to_owned())
        };
        assert_eq!(variables("prod_", &["PROD_A", "B"]).unwrap(), ["A", "B"]);
        let faults = variables("P_", &["P_", "P_9", "P_A", "A"]).unwrap_err();
        for part in ["P_ without", "P_9 without", "P_A and A would both become A"] {
            assert!(faults.contains(part), "{faults}");
        }
        assert!(variables("P_", &["A"]).unwrap_err().contains("no selected secret has the prefix"));
        assert!(variables("sk-canary", &["A"]).unwrap_err().starts_with("prefix: "));
    }
}
