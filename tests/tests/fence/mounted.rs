//! What is mounted outside while a fenced command runs: it does not see it.

use secretsd_tests::ctl::CtlOutput;
use secretsd_tests::harness::skip;
use secretsd_tests::process;

use crate::place::Place;

/// Mounts something below the project as soon as the command runs, in a namespace of the test's own whose mounts are shared, as
/// those of most machines are.
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

/// The command's part: it looks for what is there now, and writes there if it can.
const INSIDE: &str = "touch ready; until [ -e mounted ]; do :; done; ls late; touch late/written";

#[test]
fn what_is_mounted_later_is_not_seen() {
    let test = "what_is_mounted_later_is_not_seen";
    let Some(place) = Place::new(test) else { return };
    if !rustix::process::geteuid().is_root() {
        return skip(test, "only root can mount something");
    }
    let env = &place.world.env;
    let mut command = env.command("unshare");
    command.args(["--mount", "sh", "-c", OUTSIDE, "sh", env.programs().client]);
    command.args(["proxy", "run", "-s", "KEY", "--fence", "--", "sh", "-c", INSIDE]);
    command.env("SSL_CERT_FILE", &place.world.authority.pem).current_dir(&place.project);
    let (pid, output) = process::run(&mut command, b"");
    let output = CtlOutput::of(pid, output);
    assert_eq!((output.out().as_str(), output.code), ("", Some(0)), "{}", output.err());
    // It has written to the project's own directory, and not to what is mounted there.
    assert!(place.project.join("late/written").exists());
    assert!(!output.err().contains("mounted later"), "{}", output.err());
}
