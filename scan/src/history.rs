//! All that git's history holds: every object is looked at once, whatever it is and whether it is packed. Only if something
//! is found, the commits and paths are asked for that have it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Read};
use std::process::{ChildStdout, Stdio};
use std::sync::Arc;

use crate::failure::Failure;
use crate::git::{Git, Kind, Next, Object, Objects};
use crate::hits::{Hits, hit};
use crate::report::{Place, Report};
use crate::stream::Scanner;
use crate::values::Sought;

/// A message that is longer is not told apart from the object's head.
const MESSAGE: u64 = 1 << 20;

/// So many commits are kept of a path.
const COMMITS: usize = 1_000;

/// The commits that brought something, by path.
type Places = BTreeMap<Vec<u8>, Vec<String>>;

/// Scans it.
pub(crate) fn scan(sought: &Arc<Sought>, report: &Report) -> Result<(), Failure> {
    let git = Git::here();
    git.output(&["rev-parse", "--git-dir"])?;
    let mut scanner = Scanner::new(sought);
    let mut found = Found::default();
    let mut running =
        git.start(&["cat-file", "--batch-all-objects", "--batch", "--unordered", "--buffer"], Stdio::null())?;
    let looked = found.look(&mut Objects::new(running.stdout()?), &mut scanner, report);
    match looked {
        Ok(()) if running.ended_well() => {}
        Ok(()) => report.incomplete("the history", "git has not shown all of it"),
        Err(error) => report.incomplete("the history", &error.to_string()),
    }
    references(&git, &mut scanner, report)?;
    if !found.blobs.is_empty() || !found.trees.is_empty() {
        let names = Names::find(&git, &found, &mut scanner, report)?;
        found.tell(&names, report);
    }
    Ok(())
}

/// Names of branches and tags.
fn references(git: &Git, scanner: &mut Scanner, report: &Report) -> Result<(), Failure> {
    for name in git.output(&["for-each-ref", "--format=%(refname)"])?.split(|byte| *byte == b'\n') {
        let hits = in_line(name, scanner);
        if !hits.is_empty() {
            report.hits(&Place::Reference(name), &hits);
        }
    }
    Ok(())
}

/// The values in a name, in line 0.
fn in_line(name: &[u8], scanner: &mut Scanner) -> Hits {
    let mut hits = Hits::default();
    scanner.found_after(name, 0, |found| {
        hits.push(hit(&found, 0, found.start as u64 + 1, found.start as u64, false));
    });
    hits
}

/// What was found in objects that have no name of their own.
#[derive(Default)]
struct Found {
    blobs: HashMap<String, Hits>,
    trees: HashMap<String, Hits>,
}

impl Found {
    fn look(&mut self, objects: &mut Objects, scanner: &mut Scanner, report: &Report) -> io::Result<()> {
        while let Some(next) = objects.next()? {
            let object = match next {
                Next::There(object) => object,
                Next::Missing(id) => {
                    report.incomplete(&format!("object {id}"), "it is not in this repository");
                    continue;
                }
            };
            match object.kind {
                Kind::Commit => message("commit", &object, objects, scanner, report)?,
                Kind::Tag => message("tag", &object, objects, scanner, report)?,
                Kind::Blob | Kind::Tree => {
                    let hits = scanner.hits(&mut objects.content(&object))?;
                    let is_tree = object.kind == Kind::Tree;
                    if hits.is_empty() {
                        report.hits(&Place::Object(&object.id), &hits);
                    } else {
                        let kept = if is_tree { &mut self.trees } else { &mut self.blobs };
                        kept.insert(object.id.clone(), hits);
                    }
                }
            }
            objects.leave()?;
        }
        Ok(())
    }

    fn tell(&self, names: &Names, report: &Report) {
        let mut told = BTreeMap::new();
        for (id, hits) in &self.blobs {
            match names.blobs.get(id.as_str()) {
                Some(places) => {
                    told.extend(places.iter().map(|(path, commits)| ((path, id), (commits, hits))))
                }
                None => report.hits(&Place::Object(id), hits),
            }
        }
        for ((path, _), (commits, hits)) in told {
            report.hits(&Place::Committed(path, commits), hits);
        }
        for (name, (hits, commits)) in &names.paths {
            report.hits(&Place::CommittedName(name, commits), hits);
        }
        // Trees of no commit.
        let named =
            |value| names.paths.values().any(|(hits, _)| hits.hits.iter().any(|hit| hit.value == value));
        for (id, hits) in &self.trees {
            if hits.hits.iter().any(|hit| !named(hit.value)) {
                report.hits(&Place::Object(id), hits);
            }
        }
    }
}

