//! What is mounted outside while a fenced command runs: it does not see it.

use std::process::Command;
use std::time::Instant;

use secretsd_tests::ctl::CtlOutput;
use secretsd_tests::harness::skip;
use secretsd_tests::process::{self, DEADLINE};

use crate::place::Place;

/// Mounts something below the project as soon as the command runs, in a namespace whose mounts are shared, as those of most
/// machines are.
const OUTSIDE: &str = r#"
mount --make-rshared /
mkdir -p late
"$@" &
until [ -e ready ]; do kill -0 $! || exit 1; done
mount -t tmpfs none late && touch late/canary && touch mounted
wait $!
status=$?
umount late
exit $status
"#;

/// The command's part: it looks for what is there now, and writes to it if it can.
const INSIDE: &str = "touch ready; until [ -e mounted ]; do :; done; ls late; touch late/written; true";

#[test]
fn what_is_mounted_later_is_not_seen() {
    let test = "what_is_mounted_later_is_not_seen";
    let Some(place) = Place::new(test) else { return };
    if !rustix::process::geteuid().is_root() {
        return skip(test, "only root can mount something");
    }
    let fenced = place.command(&[], &["sh", "-c", INSIDE]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "shared", "sh", "-c", OUTSIDE, "sh"]);
    command.arg(fenced.get_program()).args(fenced.get_args()).current_dir(&place.project).env_clear();
    command.envs(fenced.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let begun = Instant::now();
    let (pid, output) = process::run(&mut command, b"");
    let output = CtlOutput::of(pid, output);
    assert!(begun.elapsed() < DEADLINE);
    assert_eq!((output.out().as_str(), output.code), ("", Some(0)), "{}", output.err());
    // It has written below the mount point, which is the project's, and not to what is mounted there.
    assert!(place.project.join("late/written").exists());
    assert!(!output.err().contains("mounted later"), "{}", output.err());
}
