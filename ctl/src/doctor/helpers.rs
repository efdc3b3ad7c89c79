//! The names under which docker, cargo and others run the client: links to it that lead elsewhere, or are missing where a
//! program is set up to run one.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::report::{Report, quoted};
use crate::called::LINKS;
use crate::{environment, spawn};

const CHECK: &str = "helpers";

/// Below the user's home: what names a helper of ours, with which word, and which link that takes.
const SET_UP: [(&str, &str, &str); 3] = [
    (".docker/config.json", "\"secretctl\"", "docker-credential-secretctl"),
    (".config/containers/auth.json", "\"secretctl\"", "docker-credential-secretctl"),
    (".cargo/config.toml", "cargo-credential-secretctl", "cargo-credential-secretctl"),
];

/// The most that is read of such a file.
const LIMIT: u64 = 1 << 20;

pub(super) fn check(report: &mut Report) {
    let Some(own) = std::env::current_exe().and_then(|path| path.canonicalize()).ok() else { return };
    let dirs = environment::program_dirs();
    let mut ours = Vec::new();
    // Python's own command is usual under the last name.
    for (link, _) in LINKS.iter().filter(|(link, command)| link != command) {
        match spawn::find(link, None, &dirs) {
            Some(path) if fs::canonicalize(&path).is_ok_and(|program| program == own) => ours.push(*link),
            Some(path) => {
                let what = format!("{} is another program than this secretctl", path.display());
                let why = "docker, cargo or ansible get their credentials from that one, or none";
                let fix = format!("ln -sf {} {}", quoted(&own), quoted(&path));
                report.warning(CHECK, what, why, Some(fix));
            }
            None => missing(report, link, &own),
        }
    }
    if !ours.is_empty() {
        report.ok(CHECK, format!("links to this secretctl: {}", ours.join(", ")));
    }
}

fn missing(report: &mut Report, link: &str, own: &Path) {
    let Some(home) = environment::home() else { return };
    let names = |path: &PathBuf, word: &str| {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(LIMIT).read_to_string(&mut text));
        read.is_ok() && text.contains(word)
    };
    let of_link = SET_UP.iter().filter(|(_, _, wanted)| *wanted == link);
    let mut files = of_link.map(|(file, word, _)| (home.join(file), *word));
    let Some((file, _)) = files.find(|(file, word)| names(file, word)) else { return };
    let what = format!("{} names secretctl, and {link} is not in PATH", file.display());
    let fix = own.parent().map(|dir| format!("ln -s {} {}", quoted(own), quoted(&dir.join(link))));
    report.warning(CHECK, what, "its programs get no credentials", fix);
}