/// A commit or an annotated tag: its message is behind an empty line.
fn message(
    kind: &str,
    object: &Object,
    objects: &mut Objects,
    scanner: &mut Scanner,
    report: &Report,
) -> io::Result<()> {
    let mut content = objects.content(object);
    let mut hits = if object.size > MESSAGE {
        scanner.hits(&mut content)?
    } else {
        let mut text = Vec::with_capacity(usize::try_from(object.size).unwrap_or_default());
        content.read_to_end(&mut text)?;
        let mut hits = scanner.hits_in(&text);
        let head = text.windows(2).position(|two| two == b"\n\n").unwrap_or_default();
        let lines =
            text.get(..head).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count() as u64 + 2;
        for hit in &mut hits.hits {
            // What is in the head, as a person's name, is in line 0.
            hit.line = hit.line.saturating_sub(lines);
        }
        hits
    };
    hits.hits.sort_by_key(|hit| (hit.line, hit.column));
    report.hits(&Place::Message(kind, &object.id), &hits);
    Ok(())
}

/// Where objects are in the history.
#[derive(Default)]
struct Names {
    blobs: HashMap<String, Places>,
    /// Paths that have values in them, as far as they do.
    paths: BTreeMap<Vec<u8>, (Hits, Vec<String>)>,
}

impl Names {
    /// Goes through the changes of all commits, the newest first.
    fn find(git: &Git, found: &Found, scanner: &mut Scanner, report: &Report) -> Result<Self, Failure> {
        let mut commits = git.start(&["rev-list", "--all"], Stdio::null())?;
        let arguments =
            ["diff-tree", "--stdin", "-r", "-c", "--root", "--raw", "-z", "--no-renames", "--no-abbrev"];
        let mut changes = git.start(&arguments, Stdio::from(commits.stdout()?))?;
        let mut names = Self::default();
        let read = names.read(BufReader::new(changes.stdout()?), found, scanner);
        let is_well = changes.ended_well() & commits.ended_well();
        if read.is_err() || !is_well {
            report.incomplete("the commits", "git has not shown all of them");
        }
        for commits in names.blobs.values_mut().flat_map(Places::values_mut) {
            commits.reverse();
        }
        names.paths.values_mut().for_each(|(_, commits)| commits.reverse());
        Ok(names)
    }

    fn read(
        &mut self,
        mut reader: BufReader<ChildStdout>,
        found: &Found,
        scanner: &mut Scanner,
    ) -> io::Result<()> {
        let (mut commit, mut field) = (String::new(), Vec::new());
        let mut seen = HashSet::new();
        while next(&mut reader, &mut field)? {
            if field.first() != Some(&b':') {
                commit = String::from_utf8_lossy(&field).trim().to_owned();
                continue;
            }
            let id = new_id(&field);
            if !next(&mut reader, &mut field)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some(id) = id.filter(|id| id.bytes().any(|digit| digit != b'0')) else { continue };
            if found.blobs.contains_key(&id) {
                add(self.blobs.entry(id).or_default().entry(field.clone()).or_default(), &commit);
            }
            if !found.trees.is_empty() {
                self.look_at(&field, &commit, scanner, &mut seen);
            }
        }
        Ok(())
    }

    fn look_at(&mut self, path: &[u8], commit: &str, scanner: &mut Scanner, clean: &mut HashSet<Vec<u8>>) {
        if clean.contains(path) {
            return;
        }
        let hits = in_line(path, scanner);
        if hits.is_empty() {
            clean.insert(path.to_vec());
            return;
        }
        for hit in hits.hits {
            // As far as the name goes that has it.
            let from = usize::try_from(hit.offset).unwrap_or_default();
            let rest = path.get(from..).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b'/').map_or(path.len(), |at| from + at);
            let name = path.get(..end).unwrap_or(path).to_vec();
            let (hits, commits) = self.paths.entry(name).or_default();
            if !hits.hits.iter().any(|other| other.value == hit.value) {
                hits.push(hit);
            }
            add(commits, commit);
        }
    }
}

/// The object that a change brings: `:MODE MODE ID ID M`, of a merge `::MODE MODE MODE ID ID ID MM` with as many colons
/// as it has parents. Of a merge only that is told which no parent has. What is removed has an id of zeros.
fn new_id(change: &[u8]) -> Option<String> {
    let parents = change.iter().take_while(|byte| **byte == b':').count();
    let id = change.get(parents..)?.split(|byte| *byte == b' ').nth(2 * parents + 1)?;
    Some(String::from_utf8_lossy(id).into_owned())
}

fn add(commits: &mut Vec<String>, commit: &str) {
    if commits.len() == COMMITS {
        // The oldest is the one that matters most.
        commits.pop();
    }
    if commits.last().is_none_or(|last| last != commit) {
        commits.push(commit.to_owned());
    }
}

/// Reads what stands before the next zero; whether there was anything.
fn next(reader: &mut impl BufRead, field: &mut Vec<u8>) -> io::Result<bool> {
    field.clear();
    reader.read_until(0, field)?;
    if field.last() == Some(&0) {
        field.pop();
        return Ok(true);
    }
    Ok(!field.is_empty())
}
