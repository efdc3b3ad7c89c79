//! That the value is nowhere but in the request: not in the program, and in the broker for a moment only.

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use secretsd_tests::{canary, harness, process};

use crate::world::{VALUE, World};

/// All that a process has in memory, as far as it can be read.
fn memory(pid: u32) -> Vec<u8> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut file = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw") && !line.contains("[v")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        let mut part = vec![0; usize::try_from(end - start).unwrap()];
        if file.seek(SeekFrom::Start(start)).is_ok() && file.read_exact(&mut part).is_ok() {
            all.extend(part);
        }
    }
    all
}

/// The broker that serves this process, by who listens on the port of its proxy.
fn broker_of(pid: u32) -> u32 {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let mut variables = environ.split(|byte| *byte == 0);
    let file = variables.find_map(|variable| variable.strip_prefix(b"SSL_CERT_FILE=")).unwrap();
    let dir = std::path::Path::new(str::from_utf8(file).unwrap()).parent().unwrap().to_owned();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let has = |entry: fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|path| path == dir);
        if descriptors.flatten().any(has) {
            return pid;
        }
    }
    panic!("no process has {} open", dir.display());
}

#[test]
fn the_value_is_in_no_memory_a_moment_after_its_request() {
    let test = "the_value_is_in_no_memory_a_moment_after_its_request";
    if !rustix::process::geteuid().is_root() {
        return harness::skip(test, "looking into a process that is not dumpable needs root");
    }
    let Some(world) = World::new(test) else { return };
    world.rule(&["--host", &world.host(), "--site", "basic"]);
    world.rule(&["--host", &world.host()]);
    let url = world.url("/v1");
    // One process asks and stays, so that its memory can be searched: bash reads what curl has written, too.
    let script = format!(
        "echo $$; while read path; do
            answer=$(curl -sS --http1.1 -H \"Authorization: Bearer $KEY\" '{url}/'$path'?[1-40]')
            answer=$answer$(curl -sS --http2 -u \"me:$KEY\" {url}/$path)
            echo \"${{#answer}}\"
        done"
    );
    let mut command = world.command_with(&["-s", "KEY"], &["bash", "-c", &script]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let program: u32 = line.trim().parse().unwrap();
    let broker = broker_of(program);
    for path in ["echo", "gzip", "header"] {
        input.write_all(format!("{path}\n").as_bytes()).unwrap();
        line.clear();
        output.read_line(&mut line).unwrap();
        assert!(line.trim().parse::<usize>().unwrap() > 0);
        assert_eq!(canary::find(&memory(program), VALUE), None, "the program has the value");
        // A pause of a second at most, in which what requests have carried is forgotten.
        let end = Instant::now() + Duration::from_secs(if cfg!(debug_assertions) { 3 } else { 1 });
        loop {
            let found = canary::find(&memory(broker), VALUE);
            if found.is_none() {
                break;
            }
            assert!(Instant::now() < end, "{path}: the broker keeps the value ({found:?})");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert_eq!(world.origin.seen().len(), 3 * (40 + 1));
    let environ = fs::read(format!("/proc/{program}/environ")).unwrap();
    assert_eq!(canary::find(&environ, VALUE), None);
    drop(input);
    process::wait(&mut child, process::DEADLINE);
}

#[test]
fn the_broker_lets_nobody_of_its_user_look_into_it() {
    let test = "the_broker_lets_nobody_of_its_user_look_into_it";
    if !rustix::process::geteuid().is_root() {
        return harness::skip(test, "finding the broker needs root");
    }
    let Some(world) = World::new(test) else { return };
    world.rule(&["--host", &world.host()]);
    let mut command = world.command_with(&["-s", "KEY"], &["sh", "-c", "echo $$; read line"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let broker = broker_of(line.trim().parse().unwrap());
    let limits = fs::read_to_string(format!("/proc/{broker}/limits")).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    // What is not dumpable belongs to root in /proc, no matter who runs it.
    let status = fs::read_to_string(format!("/proc/{broker}/status")).unwrap();
    assert!(status.contains("Name:\tsecretsd-broker"));
    let arguments = fs::read(format!("/proc/{broker}/cmdline")).unwrap();
    assert_eq!(arguments.split(|byte| *byte == 0).filter(|word| !word.is_empty()).count(), 1);
    drop(child.stdin.take());
    process::wait(&mut child, process::DEADLINE);
}
