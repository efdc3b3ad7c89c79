//! `where`: which programs get a secret, and in which directories, from the audit log.

use std::fs;
use std::path::Path;

use clap::Args;
use secrets_client::Call;
use secrets_proto::audit::{AuditAction, AuditEntry, AuditList, AuditOutcome};
use secrets_proto::{SecretName, Timestamp};
use serde::Serialize;

use super::audit::eyes::short;
use crate::failure::{Exit, Failure};
use crate::lookup::Wanted;
use crate::output::{self, Output};
use crate::project::consent::Record;
use crate::project::{self, Project, flags::NameArgs};
use crate::session::Session;
use crate::{age, environment, pager, table};

/// Show which programs use a secret, and where
#[derive(Debug, Args)]
#[command(after_help = "\
Read from the newest 1,000 entries of the audit log about the secret. RUNNING names
the programs of `run` that still have a value; OLD marks a value that was replaced
since.

Example:
  secretctl where OPENAI_API_KEY")]
pub(crate) struct WhereArgs {
    /// The secret's name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) project: NameArgs,
}

/// A program that got the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    /// The program, or the systemd unit.
    pub(super) program: String,
    /// The directory in which `run` started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) directory: Option<String>,
    /// The allowed project that the directory is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) project: Option<String>,
    /// When it got the value last.
    pub(super) last: Timestamp,
    /// How often.
    pub(super) times: u64,
    /// Those of them that still run, and since when they have the value.
    pub(super) running: Vec<Running>,
}

/// A program that still runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Running {
    pub(super) pid: i32,
    pub(super) since: Timestamp,
    /// Whether the value was replaced since.
    pub(super) old: bool,
}

pub(crate) fn run(session: &Session, output: Output, args: &WhereArgs) -> Result<(), Failure> {
    let wanted = match Project::named(&args.project)? {
        None => Wanted::parse(&args.name)?,
        Some(project) => project.found(session, &args.name)?,
    };
    let detail = wanted.get(session)?;
    let mut places = places(session, &detail.secret.name, detail.value_changed_at)?;
    let known = project::known();
    for place in &mut places {
        place.project = place.directory.as_deref().and_then(|directory| project_of(&known, directory));
    }
    if output.json {
        let text = serde_json::to_vec(&places)
            .map_err(|_| Failure::new(Exit::Other, "the places cannot be written as JSON"))?;
        return output::answer_json_line(&text);
    }
    if places.is_empty() {
        output::say(&format!("the audit log has no use of {}", detail.secret.name));
        return Ok(());
    }
    let has_projects = places.iter().any(|place| place.project.is_some());
    let now = Timestamp::now();
    let home = environment::home();
    let home = home.as_ref().and_then(|home| home.to_str());
    let rows: Vec<Vec<String>> = places
        .iter()
        .map(|place| {
            let running = place.running.iter().map(|one| {
                let old = if one.old { " OLD" } else { "" };
                format!("{}{old}", one.pid)
            });
            let mut row = vec![
                place.program.clone(),
                place.directory.as_deref().map_or("-".to_owned(), |path| short(path, home)),
                age::since(place.last, now),
                place.times.to_string(),
                running.collect::<Vec<_>>().join(", "),
            ];
            if has_projects {
                row.insert(1, place.project.clone().unwrap_or_else(|| "-".to_owned()));
            }
            row
        })
        .collect();
    let mut header = vec!["PROGRAM", "DIRECTORY", "LAST", "TIMES", "RUNNING"];
    if has_projects {
        header.insert(1, "PROJECT");
    }
    pager::answer_paged(&table::render_styled(&header, &rows, output.colour, None, |_| None))
}

/// The allowed project that a directory is in: the one whose manifest is nearest above it.
fn project_of(known: &[Record], directory: &str) -> Option<String> {
    let is_in =
        |record: &&Record| record.manifest.parent().is_some_and(|dir| Path::new(directory).starts_with(dir));
    let nearest = known.iter().filter(is_in).max_by_key(|record| record.manifest.components().count());
    nearest.map(|record| record.project.clone())
}

/// The programs that got this secret, the latest first. Needs the right to read the log.
pub(super) fn places(
    session: &Session,
    name: &SecretName,
    changed: Option<Timestamp>,
) -> Result<Vec<Place>, Failure> {
    let call = Call::get("/audit").query("limit", "1000").query("name", name.as_str());
    let AuditList { entries, .. } = session.fetch(&call)?;
    Ok(gather(&entries, changed, has_run_since))
}

