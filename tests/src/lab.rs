//! The machine's own systemd, booted as process 1 of its own namespaces, for tests of what only a real systemd does.
//!
//! What is inside: the machine's file system, read through an overlay whose upper side is memory, with `/tmp`, `/run`,
//! `/dev` and an empty loopback network of its own; journald, logind, the system bus, and `systemd --user` for every
//! user that a test makes. Nothing of the machine is written to or started. The lab ends with the test's process, however
//! that ends. What it lacks: cgroup controllers (`MemoryMax=` and the like are taken and do nothing), udev, a network.
//!
//! ```no_run
//! use secretsd_tests::lab::Lab;
//!
//! // One boot for a test binary; `None` has said aloud why this machine cannot.
//! let Some(lab) = Lab::shared("name_of_the_test") else { return };
//! // As root inside.
//! let version = lab.run("systemctl", &["--version"]);
//! // A user with a user manager, for this test alone: tests of one binary run at the same time.
//! let user = lab.user("carla");
//! user.write(".config/systemd/user/x.service", 0o644, "[Service]\nExecStart=/bin/true\n");
//! user.run("systemctl", &["--user", "start", "x.service"]);
//! // With the cgroup of a unit of that user's manager, or of the system's.
//! user.run("systemd-run", &["--user", "--pipe", "--wait", "--quiet", "cat", "/proc/self/cgroup"]);
//! // Files go in and are looked at from outside by their paths; the journal by its unit.
//! lab.copy("/usr/bin/true".as_ref(), "/usr/local/bin/other", 0o755);
//! assert!(lab.path("/run/user").join(user.uid().to_string()).exists());
//! println!("{}", user.journal("x.service"));
//! ```

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness;
use crate::process::{self, DEADLINE};

/// A booted systemd.
#[derive(Debug)]
pub struct Lab {
    /// Process 1 inside, as its number is outside.
    init: u32,
    boot: Child,
    took: Duration,
    /// The number of the newest user; held while one is made, because the password file has one lock.
    users: Mutex<u32>,
}

/// A user inside with a running user manager.
#[derive(Debug)]
pub struct User<'a> {
    lab: &'a Lab,
    name: String,
    uid: u32,
}

/// What the lab calls, and where it is not found.
const NEEDED: [&str; 7] = ["unshare", "nsenter", "setpriv", "mount", "systemctl", "useradd", "dbus-daemon"];

/// The exit status of `boot.sh` for a machine that cannot.
const CANNOT: i32 = 77;

impl Lab {
    /// The lab of this test binary, booted by the first test that asks. `None` where the machine cannot, which is said
    /// aloud for this test.
    pub fn shared(test: &str) -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Lab, String>> = OnceLock::new();
        match SHARED.get_or_init(Self::boot) {
            Ok(lab) => Some(lab),
            Err(reason) => {
                harness::skip(test, reason);
                None
            }
        }
    }

    /// Boots a lab that ends when it is dropped. `Err` says what this machine lacks; a lab that starts and does not
    /// come up is a failure.
    pub fn boot() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("booting systemd needs root".to_owned());
        }
        if !Path::new("/lib/systemd/systemd").exists() {
            return Err("systemd is not installed".to_owned());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = |name: &&str| std::env::split_paths(&path).any(|dir| dir.join(name).exists());
        if let Some(missing) = NEEDED.iter().find(|name| !found(name)) {
            return Err(format!("{missing} is not installed"));
        }

        let began = Instant::now();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/boot.sh");
        let mut boot = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--", "sh", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(boot.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(init) = line.trim().parse() else {
            let status = boot.wait().unwrap();
            let mut said = String::new();
            boot.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            let last = said.lines().last().unwrap_or("unshare is not permitted").to_owned();
            // Without a line of the script's own it is the namespaces that are refused.
            assert!(
                status.code() == Some(CANNOT) || said.contains("unshare: "),
                "the lab does not start: {said}"
            );
            return Err(last);
        };
        let mut lab = Self { init, boot, took: Duration::ZERO, users: Mutex::new(4200) };
        lab.until("the system is up", || {
            lab.command("systemctl").arg("is-system-running").output().unwrap().stdout == b"running\n"
        });
        lab.took = began.elapsed();
        Ok(lab)
    }

    /// How long booting took.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// A path inside, as it is reached from outside.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        PathBuf::from(format!("/proc/{}/root", self.init)).join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// A command as root inside, in no unit's cgroup.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.enter();
        command.args(["env", "-i", "-C", "/root", "HOME=/root"]).args(ENVIRONMENT).arg(program);
        command
    }

    /// Runs a command as root inside, which must succeed, and gives what it printed.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        succeeded(self.command(program).args(arguments))
    }

    /// Copies a file from outside.
    pub fn copy(&self, from: &Path, inside: &str, mode: u32) {
        let to = self.path(inside);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // Another name first: what runs from the old file cannot be written to.
        let fresh = to.with_extension("fresh");
        fs::copy(from, &fresh).unwrap();
        fs::set_permissions(&fresh, Permissions::from_mode(mode)).unwrap();
        fs::rename(&fresh, &to).unwrap();
    }

    /// Makes a user of this name with a home directory, and starts its manager.
    pub fn user(&self, name: &str) -> User<'_> {
        let uid = {
            let mut newest = self.users.lock().unwrap();
            *newest += 1;
            let uid = newest.to_string();
            self.run("useradd", &["--create-home", "--shell", "/bin/sh", "--uid", &uid, name]);
            *newest
        };
        // By lingering, as for somebody who is logged in without end.
        self.run("mkdir", &["-p", "/var/lib/systemd/linger"]);
        self.run("touch", &[&format!("/var/lib/systemd/linger/{name}")]);
        self.run("systemctl", &["start", &format!("user@{uid}.service")]);
        User { lab: self, name: name.to_owned(), uid }
    }

    /// What the journal has, by `journalctl`'s arguments.
    #[track_caller]
    pub fn journal(&self, arguments: &[&str]) -> String {
        self.run("journalctl", &["--sync"]);
        self.run("journalctl", &[&["--no-pager", "--output=short-monotonic"], arguments].concat())
    }

    /// Waits for something, and fails with the journal's end.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + DEADLINE;
        while !is_so() {
            if Instant::now() > end {
                let journal = self.command("journalctl").args(["--no-pager", "-n", "60"]).output().unwrap();
                panic!("not so in time: {what}; the journal:\n{}", String::from_utf8_lossy(&journal.stdout));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string()]);
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"]).stdin(Stdio::null());
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.boot.stdin.take());
        process::wait(&mut self.boot, DEADLINE);
    }
}

