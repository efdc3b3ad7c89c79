//! Programs that come into a session by its socket alone: from a container that has nothing else, and from another
//! machine by ssh.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use secretsd_tests::ctl::CtlOutput;
use secretsd_tests::harness::skip;
use secretsd_tests::process;

use crate::named::{Named, wait_until};
use crate::world::{HOST, VALUE};

/// What is in a container beside the programs in `/usr` and the session's directory at `/s`.
const DIRS: [&str; 8] = ["dev", "etc", "opt", "proc", "run", "s", "tmp", "usr"];

/// Namespaces as a container has them, made by hand. `$0` is the root, `$1` the session's directory, `$2` the client.
const BY_HAND: &str = r#"
set -e
root=$0 session=$1 client=$2
shift 2
ip link set lo up
mount --rbind /usr "$root/usr"
mount --bind "$session" "$root/s"
mount --bind "$client" "$root/opt/secretctl"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
exec env -i PATH=/usr/bin:/usr/sbin chroot "$root" "$@"
"#;

/// podman with a root that is made by hand, where no image is: without control groups of its own, which it finds nowhere
/// in some containers that it runs in itself.
const BY_PODMAN: &str = r#"
root=$0 session=$1 client=$2
shift 2
umount -l /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup || exit 77
exec podman run --rm --network none --cgroups disabled --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
    -v /usr:/usr:ro -v "$session:/s" -v "$client:/opt/secretctl:ro" --rootfs "$root" "$@"
"#;

/// Why there can be no container of this kind here, if so.
fn obstacle(kind: &str, make: &dyn Fn(&[&str]) -> Command) -> Option<String> {
    let output = make(&["true"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    (!output.status.success()).then(|| format!("{kind}: {}", said.lines().last().unwrap_or("not allowed")))
}

fn root(named: &Named, name: &str) -> std::path::PathBuf {
    let root = named.world.env.private_dir(name);
    for dir in DIRS {
        fs::create_dir(root.join(dir)).unwrap();
    }
    for (link, to) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")] {
        std::os::unix::fs::symlink(to, root.join(link)).unwrap();
    }
    fs::write(root.join("opt/secretctl"), "").unwrap();
    root
}

/// Runs this in a container, with what a program could want there beside the session.
fn in_a_container(named: &Named, make: &dyn Fn(&[&str]) -> Command) {
    let world = &named.world;
    let run = |words: &[&str]| {
        let (pid, output) = process::run(&mut make(words), b"");
        CtlOutput::of(pid, output)
    };
    let attach = ["/opt/secretctl", "proxy", "attach", "/s/control.sock", "--"];
    let within = |script: &str| run(&[&attach[..], &["sh", "-c", script]].concat());

    let before = world.origin.seen().len();
    let output = within(&format!("echo $KEY; {}; ls -l $SSL_CERT_FILE; exit 7", named.curl()));
    assert_eq!(output.code, Some(7), "{}{}", output.out(), output.err());
    assert!(output.out().starts_with("sk-proj-ssdph") && output.out().contains("200 \n"), "{}", output.out());
    assert_eq!(world.origin.seen().len(), before + 1);
    assert_eq!(world.origin.last().header("authorization"), Some(format!("Bearer {VALUE}").as_str()));
    world.assert_nowhere(&output);

    // Two at a time, and what the session does not allow.
    let curl = named.curl();
    let output = within(&format!("({curl}) & ({curl}) & wait; curl -sS {}", world.evil_url("/")));
    assert_eq!(output.out().matches("200 \n").count(), 2, "{}{}", output.out(), output.err());
    assert!(output.out().contains("host_not_allowed"), "{}", output.out());

    // Nothing else is there: no other network, no daemon, no token, and no way to a value by the socket.
    let bare = format!(
        "curl -sS --noproxy '*' --resolve {HOST}:{0}:127.0.0.1 https://{HOST}:{0}/",
        world.origin.port
    );
    let output = within(&bare);
    assert_eq!(output.code, Some(7), "{}{}", output.out(), output.err());
    let output = run(&["ls", "-A", "/s"]);
    assert_eq!(output.out(), "control.sock\n");
    let output = within("/opt/secretctl --no-spawn get KEY; /opt/secretctl proxy stop build");
    assert!(output.code != Some(0) && output.out().is_empty(), "{}{}", output.out(), output.err());
    // What is no command has the codes of `run`.
    run(&[&attach[..], &["/opt/none"]].concat()).assert_code(127);
    run(&["/opt/secretctl", "proxy", "attach", "/s/none.sock", "--", "true"]).assert_code(125);
    assert_eq!(named.listed()["state"], "running");
}

/// A command in a container that is made by hand, with this directory at `/s`.
fn by_hand(root: &Path, session: &Path, client: &str, words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount"]);
    command.args(["--uts", "--ipc", "sh", "-c", BY_HAND]).arg(root).arg(session).arg(client).args(words);
    command
}

#[test]
fn a_container_with_the_socket_alone_uses_the_session() {
    let test = "a_container_with_the_socket_alone_uses_the_session";
    let Some(named) = Named::new(test) else { return };
    let (root, session) = (root(&named, "root"), named.dir());
    let client = named.world.env.programs().client;
    let make = |words: &[&str]| by_hand(&root, &session, client, words);
    match obstacle("unshare", &make) {
        Some(reason) => skip(test, &reason),
        None => in_a_container(&named, &make),
    }
}

#[test]
fn a_container_with_a_token_that_lists_lists_and_nothing_more() {
    let test = "a_container_with_a_token_that_lists_lists_and_nothing_more";
    let Some(named) = Named::new(test) else { return };
    let env = &named.world.env;
    let (root, shared) = (root(&named, "root"), env.private_dir("shared"));
    let make = |words: &[&str]| by_hand(&root, &shared, env.programs().client, words);
    if let Some(reason) = obstacle("unshare", &make) {
        return skip(test, &reason);
    }
    let create = ["token", "create", "--name", "devcontainer", "--scope", "list", "--ttl", "7d"];
    env.private_file("shared/token", env.ctl(create).expect(0));
    fs::hard_link(env.socket(), shared.join("secretsd.sock")).unwrap();
    let run = |words: &[&str]| {
        let variables = ["env", "SECRETSD_SOCKET=/s/secretsd.sock", "SECRETSD_TOKEN_FILE=/s/token"];
        let (pid, output) =
            process::run(&mut make(&[&variables, &["/opt/secretctl"][..], words].concat()), b"");
        CtlOutput::of(pid, output)
    };
    let list = run(&["list"]);
    assert!(list.out().contains("KEY") && list.out().contains("••••"), "{}{}", list.out(), list.err());
    for words in
        [&["get", "KEY"][..], &["run", "-s", "KEY", "--", "env"], &["proxy", "start", "x", "-s", "KEY"]]
    {
        let output = run(words);
        assert!(matches!(output.code, Some(5 | 125)), "{words:?}: {:?} {}", output.code, output.err());
        named.world.assert_nowhere(&output);
    }
}

#[test]
fn a_container_of_podman_uses_the_session() {
    let test = "a_container_of_podman_uses_the_session";
    if !rustix::process::geteuid().is_root() {
        return skip(test, "podman without an image is tried as root");
    }
    let Some(named) = Named::new(test) else { return };
    let (root, session) = (root(&named, "root"), named.dir());
    let client = named.world.env.programs().client;
    let make = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", BY_PODMAN]).arg(&root).arg(&session).arg(client).args(words);
        command
    };
    match obstacle("podman", &make) {
        Some(reason) => skip(test, &reason),
        None => in_a_container(&named, &make),
    }
}

