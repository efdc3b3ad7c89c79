//! `check`: whether all that a project wants is there, without a value.

use clap::Args;
use secrets_project::report::Report;
use secrets_project::{Entry, Origin, Resolution, Status};

use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::project::flags::ManifestArgs;
use crate::project::values::broken;
use crate::project::{Consent, Project, shown};
use crate::session::Session;
use crate::table::{self, Cut};

/// Check whether the secrets that secretspec.toml names are there
#[derive(Debug, Args)]
#[command(after_help = "\
Prints no value. With --json, the report is SecretSpec's resolution report
(schema_version 1). With --fill, at a terminal, it asks for what is missing and
stores it under the project's names; what the manifest has a recipe for is
generated.

Exit status: 0 if all that is required is there, 4 if something is missing.

Example:
  secretctl check
  secretctl check --profile production --json
  secretctl check --fill")]
pub(crate) struct CheckArgs {
    /// Print where each secret is looked for, and what of the manifest is ignored
    #[arg(long)]
    pub(crate) explain: bool,
    /// Ask for what is missing and store it
    #[arg(long)]
    pub(crate) fill: bool,
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &CheckArgs,
) -> Result<(), Failure> {
    if args.explain && output.json {
        return Err(Failure::new(
            Exit::Usage,
            "--explain is for people and --json for programs; leave one out",
        ));
    }
    let project = Project::needed(&args.manifest)?;
    let project = if args.fill { project.allowed()? } else { project };
    project.profile()?;
    let session = open()?;
    let mut stored = project.stored(&session)?;
    let mut resolution = project.resolution(&stored)?;
    if args.fill {
        let is_complete = resolution.is_complete();
        if project.make_missing(&session, &mut stored, &resolution)? {
            resolution = project.resolution(&stored)?;
        }
        project.ask_missing(&session, &mut stored, &resolution)?;
        resolution = project.resolution(&stored)?;
        if is_complete {
            output::say("nothing is missing");
        }
    }
    // If something is missing, the last line has the cure.
    let refusal = if resolution.is_complete() { project.refusal() } else { project.not_allowed() };
    refusal.iter().for_each(|refusal| output::say(refusal));
    if output.json {
        let text = serde_json::to_vec_pretty(&Report::of(&resolution))
            .map_err(|_| Failure::new(Exit::Other, "the report cannot be written as JSON"))?;
        output::answer_json_line(&text)?;
    } else {
        let text = if args.explain {
            explained(&project, &resolution, output)?
        } else {
            listed(&resolution, output)
        };
        output::answer(text.as_bytes())?;
        resolution.violations.iter().for_each(|violation| output::say(&broken(violation)));
    }
    project.settle(&resolution)
}

fn listed(resolution: &Resolution, output: Output) -> String {
    let rows: Vec<[String; 3]> =
        resolution.shown().map(|entry| [entry.key.clone(), state(entry).to_owned(), source(entry)]).collect();
    table::render(["NAME", "STATE", "FROM"], &rows, output.colour)
}

/// The columns of `--explain`, with how far each is cut in a narrow window.
const EXPLAINED: [(&str, Cut); 5] = [
    ("NAME", Cut::End(16)),
    ("STATE", Cut::Never),
    ("FROM", Cut::End(8)),
    ("LOOKED FOR", Cut::Beginning(16)),
    ("FOR", Cut::Never),
];

/// Everything there is to say: the manifest, the names that are looked for, and what does not count.
fn explained(project: &Project, resolution: &Resolution, output: Output) -> Result<String, Failure> {
    let profile = project.profile()?;
    let mut text = String::new();
    let mut line = |what: &str, value: &str| {
        text.push_str(&format!("{what:<10}{}\n", output::in_one_line(value)));
    };
    line("manifest", &shown(&project.file));
    let extended = project.manifest.files().iter().filter(|file| **file != project.file);
    extended.for_each(|file| line("extends", &shown(file)));
    line("project", &format!("{}, in the vault {}__*", project.manifest.name(), project.manifest.prefix()));
    line("profile", &resolution.choice.profile);
    resolution.choice.scope.iter().for_each(|scope| line("scope", scope));
    line("allowed", &allowed(project));
    for ignored in project.manifest.ignored() {
        let place = format!("{}:{}: {}", shown(&ignored.file), ignored.line, key(&ignored.key));
        line("ignored", &format!("{place}; the vault is the store"));
    }
    let row = |entry: &Entry| {
        let names = project.names(&entry.key);
        let secret = profile.secrets.get(&entry.key);
        let looked_for = match secret.and_then(|secret| secret.composed.as_ref()) {
            Some(template) => format!("composed of {}", template.names().join(", ")),
            None => names.candidates(project.may_share(&entry.key)).collect::<Vec<_>>().join(", "),
        };
        let description = secret.map(|secret| secret.description.clone()).unwrap_or_default();
        [entry.key.clone(), state(entry).to_owned(), source(entry), looked_for, description]
    };
    let rows: Vec<Vec<String>> = resolution.shown().map(|entry| row(entry).into()).collect();
    // In a narrow window without what each is for: the manifest has that.
    let window = output::columns().filter(|_| output::stdout_is_terminal());
    text.push_str(&table::render_in_window(&EXPLAINED, rows, &[0, 1, 2, 3], window, output.colour));
    Ok(text)
}

fn allowed(project: &Project) -> String {
    match &project.consent {
        Consent::Given(shared) if shared.is_empty() => "yes".to_owned(),
        Consent::Given(shared) => {
            format!("yes, with the shared {}", shared.iter().cloned().collect::<Vec<_>>().join(", "))
        }
        Consent::Before(difference) => format!("no, it has changed since ({difference})"),
        Consent::Elsewhere(before) => format!("no, only where it was before, in {}", before.display()),
        Consent::Never => "no".to_owned(),
    }
}

/// A path of keys as it may be shown: the manifest is somebody else's.
fn key(path: &str) -> String {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if is_plain && path.len() <= 120 { path.to_owned() } else { "providers".to_owned() }
}

fn state(entry: &Entry) -> &'static str {
    match entry.status {
        Status::Resolved => "ok",
        Status::MissingRequired => "MISSING",
        Status::MissingOptional => "left out",
    }
}

fn source(entry: &Entry) -> String {
    let source = match &entry.origin {
        Some(Origin::Vault(name)) => name.clone(),
        Some(Origin::Default) => "default".to_owned(),
        Some(Origin::Made) => "made when it is first used".to_owned(),
        Some(Origin::Composed) => "composed".to_owned(),
        Some(Origin::Given) | None => "-".to_owned(),
    };
    if entry.as_path { format!("{source} (a file)") } else { source }
}
