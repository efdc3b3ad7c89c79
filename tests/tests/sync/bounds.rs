//! A store that wants to fill the disk or the memory, or to have what is sent to it elsewhere.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::time::{Duration, Instant};

use secretsd_tests::stores::{Proxy, Seen, Then};
use secretsd_tests::{Env, harness, process, programs};

use super::{KEY, KEY_ID, MOVER, begun, exchange, fails, mover, objects, s3, status};

/// What the mover may have of memory, as the kernel counts it.
const MOST_MEMORY: &str = "--as=700000000";

fn bounded(env: &Env) -> Output {
    let mut command = env.command("prlimit");
    command.args([MOST_MEMORY, MOVER]).env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", KEY);
    process::run(&mut command, b"").1
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
    if harness::lacks(test, &["prlimit"]) {
        return;
    }
    let Some(server) = s3(test) else { return };
    let proxy = Proxy::before(server.port);
    let a = begun(&server.address(proxy.port));
    let before = objects(&a);
    let list = |seen: &Seen, page: String| {
        if seen.kind() == "LIST" { Then::answer(200, "", &page) } else { Then::Pass }
    };
    let ends = |proxy: &Proxy, words: &str, kind: &str| {
        let begin = Instant::now();
        let output = bounded(&a);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.status.signal()), (Some(9), None), "{told}");
        assert!(told.contains(words), "{words}: {told} {}", status(&a));
        assert_eq!(status(&a)["error"], kind);
        assert!(begin.elapsed() < Duration::from_secs(120));
        assert_eq!(objects(&a), before, "{words}");
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