/// Sends a message to a socket of the session's, and gives what is answered.
fn raw(socket: &Path, message: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(process::DEADLINE)).unwrap();
    let length = u32::try_from(message.len()).unwrap();
    // Who has sent too much is hung up on while it sends.
    let _ = stream.write_all(&[&length.to_be_bytes(), message].concat());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn over_the_control_socket_nobody_ends_or_becomes_the_session() {
    let Some(named) = Named::new("over_the_control_socket_nobody_ends_or_becomes_the_session") else {
        return;
    };
    let control = named.control();
    let note = fs::read_to_string(named.world.env.runtime_dir().join("brokers/build.json")).unwrap();
    let begin = format!("{{\"begin\":[{{}},{note}]}}");
    let long = vec![b' '; 1 << 20];
    let bad: [&[u8]; 8] =
        [b"\"end\"", begin.as_bytes(), b"", b"null", b"{\"attach\":{}}", b"\"describe", b"\xff", &long];
    for message in bad {
        assert!(raw(&control, message).is_empty(), "{}", String::from_utf8_lossy(message));
    }
    // What is told is no token, and no place for files that could say something else. In front is its length, which is no text.
    let tell = |message: &[u8]| String::from_utf8_lossy(&raw(&control, message)).into_owned();
    let told = tell(b"\"describe\"");
    assert!(told.contains("sk-proj-ssdph") && !told.contains("ssd_") && !told.contains(VALUE), "{told}");
    let told = tell(br#"{"attach":{"port":1,"files_in":"/a\nb"}}"#);
    assert!(told.contains("refused"), "{told}");
    let told = tell(br#"{"attach":{"port":1,"files_in":"/a"}}"#);
    assert!(told.contains("\"listens\":false") && told.contains("/a/bundle.pem"), "{told}");
    // A stream is a connection to the proxy and nothing more.
    let mut stream = UnixStream::connect(&control).unwrap();
    let head = [&8_u32.to_be_bytes()[..], b"\"stream\"", b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat();
    stream.write_all(&head).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    // Many that say nothing hold up nobody for long.
    let silent: Vec<UnixStream> = (0..64).map(|_| UnixStream::connect(&control).unwrap()).collect();
    assert_eq!(named.listed()["state"], "running");
    drop(silent);
    assert_eq!(named.listed()["state"], "running");
}

#[test]
fn a_listener_ends_with_its_program() {
    let Some(named) = Named::new("a_listener_ends_with_its_program") else { return };
    let output = named.world.proxy(&["attach", "build", "--", "sh", "-c", "echo $HTTPS_PROXY"]);
    let address = output.out().trim().strip_prefix("http://").unwrap().to_owned();
    wait_until("the end of the listener", || TcpListener::bind(&address).is_ok());
}

/// A server of ssh on the loopback, which ends with the test.
struct Sshd {
    server: Child,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Sshd {
    /// With a key of the test's own.
    fn start(dir: &Path) -> Result<Self, &'static str> {
        if !rustix::process::geteuid().is_root() {
            return Err("sshd is started as root");
        }
        if !Path::new("/usr/sbin/sshd").exists() {
            return Err("sshd is not installed");
        }
        // Where it goes before anybody has logged in; the package makes it at boot.
        let _ = fs::create_dir("/run/sshd");
        for name in ["host", "user"] {
            let key = dir.join(name);
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key).status();
            assert!(made.unwrap().success());
        }
        fs::copy(dir.join("user.pub"), dir.join("authorized")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let own = dir.display();
        let settings = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {own}/host\nAuthorizedKeysFile {own}/authorized\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nStreamLocalBindUnlink yes\n"
        );
        fs::write(dir.join("sshd_config"), settings).unwrap();
        let log = fs::File::create(dir.join("log")).unwrap();
        let server = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let sshd = Self { server, port };
        wait_until("sshd", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Ok(sshd)
    }

    fn ssh(&self, dir: &Path, arguments: &[&str], command: &str) -> CtlOutput {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        ssh.args(["-o", "LogLevel=ERROR", "-o", "ExitOnForwardFailure=yes", "-o", "BatchMode=yes", "-i"]);
        ssh.arg(dir.join("user"))
            .args(["-p", &self.port.to_string()])
            .args(arguments)
            .args(["127.0.0.1", command]);
        let (pid, output) = process::run(&mut ssh, b"");
        CtlOutput::of(pid, output)
    }
}

#[test]
fn over_ssh_the_forwarded_socket_is_enough() {
    let test = "over_ssh_the_forwarded_socket_is_enough";
    let Some(named) = Named::new(test) else { return };
    let world = &named.world;
    let dir = world.env.private_dir("ssh");
    let sshd = match Sshd::start(&dir) {
        Ok(sshd) => sshd,
        Err(reason) => return skip(test, reason),
    };
    let there = dir.join("there.sock").display().to_string();
    let forward = format!("{there}:{}", named.control().display());
    let client = world.env.programs().client;
    // The other machine has nothing of secretsd but the client.
    let attach = format!("env -i PATH=/usr/bin:/bin HOME=/root {client} proxy attach {there} -- ");
    let curl = named.curl().replace('\'', "'\\''");
    let script = format!(
        "{attach} sh -c 'echo $KEY; {curl}; ({curl}) & ({curl}) & wait; ls -l $SSL_CERT_FILE; exit 7'"
    );
    let output = sshd.ssh(&dir, &["-R", &forward], &script);
    assert_eq!(output.code, Some(7), "{}{}", output.out(), output.err());
    assert!(output.out().starts_with("sk-proj-ssdph"), "{}", output.out());
    assert_eq!(output.out().matches("200 \n").count(), 3, "{}", output.out());
    assert_eq!(world.origin.seen().len(), 3);
    assert_eq!(world.origin.last().header("authorization"), Some(format!("Bearer {VALUE}").as_str()));
    world.assert_nowhere(&output);
    // What was put there for the command is gone with it.
    let file = output.out().lines().last().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert!(file.ends_with("/bundle.pem") && !Path::new(&file).exists(), "{file}");

    // Another user of that machine cannot use the port.
    for (who, is_served) in [("", true), ("setpriv --reuid=65533 --clear-groups ", false)] {
        let script = format!("{attach} sh -c '{who}curl -sS --max-time 5 -x $HTTPS_PROXY http://{HOST}/'");
        let output = sshd.ssh(&dir, &["-R", &forward], &script);
        assert_eq!(
            output.out().contains("did not send this request on"),
            is_served,
            "{who}{}{}",
            output.out(),
            output.err()
        );
    }

    // When the session has ended, the socket leads nowhere.
    world.env.ctl(["proxy", "stop", "build"]).expect(0);
    let output = sshd.ssh(&dir, &["-R", &forward], &format!("{attach} true"));
    output.assert_code(125);
}