impl User<'_> {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user id, which is the group id too.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The lab that this user is in.
    pub fn lab(&self) -> &Lab {
        self.lab
    }

    /// The home directory, as its path is inside.
    pub fn home(&self) -> String {
        format!("/home/{}", self.name)
    }

    /// The runtime directory, as its path is inside.
    pub fn runtime_dir(&self) -> String {
        format!("/run/user/{}", self.uid)
    }

    /// A command as this user, with the user manager's bus, in no unit's cgroup.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.lab.enter();
        let (home, uid, name) = (self.home(), self.uid, &self.name);
        command.args(["setpriv", &format!("--reuid={uid}"), &format!("--regid={uid}"), "--init-groups"]);
        command.args(["env", "-i", "-C", &home, &format!("HOME={home}")]).args(ENVIRONMENT).args([
            &format!("USER={name}"),
            &format!("LOGNAME={name}"),
            &format!("XDG_RUNTIME_DIR=/run/user/{uid}"),
            &format!("DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{uid}/bus"),
            program,
        ]);
        command
    }

    /// Runs a command as this user, which must succeed, and gives what it printed.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        succeeded(self.command(program).args(arguments))
    }

    /// Writes a file of this user's below its home, with the directories that it needs.
    pub fn write(&self, below_home: &str, mode: u32, content: impl AsRef<[u8]>) {
        let path = format!("{}/{below_home}", self.home());
        let directory = Path::new(&path).parent().unwrap().to_str().unwrap();
        self.run("mkdir", &["-p", directory]);
        let outside = self.lab.path(&path);
        fs::write(&outside, content).unwrap();
        fs::set_permissions(&outside, Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&outside, Some(self.uid), Some(self.uid)).unwrap();
    }

    /// `systemctl --user` with these arguments, which must succeed.
    #[track_caller]
    pub fn systemctl(&self, arguments: &[&str]) -> String {
        self.run("systemctl", &[&["--user"], arguments].concat())
    }

    /// One property of one of this user's units.
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.systemctl(&["show", "--value", "--property", name, unit]).trim_end().to_owned()
    }

    /// What a unit of this user's has logged.
    #[track_caller]
    pub fn journal(&self, unit: &str) -> String {
        self.lab.journal(&[&format!("_UID={}", self.uid), &format!("_SYSTEMD_USER_UNIT={unit}")])
    }
}

/// The environment of every command inside.
const ENVIRONMENT: [&str; 6] = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    "TERM=dumb",
    "SHELL=/bin/sh",
    "SYSTEMD_PAGER=",
    "SYSTEMD_COLORS=0",
];

#[track_caller]
fn succeeded(command: &mut Command) -> String {
    let (_, Output { status, stdout, stderr }) = process::run(command, b"");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    stdout.into_owned()
}
