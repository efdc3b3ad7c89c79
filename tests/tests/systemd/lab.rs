//! The lab itself: a real system, of which nothing is left.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use secretsd_tests::lab::Lab;
use secretsd_tests::process;

#[test]
fn a_lab_is_a_system_of_its_own() {
    let Some(lab) = Lab::shared("a_lab_is_a_system_of_its_own") else { return };
    let version = lab.run("systemctl", &["--version"]);
    eprintln!("{} was up in {:?}", version.lines().next().unwrap(), lab.took());
    assert_eq!(lab.run("cat", &["/proc/1/comm"]), "systemd\n");
    assert_eq!(lab.run("systemctl", &["list-units", "--failed", "--no-legend"]), "");
    let user = lab.user("resident");
    assert_eq!(user.run("id", &["-un"]), "resident\n");
    user.write("here", 0o600, "x");
    assert_eq!(user.run("stat", &["-c", "%U %a", "here"]), "resident 600\n");
    assert!(!fs::exists("/home/resident").unwrap(), "the machine's own file system was written to");
    let cgroup = user.run(
        "systemd-run",
        &["--user", "--pipe", "--wait", "--quiet", "--unit=x", "cat", "/proc/self/cgroup"],
    );
    assert!(cgroup.trim_end().ends_with("/app.slice/x.service"), "{cgroup}");
    assert!(!lab.run("ls", &["/sys/class/net"]).contains("eth"), "it has the machine's network");
}

#[test]
fn nothing_is_left_of_a_lab() {
    let lab = match Lab::boot() {
        Ok(lab) => lab,
        Err(reason) => return secretsd_tests::harness::skip("nothing_is_left_of_a_lab", &reason),
    };
    let user = lab.user("leaver");
    // A process that no unit knows ends too.
    let mut stray = user.command("sh");
    let mut stray = stray.args(["-c", "echo && exec sleep 1000"]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(stray.stdout.as_mut().unwrap().read(&mut [0]).unwrap(), 1);
    let inside = lab.path("/etc/passwd");
    assert!(inside.exists());
    drop(lab);
    process::wait(&mut stray, Duration::from_secs(10));
    assert!(!inside.exists());
}
