//! Asking for credentials as systemd's service managers do: from an abstract address that names unit and credential, by a
//! process in a control group of the unit's name, without sending a byte, reading to the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{self, DEADLINE};

/// The length of the answer that makes systemd fail a unit: one byte more than a credential may have.
pub const REFUSAL: usize = (1 << 20) + 1;

/// A control group whose innermost directory has a unit's name; removed when dropped.
#[derive(Debug)]
pub struct Unit {
    top: PathBuf,
    group: PathBuf,
}

impl Unit {
    /// A group of this name, or why this machine has none to give.
    pub fn new(name: &str) -> Result<Self, String> {
        Self::inside("", name)
    }

    /// The same below another group.
    pub fn inside(outer: &str, name: &str) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (path, kind) = (fields.next()?, fields.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(path))
        });
        let mount = mount.ok_or("no unified hierarchy of control groups is mounted")?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let top = mount.join(format!("secretsd-test-{}-{number}", std::process::id()));
        let group = top.join(outer).join(name);
        fs::create_dir_all(&group).map_err(|_| "control groups cannot be made here".to_owned())?;
        Ok(Self { top, group })
    }

    /// Starts this in the group.
    pub fn start(&self, command: &Command) -> Child {
        let mut inside = Command::new("sh");
        inside.args(["-c", "echo $$ > \"$1\" && shift && exec \"$@\"", "sh"]);
        inside.arg(self.group.join("cgroup.procs"));
        inside.arg(command.get_program()).args(command.get_args());
        inside.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Asks for a credential as this unit; gives what came.
    pub fn load(&self, socket: &Path, id: &str) -> Vec<u8> {
        let unit = self.group.file_name().unwrap().to_str().unwrap();
        self.ask(socket, &address(unit, id))
    }

    /// Asks from any address.
    pub fn ask(&self, socket: &Path, address: &str) -> Vec<u8> {
        finish(self.start(&asker(socket, address)))
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // Its processes have ended, but the kernel may need a moment to see that.
        let end = Instant::now() + Duration::from_secs(5);
        let mut path = self.group.clone();
        while path.starts_with(&self.top) {
            while fs::remove_dir(&path).is_err() && Instant::now() < end {
                thread::sleep(Duration::from_millis(5));
            }
            path.pop();
        }
    }
}

/// The address that systemd binds for this unit and credential.
pub fn address(unit: &str, id: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}{number:04x}/unit/{unit}/{id}", std::process::id())
}

/// The command that asks from an address, from none if it is empty. What comes is its output; that the connection broke is
/// its exit status 1, with the error's name on its standard error. One more argument makes it another user first.
pub fn asker(socket: &Path, address: &str) -> Command {
    // By its own path: what is called python3 may be a script that looks for it, at length.
    static PYTHON: OnceLock<String> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let mut command = Command::new("python3");
        let (_, output) = process::run(command.args(["-c", "import sys; print(sys.executable)"]), b"");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    });
    let mut command = Command::new(python);
    command.args(["-I", "-S", "-c", ASK, address]).arg(socket);
    command
}

const ASK: &str = "
import errno, os, socket, sys
if len(sys.argv) > 3:
    os.setgroups([])
    os.setresuid(*[int(sys.argv[3])] * 3)
connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
try:
    if sys.argv[1]:
        connection.bind(b'\\0' + sys.argv[1].encode('utf-8', 'surrogateescape'))
    connection.connect(sys.argv[2])
    connection.shutdown(socket.SHUT_WR)
    got = b''
    while chunk := connection.recv(1 << 16):
        got += chunk
except OSError as error:
    sys.exit(errno.errorcode[error.errno])
sys.stdout.buffer.write(got)
";

/// Asks from an address, as a process of no unit.
pub fn ask(socket: &Path, address: &str) -> Vec<u8> {
    let mut command = asker(socket, address);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

/// What a run of [`asker`] has got; a broken connection fails the test.
pub fn finish(child: Child) -> Vec<u8> {
    attempt(child).unwrap_or_else(|error| panic!("the connection broke: {error}"))
}

/// What a run of [`asker`] has got, or how the connection broke.
pub fn attempt(mut child: Child) -> Result<Vec<u8>, String> {
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reading = thread::spawn(move || {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut out, &mut bytes).unwrap();
        bytes
    });
    let mut said = String::new();
    std::io::Read::read_to_string(&mut err, &mut said).unwrap();
    let status = process::wait(&mut child, DEADLINE);
    if status.success() { Ok(reading.join().unwrap()) } else { Err(said.trim().to_owned()) }
}

/// Checks that this is the refusal, to the byte.
#[track_caller]
pub fn assert_refused(answer: &[u8]) {
    assert_eq!(answer.len(), REFUSAL, "{}", String::from_utf8_lossy(&answer[..answer.len().min(100)]));
    assert!(answer.iter().all(|byte| *byte == 0));
}
