//! Each directive of the sandbox, by what a program can and cannot do under it: `tests/lab/probe.py` tries, first
//! without any, then under each alone, then under all of them. A directive that is silently ignored shows as one that
//! changes nothing.

use std::collections::BTreeMap;
use std::fs;

use secretsd_tests::lab::User;
use serde_json::{Value, json};

use crate::support::{installed, repository};

/// What the user manager of systemd 252 takes and does nothing with, or what cannot show in the lab.
const WITHOUT_EFFECT: [(&str, &str); 3] = [
    ("AmbientCapabilities=", "a user's service has none to lose"),
    ("MemorySwapMax=0", "it takes the memory controller, which the lab has not"),
    ("SystemCallErrorNumber=EPERM", "it says how the filters refuse"),
];

/// The fact that each directive changes, and to what; `null` is anything else than before.
fn effects() -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    let mut effects = vec![
        ("UMask=0077", vec![("umask", json!("0077"))]),
        ("LimitCORE=0", vec![("core limit", json!(["0", "0"]))]),
        ("PrivateUsers=yes", vec![("namespace user", Value::Null)]),
        ("PrivateMounts=yes", vec![("namespace mnt", Value::Null)]),
        ("KeyringMode=private", vec![("session keyring", Value::Null)]),
        ("NoNewPrivileges=yes", vec![("no new privileges", json!("1"))]),
        ("CapabilityBoundingSet=", vec![("bounding set", json!(0))]),
        ("ProtectSystem=strict", vec![("read-only /", json!(true))]),
        ("ProtectHome=read-only", vec![("write home", json!("EROFS"))]),
        ("PrivateTmp=yes", vec![("others' /tmp", json!(false))]),
        ("PrivateDevices=yes", vec![("others' /dev", json!(false))]),
        ("PrivateNetwork=yes", vec![("namespace net", Value::Null)]),
        ("PrivateIPC=yes", vec![("namespace ipc", Value::Null)]),
        ("ProtectHostname=yes", vec![("namespace uts", Value::Null)]),
        ("ProtectClock=yes", vec![("bounding set", Value::Null), ("seccomp", json!("2"))]),
        ("ProtectKernelTunables=yes", vec![("read-only /proc/sys", json!(true))]),
        ("ProtectKernelModules=yes", vec![("bounding set", Value::Null), ("seccomp", json!("2"))]),
        ("ProtectKernelLogs=yes", vec![("bounding set", Value::Null), ("seccomp", json!("2"))]),
        ("ProtectControlGroups=yes", vec![("read-only cgroups", json!(true))]),
        (
            "RestrictAddressFamilies=AF_UNIX",
            vec![("socket inet", json!("EAFNOSUPPORT")), ("socket netlink", json!("EAFNOSUPPORT"))],
        ),
        ("RestrictNamespaces=yes", vec![("new user namespace", json!("EPERM"))]),
        ("RestrictRealtime=yes", vec![("seccomp", json!("2"))]),
        ("RestrictSUIDSGID=yes", vec![("set-user-id", json!("EPERM"))]),
        ("LockPersonality=yes", vec![("personality", json!("EPERM"))]),
        ("MemoryDenyWriteExecute=yes", vec![("memory that is written and run", json!("EPERM"))]),
        ("SystemCallFilter=@system-service", vec![("trace", Value::Null)]),
        ("SystemCallFilter=~@privileged @resources", vec![("batch scheduling", json!("EINTR"))]),
    ];
    if cfg!(target_arch = "x86_64") {
        effects.push(("SystemCallArchitectures=native", vec![("foreign call", json!("EINTR"))]));
    }
    effects
}

