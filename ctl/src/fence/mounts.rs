//! What a fenced command sees of the file system: all of it read-only; the working directory and what else was named
//! writable; nothing of where sockets and temporary files are, of secretsd, and of what other programs keep as secrets.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::failed;
use super::git::{self, Guard};
use super::nested::is_bare;
use super::reserve::Reserved;
use crate::environment::Surroundings;
use crate::failure::Failure;

/// Empty and the command's own, in each fence. `/dev/shm` is too, with the new `/dev`.
const EMPTY: [&str; 4] = ["/run", "/var/run", "/tmp", "/var/tmp"];

/// Not to be made writable: they are not what they are outside.
const OF_SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Below the home: what holds keys, tokens, passwords or cookies of programs that people and agents use, and little else
/// that a fenced command would miss. Without a network of its own, ssh is no use to it, and an API gets its key by the
/// broker. Not here is what also holds settings that commands need, such as `.npmrc`, `.gitconfig` and agents' own.
const SECRETS: [&str; 40] = [
    ".ssh",
    ".gnupg",
    ".pki",
    ".aws",
    ".azure",
    ".oci",
    ".config/gcloud",
    ".config/doctl",
    ".config/hcloud",
    ".config/rclone",
    ".kube",
    ".docker",
    ".config/containers/auth.json",
    ".config/helm",
    ".config/gh",
    ".config/hub",
    ".config/glab-cli",
    ".config/op",
    ".config/Bitwarden",
    ".config/Bitwarden CLI",
    ".config/sops",
    ".config/age",
    ".password-store",
    ".local/share/keyrings",
    ".local/share/kwalletd",
    ".local/share/pass",
    ".mozilla",
    ".thunderbird",
    ".config/google-chrome",
    ".config/chromium",
    ".netrc",
    ".git-credentials",
    ".config/git/credentials",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".vault-token",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".terraform.d/credentials.tfrc.json",
];

/// How a place is in the fence. Of two for one place the later kind holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// An empty directory of its own, with this mode.
    Empty(&'static str),
    /// An empty file.
    EmptyFile,
    /// As outside, and writable.
    Writable,
    /// As outside, and not to be written.
    ReadOnly,
}

/// The plan of a file system.
#[derive(Debug)]
pub(super) struct Mounts {
    /// Where the command starts.
    pub(super) directory: PathBuf,
    /// What it may write to, the working directory first.
    pub(super) writable: Vec<PathBuf>,
    places: Vec<(PathBuf, Kind)>,
    guards: Vec<Guard>,
    run: PathBuf,
}

impl Mounts {
    /// For the working directory and these beside it.
    pub(super) fn plan(write: &[PathBuf], around: &Surroundings) -> Result<Self, Failure> {
        let directory = around.directory.as_deref().and_then(|dir| dir.canonicalize().ok());
        let directory = directory.ok_or_else(|| failed("the working directory is not there"))?;
        let home = around.home.as_ref().and_then(|home| home.canonicalize().ok());
        let mut places: Vec<(PathBuf, Kind)> = Vec::new();
        let real = |path: &PathBuf| path.canonicalize().ok();
        let shared = EMPTY.iter().map(PathBuf::from).filter_map(|dir| real(&dir));
        let named = around.temporary.iter().filter_map(real).filter(|dir| {
            // It is no temporary directory then, and must be there.
            dir.parent().is_some()
                && !home.as_ref().is_some_and(|home| home.starts_with(dir))
                && !directory.starts_with(dir)
        });
        places.extend(shared.chain(named).filter(|dir| dir.is_dir()).map(|dir| (dir, Kind::Empty("1777"))));
        places.extend(around.runtime.iter().filter_map(real).map(|dir| (dir, Kind::Empty("0700"))));
        let own: Vec<PathBuf> = around.own.iter().filter_map(real).collect();
        places.extend(own.iter().map(|dir| (dir.clone(), Kind::Empty("0700"))));

        places.extend(around.token.iter().filter_map(real).map(|file| (file, Kind::EmptyFile)));

        let mut writable = vec![directory.clone()];
        check(&directory, "the working directory", home.as_deref(), &own, &places)?;
        for dir in write {
            if fs::symlink_metadata(dir).is_ok_and(|found| found.is_symlink()) {
                // An earlier command may have made it.
                return Err(failed(&format!(
                    "--write {}: it is a link; name the directory itself",
                    dir.display()
                )));
            }
            let real = dir.canonicalize().ok().filter(|real| real.is_dir());
            let real = real
                .ok_or_else(|| failed(&format!("--write {}: there is no such directory", dir.display())))?;
            check(&real, &format!("--write {}", dir.display()), home.as_deref(), &own, &places)?;
            if !writable.contains(&real) {
                writable.push(real);
            }
        }
        if let Some(home) = &home {
            if places.iter().any(|(place, _)| home.starts_with(place)) {
                places.push((home.clone(), Kind::ReadOnly));
            }
            let found = SECRETS.iter().filter_map(|name| home.join(name).canonicalize().ok());
            places.extend(found.filter(|path| !writable.contains(path)).map(|path| {
                let kind = if path.is_dir() { Kind::Empty("0700") } else { Kind::EmptyFile };
                (path, kind)
            }));
        }
        places.extend(writable.iter().map(|dir| (dir.clone(), Kind::Writable)));
        let guards = git::guards(&writable, home.as_deref()).map_err(|reason| failed(&reason))?;
        for guard in &guards {
            // What is above a guarded place stays there: otherwise it could be moved away, and another put there.
            let above =
                guard.path.ancestors().skip(1).take_while(|above| !writable.iter().any(|dir| dir == above));
            let is_inside = writable.iter().any(|dir| guard.path.starts_with(dir));
            places.extend(above.filter(|_| is_inside).map(|above| (above.to_owned(), Kind::Writable)));
            let kind = if guard.may_change { Kind::Writable } else { Kind::ReadOnly };
            places.push((guard.path.clone(), kind));
        }
        // Outer places first, since what is mounted later covers what is below it.
        places.sort_by(|(one, of_one), (other, of_other)| {
            (one.components().count(), one, of_one).cmp(&(other.components().count(), other, of_other))
        });
        let all = places.clone();
        // What is empty as a whole hides what is in it.
        places.retain(|(path, kind)| {
            let above = all.iter().rev().find(|(place, _)| path != place && path.starts_with(place));
            !matches!(kind, Kind::EmptyFile) || !above.is_some_and(|(_, kind)| matches!(kind, Kind::Empty(_)))
        });
        places.dedup_by(|later, earlier| later.0 == earlier.0 && later.1 == earlier.1);
        let run = PathBuf::from("/run").canonicalize().map_err(|_| failed("there is no directory /run"))?;
        Ok(Self { directory, writable, places, guards, run })
    }

