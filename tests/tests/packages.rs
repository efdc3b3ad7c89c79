//! What each program is made of: no crate that speaks TLS is in the daemon or the client, neither of which has a use for
//! a network: the broker has, and the mover, which knows nothing of the vault. deny.toml says which crates may have one at all.

use std::collections::BTreeSet;
use std::process::Command;

use secretsd_tests::source::repository;

/// The crates that a package is built from, its own and all others.
fn crates_of(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}", "--package", package])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{package}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Those that speak TLS, make certificates, or are parts of what does.
fn for_tls(crates: &BTreeSet<String>) -> Vec<&str> {
    let parts = ["tls", "ssl", "webpki", "x509", "aws-lc", "rcgen", "quinn", "reqwest", "native-certs"];
    crates.iter().map(String::as_str).filter(|name| parts.iter().any(|part| name.contains(part))).collect()
}

#[test]
fn only_the_broker_and_the_mover_speak_tls() {
    for package in [
        "secretsd",
        "secretctl",
        "secrets-client",
        "secretctl-mcp",
        "secretctl-ui",
        "secretctl-scan",
        "secretctl-approve",
        "secretsd-bus",
    ] {
        let crates = crates_of(package);
        assert!(crates.contains(package) && crates.contains("hyper"), "{package}: {crates:?}");
        assert_eq!(for_tls(&crates), [""; 0], "{package}");
        for other in ["secretsd-broker", "secretctl-sync", "object_store"] {
            assert!(!crates.contains(other), "{package} depends on {other}");
        }
    }
    let importer = crates_of("secretctl-import");
    assert_eq!(for_tls(&importer), [""; 0]);
    // It knows neither the vault nor a way to it.
    for other in ["secretsd", "secrets-client", "secretctl", "hyper", "tokio"] {
        assert!(importer.contains("saphyr-parser") && !importer.contains(other), "it depends on {other}");
    }
    let broker = crates_of("secretsd-broker");
    assert!(for_tls(&broker).contains(&"rustls"), "{broker:?}");
    for own in ["secretsd", "secretctl"] {
        assert!(!broker.contains(own), "the broker depends on {own}");
    }
    assert!(!broker.contains("object_store"));
    let mover = crates_of("secretctl-sync");
    assert!(mover.contains("object_store") && for_tls(&mover).contains(&"reqwest"), "{mover:?}");
    // One library of cryptography, and nothing that could open a vault.
    for other in
        ["aws-lc-rs", "aws-lc-sys", "native-tls", "secretsd", "secretctl", "secretsd-broker", "rusqlite"]
    {
        assert!(!mover.contains(other), "the mover depends on {other}");
    }
}