/// The unit's directives from the first that concerns the sandbox on.
fn directives() -> Vec<String> {
    let unit = fs::read_to_string(repository().join("systemd/user/secretsd.service")).unwrap();
    let from = unit.find("\nUMask=").unwrap();
    unit[from..]
        .lines()
        .filter(|line| line.contains('=') && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Runs the probe once under each of these texts, all at the same time.
fn probe(user: &User<'_>, services: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
    for (name, directives) in services {
        let text = format!(
            "[Service]\nType=oneshot\nExecStart=/usr/bin/python3 /opt/probe.py\n\
             StandardOutput=file:%h/{name}.json\n{directives}\n"
        );
        user.write(&format!(".config/systemd/user/{name}.service"), 0o644, text);
    }
    user.systemctl(&["daemon-reload"]);
    let mut start = vec!["start".to_owned()];
    start.extend(services.keys().map(|name| format!("{name}.service")));
    user.systemctl(&start.iter().map(String::as_str).collect::<Vec<_>>());
    let result = |name: &String| {
        let text = fs::read(user.lab().path(format!("{}/{name}.json", user.home()))).unwrap();
        (name.clone(), serde_json::from_slice(&text).unwrap())
    };
    services.keys().map(result).collect()
}

#[test]
fn every_directive_of_the_sandbox_does_what_it_says() {
    let Some(lab) = installed("every_directive_of_the_sandbox_does_what_it_says") else { return };
    let directives = directives();
    let effects = effects();
    for directive in directives.iter().filter(|line| !line.starts_with("ReadWritePaths=")) {
        let known = effects.iter().any(|(known, _)| known == directive)
            || WITHOUT_EFFECT.iter().any(|(known, _)| known == directive)
            || directive.starts_with("SystemCallArchitectures=");
        assert!(known, "what {directive} does is not tested");
    }

    let user = lab.user("prober");
    lab.copy(&repository().join("tests/lab/probe.py"), "/opt/probe.py", 0o644);
    for marker in ["/tmp/marker", "/dev/marker"] {
        lab.run("touch", &[marker]);
    }
    let runtime = format!("{}/secretsd", user.runtime_dir());
    user.run("mkdir", &["-p", ".local/share/secretsd", ".local/state/secretsd", &runtime]);

    // Systemd 252 does none of what takes a namespace without a user namespace.
    const USERS: &str = "PrivateUsers=yes";
    let mut services = BTreeMap::from([
        ("bare".to_owned(), String::new()),
        ("base".to_owned(), USERS.to_owned()),
        ("whole".to_owned(), directives.join("\n")),
    ]);
    for (index, (directive, _)) in effects.iter().enumerate() {
        assert!(directives.iter().any(|line| line == directive), "the unit has no {directive}");
        services.insert(format!("alone{index}"), format!("{USERS}\n{directive}"));
    }
    for (index, (directive, _)) in WITHOUT_EFFECT.iter().enumerate() {
        services.insert(format!("idle{index}"), format!("{USERS}\n{directive}"));
    }
    let facts = probe(&user, &services);

    assert_eq!(
        facts["bare"]["session keyring"], facts["base"]["session keyring"],
        "each service has its own"
    );
    for (index, (directive, changes)) in effects.iter().enumerate() {
        let before = if *directive == USERS { &facts["bare"] } else { &facts["base"] };
        for (fact, expected) in changes {
            let (before, alone, whole) =
                (&before[fact], &facts[&format!("alone{index}")][fact], &facts["whole"][fact]);
            assert_ne!(alone, before, "{directive} does not change \"{fact}\"");
            assert!(expected.is_null() || alone == expected, "{directive}: \"{fact}\" is {alone}");
            assert_ne!(whole, before, "the whole unit does not change \"{fact}\"");
        }
    }
    // What `ReadWritePaths=` gives back.
    let home = effects.iter().position(|(directive, _)| *directive == "ProtectHome=read-only").unwrap();
    for fact in ["write vault", "write anchor", "write runtime"] {
        assert_eq!(facts[&format!("alone{home}")][fact], "EROFS", "{fact}");
        assert_eq!(facts["whole"][fact], "ok", "{fact}");
    }
    for (index, (directive, reason)) in WITHOUT_EFFECT.iter().enumerate() {
        let mut alone = facts[&format!("idle{index}")].clone();
        // A user namespace is a new one each time.
        alone["namespace user"] = facts["base"]["namespace user"].clone();
        if alone == facts["base"] {
            eprintln!("{directive} has no effect here: {reason}");
        }
    }

    let whole = &facts["whole"];
    for (fact, expected) in [
        ("write home", json!("EROFS")),
        ("socket unix", json!("ok")),
        ("interfaces", json!(["lo"])),
        ("memory that is written and run", json!("EPERM")),
        ("new user namespace", json!("EPERM")),
        ("personality", json!("EPERM")),
        ("real time", json!("EPERM")),
        ("trace", json!("EPERM")),
        ("batch scheduling", json!("EPERM")),
        ("bounding set", json!(0)),
        ("umask", json!("0077")),
    ] {
        assert_eq!(whole[fact], expected, "{fact} in the whole sandbox");
    }
    let refused = ["socket inet", "socket netlink", "read kernel log", "read modules", "set-user-id"];
    for fact in refused {
        assert_ne!(whole[fact], json!("ok"), "{fact} in the whole sandbox");
    }
}