    /// The directories that git takes for repositories themselves.
    pub(super) fn bare(&self) -> Vec<&Path> {
        self.writable.iter().map(PathBuf::as_path).filter(|dir| is_bare(dir)).collect()
    }

    /// Makes what must not be created by the command. It is held as long as what this gives.
    pub(super) fn reserve(&self) -> Result<Vec<Reserved>, Failure> {
        let blanks = self.guards.iter().filter_map(|guard| Some((&guard.path, guard.blank?)));
        let made = blanks.map(|(path, blank)| {
            Reserved::make(path, blank).map_err(|error| failed(&format!("{}: {error}", path.display())))
        });
        made.collect()
    }

    /// What is not any more what was mounted there, because somebody outside has replaced it: the command could write to it
    /// since.
    pub(super) fn replaced(&self) -> Vec<&Path> {
        self.guards.iter().filter(|guard| guard.is_replaced()).map(|guard| guard.path.as_path()).collect()
    }

    /// Where our program is in the fence.
    pub(super) fn program(&self) -> PathBuf {
        self.run.join("secretctl")
    }

    /// bubblewrap's arguments. `empty_file` gives the number of a descriptor of an empty file, a new one each time.
    pub(super) fn arguments<E>(
        &self,
        own_program: &Path,
        mut empty_file: impl FnMut() -> Result<OsString, E>,
    ) -> Result<Vec<OsString>, E> {
        let mut all: Vec<OsString> =
            ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"].map(OsString::from).into();
        let mut add = |words: &[&str], paths: &[&Path]| {
            all.extend(words.iter().map(OsString::from));
            all.extend(paths.iter().map(|path| path.as_os_str().to_owned()));
        };
        for (path, kind) in &self.places {
            match kind {
                Kind::Empty(mode) => add(&["--perms", *mode, "--tmpfs"], &[path]),
                Kind::EmptyFile => {
                    let file = empty_file()?;
                    add(&["--ro-bind-data", &file.to_string_lossy()], &[path]);
                }
                Kind::Writable => add(&["--bind"], &[path, path]),
                Kind::ReadOnly => add(&["--ro-bind"], &[path, path]),
            }
        }
        if geteuid().is_root() {
            // The kernel's settings are root's files there, whatever its rights are.
            add(&["--remount-ro", "/proc"], &[]);
        }
        add(&["--ro-bind"], &[own_program, &self.program()]);
        add(&["--chdir"], &[&self.directory]);
        Ok(all)
    }
}

/// Whether a directory may be writable in a fence.
fn check(
    dir: &Path,
    name: &str,
    home: Option<&Path>,
    own: &[PathBuf],
    places: &[(PathBuf, Kind)],
) -> Result<(), Failure> {
    let refused = |why: &str| Err(failed(&format!("{name} {why}; start in the directory of a project")));
    if dir.parent().is_none() {
        return refused("is the root of the file system");
    }
    if home.is_some_and(|home| home.starts_with(dir)) {
        return refused("is or holds your home");
    }
    if own.iter().any(|own| own.starts_with(dir) || dir.starts_with(own)) {
        return refused("holds what secretsd keeps, or is in it");
    }
    if OF_SYSTEM.iter().any(|system| dir.starts_with(system)) {
        return refused("is the system's");
    }
    if places.iter().any(|(place, kind)| place == dir && matches!(kind, Kind::Empty(_))) {
        return refused("is empty in the fence");
    }
    Ok(())
}
