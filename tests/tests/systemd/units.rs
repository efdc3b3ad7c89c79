//! The unit files as systemd reads them, and the process that they make.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::{init, installed, main_pid, repository, user};

const UNITS: &str = "/usr/lib/systemd/user";

#[test]
fn systemd_finds_nothing_to_say_about_the_units() {
    let Some(lab) = installed("systemd_finds_nothing_to_say_about_the_units") else { return };
    let user = lab.user("verifier");
    for unit in [
        "secretsd.socket",
        "secretsd-credentials.socket",
        "secretsd-use.socket",
        "secretsd.service",
        "secretsd-broker@.socket",
        "secretsd-broker@.service",
        "secretsd-approve.service",
        "secretsd-bus.service",
        "secretsd-sync.service",
        "secretsd-sync.timer",
        "secretsd-sync.path",
    ] {
        let mut verify = user.command("systemd-analyze");
        verify.args(["--user", "verify", "--man=no", &format!("{UNITS}/{unit}")]);
        let output = verify.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        // The status is 0 whatever a key is called.
        assert!(output.status.success() && said.is_empty(), "{unit}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn the_service_is_exposed_no_more_than_it_must() {
    let Some(lab) = installed("the_service_is_exposed_no_more_than_it_must") else { return };
    // But for the network, a broker's is no more.
    let copy = "/opt/exposure/secretsd-broker.service";
    let broker = std::fs::read_to_string(repository().join("systemd/user/secretsd-broker@.service")).unwrap();
    let families = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK";
    assert!(broker.contains(families) && !broker.contains("PrivateNetwork="));
    let without = broker.replace(families, "RestrictAddressFamilies=AF_UNIX\nPrivateNetwork=yes");
    lab.run("mkdir", &["-p", "/opt/exposure"]);
    std::fs::write(lab.path(copy), without).unwrap();
    for unit in [format!("{UNITS}/secretsd.service"), copy.to_owned()] {
        let said = lab.run("systemd-analyze", &["security", "--offline=true", "--no-pager", &unit]);
        let level = said.lines().find_map(|line| line.split_once("exposure level for "));
        let level = level.and_then(|(_, rest)| rest.split_once(".service: ")).unwrap().1;
        let level: f64 = level.split_whitespace().next().unwrap().parse().unwrap();
        assert!(level <= 1.0, "{unit}: {said}");
    }
}

#[test]
fn the_running_daemon_has_what_the_unit_says() {
    let Some(lab) = installed("the_running_daemon_has_what_the_unit_says") else { return };
    let user = user(lab, "inmate");
    init(&user);
    let pid = main_pid(&user);
    let proc = |file: &str| lab.run("cat", &[&format!("/proc/{pid}/{file}")]);
    let status = proc("status");
    let status: BTreeMap<&str, &str> = status.lines().filter_map(|line| line.split_once(":\t")).collect();
    for (field, value) in [("Umask", "0077"), ("NoNewPrivs", "1"), ("Seccomp", "2")] {
        assert_eq!(status[field], value, "{field}");
    }
    for field in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[field], "0000000000000000", "{field}");
    }
    let limits = proc("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"]);
    let manager =
        user.run("systemctl", &["show", "--property=MainPID", "--value", &format!("user@{}", user.uid())]);
    let namespace = |pid: &str, kind: &str| lab.run("readlink", &[&format!("/proc/{pid}/ns/{kind}")]);
    for kind in ["ipc", "mnt", "net", "user", "uts"] {
        let (daemon, manager) = (namespace(&pid.to_string(), kind), namespace(manager.trim(), kind));
        assert_ne!(daemon, manager, "{kind}");
    }
    // Its own user cannot look into it.
    let environment = format!("/proc/{pid}/environ");
    assert_eq!(lab.run("stat", &["--format=%u", &environment]), "0\n", "dumpable");
    assert!(!user.command("cat").arg(&environment).output().unwrap().status.success(), "dumpable");

    // Read-only but for the directories that are its own.
    let mounts = proc("mountinfo");
    let options = |path: &str| {
        // The last of the mounts that the path is below, by the deepest mount point.
        let below = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount =
            below.filter(|mount| Path::new(path).starts_with(mount[4])).max_by_key(|mount| mount[4].len());
        mount.unwrap()[5].to_owned()
    };
    let home = user.home();
    for path in ["/", "/proc/sys", "/sys/fs/cgroup", &home, &user.runtime_dir()] {
        assert!(options(path).starts_with("ro,"), "{path}: {}", options(path));
    }
    for path in [
        format!("{home}/.local/share/secretsd"),
        format!("{home}/.local/state/secretsd"),
        format!("{}/secretsd", user.runtime_dir()),
    ] {
        assert!(options(&path).starts_with("rw,"), "{path}: {}", options(&path));
    }

    for (property, value) in [
        ("WatchdogSignal", "9"),
        ("WatchdogUSec", "1min 30s"),
        ("FileDescriptorStoreMax", "0"),
        ("NotifyAccess", "main"),
        ("TimeoutStartUSec", "15s"),
        ("TimeoutStopUSec", "5s"),
        ("StartLimitBurst", "5"),
        ("MemorySwapMax", "0"),
    ] {
        assert_eq!(user.property("secretsd.service", property), value, "{property}");
    }
    assert_eq!(
        user.run("stat", &["--format=%a", &format!("{}/secretsd/secretsd.sock", user.runtime_dir())]),
        "600\n"
    );
    assert!(user.journal("secretsd.service").contains("ready"), "its log is not in the journal");
}
