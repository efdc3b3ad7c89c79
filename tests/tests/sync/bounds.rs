//! A store that wants to fill the disk or the memory, or to have what is sent to it elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;
use std::time::{Duration, Instant};

use secretsd_tests::stores::{Proxy, Seen, Then};
use secretsd_tests::{Env, harness, process, programs};
use serde_json::Value;

use super::{KEY, KEY_ID, MOVER, begun, ctl, exchange, fails, moved, mover, s3, status};

/// What the mover may have of memory, as the kernel counts it: of addresses, and in use at most, in KiB.
const MOST_MEMORY: &str = "--as=700000000";
const MOST_IN_USE: u64 = 96 << 10;

/// Runs its arguments, and says last on standard error how much memory that had in use at most, in KiB.
const MEASURED: &str = "import os, sys
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status) & 255)";

/// What came of a run of the mover, and how much memory it had in use at most, in KiB.
fn bounded(env: &Env) -> (Output, u64) {
    let mut command = env.command("python3");
    command.args(["-c", MEASURED, "prlimit", MOST_MEMORY, MOVER]);
    command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", KEY);
    let output = process::run(&mut command, b"").1;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let peak = told.lines().last().and_then(|line| line.parse().ok());
    (output, peak.unwrap_or_else(|| panic!("{told}")))
}

/// Everything in the exchange but what the last run said, and the daemon of its last merge.
fn files(env: &Env) -> BTreeSet<String> {
    let names = fs::read_dir(exchange(env)).unwrap().map(|entry| entry.unwrap().file_name());
    names
        .map(|name| name.into_string().unwrap())
        .filter(|name| ![".status", ".merged"].contains(&name.as_str()))
        .collect()
}

/// A page of a list with so many names of objects, which begin with this number.
fn page(first: u64, count: u64, more: bool) -> String {
    let next = format!("<NextContinuationToken>t{first}</NextContinuationToken>");
    let next = if more { next } else { String::new() };
    let mut body = format!("<ListBucketResult><IsTruncated>{more}</IsTruncated>{next}");
    for number in first..first + count {
        body.push_str(&format!(
            "<Contents><Key>fleet/l-00000000000000aa-{:010}-{number:032x}</Key><Size>2097</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
            number % 4_000_000_000
        ));
    }
    body + "</ListBucketResult>"
}

#[test]
fn a_hostile_store_fills_neither_the_disk_nor_the_memory() {
    let test = "a_hostile_store_fills_neither_the_disk_nor_the_memory";
    if harness::lacks(test, &["prlimit", "python3"]) {
        return;
    }
    let Some(server) = s3(test) else { return };
    let proxy = Proxy::before(server.port);
    let a = begun(&server.address(proxy.port));
    let before = files(&a);
    let list = |seen: &Seen, page: String| {
        if seen.kind() == "LIST" { Then::answer(200, "", &page) } else { Then::Pass }
    };
    let ends = |proxy: &Proxy, words: &str, kind: &str| {
        let begin = Instant::now();
        let (output, peak) = bounded(&a);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(9), "{told}");
        assert!(told.contains(words), "{words}: {told} {}", status(&a));
        assert_eq!(status(&a)["error"], kind);
        assert!(begin.elapsed() < Duration::from_secs(120));
        assert!(peak < MOST_IN_USE, "{words}: {peak} KiB");
        assert_eq!(files(&a), before, "{words}");
        // A person reads the same.
        let shown = ctl(&a, &["sync", "status"]).expect(0);
        assert!(shown.contains(words), "{words}: {shown}");
        proxy.take().len()
    };
    // Pages that never end, empty and full.
    proxy.rule(move |seen| list(seen, page(0, 0, true)));
    assert!(ends(&proxy, "does not end", "too-much") <= 250);
    let mut number = 0;
    proxy.rule(move |seen| {
        number += 1000;
        list(seen, page(number, 1000, true))
    });
    assert!(ends(&proxy, "more files than", "too-much") <= 150);
    // A million names, and then an end.
    proxy.rule(move |seen| {
        let token = seen.target.split("continuation-token=t").nth(1);
        let last = token.map(|text| text.split('&').next().unwrap().parse::<u64>().unwrap());
        let first = last.map_or(0, |last| last + 1000);
        list(seen, page(first, 1000, first + 1000 < 1_000_000))
    });
    assert!(ends(&proxy, "more files than", "too-much") <= 150);
    // An answer without an end, with a page and without one.
    proxy.rule(|seen| if seen.kind() == "LIST" { Then::Flood(vec![b'<'; 1 << 16]) } else { Then::Pass });
    ends(&proxy, "cannot be used", "unreadable");
    // Objects that are larger than was said. Their names are listed beside our own: the store knows those.
    let real = server.names();
    proxy.rule(move |seen| match seen.kind() {
        "LIST" => {
            let own = |name: &String| {
                format!("<Contents><Key>fleet/{name}</Key><Size>2097</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>")
            };
            let own: String = real.iter().map(own).collect();
            Then::answer(200, "", &page(1, 20, false).replace("</ListBucketResult>", &(own + "</ListBucketResult>")))
        }
        "GET" => Then::Flood(vec![b'x'; 1 << 16]),
        _ => Then::Pass,
    });
    ends(&proxy, "cannot be used", "unreadable");
    // And once the store is itself again, all is well.
    proxy.rule(|_| Then::Pass);
    assert_eq!(moved(&a)["error"], Value::Null);
}

#[test]
fn what_is_sent_goes_to_the_store_alone_and_not_without_tls_to_another_machine() {
    let Some(server) = s3("what_is_sent_goes_to_the_store_alone_and_not_without_tls_to_another_machine")
    else {
        return;
    };
    let (proxy, other) = (Proxy::before(server.port), Proxy::before(server.port));
    let a = begun(&server.address(proxy.port));
    let elsewhere = format!("Location: http://127.0.0.1:{}/notes\r\n", other.port);
    for code in [301, 302, 307, 308] {
        let then = Then::answer(code, &elsewhere, "");
        proxy.rule(move |_| then.clone());
        assert_eq!(fails(&a, 9, "cannot be used"), "unreadable");
    }
    assert!(other.take().is_empty());
    // Nothing is sent to another machine without TLS, unless it is asked for: TEST-NET-1 of RFC 5737 is nobody's.
    let b = Env::unlocked(programs!());
    for store in ["http://192.0.2.1/fleet", "s3://b/fleet?endpoint=http%3A%2F%2F192.0.2.1"] {
        let output = mover(&b, &["begin", store]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(7), "{told}");
        assert!(told.contains("plain=yes"), "{told}");
    }
    // A password in an address is not taken, and not repeated.
    let output = mover(&b, &["begin", "https://user:canary-in-address@127.0.0.1/fleet"]);
    assert_eq!(output.status.code(), Some(7));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("canary-in-address"));
    assert!(!exchange(&b).join(".store").exists());
}
