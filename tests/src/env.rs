//! A directory of its own for each test, with the daemon in it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Answer, Request, raw};
use crate::process::{self, DEADLINE};

/// The programs under test.
#[derive(Debug, Clone, Copy)]
pub struct Programs {
    /// `secretsd`
    pub daemon: &'static str,
    /// `secretctl`
    pub client: &'static str,
}

/// The passphrase of vaults that [`Env::unlocked`] makes.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// The cheapest key derivation that the daemon accepts: tests look at other things.
pub const CHEAP_KDF: &str = "[kdf]\nmemory_kib = 19456\npasses = 2\nlanes = 1\n";

/// A private directory that is `HOME` and every XDG directory, and the daemon that runs in it. Dropping it kills
/// the daemon and removes the directory.
#[derive(Debug)]
pub struct Env {
    root: TempDir,
    programs: Programs,
    daemon: Option<Child>,
}

impl Env {
    /// The directory with settings, without a daemon.
    pub fn new(programs: Programs) -> Self {
        // Short, because a socket's path has at most 107 bytes.
        let root = tempfile::Builder::new()
            .prefix("sd")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in("/tmp")
            .unwrap();
        let env = Self { root, programs, daemon: None };
        for name in ["home", "data", "state", "config", "config/secretsd", "run"] {
            env.private_dir(name);
        }
        env.settings(CHEAP_KDF);
        env
    }

    /// With a running daemon that has no vault yet.
    pub fn started(programs: Programs) -> Self {
        let mut env = Self::new(programs);
        env.start();
        env
    }

    /// With a running daemon and a new, open vault.
    pub fn unlocked(programs: Programs) -> Self {
        let env = Self::started(programs);
        env.init();
        env
    }

