//! Whether `proxy run --fence` can build its fence: bubblewrap, and what the machine allows to whom has no rights.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::report::{Report, as_root};
use crate::environment;
use crate::fence::{self, OLDEST, Unfit};

const CHECK: &str = "fence";

const WHY: &str = "`proxy run --fence` does not start";

/// What says that this is a container, and that its engine has a fence of its own around it.
const CONTAINERS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// A profile by which AppArmor lets bubblewrap alone make user namespaces (apparmor.d(5), `userns`).
const PROFILE: &str = "abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile bwrap /usr/bin/bwrap flags=(unconfined) {\\n  userns,\\n}\\n";

pub(super) fn check(report: &mut Report) {
    let program = match fence::find(&environment::program_dirs(), &[]) {
        Ok(program) => program,
        Err(Unfit::Absent) => {
            let what = "bubblewrap (bwrap) is not in PATH";
            return report.warning(CHECK, what, WHY, Some(as_root("apt-get install bubblewrap")));
        }
        Err(Unfit::Setuid(path)) => {
            let fix = as_root(&format!("chmod u-s,g-s {}", super::report::quoted(&path)));
            return report.warning(CHECK, Unfit::Setuid(path).to_string(), WHY, Some(fix));
        }
        Err(unfit @ Unfit::Untrusted(_)) => return report.warning(CHECK, unfit.to_string(), WHY, None),
    };
    let shown = program.display();
    // An older one does not know what is asked of it here.
    let Some(words) = attempt(&program) else {
        return report.ok(CHECK, format!("{shown} can build a fence around a command"));
    };
    let (major, minor) = OLDEST;
    match fence::version(&program) {
        None => return report.warning(CHECK, format!("{shown} does not print its version"), WHY, None),
        Some((version, text)) if version < OLDEST => {
            let what = format!("{shown} has version {text}; {major}.{minor} or newer is needed");
            return report.warning(CHECK, what, WHY, None);
        }
        Some(_) => {}
    }
    if let Some((what, fix)) = forbidden() {
        return report.warning(CHECK, what, WHY, fix);
    }
    if CONTAINERS.iter().any(|file| Path::new(file).exists()) {
        let what = format!("this container forbids what a fence is built of: {words}");
        let why = "`proxy run --fence` does not start here; run it outside, or let the container itself be the fence";
        return report.warning(CHECK, what, why, None);
    }
    report.warning(CHECK, format!("bubblewrap cannot build a fence: {words}"), WHY, None);
}

/// Which setting of the kernel forbids namespaces of users, and the command that allows them.
fn forbidden() -> Option<(&'static str, Option<String>)> {
    let number =
        |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse::<u64>().ok();
    if number("user/max_user_namespaces") == Some(0) {
        let what = "user namespaces are turned off (user.max_user_namespaces is 0)";
        return Some((what, Some(as_root("sysctl -w user.max_user_namespaces=15000"))));
    }
    if rustix::process::geteuid().is_root() {
        return None;
    }
    if number("kernel/unprivileged_userns_clone") == Some(0) {
        let what = "user namespaces are kept for root (kernel.unprivileged_userns_clone is 0)";
        return Some((what, Some(as_root("sysctl -w kernel.unprivileged_userns_clone=1"))));
    }
    let is_kept = number("kernel/apparmor_restrict_unprivileged_userns") == Some(1);
    let has_profile = ["bwrap", "bwrap-userns-restrict"]
        .iter()
        .any(|name| Path::new("/etc/apparmor.d").join(name).exists());
    if is_kept && !has_profile {
        let what = "AppArmor lets only named programs make user namespaces, and bubblewrap is none of them";
        let command = format!(
            "sh -c 'printf \"{PROFILE}\" > /etc/apparmor.d/bwrap && apparmor_parser -r /etc/apparmor.d/bwrap'"
        );
        return Some((what, Some(as_root(&command))));
    }
    None
}

/// What bubblewrap says, if it cannot build the namespaces of a fence.
fn attempt(program: &Path) -> Option<String> {
    let spaces =
        ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--cap-drop", "ALL"];
    let output = Command::new(program)
        .args(spaces)
        .args(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--", "true"])
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Some(crate::output::printable(words.lines().next().unwrap_or("it ended at once")).into_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}
