//! Waiting for and signalling processes that a test started, always one and always by its id.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// The longest that anything here may take; what takes longer hangs.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until the process has ended; `false` when the deadline passes first.
pub fn wait_gone(pid: u32, deadline: Duration) -> bool {
    let Ok(fd) = pidfd_open(as_pid(pid), PidfdFlags::empty()) else { return true };
    let end = Instant::now() + deadline;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap(),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
    }
}

/// Waits for a child's end; one that outlives the deadline is killed and fails the test.
pub fn wait(child: &mut Child, deadline: Duration) -> ExitStatus {
    if !wait_gone(child.id(), deadline) {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("process {} was still running after {deadline:?}", child.id());
    }
    child.wait().unwrap()
}

/// How many bytes of memory the process takes up.
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Sends a signal to one process.
pub fn signal(pid: u32, signal: Signal) {
    kill_process(as_pid(pid), signal).unwrap();
}

/// Asks a process that is nobody's child here to end, and ends it if it does not.
pub fn end(pid: u32) {
    // It may have gone by itself.
    let _ = kill_process(as_pid(pid), Signal::TERM);
    if !wait_gone(pid, DEADLINE) {
        let _ = kill_process(as_pid(pid), Signal::KILL);
    }
}

/// Runs a command to its end with this input, within the deadline.
pub fn run(command: &mut Command, input: &[u8]) -> (u32, Output) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that ends without reading its input is no error here.
    thread::spawn(move || stdin.write_all(&input).ok());
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let status = wait(&mut child, DEADLINE);
    // What the program left running must not hold its output open: a caller's pipe would never end.
    let collected = |from: Receiver<Vec<u8>>| from.recv_timeout(DEADLINE).expect("the output does not end");
    (pid, Output { status, stdout: collected(stdout), stderr: collected(stderr) })
}

fn collect(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        sender.send(bytes).ok();
    });
    receiver
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "not so in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