    /// A path inside the directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(name)
    }

    /// Where the vault lies.
    pub fn data_dir(&self) -> PathBuf {
        self.path("data/secretsd")
    }

    /// Where the anchor lies.
    pub fn state_dir(&self) -> PathBuf {
        self.path("state/secretsd")
    }

    /// Where socket and token lie.
    pub fn runtime_dir(&self) -> PathBuf {
        self.path("run/secretsd")
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime_dir().join("secretsd.sock")
    }

    /// The socket that units load credentials from.
    pub fn credentials(&self) -> PathBuf {
        self.runtime_dir().join("credentials.sock")
    }

    /// Where the daemon looks for the system bus. None is there unless a test makes it.
    pub fn system_bus(&self) -> PathBuf {
        self.path("bus")
    }

    /// The programs under test.
    pub fn programs(&self) -> Programs {
        self.programs
    }

    /// Makes a directory of mode 0700, whatever the umask.
    pub fn private_dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        path
    }

    /// Writes a file of mode 0600, whatever the umask.
    pub fn private_file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Replaces the daemon's settings.
    pub fn settings(&self, toml: &str) {
        self.private_file("config/secretsd/config.toml", toml);
    }

    /// A command in this environment and no other.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("HOME", self.path("home"))
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            // What happens on the machine is no part of a test.
            .env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", self.system_bus().display()))
            .current_dir(self.root.path())
            .stdin(Stdio::null());
        command
    }

    /// The daemon's command, logging everything.
    pub fn daemon_command(&self) -> Command {
        let mut command = self.command(self.programs.daemon);
        command.args(["--log-level", "trace"]);
        command
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) {
        let command = self.daemon_command();
        self.start_as(command);
    }

    /// Starts the daemon by this command and waits until it answers.
    pub fn start_as(&mut self, mut command: Command) {
        self.spawn(&mut command);
        assert!(self.wait_ready(), "the daemon ends instead of answering; its log:\n{}", self.log());
    }

    /// Starts the daemon and waits until it answers or has ended; `false` if it has ended.
    pub fn try_start(&mut self) -> bool {
        let mut command = self.daemon_command();
        self.spawn(&mut command);
        let ready = self.wait_ready();
        if !ready {
            self.daemon = None;
        }
        ready
    }

    /// Starts the daemon by this command and does not wait.
    pub fn spawn(&mut self, command: &mut Command) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        self.daemon = Some(command.stdout(self.log_file()).stderr(self.log_file()).spawn().unwrap());
    }

    /// Runs a daemon that must not come up, and gives how it ended and what it said.
    pub fn fail_to_start(&self, mut command: Command) -> (ExitStatus, String) {
        let (_, output) = process::run(&mut command, b"");
        assert!(!output.status.success(), "the daemon reports success");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The running daemon's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("no daemon runs").id()
    }

    /// Kills the daemon without warning.
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("no daemon runs");
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// Asks the daemon to stop and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("no daemon runs");
        process::signal(daemon.id(), Signal::TERM);
        process::wait(&mut daemon, DEADLINE)
    }

    /// Everything the daemon has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// The token for items of the daemon that runs.
    pub fn items_token(&self) -> String {
        fs::read_to_string(self.runtime_dir().join("items-token")).unwrap()
    }

    /// The owner token.
    pub fn token(&self) -> String {
        fs::read_to_string(self.runtime_dir().join("token")).unwrap().trim_end().to_owned()
    }

    /// A request without a token; `path` starts after `/api/v1`.
    pub fn anonymous(&self, method: &str, path: &str) -> Request {
        Request::new(&self.socket(), method, &format!("/api/v1{path}"))
    }

    /// A request with the owner token.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.anonymous(method, path).bearer(&self.token())
    }

    /// `GET` with the owner token.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send()
    }

    /// `POST` of JSON with the owner token.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path).json(body).send()
    }

    /// Sends bytes as they are.
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        raw(&self.socket(), bytes.as_ref(), DEADLINE)
    }

    /// Runs curl over the socket.
    pub fn curl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        let mut command = self.command("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--unix-socket"]);
        command.arg(self.socket()).args(arguments);
        process::run(&mut command, b"").1
    }

    /// Makes the vault with [`PASSPHRASE`] and gives the recovery key.
    pub fn init(&self) -> String {
        let reply = self.post("/vault/init", &json!({ "passphrase": PASSPHRASE })).expect(201);
        reply["recovery_key"].as_str().unwrap().to_owned()
    }

    /// Stores a secret and gives what the API says of it.
    #[track_caller]
    pub fn store(&self, name: &str, value: &str) -> Value {
        self.post("/user/secrets", &json!({ "name": name, "value": value })).expect(201)
    }

    /// The value of the secret with this name.
    #[track_caller]
    pub fn value(&self, name: &str) -> String {
        let reply =
            self.post("/user/secrets/reveal", &json!({ "secrets": [name], "purpose": "test" })).expect(200);
        reply["secrets"][0]["value"].as_str().unwrap().to_owned()
    }

    /// The vault's state, as the API names it.
    pub fn state(&self) -> String {
        self.get("/vault").expect(200)["state"].as_str().unwrap().to_owned()
    }

    /// Which process listens on the socket, if one does.
    pub fn listener(&self) -> Option<u32> {
        let stream = UnixStream::connect(self.socket()).ok()?;
        let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
        u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
    }

    /// Ends a daemon that `secretctl` started, which is nobody's child here.
    pub fn stop_listener(&self) {
        let Some(pid) = self.listener().filter(|pid| *pid != std::process::id()) else { return };
        process::end(pid);
    }

    /// Ends the daemon that holds the vault, if one does that nobody reaches here: by a socket elsewhere, or behind a wrapper
    /// that has ended before it.
    fn stop_holder(&self) {
        let path = self.data_dir().join("vault.lock");
        let Ok(lock) = File::open(&path) else { return };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else { return };
        // In another container it is another process.
        if fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "secretsd") {
            process::end(pid);
        }
    }

    fn log_path(&self) -> PathBuf {
        self.path("daemon.log")
    }

    fn log_file(&self) -> File {
        OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap()
    }

    /// Waits until the daemon answers; `false` if it ends before.
    pub fn wait_ready(&mut self) -> bool {
        let end = Instant::now() + DEADLINE;
        while UnixStream::connect(self.socket()).is_err() {
            if self.daemon.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < end, "the daemon does not answer; its log:\n{}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
        // Connecting succeeds once the socket listens; an answer says that somebody accepts.
        assert_eq!(Request::new(&self.socket(), "GET", "/healthz").send().status, 200);
        true
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().ok();
            daemon.wait().ok();
            if thread::panicking() {
                let log = self.log();
                let from = log.char_indices().rev().nth(6_000).map_or(0, |(at, _)| at);
                eprintln!("--- the end of the daemon's log:\n{}", &log[from..]);
            }
        }
        // One that `secretctl` has started, perhaps after ours had ended.
        self.stop_listener();
        self.stop_holder();
    }
}
