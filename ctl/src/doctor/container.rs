//! Whether we are in a container that has more of the user's daemon than it needs: with the owner's token every program in
//! it can ask for every value, and what keeps a value from a program in a session means nothing.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use secrets_local::places;

use super::report::Report;
use super::setup::Setup;

/// What container engines put into their containers.
const MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

pub(super) fn check(report: &mut Report, setup: &Setup) {
    // A daemon that runs in the container has its own token there.
    if !MARKS.iter().any(|mark| Path::new(mark).exists()) || setup.daemon.is_some() {
        return;
    }
    let token = setup.runtime_dir.join(places::TOKEN);
    let is_outer = setup.runtime_dir.ancestors().take(2).any(is_mounted);
    if is_outer && fs::File::open(token).is_ok() {
        let what =
            format!("{} is mounted into this container, with the owner's token", setup.runtime_dir.display());
        let why = "every program here can read every value; mount a session's directory alone: -v \"$XDG_RUNTIME_DIR/secretsd/proxy/NAME:/s\"";
        report.fault("container", what, why, None);
    } else {
        report.ok("container", "this container does not have the owner's token of a daemon outside");
    }
}

/// Whether something is mounted just there: the fifth field of a line, proc_pid_mountinfo(5), with `\ooo` for blanks.
fn is_mounted(dir: &Path) -> bool {
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let escape = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        byte => vec![*byte],
    };
    let wanted: Vec<u8> = dir.as_os_str().as_bytes().iter().flat_map(escape).collect();
    mounts.split(|byte| *byte == b'\n').any(|line| line.split(|byte| *byte == b' ').nth(4) == Some(&wanted))
}
