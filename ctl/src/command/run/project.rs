//! What a command gets of the project that it is run in: by the manifest, without being named on the command line.

use std::path::PathBuf;

use secrets_project::Resolution;
use secrets_proto::SecretName;
use secrets_proto::reveal::Remark;

use super::args::RunArgs;
use super::content::Content;
use super::selection::{Variable, ask, lacks_vault, tell_of_expired, usable};
use crate::environment;
use crate::failure::{Exit, Failure};
use crate::project::Project;
use crate::project::stored::Stored;
use crate::project::values::{Given, Parts};
use crate::session::Session;
use crate::variables::{self, Allowed};

/// The project's secrets on their way to a command.
pub(super) struct Wanted {
    project: Project,
    resolution: Resolution,
    parts: Parts,
}

/// The project that the command line means: without -s it must be allowed, with -s it counts if it is.
pub(super) fn of(args: &RunArgs) -> Result<Option<Project>, Failure> {
    if args.selects_nothing() {
        return Project::here(&args.manifest)?.map(Project::allowed).transpose();
    }
    Project::if_allowed(&args.manifest)
}

impl Wanted {
    /// Has the values handed over; what is missing is made, asked for, or named, and then nothing is started.
    pub(super) fn gather(
        project: Project,
        session: &mut Option<Session>,
        open: &dyn Fn() -> Result<Session, Failure>,
        args: &RunArgs,
        command: Option<Remark>,
    ) -> Result<Self, Failure> {
        project.check_reason(args.reason.as_deref())?;
        let mut parts = Parts::default();
        if args.or_env {
            take_present(&project, &mut parts)?;
        }
        let mut stored = Stored::new();
        let look = |parts: &Parts, stored: &Stored| project.resolution_beside(&|key| parts.has(key), stored);
        let mut resolution = look(&parts, &stored)?;
        refuse(&resolution, args)?;
        let reason = args.reason.as_deref();
        if needs_vault(&project, &resolution, &parts)? {
            match look_into_vault(&project, session, open, &command, reason) {
                Ok(names) => stored = names,
                // Where something else sets the variables, what it leaves out may be left out.
                Err(failure) if args.or_env && lacks_vault(&failure) => *session = None,
                Err(failure) => return Err(failure),
            }
        }
        resolution = look(&parts, &stored)?;
        if let Some(session) = &*session {
            let has_made = project.make_missing(session, &mut stored, &resolution)?;
            if has_made {
                resolution = look(&parts, &stored)?;
            }
            if project.ask_prompted(session, &mut stored, &resolution)? {
                resolution = look(&parts, &stored)?;
            }
        }
        project.settle(&resolution)?;
        let mut reveal = |selectors| {
            let session =
                session.as_ref().ok_or_else(|| Failure::new(Exit::NoDaemon, "there is no daemon"))?;
            let reply = ask(session, selectors, command.clone(), reason)?;
            tell_of_expired(&reply.secrets);
            Ok(reply)
        };
        let parts = project.gather(&resolution, parts, &mut reveal)?;
        Ok(Self { project, resolution, parts })
    }

    /// Whether anything becomes a file.
    pub(super) fn has_files(&self) -> bool {
        self.resolution.shown().any(|entry| entry.as_path)
    }

    /// The variables; `path` is where the file of one will be.
    pub(super) fn variables(self, path: &dyn Fn(&str) -> Option<PathBuf>) -> Result<Vec<Variable>, Failure> {
        let given = self.project.give(&self.resolution, self.parts, path)?;
        let variable = |Given { key, bytes, as_file }| Variable {
            name: key,
            value: Content::Made(bytes),
            as_file,
            is_masked: true,
        };
        Ok(given.into_iter().map(variable).collect())
    }

    /// The manifest's variables that the scope leaves out, which the command is not to inherit.
    pub(super) fn excluded(&self) -> Vec<String> {
        self.resolution.excluded.clone()
    }
}

/// Both: those that were selected, and those of the project. The same variable twice is none, unless it is the same value.
pub(super) fn together(selected: Vec<Variable>, of_project: Vec<Variable>) -> Result<Vec<Variable>, Failure> {
    let mut variables = selected;
    let mut clashes = Vec::new();
    for variable in of_project {
        match variables.iter().find(|other| other.name == variable.name) {
            None => variables.push(variable),
            Some(other) if other.value.bytes() == variable.value.bytes() => {}
            Some(_) => clashes.push(variable.name),
        }
    }
    if clashes.is_empty() {
        return Ok(variables);
    }
    let text = format!(
        "{} would be set twice, as you select it and as the project has it; leave it out, or use --no-manifest",
        clashes.join(", ")
    );
    Err(Failure::new(Exit::Invalid, text))
}

/// Takes what the environment has of the profile's variables.
fn take_present(project: &Project, parts: &mut Parts) -> Result<(), Failure> {
    for key in project.profile()?.secrets.keys() {
        if let Some(value) = environment::inherited(key) {
            parts.add(key, Content::from(usable(key, value)?).into_bytes());
        }
    }
    Ok(())
}

/// Whether the vault may have something that is wanted.
fn needs_vault(project: &Project, resolution: &Resolution, parts: &Parts) -> Result<bool, Failure> {
    let profile = project.profile()?;
    let is_stored = |key: &str| profile.secrets.get(key).is_some_and(|secret| secret.composed.is_none());
    Ok(resolution.entries.iter().any(|entry| is_stored(&entry.key) && !parts.has(&entry.key)))
}

fn look_into_vault(
    project: &Project,
    session: &mut Option<Session>,
    open: &dyn Fn() -> Result<Session, Failure>,
    command: &Option<Remark>,
    reason: Option<&str>,
) -> Result<Stored, Failure> {
    let session = match session {
        Some(session) => session,
        None => session.insert(open()?),
    };
    project
        .stored_or_asked(session, &mut |selectors| ask(session, selectors, command.clone(), reason).map(drop))
}

/// Refuses variables that mean something to shells or programs: the manifest is somebody else's.
fn refuse(resolution: &Resolution, args: &RunArgs) -> Result<(), Failure> {
    let allowed = Allowed::parse(&[], &args.allow_names)?;
    let mut refused = Vec::new();
    for entry in resolution.shown() {
        let name = SecretName::parse(&entry.key)?;
        refused.extend(allowed.in_environment(&name, &entry.key).map(|reason| (entry.key.clone(), reason)));
    }
    variables::settle(&refused, "nothing was started; leave them out with --scope, or use --allow-name NAME")
}
