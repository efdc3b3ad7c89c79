//! The variables by which clients come by the broker: none that was inherited leads past it.

use std::collections::BTreeMap;

use crate::client::{run, world};
use crate::world::World;

/// Names that the broker does not set, and that some client reads before those that it does.
const LEADING_PAST: [&str; 21] = [
    "ALL_PROXY",
    "wss_proxy",
    "ws_proxy",
    "socks_proxy",
    "grpc_proxy",
    "no_grpc_proxy",
    "PIP_PROXY",
    "CLOUDSDK_PROXY_TYPE",
    "CLOUDSDK_PROXY_ADDRESS",
    "CLOUDSDK_PROXY_PORT",
    "GIT_SSL_CAPATH",
    "GIT_SSL_NO_VERIFY",
    "GIT_CONFIG_PARAMETERS",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "PERL_LWP_SSL_CA_PATH",
    "HTTPS_CA_DIR",
    "YARN_HTTPS_CA_FILE_PATH",
    "YARN_CA_FILE_PATH",
    "npm_config_ca",
    "npm_config_noproxy",
    "CARGO_HTTP_PROXY",
];

/// What a program in a session has, with these inherited.
fn seen(world: &World, inherited: &[(&str, &str)]) -> BTreeMap<String, String> {
    let output = run(world, inherited, &["cat", "environment"]);
    let text = output.out();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// Upper and lower case in turn.
fn mixed(name: &str) -> String {
    let turn =
        |(at, c): (usize, char)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
    name.chars().enumerate().map(turn).collect()
}

#[test]
fn nothing_inherited_leads_past_the_broker() {
    let Some(world) = world("variables::nothing_inherited_leads_past_the_broker", &["bearer"]) else {
        return;
    };
    let plain = seen(&world, &[]);
    let proxy = &plain["HTTPS_PROXY"];
    assert!(proxy.starts_with("http://127.0.0.1:"), "{proxy}");
    assert_eq!(plain["SSL_CERT_FILE"], plain["CURL_CA_BUNDLE"]);
    assert_ne!(plain["SSL_CERT_FILE"], world.authority.pem.display().to_string());
    assert_eq!(plain["NO_PROXY"], "localhost,127.0.0.1,::1");
    assert_eq!((&plain["GIT_CONFIG_COUNT"], &plain["GIT_CONFIG_VALUE_0"]), (&"1".to_owned(), proxy));
    // With one of these an older Node does not start, and each Java would write a line.
    for never in ["NODE_OPTIONS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"] {
        assert!(!plain.contains_key(never), "{never}");
    }
    // What the test itself gives and what `sh` adds.
    let not_ours = [
        "HOME",
        "LANG",
        "PATH",
        "PWD",
        "KEY",
        "DBUS_SYSTEM_BUS_ADDRESS",
        "SECRETSD_LOG",
        "SHLVL",
        "OLDPWD",
        "_",
    ];
    // The broker itself reads it, as it does the variable below.
    let is_ours = |name: &&str| {
        *name != "SSL_CERT_FILE"
            && !not_ours.contains(name)
            && !name.starts_with("XDG_")
            && !name.starts_with("GIT_CONFIG")
    };
    let ours: Vec<&str> = plain.keys().map(String::as_str).filter(is_ours).collect();
    assert!(ours.len() > 30, "{ours:?}");
    let spellings =
        |name: &str| [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase(), mixed(name)];
    let all: Vec<String> = ours.iter().chain(&LEADING_PAST).flat_map(|name| spellings(name)).collect();
    let bad = "http://bad.invalid:9";
    let mut inherited: Vec<(&str, &str)> = all.iter().map(|name| (name.as_str(), bad)).collect();
    inherited.extend([("SSL_CERT_DIR", "/etc/ssl/certs"), ("HARMLESS_PROXY", "stays")]);
    inherited.extend([
        ("GIT_CONFIG_COUNT", "2"),
        ("GIT_CONFIG_KEY_0", "http.proxy"),
        ("GIT_CONFIG_VALUE_0", bad),
    ]);
    inherited.extend([("GIT_CONFIG_KEY_1", "safe.directory"), ("GIT_CONFIG_VALUE_1", "*")]);
    let with = seen(&world, &inherited);
    let bad: Vec<_> = with.iter().filter(|(_, value)| value.contains("bad.invalid")).collect();
    assert!(bad.is_empty(), "these are inherited: {bad:?}");
    assert!(!with.contains_key("SSL_CERT_DIR"));
    assert_eq!(with["HARMLESS_PROXY"], "stays");
    let git = [
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_KEY_0",
        "GIT_CONFIG_VALUE_0",
        "GIT_CONFIG_KEY_1",
        "GIT_CONFIG_VALUE_1",
    ];
    assert_eq!(
        git.map(|name| with[name].as_str()),
        ["2", "safe.directory", "*", "http.proxy", &with["HTTPS_PROXY"]]
    );
    let names = |seen: &BTreeMap<String, String>| {
        seen.keys().filter(|name| is_ours(&name.as_str())).cloned().collect::<Vec<_>>()
    };
    let expected: Vec<String> = names(&with).into_iter().filter(|name| name != "HARMLESS_PROXY").collect();
    assert_eq!(expected, names(&plain));
}
