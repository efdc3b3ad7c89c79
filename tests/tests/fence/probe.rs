//! Every way out that we know of, tried inside of a fence and outside.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv6Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::geteuid;
use secretsd_tests::harness::skip;
use secretsd_tests::source::repository;
use serde_json::json;

use crate::place::{Place, run};

/// What is there to be reached, as long as it is held.
struct Around {
    _held: ([TcpListener; 3], UnixListener, UnixListener, UnixListener, UnixDatagram),
    process: Child,
    shared_memory: String,
    files: Vec<File>,
    paths: Vec<std::path::PathBuf>,
}

impl Drop for Around {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = Command::new("ipcrm").args(["-m", &self.shared_memory]).status();
        self.paths.iter().for_each(|path| drop(fs::remove_file(path)));
        self.files.clear();
    }
}

fn around(place: &Place) -> Around {
    let env = &place.world.env;
    let outside = env.private_dir("home/outside");
    fs::write(outside.join("file"), "").unwrap();
    let (more, empty) = (env.private_dir("more"), env.private_dir("empty"));
    env.private_dir("home/.ssh");
    env.private_file("home/.ssh/id_ed25519", "x");
    env.private_file("home/.netrc", "x");
    env.private_file("home/.profile", "");

    // A checkout with all that git obeys.
    place.git(&["init", "-q"]);
    place.git(&["config", "core.hooksPath", ".husky"]);
    place.write(".husky/pre-commit", "");
    symlink(place.write("tools/hook", ""), place.project.join(".git/hooks/pre-push")).unwrap();
    place.write(".git/modules/sub/HEAD", "ref: refs/heads/main\n");
    place.write(".git/modules/sub/config", "");
    place.git(&["init", "-q", more.to_str().unwrap()]);

    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let other = TcpListener::bind(("127.0.0.2", port)).unwrap();
    let tcp6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_port = udp.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut bytes = [0; 100];
        while let Ok((length, from)) = udp.recv_from(&mut bytes) {
            let _ = udp.send_to(&bytes[..length], from);
        }
    });
    let name = format!("secretsd-probe-{}", std::process::id());
    let abstract_socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let agent = UnixListener::bind(place.project.join("agent")).unwrap();
    let bus = UnixListener::bind(env.path("run/bus")).unwrap();
    let datagrams = UnixDatagram::bind(place.project.join("datagrams")).unwrap();
    let process = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    let made = Command::new("ipcmk").args(["-M", "64"]).output().unwrap();
    let shared_memory = String::from_utf8(made.stdout).unwrap().split_whitespace().last().unwrap().to_owned();
    let shm = std::path::PathBuf::from(format!("/dev/shm/{name}"));
    let temporary = std::path::PathBuf::from(format!("/var/tmp/{name}"));
    let files = [&shm, &temporary].map(|path| File::create(path).unwrap());

    let at = json!({
        "tcp": port,
        "tcp6": tcp6.local_addr().unwrap().port(),
        "udp": udp_port,
        "abstract": name,
        "agent": place.project.join("agent"),
        "datagrams": place.project.join("datagrams"),
        "bus": env.path("run/bus"),
        "runtime": env.runtime_dir(),
        "data": env.data_dir(),
        "state": env.state_dir(),
        "config": env.path("config/secretsd"),
        "home": env.path("home"),
        "temporary": temporary,
        "shm": shm,
        "process": process.id(),
        "shared_memory": shared_memory,
        "outside": outside,
        "cgroup": cgroup(),
        "project": place.project,
        "more": more,
        "empty": empty,
    });
    place.write("at.json", &at.to_string());
    let probe = repository().join("tests/tests/fence/probe.py");
    fs::copy(probe, place.project.join("probe.py")).unwrap();
    let held = ([tcp, other, tcp6], abstract_socket, agent, bus, datagrams);
    Around { _held: held, process, shared_memory, files: files.into(), paths: vec![shm, temporary] }
}

/// A file by which processes are put into the group of the machine's first one.
fn cgroup() -> &'static str {
    let places = [
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/unified/cgroup.procs",
        "/sys/fs/cgroup/memory/cgroup.procs",
    ];
    places.into_iter().find(|path| fs::metadata(path).is_ok()).unwrap_or("/sys/fs/cgroup")
}

fn ways(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
}

#[test]
fn every_way_out_leads_out_outside_and_none_does_inside() {
    let test = "every_way_out_leads_out_outside_and_none_does_inside";
    if !geteuid().is_root() {
        return skip(test, "outside, some ways are open to root alone");
    }
    let Some(place) = Place::new(test) else { return };
    let around = around(&place);
    let words = ["python3", "probe.py", "at.json"];
    let (more, empty) = (place.world.env.path("more"), place.world.env.path("empty"));
    let write = ["--write", more.to_str().unwrap(), "--write", empty.to_str().unwrap()];
    let inside = place.run_with(&write, &words);
    let mut command = place.world.env.command(words[0]);
    let outside = run(command.args(&words[1..]).current_dir(&place.project));
    drop(around);

    for (output, where_it_is) in [(&inside, "inside"), (&outside, "outside")] {
        assert!(output.out().ends_with("done\n"), "{where_it_is}: {}{}", output.out(), output.err());
    }
    let (inside, outside) = (ways(&inside.out()), ways(&outside.out()));
    assert!(inside.len() > 50 && inside.keys().eq(outside.keys()), "{inside:?}");
    let out: Vec<_> = inside.iter().filter(|(_, how)| !how.starts_with("in ")).collect();
    assert!(out.is_empty(), "ways out of the fence: {out:#?}");
    let mut closed: Vec<_> = outside.iter().filter(|(_, how)| *how != "out").collect();
    // Where the machine itself forbids it.
    let forbids = |name: &str, number: &str| fs::read_to_string(name).is_ok_and(|text| text.trim() == number);
    if forbids("/proc/sys/kernel/io_uring_disabled", "2") {
        closed.retain(|(name, _)| *name != "io-uring");
    }
    assert!(closed.is_empty(), "these prove nothing, since they fail outside too: {closed:#?}");
    // What was written inside is there, and what was private is gone.
    assert!(place.project.join("written").exists() && more.join("written").exists());
    assert!(!place.project.join(".git/commondir").exists() && !empty.join(".git").exists());
}