fn gather(
    entries: &[AuditEntry],
    changed: Option<Timestamp>,
    runs: impl Fn(i32, Timestamp) -> bool,
) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for entry in entries.iter().rev().filter(|entry| is_use(entry)) {
        let program = program(entry);
        let directory = entry.directory.as_ref().map(|path| path.as_str().to_owned());
        let known =
            places.iter().position(|place| (&place.program, &place.directory) == (&program, &directory));
        let at = known.unwrap_or_else(|| {
            let (last, running) = (entry.time, Vec::new());
            places.push(Place { program, directory, project: None, last, times: 0, running });
            places.len() - 1
        });
        let Some(place) = places.get_mut(at) else { continue };
        place.times += entry.count;
        let pid = entry.caller.pid;
        let is_known = place.running.iter().any(|one| one.pid == pid);
        if is_run(entry) && !is_known && runs(pid, entry.time) {
            let old = changed.is_some_and(|changed| entry.time < changed);
            place.running.push(Running { pid, since: entry.time, old });
        }
    }
    places
}

fn is_use(entry: &AuditEntry) -> bool {
    let hands_over =
        matches!(entry.action, AuditAction::Reveal | AuditAction::CredentialLoad | AuditAction::Use);
    // The comparison that ends an import is none.
    let is_check = entry.purpose.as_ref().is_some_and(|purpose| purpose.as_str() == "import");
    hands_over && !is_check && entry.outcome == AuditOutcome::Ok
}

/// Whether it is of `run`, which becomes its command or stays beside it: while the process is there, a value is.
fn is_run(entry: &AuditEntry) -> bool {
    entry.purpose.as_ref().is_some_and(|purpose| purpose.as_str() == "run")
}

fn program(entry: &AuditEntry) -> String {
    if let Some(command) = &entry.command {
        let name = command.as_str();
        return name.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or(name).to_owned();
    }
    let comm = entry.caller.comm.as_deref().unwrap_or("unknown process");
    match &entry.purpose {
        Some(purpose) if comm == "secretctl" => format!("secretctl {}", purpose.as_str()),
        _ => comm.to_owned(),
    }
}

/// Whether the process with this id has run since that time: its id may be another's by now (proc(5), field 22 of `stat`).
fn has_run_since(pid: i32, time: Timestamp) -> bool {
    let started = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
        let system = fs::read_to_string("/proc/stat").ok()?;
        let boot: i64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
        Some(boot + i64::try_from(ticks / rustix::param::clock_ticks_per_second()).ok()?)
    };
    // The time of the start is rounded down twice.
    pid > 0 && started().is_some_and(|started| started <= time.as_second() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(time: i64, rest: &str) -> AuditEntry {
        let time = Timestamp::from_second(time).unwrap();
        let json = format!(
            r#"{{"sequence":1,"time":"{time}","action":"reveal","outcome":"ok","caller":{{"uid":1,"pid":7,"comm":"secretctl","token":"owner"}},{rest}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn uses_are_told_by_program_and_directory_the_latest_first() {
        let entries = [
            entry(1, r#""purpose":"run","command":"/usr/bin/npm","directory":"/shop""#),
            entry(2, r#""purpose":"get""#),
            entry(3, r#""purpose":"import""#),
            entry(4, r#""purpose":"run","command":"npm","directory":"/crm""#),
            entry(5, r#""purpose":"run","command":"npm","directory":"/shop""#),
        ];
        let at = |second| Timestamp::from_second(second).unwrap();
        let places = gather(&entries, Some(at(5)), |_, time| time == at(4));
        let told: Vec<_> = places
            .iter()
            .map(|place| (place.program.as_str(), place.directory.as_deref(), place.last, place.times))
            .collect();
        assert_eq!(
            told,
            [
                ("npm", Some("/shop"), at(5), 2),
                ("npm", Some("/crm"), at(4), 1),
                ("secretctl get", None, at(2), 1)
            ]
        );
        assert_eq!(places[1].running, [Running { pid: 7, since: at(4), old: true }]);
        assert!(places[0].running.is_empty());
    }

    #[test]
    fn a_process_is_known_by_when_it_began() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(has_run_since(own, Timestamp::now()));
        assert!(!has_run_since(own, Timestamp::from_second(0).unwrap()));
        assert!(!has_run_since(0, Timestamp::now()));
    }
}
