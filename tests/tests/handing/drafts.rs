//! Files that are written where others may have put something: nothing but a regular file is replaced, and whatever ends
//! the client, there is the whole file or none, and nothing beside it. `SOAK=1` (`make soak`) ends it ten times as often.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use secretsd_tests::harness::{no_strace, skip, soak, strace};
use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::random::Random;
use secretsd_tests::{Env, programs};

const SIGNALS: [Signal; 8] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::ALARM,
    Signal::XCPU,
    Signal::KILL,
];

/// `inject` of a large template to `out/file`, which takes a while to write.
struct Storm {
    env: Env,
    template: PathBuf,
    expected: Vec<u8>,
    out: PathBuf,
    random: Random,
}

impl Storm {
    fn new() -> Self {
        let env = Env::unlocked(programs!());
        env.store("A", "canary-value");
        let filler = "x".repeat(1_000).repeat(4_000);
        let template = env.private_file("template", format!("{{{{ secret:A }}}}{filler}"));
        let out = env.private_dir("out");
        Self { env, template, expected: format!("canary-value{filler}").into(), out, random: Random::new() }
    }

    /// The command, behind these words.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.env.command(words.first().unwrap_or(&"setsid"));
        command.args(words.iter().skip(1)).arg(self.env.programs().client).args(["inject", "-i"]);
        command.arg(&self.template).arg("-o").arg(self.out.join("file"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Ends it around the time at which it writes, many times, with and without a file that is to be replaced.
    fn blow(&mut self, rounds: usize) {
        let whole = |storm: &Self| {
            let begin = Instant::now();
            assert!(process::wait(&mut storm.command(&[]).spawn().unwrap(), DEADLINE).success());
            u64::try_from(begin.elapsed().as_micros()).unwrap()
        };
        let within = (0..5).map(|_| whole(self)).min().unwrap();
        let mut ended = 0;
        for round in 0..rounds {
            for signal in SIGNALS {
                let is_there = round % 2 == 0;
                self.lay(is_there);
                let mut child = self.command(&[]).spawn().unwrap();
                // This waits for nothing: it only picks the moment, in every other round one close to the end.
                let moment = match round % 4 {
                    0 | 1 => self.random.below(within),
                    _ => within * 3 / 4 + self.random.below(within / 3),
                };
                thread::sleep(Duration::from_micros(moment));
                process::signal(child.id(), signal);
                ended += usize::from(!process::wait(&mut child, DEADLINE).success());
                self.check(is_there, signal);
            }
        }
        assert!(ended > rounds, "hardly one was ended: {ended}");
    }

    /// Ends it while its draft has a name, which these words make last.
    fn end_with_a_draft(&mut self, words: &[&str], is_there: bool, signal: Signal) {
        self.lay(is_there);
        let mut child = self.command(words).spawn().unwrap();
        let end = Instant::now() + DEADLINE;
        while !self.names().iter().any(|name| name != "file") {
            assert!(Instant::now() < end && child.try_wait().unwrap().is_none(), "no draft is seen");
        }
        process::signal(child.id(), signal);
        process::wait(&mut child, DEADLINE);
        self.check(is_there, signal);
    }

    fn lay(&self, is_there: bool) {
        let file = self.out.join("file");
        if is_there { fs::write(&file, "old").unwrap() } else { _ = fs::remove_file(&file) }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.out).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn check(&self, was_there: bool, signal: Signal) {
        if signal == Signal::KILL && self.names().iter().any(|name| name != "file") {
            // The next one in that directory finds what no program can remove itself.
            self.env.ctl(["inject", "-o", self.out.join("other").to_str().unwrap()]).expect(0);
            fs::remove_file(self.out.join("other")).unwrap();
        }
        assert!(self.names().iter().all(|name| name == "file"), "{signal:?} leaves {:?}", self.names());
        match fs::read(self.out.join("file")) {
            Ok(content) => assert!(content == self.expected || was_there && content == b"old", "a part"),
            Err(_) => assert!(!was_there, "{signal:?} takes the old file"),
        }
    }
}

#[test]
fn nothing_is_left_of_a_file_whatever_ends_the_client() {
    Storm::new().blow(if soak() { 60 } else { 6 });
}

/// With a file that is replaced a draft has a name between two calls, of which the second takes long here. And on a file
/// system that knows no files without a name, it has one all along.
#[test]
fn a_draft_with_a_name_goes_before_the_client_does() {
    if let Some(reason) = no_strace() {
        return skip("a_draft_with_a_name_goes_before_the_client_does", reason);
    }
    let mut storm = Storm::new();
    let out = storm.out.to_str().unwrap().to_owned();
    let log = storm.env.path("strace").to_str().unwrap().to_owned();
    // In that directory, the second openat is the one for a file without a name; the first lists it.
    let refused = ["-e", "inject=openat:error=EOPNOTSUPP:when=2"];
    let late = [
        "-P",
        &out,
        "-e",
        "trace=openat,linkat,rename,renameat",
        "-e",
        "inject=rename,renameat:delay_enter=100000",
    ];
    for knows_nameless in [true, false] {
        let mut options = late.to_vec();
        if !knows_nameless {
            options.extend(refused);
        }
        let mut words = strace(&log, &options);
        words.insert(0, "setsid");
        for signal in SIGNALS {
            storm.end_with_a_draft(&words, true, signal);
            let traced = fs::read_to_string(&log).unwrap();
            let is_linked = traced.contains("linkat(");
            assert_eq!(
                (is_linked, traced.contains("O_TMPFILE, 0600) = -1 EOPNOTSUPP")),
                (knows_nameless, !knows_nameless),
                "{traced}"
            );
        }
    }
}

#[test]
fn a_key_file_that_is_seen_is_whole_whatever_ends_the_client() {
    let env = Env::unlocked(programs!());
    let key = env.private_dir("out").join("key");
    let words = [key.to_str().unwrap(), "-e", "trace=write", "-e", "inject=write:delay_enter=100000"];
    for signal in SIGNALS {
        // Writing to a file of that name takes long; without strace it takes what it takes.
        let mut command = match no_strace() {
            None => env.command("strace"),
            Some(_) => env.command("setsid"),
        };
        if no_strace().is_none() {
            command
                .args(["-D", "-f", "-q", "--seccomp-bpf", "-o", "/dev/null", "-P"])
                .args(words)
                .arg("setsid");
        }
        command.arg(env.programs().client).args(["key", "add", "--key-file"]).arg(&key);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + DEADLINE;
        while !key.exists() {
            // It may have made the file and ended since that look.
            let ended = child.try_wait().unwrap().is_some();
            assert!(Instant::now() < end && (!ended || key.exists()), "no key file is made");
        }
        process::signal(child.id(), signal);
        process::wait(&mut child, DEADLINE);
        assert_eq!(fs::metadata(&key).unwrap().len(), 32, "{signal:?}");
        assert_eq!(fs::read_dir(env.path("out")).unwrap().count(), 1);
        fs::remove_file(&key).unwrap();
    }
}

/// What it is, and what puts it there.
type Trap = (&'static str, Box<dyn Fn()>);

/// What somebody may have put where a file is to be made, and must find as it was.
fn traps(env: &Env, place: &Path) -> [Trap; 4] {
    let precious = env.private_file("precious", "precious");
    let at = || place.to_owned();
    let (link, dangling, fifo, directory) = (at(), at(), at(), at());
    [
        ("a link", Box::new(move || symlink(&precious, &link).unwrap())),
        ("a link to nothing", Box::new(move || symlink("/nonexistent/x", &dangling).unwrap())),
        ("a FIFO", Box::new(move || mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap())),
        ("a directory", Box::new(move || fs::create_dir(&directory).unwrap())),
    ]
}

#[test]
fn no_command_that_writes_a_file_follows_a_link_or_waits_for_a_fifo() {
    let env = Env::unlocked(programs!());
    env.store("A", "canary-value");
    let template = env.private_file("template", "{{ secret:A }}");
    let dir = env.private_dir("shared");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (page, out) = (dir.join("secretctl-list.1"), dir.join("out"));
    let commands: [(&Path, Vec<String>); 4] = [
        (&page, vec!["man".into(), "--dir".into(), text(&dir)]),
        (&out, vec!["inject".into(), "-i".into(), text(&template), "-o".into(), text(&out)]),
        (&out, vec!["backup".into(), "--force".into(), text(&out)]),
        (&out, vec!["key".into(), "add".into(), "--key-file".into(), text(&out)]),
    ];
    for (place, command) in &commands {
        for (what, lay) in traps(&env, place) {
            lay();
            let before = fs::symlink_metadata(place).unwrap().file_type();
            let run = env.ctl(command).run();
            assert!(run.code.is_some_and(|code| code != 0), "{command:?} takes {what}");
            assert!(!run.stderr.is_empty());
            assert_eq!(fs::symlink_metadata(place).unwrap().file_type(), before, "{command:?}: {what}");
            assert_eq!(fs::read(env.path("precious")).unwrap(), b"precious");
            assert_eq!(
                fs::metadata(env.path("precious")).unwrap().permissions().mode() & 0o777,
                0o600,
                "{command:?}"
            );
            if before.is_dir() { fs::remove_dir(place).unwrap() } else { fs::remove_file(place).unwrap() }
        }
    }
    assert!(!Path::new("/nonexistent/x").exists());
}

#[test]
fn another_users_link_leads_the_manual_pages_nowhere() {
    let env = Env::new(programs!());
    if !rustix::process::geteuid().is_root() {
        return skip("another_users_link_leads_the_manual_pages_nowhere", "two users need root");
    }
    // As uid 1001 owns a directory that all may write to, and uid 1002 runs the client.
    let (attacker, victim) = (1_001, 1_002);
    fs::set_permissions(env.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let client = env.path("secretctl");
    fs::copy(env.programs().client, &client).unwrap();
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).unwrap();
    let precious = env.private_file("precious", "precious");
    chown(&precious, Some(victim), Some(victim)).unwrap();
    let shared = env.private_dir("shared");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    chown(&shared, Some(attacker), Some(attacker)).unwrap();
    let as_victim = |arguments: &[&str]| {
        let mut command = env.command("setpriv");
        command.args([&format!("--reuid={victim}"), &format!("--regid={victim}"), "--clear-groups"]);
        process::run(command.arg(&client).args(arguments), b"").1
    };
    let dir = shared.to_str().unwrap();
    for name in ["secretctl.1", "out"] {
        symlink(&precious, shared.join(name)).unwrap();
        std::os::unix::fs::lchown(shared.join(name), Some(attacker), Some(attacker)).unwrap();
    }
    let out = shared.join("out");
    for arguments in [&["man", "--dir", dir][..], &["inject", "-o", out.to_str().unwrap()]] {
        let output = as_victim(arguments);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("symbolic link"), "{said}");
    }
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(fs::metadata(&precious).unwrap().permissions().mode() & 0o7777, 0o600);

    // Without the links both are written, by a user who is not root too.
    fs::remove_file(shared.join("secretctl.1")).unwrap();
    fs::remove_file(&out).unwrap();
    for _ in 0..2 {
        assert!(as_victim(&["man", "--dir", dir]).status.success());
        assert!(as_victim(&["inject", "-o", out.to_str().unwrap()]).status.success());
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&shared.join("secretctl.1")), mode(&out)), (0o644, 0o600));
}

#[test]
fn manual_pages_are_for_all_to_read_whatever_the_umask() {
    let env = Env::new(programs!());
    for umask in ["0", "002", "077"] {
        let dir = env.path(format!("new-{umask}/man"));
        let mut command = env.command("sh");
        command.args(["-c", "umask $0; exec \"$@\"", umask, env.programs().client, "man", "--dir"]).arg(&dir);
        assert!(process::run(&mut command, b"").1.status.success());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            [mode(dir.parent().unwrap()), mode(&dir), mode(&dir.join("secretctl.1"))],
            [0o755, 0o755, 0o644],
            "{umask}"
        );
    }
}
