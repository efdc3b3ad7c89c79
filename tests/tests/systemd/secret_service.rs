//! `secretsd-bus.service` under a real systemd, on the user manager's bus.

use secretsd_tests::harness::lacks;

use crate::support::{init, installed, user};

#[test]
fn the_unit_serves_the_vault_and_comes_back_after_a_kill() {
    const TEST: &str = "the_unit_serves_the_vault_and_comes_back_after_a_kill";
    if lacks(TEST, &["secret-tool"]) {
        return;
    }
    let Some(lab) = installed(TEST) else { return };
    let user = user(lab, "keeper");
    init(&user);
    let status = user.run("secretctl", &["secret-service", "status"]);
    let columns: Vec<_> = status.lines().filter_map(|line| line.rfind("  ")).collect();
    assert!(status.contains("off") && columns.len() == 2 && columns[0] == columns[1], "{status}");
    let enabled = user.command("secretctl").args(["secret-service", "enable"]).output().unwrap();
    let said = String::from_utf8_lossy(&enabled.stderr);
    assert!(enabled.status.success(), "{said}{}", user.journal("secretsd-bus.service"));
    let property = |name: &str| user.property("secretsd-bus.service", name);
    assert_eq!((property("ActiveState"), property("UnitFileState")), ("active".into(), "enabled".into()));
    assert_eq!(property("MemoryMax"), (320 << 20).to_string());
    assert!(user.run("secretctl", &["doctor"]).contains("the vault serves org.freedesktop.secrets"));
    user.run("sh", &["-c", "printf value | secret-tool store --label=x service x"]);
    assert_eq!(user.run("secret-tool", &["lookup", "service", "x"]), "value");

    // As the kernel ends it at its memory limit. Nothing that was answered is lost, and the next program that asks finds it.
    let first = property("MainPID");
    lab.run("kill", &["-KILL", &first]);
    lab.until("it runs again", || !["0", &*first].contains(&&*property("MainPID")));
    lab.until("it serves again", || property("ActiveState") == "active");
    assert_eq!(user.run("secret-tool", &["lookup", "service", "x"]), "value");

    // Ended, it is started by the bus for who asks.
    user.systemctl(&["stop", "secretsd-bus.service"]);
    assert_eq!(user.run("secret-tool", &["lookup", "service", "x"]), "value");
    assert_eq!(property("ActiveState"), "active");
    user.run("secretctl", &["secret-service", "disable"]);
    assert_eq!((property("ActiveState"), property("UnitFileState")), ("inactive".into(), "disabled".into()));
    assert!(user.run("secretctl", &["items", "list"]).contains("service=x"));
}
